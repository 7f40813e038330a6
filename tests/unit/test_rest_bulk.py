"""Many resources in one request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import limits
from wherry.dicom.identifiers import identifiers
from wherry.index import removing, resources
from wherry.model import Identifiers, Level

ROOT = "1.2.826.0.1.3680043.10.1234"
PLACES = [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]


def ids(study: int, series: int, number: int) -> Identifiers:
    uid = f"{ROOT}.{study}"
    return identifiers("PATIENT1", uid, f"{uid}.{series}", f"{uid}.{series}.{number}")


FIRST, LAST = ids(*PLACES[0]), ids(*PLACES[-1])


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    with serving(tmp_path) as found:
        for place in PLACES:
            found.upload(make_instance(*place))
        yield found


def content(face: Face, named: list[str], **members: Any) -> Any:
    reply = face.post_json("/tools/bulk-content", {"Resources": named, **members})
    assert reply.status == 200, reply.body
    return reply.json()


def test_content_in_the_order_of_the_request(face: Face) -> None:
    wanted = [FIRST.series, "unknown", LAST.study, FIRST.patient, FIRST.series]
    found = content(face, wanted, Metadata=False)
    assert [one["ID"] for one in found] == [wanted[n] for n in (0, 2, 3, 4)]
    assert found[0] == face.json(f"/series/{FIRST.series}")
    assert content(face, []) == content(face, ["unknown"]) == []


def test_metadata_come_unless_they_are_refused(face: Face) -> None:
    series, instance = content(face, [FIRST.series, FIRST.instance])
    assert series["Metadata"] == {"LastUpdate": series["LastUpdate"], "RemoteAET": ""}
    assert instance["Metadata"]["Origin"] == "RestApi"
    assert "Metadata" not in content(face, [FIRST.series], Metadata=False)[0]


@pytest.mark.parametrize("level", ["Study", "study", "studies"])
def test_another_level(face: Face, level: str) -> None:
    found = content(face, [FIRST.instance, LAST.series, FIRST.series], Level=level)
    assert [one["ID"] for one in found] == sorted([FIRST.study, LAST.study])
    assert {one["Type"] for one in found} == {"Study"}


def test_downwards_and_forms(face: Face) -> None:
    found = content(face, [FIRST.study], Level="Instance", Short=True, Full=True)
    assert [one["ID"] for one in found] == sorted(ids(*place).instance for place in PLACES[:3])
    assert found[0]["MainDicomTags"]["0020,0013"] in {"1", "2"}
    full = content(face, [FIRST.study], Full=True)[0]
    assert full["MainDicomTags"]["0020,000d"]["Name"] == "StudyInstanceUID"


def test_long_answers_are_made_in_pages(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [FIRST.study, FIRST.instance, LAST.series, "unknown", LAST.study]
    whole = content(face, wanted)
    for page in (1, 2, 3):
        monkeypatch.setattr(limits, "EXPANDED_PAGE", page)
        assert content(face, wanted) == whole


@pytest.mark.parametrize("tool", ["bulk-content", "bulk-delete"])
@pytest.mark.parametrize(
    ("body", "code", "details"),
    [
        ("", 8, "The body must contain a JSON object"),
        ("[]", 8, "The body must contain a JSON object"),
        ("{}", 15, "List of strings expected in field: Resources"),
        ('{"Resources": "x"}', 15, "List of strings expected in field: Resources"),
        ('{"Resources": ["x", 1]}', 15, "List of strings expected in field: Resources"),
    ],
)
def test_bodies_that_are_refused(face: Face, tool: str, body: str, code: int, details: str) -> None:
    reply = face.request("POST", f"/tools/{tool}", body.encode())
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, code)
    assert reply.json()["Details"] == details


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"Level": "nope"}, 3),
        ({"Level": 3}, 15),
        ({"Metadata": "x"}, 15),
        ({"Short": 1}, 15),
        ({"Full": None}, 15),
    ],
)
def test_members_that_are_refused(face: Face, members: dict[str, Any], code: int) -> None:
    reply = face.post_json("/tools/bulk-content", {"Resources": [], **members})
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, code)


@pytest.mark.parametrize("tool", ["bulk-content", "bulk-delete"])
def test_more_resources_than_are_allowed(
    face: Face, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BULK_RESOURCES", 2)
    reply = face.post_json(f"/tools/{tool}", {"Resources": [FIRST.study] * 3})
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, 3)
    assert len(face.json("/instances")) == 4


@pytest.mark.parametrize("name", ["\ud800", "\0", "x" * 10_000])
def test_odd_identifiers_are_unknown_or_refused(face: Face, name: str) -> None:
    for tool in ("bulk-content", "bulk-delete"):
        assert face.post_json(f"/tools/{tool}", {"Resources": [name]}).status in (200, 400)
    assert len(face.json("/instances")) == 4


def test_deleting_many(face: Face) -> None:
    reply = face.post_json(
        "/tools/bulk-delete", {"Resources": [FIRST.series, FIRST.instance, "unknown", LAST.study]}
    )
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-type"] == "text/plain"
    assert face.json("/instances") == [ids(1, 2, 1).instance]
    assert face.json("/studies") == [FIRST.study]
    assert face.json("/statistics")["CountSeries"] == 1


def test_deleting_nothing(face: Face) -> None:
    for named in ([], ["unknown"]):
        assert face.post_json("/tools/bulk-delete", {"Resources": named}).status == 200
    assert len(face.json("/instances")) == 4


def test_all_are_deleted_or_none(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    with face.rooms.index.read() as tx:
        last = resources.get(tx, Level.STUDY, LAST.study)
    assert last is not None
    purge = removing._purge

    def fail_at_the_last(*args: Any) -> None:
        if last.row in args[-1]:
            raise RuntimeError
        purge(*args)

    monkeypatch.setattr(removing, "_purge", fail_at_the_last)
    reply = face.post_json("/tools/bulk-delete", {"Resources": [FIRST.study, LAST.study]})
    assert reply.status == 500
    assert len(face.json("/instances")) == 4


def test_deleted_files_vanish(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        patient = face.upload(make_instance())["ParentPatient"]
        assert face.post_json("/tools/bulk-delete", {"Resources": [patient]}).status == 200
    assert face.files() == []
