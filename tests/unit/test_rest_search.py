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
        assert refusal(store, {"Level": "Study", "Query": {}, name: 2**62})[:2] == (400, 3)
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


def count(store: Face, query: dict[str, Any], level: str = "Study", **more: Any) -> Any:
    reply = store.post_json("/tools/count-resources", {"Level": level, "Query": query, **more})
    assert reply.status == 200, reply.body
    return reply.json()


def test_counting(store: Face) -> None:
    assert count(store, {}) == {"Count": 3}
    assert count(store, {"PatientName": "DOE*"}) == {"Count": 2}
    assert count(store, {"PatientName": "doe*"}, CaseSensitive=True) == {"Count": 0}
    assert count(store, {"PatientName": "Doe*"}, CaseSensitive=True) == {"Count": 2}
    assert count(store, {"Modality": "CT"}) == {"Count": 0}
    assert count(store, {}, "Instances", Limit=1, Since=2) == {"Count": 3}
    assert store.post_json("/tools/count-resources", {"Level": "Study"}).status == 400


def test_order(store: Face) -> None:
    studies = store.json("/studies")
    by_name = [{"Type": "DicomTag", "Key": "PatientName", "Direction": "DESC"}]
    assert find(store, {}, OrderBy=by_name) == studies[::-1]
    assert find(store, {}, OrderBy=by_name, Limit=1, Since=1) == studies[1:2]
    assert find(store, {"PatientName": "Doe*"}, OrderBy=by_name, CaseSensitive=True) == [
        studies[1],
        studies[0],
    ]
    for key in ("LastUpdate", "7"):
        by_time = [{"Type": "Metadata", "Key": key, "Direction": "ASC"}]
        assert sorted(find(store, {}, OrderBy=by_time)) == sorted(studies)
    by_index = [{"Type": "MetadataAsInt", "Key": "IndexInSeries", "Direction": "ASC"}]
    assert find(store, {}, "Instance", OrderBy=by_index) == store.json("/instances")


def test_parents_labels_and_metadata(store: Face) -> None:
    study = store.json("/studies")[1]
    [instance] = store.json(f"/studies/{study}/instances?expand=false")
    assert find(store, {}, "Instance", ParentStudy=study) == [instance]
    assert find(store, {}, "Instance", ParentStudy=study, ParentPatient="nobody") == []
    assert find(store, {}, Labels=["nothing"]) == []
    assert len(find(store, {}, Labels=["nothing"], LabelsConstraint="None")) == 3
    assert len(find(store, {}, LabelsConstraint="None")) == 3
    assert len(find(store, {}, Labels=[], LabelsConstraint="Any")) == 3
    syntax = {"TransferSyntax": "1.2.840.10008.1.2.1", "8": "restapi"}
    assert len(find(store, {}, "Instance", MetadataQuery=syntax)) == 3
    assert count(store, {}, "Instance", MetadataQuery={"9": "1.2"}) == {"Count": 0}


def test_response_content_shows_whole_resources(store: Face) -> None:
    [found] = find(store, {"PatientID": "P1"}, ResponseContent=["MainDicomTags"])
    assert found["MainDicomTags"]["StudyDate"] == "20260102"
    [bare] = find(store, {"PatientID": "P1"}, ResponseContent=[], Expand=False)
    assert set(bare) == {"ID", "Type"}
    [more] = find(store, {"PatientID": "P1"}, Expand=True, RequestedTags=["PatientName", "Rows"])
    assert more["RequestedTags"] == {"PatientName": "Doe^Jane", "Rows": "8"}


@pytest.mark.parametrize(
    ("member", "value", "expected"),
    [
        ("Labels", "x", (400, 8)),
        ("Labels", [1], (400, 8)),
        ("Labels", ["x"] * (limits.SEARCH_TERMS + 1), (400, 3)),
        ("LabelsConstraint", "Some", (400, 3)),
        ("LabelsConstraint", 1, (400, 8)),
        ("MetadataQuery", [], (400, 8)),
        ("MetadataQuery", {"LastUpdate": 1}, (400, 8)),
        ("MetadataQuery", {"Nope": "x"}, (404, 7)),
        ("RequestedTags", "PatientID", (400, 8)),
        ("RequestedTags", ["Nope"], (400, 8)),
        ("ResponseContent", ["Nope"], (400, 3)),
        ("ResponseContent", None, (400, 8)),
        ("ParentPatient", 1, (400, 8)),
        ("ParentStudy", "x", (400, 3)),
        ("ParentSeries", "x", (400, 3)),
        ("OrderBy", {}, (400, 8)),
        ("OrderBy", [1], (400, 8)),
        ("OrderBy", [{}] * (limits.SEARCH_ORDERS + 1), (400, 3)),
        ("OrderBy", [{"Type": "DicomTag", "Key": "PatientName"}], (400, 8)),
        ("OrderBy", [{"Type": "X", "Key": "PatientName", "Direction": "ASC"}], (400, 3)),
        ("OrderBy", [{"Type": "DicomTag", "Key": "StudyDate", "Direction": "asc"}], (400, 3)),
        ("OrderBy", [{"Type": "DicomTag", "Key": "Nope", "Direction": "ASC"}], (500, 27)),
        ("OrderBy", [{"Type": "DicomTag", "Key": "Rows", "Direction": "ASC"}], (400, 3)),
        ("OrderBy", [{"Type": "Metadata", "Key": "Nope", "Direction": "ASC"}], (404, 7)),
    ],
)
def test_refused_members(store: Face, member: str, value: Any, expected: tuple[int, int]) -> None:
    for route in ("/tools/find", "/tools/count-resources"):
        reply = store.post_json(route, {"Level": "Study", "Query": {}, member: value})
        assert (reply.status, reply.json()["OrthancStatus"]) == expected, reply.body


def test_long_lists(store: Face) -> None:
    uids = "\\".join(f"1.2.{number}" for number in range(900))
    [study] = store.json("/studies?expand&limit=1")
    own = study["MainDicomTags"]["StudyInstanceUID"]
    assert find(store, {"StudyInstanceUID": uids}) == []
    assert find(store, {"StudyInstanceUID": f"{uids}\\{own}"}) == [study["ID"]]


def test_many_terms(store: Face) -> None:
    def terms(count: int) -> dict[str, Any]:
        return {
            "Level": "Study",
            "Query": {f"0010,{number:04x}": "" for number in range(count - 4)}
            | {"PatientName": "*", "0010-0010": "*", "00100010": "*", "StudyDate": "2026*"},
            "Labels": ["label"] * count,
            "LabelsConstraint": "None",
        }

    assert store.post_json("/tools/find", terms(limits.SEARCH_TERMS)).json() == store.json(
        "/studies"
    )
    every = {"Level": "Study", "Query": {}, "Labels": [f"{n}" for n in range(limits.SEARCH_TERMS)]}
    assert store.post_json("/tools/find", every).json() == []
    assert refusal(store, terms(limits.SEARCH_TERMS + 1))[:2] == (400, 3)
