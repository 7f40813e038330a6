"""Bodies that order a retrieval, and what becomes of them; observed on Orthanc 1.10.1 where nothing
else is said. C-GET came later: its rules are those of the documentation of 1.12."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.face import Face, serving
from tests.support.modality import PENDING, Player, answer, playing
from wherry import limits
from wherry.config.dimse import DimseConfig
from wherry.model import Modality

UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def listening() -> Iterator[Player]:
    with playing() as player:
        yield player


@pytest.fixture
def player(listening: Player) -> Player:
    player = listening.reset()
    tags = {"AccessionNumber": "A1", "SeriesInstanceUID": "1.2.3.4", "PatientName": "x"}
    player.find = lambda event: [
        (PENDING, answer(PatientID="p1", StudyInstanceUID="1.2.3", **tags)),
        (PENDING, answer(PatientID="p2")),
    ]
    player.get = lambda event: [0]
    return player


def serve(folder: Path, *modalities: Modality, **settings: Any) -> Any:
    known = {one.name: one for one in modalities}
    return serving(folder, dimse=DimseConfig(modalities=known), **settings)


@pytest.fixture
def face(tmp_path: Path, player: Player) -> Iterator[Face]:
    gets = replace(player.modality("gets"), retrieve_method="C-GET")
    local = replace(player.modality("local"), local_aet="MODLOCAL")
    with serve(tmp_path, player.modality(), gets, local) as face:
        yield face


def query(face: Face, name: str = "player", **more: Any) -> str:
    """Its answers."""
    reply = face.post_json(f"/modalities/{name}/query", {"Level": "Study", **more})
    assert reply.status == 200, reply.body
    return f"/queries/{reply.json()['ID']}/answers"


def error(reply: Any) -> tuple[int, int, str | None]:
    found = reply.json()
    return reply.status, found["OrthancStatus"], found.get("Details")


def requests(player: Player) -> list[tuple[str, str]]:
    return [(one.service, one.destination) for one in player.asked if one.service != "find"]


@pytest.mark.parametrize(
    ("body", "destination"),
    [
        (b"", "ORTHANC"),
        (b"TGT", "TGT"),
        (b" TGT\n", "TGT"),
        (b'"TGT"', "TGT"),
        (b"123", "123"),
        (b"{}", "ORTHANC"),
        (b'{"TargetAet": "TGT"}', "TGT"),
        (b'{"TargetAet": "TGT", "RetrieveMethod": "C-MOVE"}', "TGT"),
        (b'{"RetrieveMethod": "SystemDefault"}', "ORTHANC"),
    ],
)
def test_where_to(face: Face, player: Player, body: bytes, destination: str) -> None:
    """pynetdicom knows nobody, and answers so."""
    reply = face.request("POST", f"{query(face)}/0/retrieve", body)
    assert reply.json()["OrthancStatus"] == 9
    assert reply.json()["Details"].startswith('C-MOVE SCU to AET "PLAYER" has failed with')
    assert requests(player) == [("move", destination)]


def test_the_content(face: Face) -> None:
    body = {"TargetAet": "TGT", "Permissive": True}
    reply = face.post_json(f"{query(face)}/0/retrieve", body)
    assert reply.status == 200
    found = reply.json()
    detail = found["Details"].pop()
    assert found == {
        "Description": "REST API",
        "Details": [],
        "LocalAet": "ORTHANC",
        "Query": [
            {
                "0008,0050": "A1",
                "0008,0052": "STUDY",
                "0010,0020": "p1",
                "0020,000d": "1.2.3",
                "0020,000e": "1.2.3.4",
            }
        ],
        "RemoteAet": "PLAYER",
        "TargetAet": "TGT",
    }
    assert detail["Query"] == found["Query"][0]
    assert detail["DimseErrorStatus"] == 0xA801


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"Simplify": True}, {"PatientID": "p1", "QueryRetrieveLevel": "STUDY"}),
        (
            {"Full": True},
            {"0010,0020": {"Name": "PatientID", "Type": "String", "Value": "p1"}},
        ),
        ({"Short": True}, {"0010,0020": "p1"}),
    ],
)
def test_forms_of_the_content(face: Face, more: dict[str, bool], expected: dict[str, Any]) -> None:
    body = {"Permissive": True, **more}
    (found,) = face.post_json(f"{query(face)}/0/retrieve", body).json()["Query"]
    assert found | expected == found


def test_all_answers(face: Face, player: Player) -> None:
    one = query(face).removesuffix("/answers")
    found = face.post_json(f"{one}/retrieve", {"Permissive": True}).json()
    assert [each["0010,0020"] for each in found["Query"]] == ["p1", "p2"]
    assert [each["DimseErrorStatus"] for each in found["Details"]] == [0xA801, None]
    assert len(requests(player)) == 1  # of the second one nobody knows what it is


def test_an_answer_that_does_not_tell_what_it_is(face: Face) -> None:
    assert error(face.post_json(f"{query(face)}/1/retrieve", {})) == (400, 8, None)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[]", 15),
        (b'{"TargetAet": 5}', 5),
        (b'{"TargetAet": "MORETHANSIXTEENLETTERS"}', 3),
        (b"MORETHANSIXTEENLETTERS", 3),
        ("Ä".encode(), 3),
        (b'{"Timeout": "x"}', 5),
        (b'{"Timeout": -1}', 5),
        (b'{"Synchronous": 5}', 15),
        (b'{"Permissive": 5}', 15),
        (b'{"Priority": "x"}', 15),
        (b'{"Full": "x"}', 15),
        (b'{"RetrieveMethod": "FTP"}', 3),
        (b'{"RetrieveMethod": 1}', 5),
        (b'{"RetrieveMethod": "C-GET", "TargetAet": "OTHER"}', 3),
    ],
)
def test_bodies_that_make_no_sense(face: Face, player: Player, body: bytes, code: int) -> None:
    for path in (f"{query(face)}/0/retrieve", query(face).removesuffix("answers") + "retrieve"):
        assert error(face.request("POST", path, body))[:2] == (400, code)
    assert requests(player) == []
    assert face.json("/jobs") == []


@pytest.mark.parametrize(
    ("index", "status", "code"), [("2", 400, 3), ("-1", 400, 3), ("x", 400, 5)]
)
def test_an_answer_that_is_none(face: Face, index: str, status: int, code: int) -> None:
    assert error(face.post_json(f"{query(face)}/{index}/retrieve", {}))[:2] == (status, code)


def test_an_unknown_query(face: Face) -> None:
    for path in ("retrieve", "answers/0/retrieve"):
        reply = face.post_json(f"/queries/{UNKNOWN}/{path}", {})
        assert error(reply) == (404, 17, None)


def test_in_the_background(face: Face) -> None:
    body = {"Synchronous": False, "Priority": 3, "UserData": {"a": 1}}
    found = face.post_json(f"{query(face)}/0/retrieve", body).json()
    assert found["Path"] == f"/jobs/{found['ID']}"
    job = face.json(found["Path"])
    assert (job["Type"], job["Priority"], job["UserData"]) == ("DicomMoveScu", 3, {"a": 1})


@pytest.mark.parametrize(
    ("name", "default", "body", "service"),
    [
        ("player", "C-MOVE", {}, "move"),
        ("player", "C-GET", {}, "get"),
        ("player", "C-GET", {"RetrieveMethod": "C-MOVE"}, "move"),
        ("player", "C-GET", {"TargetAet": "ORTHANC"}, "get"),
        ("player", "C-GET", {"TargetAet": "orthanc"}, "get"),
        ("player", "C-GET", {"TargetAet": "OTHER"}, "move"),
        ("gets", "C-MOVE", {}, "get"),
        ("gets", "C-MOVE", {"RetrieveMethod": "SystemDefault"}, "get"),
        ("gets", "C-MOVE", {"RetrieveMethod": "C-MOVE"}, "move"),
        ("player", "C-MOVE", {"RetrieveMethod": "C-GET"}, "get"),
    ],
)
def test_how_it_is_retrieved(
    tmp_path: Path, player: Player, name: str, default: str, body: dict[str, str], service: str
) -> None:
    gets = replace(player.modality("gets"), retrieve_method="C-GET")
    known = (player.modality(), gets)
    with serve(tmp_path, *known, dicom_default_retrieve_method=default) as face:
        reply = face.post_json(f"{query(face, name)}/0/retrieve", body)
        assert [one for one, _ in requests(player)] == [service]
        if service == "get":
            assert reply.status == 200
            assert "TargetAet" not in reply.json()
            assert face.json("/jobs?expand")[0]["Type"] == "DicomGetScu"


def test_the_title_and_the_patience_of_the_query(face: Face, player: Player) -> None:
    face.post_json(f"{query(face, LocalAet='BODY')}/0/retrieve", {"Permissive": True})
    found = face.post_json(f"{query(face, 'local', LocalAet='BODY')}/0/retrieve", {})
    assert found.status == 500
    callers = [one.calling for one in player.asked if one.service == "move"]
    assert callers == ["BODY", "MODLOCAL"]


# --- what clients name ----------------------------------------------------------------------
NEEDED = "Must provide a JSON body containing fields Resources and Level"


@pytest.mark.parametrize("route", ["move", "get"])
@pytest.mark.parametrize(
    ("body", "status", "code", "details"),
    [
        (b"", 400, 15, NEEDED),
        (b"{", 400, 15, NEEDED),
        ([], 400, 15, NEEDED),
        ({}, 400, 15, NEEDED),
        ({"Level": "Study"}, 400, 15, NEEDED),
        ({"Resources": []}, 400, 15, NEEDED),
        ({"Level": 1, "Resources": []}, 400, 15, NEEDED),
        ({"Level": "Study", "Resources": {}}, 400, 15, NEEDED),
        ({"Level": "Nope", "Resources": []}, 400, 3, None),
        ({"Level": "Study", "Resources": ["x"]}, 400, 15, None),
        ({"Level": "Study", "Resources": [{"StudyInstanceUID": 1}]}, 400, 15, None),
        ({"Level": "Study", "Resources": [{"zzz": "1"}]}, 500, 27, None),
        ({"Level": "Study", "Resources": [], "TargetAet": 5}, 400, 5, None),
        (
            {"Level": "Study", "Resources": [], "Timeout": "x"},
            400,
            15,
            "Integer value expected in field: Timeout",
        ),
        ({"Level": "Study", "Resources": [], "LocalAet": 1}, 400, 15, None),
        ({"Level": "Study", "Resources": [], "Synchronous": 1}, 400, 15, None),
    ],
)
def test_orders_that_make_no_sense(
    face: Face, route: str, body: Any, status: int, code: int, details: str | None
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = error(face.request("POST", f"/modalities/player/{route}", data))
    assert found[:2] == (status, code)
    assert details is None or found[2] == details


@pytest.mark.parametrize("route", ["move", "get"])
def test_whom_nobody_knows(face: Face, route: str) -> None:
    path = f"/modalities/nobody/{route}"
    assert error(face.request("POST", path, b"{}"))[:2] == (400, 15)
    reply = face.post_json(path, {"Level": "Study", "Resources": []})
    assert error(reply) == (404, 7, "No modality with symbolic name: nobody")


def test_too_much_at_once(face: Face, player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RETRIEVED_RESOURCES", 1)
    body = {"Level": "Study", "Resources": [{"StudyInstanceUID": "1"}] * 2}
    for route in ("move", "get"):
        assert error(face.post_json(f"/modalities/player/{route}", body))[:2] == (400, 3)
    one = query(face).removesuffix("/answers")
    assert error(face.post_json(f"{one}/retrieve", {}))[:2] == (400, 3)
    assert requests(player) == []
