"""C-FIND of the modality worklist (PS3.4 Annex K)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.face import Face, serving
from tests.support.queries import Answered, ask, keys, number
from tests.support.worklists import worklist_file
from wherry import limits
from wherry.config.worklists import WorklistsConfig
from wherry.dicom.attributes import Attribute
from wherry.dicom.preamble import IMPLICIT
from wherry.dimse.worklists import WORKLIST_CLASS, find_worklist
from wherry.errors import BadFileFormat, BadRequest


def step(modality: str, date: str, time: str = "090000", title: str = "CT1") -> dict[str, str]:
    return {
        "Modality": modality,
        "ScheduledProcedureStepStartDate": date,
        "ScheduledProcedureStepStartTime": time,
        "ScheduledStationAETitle": title,
    }


def item(accession: str, *steps: dict[str, str], **tags: str) -> dict[str, Any]:
    return {
        "AccessionNumber": accession,
        "ScheduledProcedureStepSequence": list(steps),
        **tags,
    }


ITEMS = [
    item("A1", step("CT", "20260110"), PatientName="Doe^Jane", PatientID="P1"),
    item("A2", step("MR", "20260111", title="MR1"), PatientName="Roe^Rick", PatientID="P2"),
    item(
        "A3",
        step("CT", "20260110", "100000"),
        step("MR", "20260112", title="MR1"),
        PatientName="山田^太郎",
        PatientID="p3",
    ),
]


@contextmanager
def scheduled(folder: Path, **settings: Any) -> Iterator[Face]:
    files = folder / "worklists"
    files.mkdir(parents=True)
    (files / "f.wl").write_bytes(worklist_file("F1", PatientName="File^Of", PatientID="P4"))
    config = WorklistsConfig(enable=True, folder=files, **settings)
    with serving(folder, worklists=config) as face:
        for one in ITEMS:
            face.rooms.worklists.add(one)
        yield face


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    with scheduled(tmp_path_factory.mktemp("store")) as face:
        yield face


def asked(face: Face, *, more: dict[str, Any] | None = None, **texts: Any) -> Answered:
    identifier = keys(**{"SpecificCharacterSet": "ISO_IR 192", "AccessionNumber": "", **texts})
    return ask(find_worklist, face.rooms, WORKLIST_CLASS, identifier, **more or {})


def steps(**texts: str) -> dict[str, Any]:
    return {"ScheduledProcedureStepSequence": [keys(**texts)]}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({}, ["A1", "A2", "A3", "F1"]),
        ({"AccessionNumber": "A*"}, ["A1", "A2", "A3"]),
        ({"PatientName": "DOE*"}, ["A1"]),
        ({"PatientName": "山田*"}, ["A3"]),
        ({"PatientID": "P3"}, []),
        ({"PatientID": "P1\\P2"}, ["A1", "A2"]),
        ({"PatientComments": "x"}, []),
        ({"PatientComments": "*"}, ["A1", "A2", "A3", "F1"]),
        ({"QueryRetrieveLevel": "STUDY"}, ["A1", "A2", "A3", "F1"]),
        (steps(), ["A1", "A2", "A3", "A3", "F1"]),
        (steps(Modality="CT"), ["A1", "A3"]),
        (steps(Modality="ct"), []),
        (steps(Modality="CT\\MR"), ["A1", "A2", "A3", "A3"]),
        (steps(Modality="CT", ScheduledStationAETitle="MR1"), []),
        (steps(ScheduledProcedureStepStartDate="20260110"), ["A1", "A3"]),
        (steps(ScheduledProcedureStepStartDate="20260111-"), ["A2", "A3"]),
        (
            steps(
                ScheduledProcedureStepStartDate="20260110-20260110",
                ScheduledProcedureStepStartTime="0930-",
            ),
            ["A3"],
        ),
        (steps(Modality="CT") | {"PatientName": "Doe*"}, ["A1"]),
        (steps(ScheduledProtocolCodeSequence=[keys(CodeValue="1")]), []),
    ],
)
def test_matching(face: Face, texts: dict[str, Any], expected: list[str]) -> None:
    found = asked(face, **texts)
    assert (found.status, found.texts("AccessionNumber")) == (0, expected)


def test_each_step_is_an_answer_with_what_was_asked(face: Face) -> None:
    found = asked(
        face,
        AccessionNumber="A3",
        PatientName="",
        PatientSex="",
        ReferencedStudySequence=[],
        **steps(Modality="", ScheduledProcedureStepID=""),
    )
    assert found.data_sets == [
        keys(
            SpecificCharacterSet="ISO_IR 192",
            AccessionNumber="A3",
            PatientName="山田^太郎",
            PatientSex="",
            ReferencedStudySequence=[],
            **steps(Modality=modality, ScheduledProcedureStepID=""),
        )
        for modality in ("CT", "MR")
    ]


def test_all_of_a_sequence(face: Face) -> None:
    for nothing in ([], [{}]):
        (one,) = asked(face, AccessionNumber="A1", ScheduledProcedureStepSequence=nothing).data_sets
        (whole,) = one[number("ScheduledProcedureStepSequence")].value
        assert whole == keys(**step("CT", "20260110"))


def test_other_transfer_syntax(face: Face) -> None:
    found = asked(face, more={"syntax": IMPLICIT}, **steps(Modality="MR"))
    assert found.texts("AccessionNumber") == ["A2", "A3"]


def test_requests_that_make_no_sense(face: Face) -> None:
    twice = {"ScheduledProcedureStepSequence": [keys(Modality="CT"), keys(Modality="MR")]}
    with pytest.raises(BadRequest, match="more than one item"):
        asked(face, **twice)
    with pytest.raises(BadFileFormat):
        ask(find_worklist, face.rooms, WORKLIST_CLASS, b"nonsense")
    other = ask(
        find_worklist, face.rooms, WORKLIST_CLASS, keys(PatientID=""), command_class="1.2.3"
    )
    assert other.status == 0x0122


def test_cancelled(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIND_ANSWERS_SENT", 1)
    found = asked(face, more={"cancel_after": 2})
    assert (found.status, len(found.data_sets)) == (0xFE00, 2)


def test_of_the_station_that_asks(tmp_path: Path) -> None:
    with scheduled(tmp_path, filter_issuer_aet=True) as face:
        assert asked(face, more={"calling": "MR1"}).texts("AccessionNumber") == ["A2", "A3"]
        found = asked(face, more={"calling": "CT1"}, **steps(Modality="CT\\MR"))
        assert found.texts("AccessionNumber") == ["A1", "A3"]
        assert asked(face, more={"calling": "OTHER"}).data_sets == []


def test_limit_of_answers(tmp_path: Path) -> None:
    with scheduled(tmp_path, limit_answers=2) as face:
        found = asked(face)
        assert (found.status, len(found.data_sets)) == (0xFE00, 2)
        assert found.comment == "More than 2 matches"
        assert asked(face, PatientID="P1\\P2").status == 0


def test_an_item_of_many_steps_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WORKLIST_STEPS", 1)
    with scheduled(tmp_path) as face:
        assert asked(face, **steps()).texts("AccessionNumber") == ["A1", "A2", "A3", "F1"]


def test_private_keys(face: Face) -> None:
    private = {0x00090010: Attribute("LO", "ACME"), 0x00091001: Attribute("LO", "")}
    identifier = keys(AccessionNumber="A1") | private
    (one,) = ask(
        find_worklist, face.rooms, WORKLIST_CLASS, dict(sorted(identifier.items()))
    ).data_sets
    assert (one[0x00090010].text, one[0x00091001].text) == ("ACME", "")
