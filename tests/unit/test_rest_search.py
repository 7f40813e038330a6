from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import limits


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    with serving(tmp_path_factory.mktemp("store")) as face:
        for study, name in ((1, "Doe^Jane"), (2, "Doe^John"), (3, "Roe^Richard")):
            face.upload(make_instance(study, patient_id=f"P{study}", PatientName=name))
        yield face


def find(store: Face, query: dict[str, Any], level: str = "Study", **more: Any) -> Any:
    reply = store.post_json("/tools/find", {"Level": level, "Query": query, **more})
    assert reply.status == 200, reply.body
    return reply.json()


def refusal(store: Face, value: Any) -> tuple[int, int, str]:
    reply = store.post_json("/tools/find", value)
    error = reply.json()
    return reply.status, error["OrthancStatus"], error.get("Details", "")


def test_by_any_spelling_of_a_tag_and_of_a_level(store: Face) -> None:
    studies = store.json("/studies")
    for name in ("PatientName", "0010,0010", "0010-0010", "00100010"):
        assert find(store, {name: "DOE*"}) == studies[:2]
    for level in ("study", "STUDIES", "Studies"):
        assert find(store, {}, level) == studies
    assert find(store, {"PatientID": "P3"}, "Instance") == store.json("/instances")[2:]
    assert len(find(store, {}, "Series")) == len(find(store, {}, "patients")) == 3


def test_paging(store: Face) -> None:
    studies = store.json("/studies")
    assert find(store, {}, Limit=2) == studies[:2]
    assert find(store, {}, Limit=2, Since=2) == studies[2:]
    assert find(store, {}, Since=3) == []


def test_case(store: Face) -> None:
    assert len(find(store, {"PatientName": "roe^richard"})) == 1
    assert find(store, {"PatientName": "roe^richard"}, CaseSensitive=True) == []


def test_expanded(store: Face) -> None:
    [found] = find(store, {"PatientID": "P1"}, Expand=True)
    assert found == store.json("/studies?expand&limit=1")[0]
    [short] = find(store, {"PatientID": "P1"}, Expand=True, Short=True)
    assert short["MainDicomTags"]["0008,0050"] == "ACC1"
    [full] = find(store, {"PatientID": "P1"}, Expand=True, Full=True)
    assert full["MainDicomTags"]["0008,0050"]["Name"] == "AccessionNumber"


def test_refusals(store: Face) -> None:
    assert refusal(store, {"Query": {}})[:2] == (400, 8)
    assert refusal(store, {"Level": 1, "Query": {}})[:2] == (400, 8)
    assert refusal(store, {"Level": "Study"})[:2] == (400, 8)
    assert refusal(store, {"Level": "Study", "Query": []})[:2] == (400, 8)
    assert refusal(store, {"Level": "Nope", "Query": {}})[:2] == (400, 3)
    assert refusal(store, {"Level": "Study", "Query": {"Nope": "x"}})[:2] == (500, 27)
    wrong_value = refusal(store, {"Level": "Study", "Query": {"PatientName": 5}})
    assert wrong_value == (400, 8, 'Tag "PatientName" should be associated with a string')
    for name in ("Expand", "Short", "Full", "CaseSensitive"):
        assert refusal(store, {"Level": "Study", "Query": {}, name: "yes"})[:2] == (400, 8)
    for name in ("Limit", "Since"):
        assert refusal(store, {"Level": "Study", "Query": {}, name: -1})[:2] == (400, 3)
        assert refusal(store, {"Level": "Study", "Query": {}, name: 2**63})[:2] == (400, 3)
        for wrong in ("1", 1.5, True, None):
            assert refusal(store, {"Level": "Study", "Query": {}, name: wrong})[:2] == (400, 8)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'"x"', b"\xff\xfe"])
def test_bodies_that_are_no_object(store: Face, body: bytes) -> None:
    reply = store.request("POST", "/tools/find", body)
    assert reply.status == 400
    assert reply.json()["OrthancStatus"] == 8
    assert reply.json()["Details"] == "The body must contain a JSON object"


def test_lookup(store: Face) -> None:
    patient = store.json("/patients")[0]
    expected = [{"ID": patient, "Path": f"/patients/{patient}", "Type": "Patient"}]
    for identifier in (b"P1", b" p1\r\n", b"P1\0"):
        assert store.request("POST", "/tools/lookup", identifier).json() == expected
    for nothing in (b"", b"nope", b"Doe^Jane", b"%", b"\xff"):
        assert store.request("POST", "/tools/lookup", nothing).json() == []
    long = store.request("POST", "/tools/lookup", b"x" * (limits.IDENTIFIER_BYTES + 1))
    assert long.status == 413
