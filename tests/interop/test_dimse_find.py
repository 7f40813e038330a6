"""Programs of others ask Wherry what it has, and what is scheduled: DCMTK's ``findscu``,
pynetdicom, Debian's Orthanc."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pynetdicom import AE, evt
from pynetdicom.association import Association

from tests.interop.find_store import ROOT, instance, item
from tests.support.orthanc import Orthanc, needs_orthanc
from tests.support.server import Server, free_port, running
from tests.support.worklists import WORKLIST_CLASS, worklist_file
from wherry.dimse.question import PATIENT_ROOT, STUDY_ROOT

needs_dcmtk = pytest.mark.skipif(shutil.which("findscu") is None, reason="DCMTK is not installed")

FILES = [
    instance(1, 1, 1, ImageType=["ORIGINAL", "PRIMARY"]),
    instance(1, 1, 2),
    instance(1, 2, 1, Modality="MR"),
    instance(2, PatientID="PAT2", PatientName="Müller^Jürgen", SpecificCharacterSet="ISO_IR 100"),
    *(instance(study, PatientID=f"PAT{study}", PatientName="Many^A") for study in range(3, 43)),
]


@dataclass(frozen=True)
class Running:
    server: Server
    dicom: int


@pytest.fixture(scope="module")
def wherry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("wherry")
    (folder / "worklists").mkdir()
    port = free_port()
    server = Server(
        folder,
        {
            "DicomServerEnabled": True,
            "DicomPort": port,
            "DicomModalities": {"findscu": ["FINDSCU", "127.0.0.1", 1]},
            "Worklists": {"Enable": True, "Directory": str(folder / "worklists")},
        },
    )
    with running(server):
        for file in FILES:
            assert server.request("POST", "/instances", file)[0] == 200
        yield Running(server, port)


def findscu(port: int, *arguments: str, aet: str = "FINDSCU") -> tuple[str, list[dict[str, str]]]:
    """The last status, and the answers as keyword → what is printed."""
    done = subprocess.run(
        ["findscu", "-v", "-aet", aet, *arguments, "127.0.0.1", str(port)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    answers: list[dict[str, str]] = []
    for line in text.splitlines():
        if "Find Response:" in line:
            answers.append({})
        elif answers and (match := re.match(r"I: +\([0-9a-f,]+\) .. (.*?) +# .* (\w+)$", line)):
            answers[-1].setdefault(match[2], match[1].strip("[]= ").strip(" \0"))
    status = re.search(r"Received Final Find Response \((.*)\)", text)
    return (status[1] if status else text), answers


@needs_dcmtk
@pytest.mark.parametrize("syntax", ["-xe", "-xb", "-xi"])
def test_findscu_at_each_level(wherry: Running, syntax: str) -> None:
    def ask(model: str, level: str, *keys: str) -> list[dict[str, str]]:
        arguments = [argument for key in keys for argument in ("-k", key)]
        status, found = findscu(
            wherry.dicom, syntax, model, "-k", f"QueryRetrieveLevel={level}", *arguments
        )
        assert status == "Success", status
        return found

    patients = ask("-P", "PATIENT", "PatientID", "PatientName=DOE*")
    assert [one["PatientID"] for one in patients] == ["PAT1"]
    studies = ask("-S", "STUDY", "StudyInstanceUID", "ModalitiesInStudy=MR", "PatientID=PAT1")
    assert [(one["StudyInstanceUID"], one["ModalitiesInStudy"]) for one in studies] == [
        (f"{ROOT}1", "CT\\MR")
    ]
    series = ask("-P", "SERIES", f"StudyInstanceUID={ROOT}1", "NumberOfSeriesRelatedInstances")
    assert sorted(one["NumberOfSeriesRelatedInstances"] for one in series) == ["1", "2"]
    images = ask("-S", "IMAGE", f"SeriesInstanceUID={ROOT}1.1", "SOPInstanceUID", "ImageType")
    assert {one["SOPInstanceUID"]: one["ImageType"] for one in images} == {
        f"{ROOT}1.1.1": "ORIGINAL\\PRIMARY",
        f"{ROOT}1.1.2": "(no value available)",
    }


@needs_dcmtk
def test_findscu_is_told_what_is_wrong(wherry: Running) -> None:
    status, found = findscu(wherry.dicom, "-S", "-k", "PatientID")
    assert (status, found) == ("Error: DataSetDoesNotMatchSOPClass", [])
    refused, found = findscu(wherry.dicom, "-S", "-k", "QueryRetrieveLevel=STUDY", aet="NOBODY")
    assert "No Acceptable Presentation Contexts" in refused
    assert found == []


@needs_dcmtk
def test_findscu_cancels(wherry: Running) -> None:
    status, found = findscu(
        wherry.dicom, "-S", "--cancel", "1", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID"
    )
    # It may come too late: 42 answers are sent in a moment.
    assert status.startswith(("Cancel", "Success"))
    assert 1 <= len(found) <= 42


@pytest.fixture
def scheduled(wherry: Running) -> Iterator[str]:
    """One item in the folder, one over REST; the identifier of the second."""
    folder = wherry.server.folder / "worklists"
    file = folder / "a.wl"
    file.write_bytes(
        worklist_file(
            "F1",
            SpecificCharacterSet="ISO_IR 100",
            PatientName="Müller^Jürgen",
            ScheduledProcedureStepSequence=[
                item(Modality="CT", ScheduledProcedureStepStartDate="20260110")
            ],
        )
    )
    made = wherry.server.json(
        "POST",
        "/worklists/create",
        {
            "Tags": {
                "PatientName": "Yamada^Tarou=山田^太郎",
                "AccessionNumber": "R1",
                "ScheduledProcedureStepSequence": [
                    {"Modality": "MR", "ScheduledProcedureStepStartDate": "20260111"},
                    {"Modality": "CT", "ScheduledProcedureStepStartDate": "20260112"},
                ],
            }
        },
    )
    yield made["ID"]
    file.unlink()
    assert wherry.server.request("DELETE", f"/worklists/{made['ID']}")[0] == 200


@needs_dcmtk
def test_findscu_asks_for_a_worklist(wherry: Running, scheduled: str) -> None:
    step = "ScheduledProcedureStepSequence[0]"

    def ask(*keys: str) -> list[tuple[str, str]]:
        arguments = [argument for key in ("AccessionNumber", *keys) for argument in ("-k", key)]
        status, found = findscu(wherry.dicom, "-W", *arguments)
        assert status == "Success", status
        return sorted(
            (one["AccessionNumber"], one["ScheduledProcedureStepStartDate"]) for one in found
        )

    date = f"{step}.ScheduledProcedureStepStartDate"
    assert ask(date) == [("F1", "20260110"), ("R1", "20260111"), ("R1", "20260112")]
    assert ask(f"{step}.Modality=CT", date) == [("F1", "20260110"), ("R1", "20260112")]
    assert ask(f"{date}=20260111-") == [("R1", "20260111"), ("R1", "20260112")]
    assert ask(date, "PatientName=yamada*") == [("R1", "20260111"), ("R1", "20260112")]
    assert ask(f"{step}.Modality=US", date) == []


def associate(port: int, sop_class: str, seen: list[str] | None = None) -> Association:
    entity = AE("FINDSCU")
    entity.add_requested_context(sop_class)
    handlers = []
    if seen is not None:
        handlers = [(evt.EVT_DIMSE_SENT, lambda event: seen.append(type(event.message).__name__))]
    found = entity.associate("127.0.0.1", port, evt_handlers=handlers)
    assert found.is_established
    return found


def test_pynetdicom_cancels_after_n_answers(wherry: Running) -> None:
    """Answers that were on their way still arrive; it ends with the status that says why, or all
    had been sent already."""
    seen: list[str] = []
    association = associate(wherry.dicom, STUDY_ROOT, seen)
    identifier = item(QueryRetrieveLevel="STUDY", PatientID="")
    statuses = []
    for told, _ in association.send_c_find(identifier, STUDY_ROOT, msg_id=5):
        statuses.append(told.Status)
        if len(statuses) == 3:
            association.send_c_cancel(5, query_model=STUDY_ROOT)
    assert "C_CANCEL_RQ" in seen
    assert statuses[-1] in (0xFE00, 0x0000)
    assert set(statuses[:-1]) == {0xFF00}
    # the association goes on
    identifier = item(QueryRetrieveLevel="STUDY", PatientID="PAT2")
    assert len(list(association.send_c_find(identifier, STUDY_ROOT, msg_id=6))) == 2
    association.release()


def test_pynetdicom_has_two_queries_one_after_another(wherry: Running) -> None:
    association = associate(wherry.dicom, PATIENT_ROOT)
    for expected, name in ((1, "Müller^Jürgen"), (40, "Many*"), (0, "Nobody")):
        identifier = item(
            SpecificCharacterSet="ISO_IR 192",
            QueryRetrieveLevel="PATIENT",
            PatientName=name,
            PatientID="",
        )
        *answers, (last, _) = association.send_c_find(identifier, PATIENT_ROOT)
        assert (len(answers), last.Status) == (expected, 0)
    association.release()


@needs_orthanc
def test_orthanc_asks(wherry: Running, scheduled: str, tmp_path: Path) -> None:
    orthanc = Orthanc(
        tmp_path,
        {
            "DicomAet": "FINDSCU",
            "DefaultEncoding": "Utf8",
            "DicomModalities": {"wherry": ["ORTHANC", "127.0.0.1", wherry.dicom]},
        },
    )
    with running(orthanc):
        for level, query, tag, expected in (
            ("Patient", {"PatientName": "doe*"}, "PatientID", ["PAT1"]),
            ("Study", {"PatientID": "PAT1"}, "StudyInstanceUID", [f"{ROOT}1"]),
            ("Series", {"Modality": "MR"}, "SeriesInstanceUID", [f"{ROOT}1.2"]),
            ("Instance", {"InstanceNumber": "2"}, "SOPInstanceUID", [f"{ROOT}1.1.2"]),
        ):
            body = {"Level": level, "Query": query}
            made = orthanc.json("POST", "/modalities/wherry/query", body)
            answers = orthanc.json("GET", f"{made['Path']}/answers?expand&simplify")
            assert [one[tag] for one in answers] == expected
            assert {one["RetrieveAETitle"] for one in answers} == {"ORTHANC"}
        found = orthanc.json(
            "POST",
            "/modalities/wherry/find-worklist",
            {"AccessionNumber": "", "PatientName": "", "ScheduledProcedureStepSequence": []},
        )
        assert sorted((one["AccessionNumber"], one["PatientName"]) for one in found) == [
            ("F1", "Müller^Jürgen"),
            ("R1", "Yamada^Tarou=山田^太郎"),
            ("R1", "Yamada^Tarou=山田^太郎"),
        ]


@needs_orthanc
def test_worklists_are_not_offered_unless_enabled(tmp_path: Path) -> None:
    port = free_port()
    server = Server(
        tmp_path,
        {"DicomServerEnabled": True, "DicomPort": port, "DicomAlwaysAllowFindWorklist": True},
    )
    with running(server):
        entity = AE("FINDSCU")
        entity.add_requested_context(WORKLIST_CLASS)
        entity.add_requested_context("1.2.840.10008.1.1")
        association = entity.associate("127.0.0.1", port)
        assert [one.abstract_syntax for one in association.rejected_contexts] == [WORKLIST_CLASS]
        association.release()
        status, answer = server.get("/worklists")
        assert (status, json.loads(answer)["OrthancStatus"]) == (404, 17)
