"""Queries to modalities over REST: a whole server, and a modality that pynetdicom plays.

What is expected was observed on Orthanc 1.10.1, where nothing else is said.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.support.asgi import http_scope
from tests.support.face import Face, serving
from tests.support.modality import PENDING, STUDY_FIND, Player, answer, playing
from wherry import limits
from wherry.config.dimse import DimseConfig
from wherry.model import Manufacturer, Modality

UNKNOWN = "00000000-0000-0000-0000-000000000000"
FIRST = {
    "SpecificCharacterSet": "ISO_IR 192",
    "AccessionNumber": "A1",
    "QueryRetrieveLevel": "STUDY",
    "RetrieveAETitle": "PLAYER",
    "PatientName": "Zoé^山",
    "PatientID": "p1",
    "StudyInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.3.4",
    "NumberOfStudyRelatedInstances": "4",
}


@pytest.fixture(scope="module")
def listening() -> Iterator[Player]:
    with playing() as player:
        yield player


@pytest.fixture
def player(listening: Player) -> Player:
    player = listening.reset()
    code = answer(CodeValue="x")
    player.find = lambda event: [
        (PENDING, answer(ProcedureCodeSequence=[code], **FIRST)),
        (PENDING, answer(PatientID="p2")),
    ]
    return player


@pytest.fixture
def face(tmp_path: Path, player: Player) -> Iterator[Face]:
    with serving(tmp_path, dimse=configured(player)) as face:
        yield face


def configured(player: Player, **settings: Any) -> DimseConfig:
    known = [
        player.modality(),
        player.modality("ge", manufacturer=Manufacturer.GE),
        player.modality("nowild", manufacturer=Manufacturer.NO_UNIVERSAL_WILDCARD),
        player.modality("local", local_aet="MODLOCAL"),
        Modality("dead", "DEAD", "127.0.0.1", 1),
    ]
    return DimseConfig(modalities={one.name: one for one in known}, **settings)


def ask(face: Face, name: str = "player", level: str = "Study", **query: str) -> str:
    reply = face.post_json(f"/modalities/{name}/query", {"Level": level, "Query": query})
    assert reply.status == 200, reply.body
    found = reply.json()
    assert found["Path"] == f"/queries/{found['ID']}"
    return str(found["ID"])


def error(reply: Any) -> tuple[int, int, str | None]:
    found = reply.json()
    return reply.status, found["OrthancStatus"], found.get("Details")


# --- what is kept ---------------------------------------------------------------------------
def test_the_parts_of_a_query(face: Face) -> None:
    one = f"/queries/{ask(face, PatientName='Zoé*', StudyDate='')}"
    assert face.json(one) == ["answers", "level", "modality", "query", "retrieve"]
    assert face.get(f"{one}/level").body == b"Study"
    assert face.get(f"{one}/modality").body == b"player"
    assert face.get(f"{one}/level").headers["content-type"] == "text/plain"
    assert face.json(f"{one}/query") == {
        "0008,0020": {"Name": "StudyDate", "Type": "String", "Value": ""},
        "0010,0010": {"Name": "PatientName", "Type": "String", "Value": "Zoé*"},
    }
    assert face.json(f"{one}/query?short") == {"0008,0020": "", "0010,0010": "Zoé*"}
    assert face.json(f"{one}/query?simplify") == {"StudyDate": "", "PatientName": "Zoé*"}
    assert face.json(f"{one}/query?simplify&short") == {"StudyDate": "", "PatientName": "Zoé*"}


def test_answers(face: Face) -> None:
    one = f"/queries/{ask(face)}/answers"
    assert face.json(one) == ["0", "1"]
    first = FIRST | {"ProcedureCodeSequence": [{"CodeValue": "x"}]}
    second = {
        "PatientID": "p2",
        "QueryRetrieveLevel": "STUDY",
        "SpecificCharacterSet": "ISO_IR 100",
    }
    assert face.json(f"{one}?expand&simplify") == [first, second]
    assert face.json(f"{one}/0/content?simplify") == first
    assert face.json(f"{one}/1/content?short") == {
        "0008,0005": "ISO_IR 100",
        "0008,0052": "STUDY",
        "0010,0020": "p2",
    }
    assert face.json(f"{one}/1/content")["0010,0020"] == {
        "Name": "PatientID",
        "Type": "String",
        "Value": "p2",
    }
    assert face.json(f"{one}?expand") == [face.json(f"{one}/{n}/content") for n in (0, 1)]


def test_pages_of_answers_are_one_list(face: Face, player: Player) -> None:
    count = 2 * limits.QUERIES_PAGE + 1
    player.find = lambda event: ((PENDING, answer(PatientID=str(n))) for n in range(count))
    one = f"/queries/{ask(face)}/answers"
    found = face.json(f"{one}?expand&simplify")
    assert [each["PatientID"] for each in found] == [str(n) for n in range(count)]
    assert face.json(one) == [str(n) for n in range(count)]


def test_no_answers(face: Face, player: Player) -> None:
    player.find = lambda event: []
    one = f"/queries/{ask(face)}/answers"
    assert face.json(one) == []
    assert face.json(f"{one}?expand") == []


def test_answers_are_written_in_portions(
    face: Face, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "QUERY_PORTION_BYTES", 500)
    player.find = lambda event: ((PENDING, answer(PatientID=str(n))) for n in range(100))
    one = f"/queries/{ask(face)}/answers"
    found = face.json(f"{one}?expand&simplify")
    assert [each["PatientID"] for each in found] == [str(n) for n in range(100)]


@pytest.mark.parametrize("bound", ["QUERY_ANSWERS", "QUERY_ANSWERS_BYTES"])
@pytest.mark.parametrize("portion", [100, 1_000_000])
def test_too_many_answers_leave_nothing(
    face: Face, player: Player, monkeypatch: pytest.MonkeyPatch, bound: str, portion: int
) -> None:
    monkeypatch.setattr(limits, "QUERY_PORTION_BYTES", portion)
    monkeypatch.setattr(limits, bound, 50 if bound == "QUERY_ANSWERS" else 5_000)
    player.find = lambda event: ((PENDING, answer(PatientID=str(n))) for n in range(1_000))
    reply = face.post_json("/modalities/player/query", {"Level": "Study"})
    status, code, details = error(reply)
    assert (status, code) == (500, 9)
    assert details is not None and "ask for less" in details
    assert rows(face, "queries") == rows(face, "query_answers") == 0


def test_a_query_that_fails_leaves_nothing(
    face: Face, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "QUERY_PORTION_BYTES", 1)
    no = answer(Status=0xA900, ErrorComment="mind the gap")
    player.find = lambda event: [(PENDING, answer(PatientID="1")), (no, None)]
    reply = face.post_json("/modalities/player/query", {"Level": "Study"})
    words = 'C-FIND SCU to AET "PLAYER" has failed with DIMSE status 0xA900: mind the gap'
    assert error(reply) == (500, 9, words)
    assert face.json("/queries") == []
    assert rows(face, "queries") == rows(face, "query_answers") == 0


def rows(face: Face, table: str) -> int:
    with face.rooms.index.read() as tx:
        row = tx.one(f"SELECT count(*) FROM {table}")
    assert row is not None
    return int(row[0])


def test_the_list(face: Face) -> None:
    assert face.json("/queries") == []
    known = {ask(face, PatientName="a"): "a", ask(face, PatientName="b"): "b"}
    assert face.json("/queries") == sorted(known)
    assert face.json("/queries?expand") == [
        {
            "AnswersCount": 2,
            "ID": one,
            "Level": "Study",
            "Modality": "player",
            "Path": f"/queries/{one}",
            "Query": {"PatientName": known[one]},
        }
        for one in sorted(known)
    ]


def test_the_oldest_queries_go(tmp_path: Path, player: Player) -> None:
    with serving(tmp_path, dimse=configured(player, queries=2)) as face:
        first, second, third = (ask(face) for _ in range(3))
        assert face.json("/queries") == sorted([second, third])
        assert face.get(f"/queries/{first}/answers").status == 404


def test_queries_survive_a_restart(tmp_path: Path, player: Player) -> None:
    with serving(tmp_path, dimse=configured(player)) as face:
        one = f"/queries/{ask(face)}/answers?expand"
        before = face.json(one)
    with serving(tmp_path, dimse=configured(player)) as face:
        assert face.json(one) == before


def test_forgetting(face: Face) -> None:
    one = f"/queries/{ask(face)}"
    for _ in range(2):
        reply = face.request("DELETE", one)
        assert (reply.status, reply.body) == (200, b"")
    assert error(face.get(one))[:2] == (404, 17)
    assert face.request("DELETE", "/queries").status == 405


@pytest.mark.parametrize(
    "path",
    ["", "/level", "/modality", "/query", "/answers", "/answers/0", "/answers/0/content"],
)
def test_an_unknown_query(face: Face, path: str) -> None:
    assert error(face.get(f"/queries/{UNKNOWN}{path}")) == (404, 17, None)


@pytest.mark.parametrize(
    ("index", "code", "details"),
    [
        ("2", 3, None),
        ("99", 3, None),
        ("-1", 3, None),
        ("x", 5, "Syntax error in some user-supplied data"),
        ("1x", 5, "Syntax error in some user-supplied data"),
    ],
)
def test_an_answer_that_is_none(face: Face, index: str, code: int, details: str | None) -> None:
    one = f"/queries/{ask(face)}/answers/{index}"
    assert error(face.get(one)) == (400, code, details)
    assert error(face.get(f"{one}/content")) == (400, code, details)
    assert error(face.post_json(f"{one}/query-series", {})) == (400, code, details)


# --- asking ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "code", "details"),
    [
        (b"", 15, "Must provide a JSON object"),
        (b"{", 15, "Must provide a JSON object"),
        ([], 15, "Must provide a JSON object"),
        ({"Query": {}}, 15, "The JSON body must contain field Level"),
        ({"Level": 1}, 15, "The JSON body must contain field Level"),
        ({"Query": {"zzz": ""}}, 15, "The JSON body must contain field Level"),
        ({"Level": "Nope", "Query": {"zzz": ""}}, 3, None),
        ({"Level": "Study", "Query": []}, 15, "The field Query must contain a JSON object"),
        ({"Level": "Study", "Query": {"PatientID": 1}}, 15, "..."),
        ({"Level": "Study", "Query": {"PatientID": ["a"]}}, 15, "..."),
        ({"Level": "Study", "Query": {"zzz": ""}}, 15, "..."),
        ({"Level": "Study", "Normalize": 1}, 15, "The field Normalize must contain a Boolean"),
        ({"Level": "Study", "Timeout": "x"}, 15, "Integer value expected in field: Timeout"),
        ({"Level": "Study", "Timeout": True}, 15, "Integer value expected in field: Timeout"),
        (
            {"Level": "Study", "Timeout": -1},
            15,
            "Unsigned integer value expected in field: Timeout",
        ),
        ({"Level": "Study", "LocalAet": 5}, 15, "The field LocalAet must contain a string"),
    ],
)
def test_bodies_that_make_no_sense(
    face: Face, player: Player, body: Any, code: int, details: str | None
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    if details == "...":
        details = "Associative array of DICOM tags to strings expected in field: Query"
    for name in ("player", "nobody"):  # the body is looked at first
        reply = face.request("POST", f"/modalities/{name}/query", data)
        assert error(reply) == (400, code, details)
    assert player.associations == 0


@pytest.mark.parametrize(
    "body",
    [
        {"Level": "Study", "Query": {"PatientID": "x" * 20_000}},
        {"Level": "Study", "Query": {f"0008,{n:04x}": "" for n in range(16, 1_100)}},
        {"Level": "Study", "Timeout": 10**6},
        {"Level": "Study", "LocalAet": "MORETHANSIXTEENLETTERS"},
    ],
)
def test_bodies_that_are_too_much(face: Face, player: Player, body: Any) -> None:
    assert error(face.post_json("/modalities/player/query", body))[:2] == (400, 3)
    assert player.associations == 0


def test_whom_nobody_knows(face: Face) -> None:
    words = "No modality with symbolic name: nobody"
    assert error(face.post_json("/modalities/nobody/query", {"Level": "Study"})) == (404, 7, words)


def test_who_is_not_there(face: Face) -> None:
    status, code, details = error(face.post_json("/modalities/dead/query", {"Level": "Study"}))
    assert (status, code) == (500, 9)
    assert details is not None and 'AET "DEAD"' in details and "Connection refused" in details


def test_a_query_that_the_modality_does_not_understand(face: Face, player: Player) -> None:
    player.find = lambda event: [(0xC000, None)]
    reply = face.post_json("/modalities/player/query", {"Level": "Study"})
    status, code, details = error(reply)
    assert (status, code) == (422, 9)
    assert details is not None and "0xC000 (unable to process - invalid query ?)" in details


def test_what_is_sent(face: Face, player: Player) -> None:
    ask(face, PatientName="*", InstitutionName="x")
    ask(face, "ge", PatientName="*")
    ask(face, "nowild", PatientName="*")
    plain, ge, nowild = player.identifiers
    assert plain == {
        "SpecificCharacterSet": "ISO_IR 100",
        "AccessionNumber": "",
        "QueryRetrieveLevel": "STUDY",
        "PatientName": "*",
        "PatientID": "",
        "StudyInstanceUID": "",
    }
    assert (ge["PatientID"], ge["StudyInstanceUID"], ge["PatientName"]) == ("*", "*", "*")
    assert nowild == plain | {"PatientName": ""}


def test_a_query_as_it_is(face: Face, player: Player) -> None:
    body = {"Level": "Study", "Query": {"InstitutionName": "x"}, "Normalize": False}
    query_id = face.post_json("/modalities/player/query", body).json()["ID"]
    assert player.identifiers[0]["InstitutionName"] == "x"
    assert face.json(f"/queries/{query_id}/query?simplify") == {"InstitutionName": "x"}


@pytest.mark.parametrize(
    ("name", "wanted", "calling"),
    [("player", "", "ORTHANC"), ("player", "BODY", "BODY"), ("local", "BODY", "MODLOCAL")],
)
def test_our_title(face: Face, player: Player, name: str, wanted: str, calling: str) -> None:
    body = {"Level": "Study", "LocalAet": wanted}
    assert face.post_json(f"/modalities/{name}/query", body).status == 200
    assert player.asked[0].calling == calling


@pytest.mark.parametrize("level", ["studies", "IMAGE", "PATIENT", "sErIeS"])
def test_the_level_is_shown_as_it_was_named(face: Face, level: str) -> None:
    assert face.get(f"/queries/{ask(face, level=level)}/level").body.decode() == level


# --- asking on ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("level", "operations"),
    [
        ("Patient", ["query-studies", "query-series", "query-instances"]),
        ("Study", ["query-series", "query-instances"]),
        ("Series", ["query-instances"]),
        ("Instance", []),
    ],
)
def test_what_can_be_asked_about_an_answer(face: Face, level: str, operations: list[str]) -> None:
    one = f"/queries/{ask(face, level=level)}/answers/0"
    assert face.json(one) == ["content", "retrieve", *operations]
    for child in ("query-studies", "query-series", "query-instances"):
        reply = face.post_json(f"{one}/{child}", {})
        assert reply.status == (200 if child in operations else 404)


@pytest.mark.parametrize(
    ("level", "child", "keys"),
    [
        ("Patient", "studies", {"PatientID": "p1"}),
        ("Patient", "series", {"PatientID": "p1"}),
        ("Study", "series", {"StudyInstanceUID": "1.2.3"}),
        ("Study", "instances", {"StudyInstanceUID": "1.2.3"}),
        (
            "Series",
            "instances",
            {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"},
        ),
    ],
)
def test_asking_on(
    face: Face, player: Player, level: str, child: str, keys: dict[str, str]
) -> None:
    query_id = ask(face, level=level)
    wanted = {"Modality": "CT", "StudyInstanceUID": "9.9", "PatientID": "other"}
    path = f"/queries/{query_id}/answers/0/query-{child}"
    found = face.post_json(path, {"Query": wanted}).json()
    asked = player.identifiers[-1]
    assert asked | keys == asked
    assert player.asked[-1].model == STUDY_FIND
    assert face.json(f"{found['Path']}/query?simplify") == wanted | keys
    assert face.get(f"{found['Path']}/modality").body == b"player"


def test_asking_on_as_the_same(face: Face, player: Player) -> None:
    body = {"Level": "Study", "LocalAet": "BODY", "Timeout": 7}
    query_id = face.post_json("/modalities/player/query", body).json()["ID"]
    one = f"/queries/{query_id}/answers/0/query-series"
    assert face.post_json(one, {"Timeout": 5}).status == 200
    assert player.asked[-1].calling == "BODY"


def test_an_answer_without_what_names_it(face: Face) -> None:
    one = f"/queries/{ask(face)}/answers/1/query-series"
    assert error(face.post_json(one, {})) == (404, 21, None)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"Query": 1}', b'{"Timeout": "x"}'])
def test_asking_on_without_sense(face: Face, body: bytes) -> None:
    one = f"/queries/{ask(face)}/answers/0/query-series"
    assert error(face.request("POST", one, body))[:2] == (400, 15)


# --- at once --------------------------------------------------------------------------------
def test_a_worklist(face: Face, player: Player) -> None:
    step = answer(Modality="MR")
    player.find = lambda event: [
        (PENDING, answer(PatientID="p1", ScheduledProcedureStepSequence=[step])),
        (PENDING, answer(PatientID="p2")),
    ]
    query = {"PatientName": "*", "ScheduledProcedureStepSequence": [{"Modality": "MR"}]}
    for body in (query, {"Query": query}):
        reply = face.post_json("/modalities/player/find-worklist", body)
        assert reply.json() == [
            {"PatientID": "p1", "ScheduledProcedureStepSequence": [{"Modality": "MR"}]},
            {"PatientID": "p2"},
        ]
    for asked in player.identifiers:
        assert asked == {
            "SpecificCharacterSet": "ISO_IR 100",
            "PatientName": "*",
            "ScheduledProcedureStepSequence": [{"Modality": "MR"}],
        }
    short = face.post_json("/modalities/player/find-worklist", {"Query": {}, "Short": True}).json()
    assert short == [{"0010,0020": "p1", "0040,0100": [{"0008,0060": "MR"}]}, {"0010,0020": "p2"}]
    full = face.post_json("/modalities/player/find-worklist", {"Query": {}, "Full": True}).json()
    assert full[1] == {"0010,0020": {"Name": "PatientID", "Type": "String", "Value": "p2"}}
    face.post_json("/modalities/nowild/find-worklist", query)
    assert player.identifiers[-1]["PatientName"] == ""


@pytest.mark.parametrize(
    ("body", "status", "code", "details"),
    [
        (b"", 400, 15, "Must provide a JSON object"),
        (b"[]", 400, 15, "Must provide a JSON object"),
        (b'{"zzz": 1}', 500, 27, None),
        (b'{"PatientID": 1}', 400, 5, "Bad Parameter type for tag 0010,0020"),
        (b'{"PatientID": [{}]}', 400, 5, "Bad Parameter type for tag 0010,0020"),
        (b'{"ScheduledProcedureStepSequence": ["x"]}', 400, 5, None),
        (b'{"Query": []}', 400, 5, None),
        (b'{"Rows": "x"}', 400, 15, None),
        (b'{"Query": {}, "Full": 1}', 400, 15, None),
    ],
)
def test_worklist_queries_without_sense(
    face: Face, body: bytes, status: int, code: int, details: str | None
) -> None:
    found = error(face.request("POST", "/modalities/player/find-worklist", body))
    assert found[:2] == (status, code)
    assert details is None or found[2] == details


def test_worklist_queries_have_a_bottom(face: Face) -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"ScheduledProcedureStepSequence": [deep]}
    reply = face.post_json("/modalities/player/find-worklist", deep)
    assert error(reply)[:2] == (400, 3)
    wide = {"ScheduledProcedureStepSequence": [{"Modality": ""}] * 1_001}
    reply = face.post_json("/modalities/player/find-worklist", wide)
    assert error(reply)[:2] == (400, 3)


def test_who_has_no_worklist(tmp_path: Path) -> None:
    with (
        playing(services=[STUDY_FIND]) as player,
        serving(tmp_path, dimse=configured(player)) as face,
    ):
        reply = face.post_json("/modalities/player/find-worklist", {"PatientID": ""})
        assert error(reply) == (500, 2016, "Remote AET is PLAYER")


def test_the_old_way_to_find_patients(face: Face, player: Player) -> None:
    player.find = lambda event: [(PENDING, answer(PatientID="p1"))]
    reply = face.post_json("/modalities/player/find-patient", {"PatientName": "A", "PatientID": 5})
    assert reply.json() == [
        {"PatientID": "p1", "QueryRetrieveLevel": "PATIENT", "SpecificCharacterSet": "ISO_IR 100"}
    ]
    assert player.identifiers == [
        {
            "SpecificCharacterSet": "ISO_IR 100",
            "QueryRetrieveLevel": "PATIENT",
            "PatientName": "A",
            "PatientID": "5",
            "PatientBirthDate": "",
            "PatientSex": "",
            "OtherPatientIDs": "",
        }
    ]


@pytest.mark.parametrize(
    ("route", "enough"),
    [
        ("find-study", {"PatientID": "p1"}),
        ("find-study", {"StudyInstanceUID": "1.2"}),
        ("find-series", {"StudyInstanceUID": "1.2"}),
        ("find-instance", {"SeriesInstanceUID": "1.2"}),
    ],
)
def test_the_old_ways_want_to_know_where(
    face: Face, player: Player, route: str, enough: dict[str, str]
) -> None:
    """Orthanc 1.10.1 answers nothing but 400 to them."""
    path = f"/modalities/player/{route}"
    for body in (b"{}", b'{"PatientName": "BRAINIX"}', b"[]", b"{"):
        reply = face.request("POST", path, body)
        assert (reply.status, reply.body) == (400, b"")
    assert face.post_json(path, enough).status == 200
    assert player.identifiers[0] | enough == player.identifiers[0]
    assert error(face.post_json(path, {"zzz": ""}))[:2] == (500, 27)


def test_patients_with_their_studies_and_series(face: Face, player: Player) -> None:
    known = {
        "PATIENT": [answer(PatientID="p1"), answer(PatientID="p2")],
        "STUDY": [answer(StudyInstanceUID="1.2")],
        "SERIES": [answer(SeriesInstanceUID="1.3"), answer(SeriesInstanceUID="1.4")],
    }
    player.find = lambda event: [
        (PENDING, one) for one in known[event.identifier.QueryRetrieveLevel]
    ]
    found = face.post_json("/modalities/player/find", {"PatientName": "A*"}).json()
    assert [patient["PatientID"] for patient in found] == ["p1", "p2"]
    for patient in found:
        (study,) = patient["Studies"]
        assert study["StudyInstanceUID"] == "1.2"
        assert [one["SeriesInstanceUID"] for one in study["Series"]] == ["1.3", "1.4"]
    asked = [(one["QueryRetrieveLevel"], one["PatientID"]) for one in player.identifiers]
    assert asked == [
        ("PATIENT", ""),
        ("STUDY", "p1"),
        ("SERIES", "p1"),
        ("STUDY", "p2"),
        ("SERIES", "p2"),
    ]
    assert player.associations == 1


@pytest.mark.parametrize("bound", ["FOUND_ANSWERS", "FOUND_BYTES"])
@pytest.mark.parametrize("route", ["find-worklist", "find-patient"])
def test_what_is_shown_at_once_has_bounds(
    face: Face, player: Player, monkeypatch: pytest.MonkeyPatch, bound: str, route: str
) -> None:
    monkeypatch.setattr(limits, bound, 20 if bound == "FOUND_ANSWERS" else 1_000)
    player.find = lambda event: ((PENDING, answer(PatientID=str(n))) for n in range(500))
    status, code, details = error(face.post_json(f"/modalities/player/{route}", {}))
    assert (status, code) == (500, 9)
    assert details is not None and "ask for less" in details


# --- who does not wait ----------------------------------------------------------------------
def test_a_client_that_goes_away_ends_its_query(
    face: Face, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CALLER_LOOK_S", 0.01)
    monkeypatch.setattr(limits, "ASSOCIATION_LOOK_S", 0.01)
    pause = threading.Event()

    def answers(event: object) -> Iterator[tuple[int, Dataset]]:
        while True:  # until it is cancelled
            pause.wait(0.001)
            yield PENDING, answer(PatientID="1")

    player.find = answers
    body = json.dumps({"Level": "Study"}).encode()
    gone(face, "/modalities/player/query", body)
    assert player.cancelled.wait(60)
    assert face.json("/queries") == []


def gone(face: Face, path: str, body: bytes) -> None:
    """A POST whose client hangs up while it is answered."""
    messages = [
        {"type": "http.request", "body": body, "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        raise AssertionError(message)

    asyncio.run(face.app(http_scope("POST", path), receive, send))
