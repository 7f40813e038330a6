"""Searches for tags that the index does not hold: stored files are looked into."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from starlette.requests import ClientDisconnect, Request

from tests.support.asgi import http_scope
from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import limits
from wherry.http import searching
from wherry.index import search
from wherry.index.search_planning import plan
from wherry.index.search_terms import Criteria
from wherry.model import Level
from wherry.rest import find_files

CODE = Dataset()
CODE.CodeValue = "X"
REQUEST = Dataset()
REQUEST.RequestedProcedureID = "7"
FILES = [
    make_instance(1, 1, 1, patient_id="P1", SliceThickness="5.0", ContentDate="20240301"),
    make_instance(1, 1, 2, patient_id="P1", SliceThickness="2.5", KVP="120"),
    make_instance(1, 2, 1, patient_id="P1", KVP="90", ManufacturerModelName="Alpha"),
    make_instance(2, 1, 1, patient_id="P2", SliceThickness="", ManufacturerModelName="alpha"),
    make_instance(3, 1, 1, patient_id="P3", ProcedureCodeSequence=[CODE]),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    with serving(tmp_path_factory.mktemp("store")) as face:
        for file in FILES:
            face.upload(file)
        yield face


def ask(store: Face, route: str, level: str, query: dict[str, str], **more: Any) -> Any:
    reply = store.post_json(route, {"Level": level, "Query": query, **more})
    assert reply.status == 200, reply.body
    return reply.json()


def found(store: Face, level: str, query: dict[str, str], **more: Any) -> list[int]:
    """Positions in the list of all resources of this level."""
    everything = ask(store, "/tools/find", level, {})
    ids = ask(store, "/tools/find", level, query, **more)
    return [everything.index(one) for one in ids]


@pytest.mark.parametrize(
    ("level", "query", "expected"),
    [
        ("Instance", {"SliceThickness": "5.0"}, [0]),
        ("Instance", {"SliceThickness": "5"}, []),
        ("Instance", {"SliceThickness": "*"}, [0, 1, 3]),
        ("Instance", {"SliceThickness": "2.5\\5.0"}, [0, 1]),
        ("Instance", {"KVP": "90", "SliceThickness": "*"}, []),
        ("Instance", {"ManufacturerModelName": "ALPHA"}, [2, 3]),
        ("Instance", {"ManufacturerModelName": "a*", "PatientID": "p2"}, [3]),
        ("Instance", {"ContentDate": "2024-"}, [0]),
        ("Instance", {"ContentDate": "-2023"}, []),
        ("Instance", {"ProcedureCodeSequence": "*"}, [4]),
        ("Instance", {"ProcedureCodeSequence": "X"}, []),
        ("Series", {"RequestAttributesSequence": "*"}, []),
        ("Study", {"RequestAttributesSequence": "*"}, []),
        ("Instance", {"PixelData": "*"}, [0, 1, 2, 3, 4]),
        ("Instance", {"0009,1010": "*"}, []),
        ("Series", {"SliceThickness": "5.0"}, [0]),
        ("Series", {"SliceThickness": "2.5"}, []),
        ("Study", {"SliceThickness": "5.0"}, [0]),
        ("Study", {"KVP": "*"}, []),
        ("Study", {"ManufacturerModelName": "alpha"}, [1]),
        ("Patient", {"SliceThickness": "*"}, [0, 1]),
        ("Patient", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, [0, 1, 2]),
    ],
)
def test_tags_outside_the_index(
    store: Face, level: str, query: dict[str, str], expected: list[int]
) -> None:
    assert found(store, level, query) == expected
    assert ask(store, "/tools/count-resources", level, query) == {"Count": len(expected)}


def test_paging_order_and_case(store: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEARCH_FILES_AT_ONCE", 2)
    everywhere = {"PixelData": "*"}
    assert found(store, "Instance", everywhere, Limit=3) == [0, 1, 2]
    assert found(store, "Instance", everywhere, Limit=3, Since=3) == [3, 4]
    assert found(store, "Instance", everywhere, Since=5) == []
    by_uid = [{"Type": "DicomTag", "Key": "SOPInstanceUID", "Direction": "DESC"}]
    assert found(store, "Instance", everywhere, OrderBy=by_uid, Limit=2) == [4, 3]
    model = {"ManufacturerModelName": "alpha"}
    assert found(store, "Instance", model, CaseSensitive=True) == [3]
    [whole] = ask(store, "/tools/find", "Study", {"SliceThickness": "5.0"}, Expand=True)
    assert whole["ID"] == store.json("/studies")[0]


def watched(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """The arguments of each call of a function of ``searching`` from now on."""
    calls: list[Any] = []
    function = getattr(searching, name)

    def call(*arguments: Any) -> Any:
        calls.append(arguments)
        return function(*arguments)

    monkeypatch.setattr(searching, name, call)
    return calls


def test_bound_on_files(store: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEARCH_FILES", 3)
    monkeypatch.setattr(limits, "SEARCH_FILES_AT_ONCE", 1)
    body = {"Level": "Instance", "Query": {"KVP": "*"}}
    for route in ("/tools/find", "/tools/count-resources"):
        reply = store.post_json(route, body)
        assert (reply.status, reply.json()["OrthancStatus"]) == (400, 3)
        assert "more than 3 files" in reply.json()["Details"]
    narrow = {"KVP": "*", "PatientID": "P1"}
    assert found(store, "Instance", narrow) == [1, 2]
    assert found(store, "Instance", {"PixelData": "*"}, Limit=2) == [0, 1]


def test_a_search_ends_when_its_client_has_gone(
    store: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEARCH_FILES_AT_ONCE", 1)
    portions = watched(monkeypatch, "_sift")
    made = plan(Criteria(Level.INSTANCE, (("0018,0060", "*"),)))
    assert made is not None

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    request = Request(http_scope("POST", "/tools/find"), gone)
    with pytest.raises(ClientDisconnect):
        asyncio.run(find_files.matches(request, store.rooms, made, 0))
    assert len(portions) == 1


@pytest.mark.parametrize("access", ["Never", "Answers"])
def test_without_access_to_files_only_the_index_is_searched(tmp_path: Path, access: str) -> None:
    with serving(tmp_path, storage_access_on_find=access) as face:
        face.upload(FILES[0])
        assert found(face, "Instance", {"SliceThickness": "5.0"}) == []
        assert ask(face, "/tools/count-resources", "Study", {"KVP": "*"}) == {"Count": 0}
        assert found(face, "Instance", {"SliceThickness": ""}) == [0]
        assert found(face, "Instance", {"PatientID": "P1"}, CaseSensitive=True) == [0]


def test_extra_tags_come_from_the_index_and_from_older_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = watched(monkeypatch, "_decide")
    with serving(tmp_path) as face:  # stored before anybody asked for these tags
        face.upload(make_instance(1, KVP="120", RequestAttributesSequence=[REQUEST]))
        face.upload(make_instance(2))
    extra = {Level.SERIES: ("0018,0060", "0040,0275")}
    with serving(tmp_path, extra_main_dicom_tags=extra) as face:
        face.upload(make_instance(3, KVP="120", RequestAttributesSequence=[REQUEST]))
        face.upload(make_instance(4))
        for query in ({"KVP": "12*"}, {"RequestAttributesSequence": "*"}):
            opened.clear()
            assert found(face, "Series", query) == [0, 2]
            assert len(opened) == 2
            assert found(face, "Instance", query) == [0, 2]
        opened.clear()
        by_kvp = [{"Type": "DicomTag", "Key": "KVP", "Direction": "DESC"}]
        assert found(face, "Series", {}, OrderBy=by_kvp) == [2, 0, 1, 3]
        assert not opened


def test_limits_of_results(tmp_path: Path) -> None:
    with serving(tmp_path, limit_find_results=2, limit_find_instances=3) as face:
        for file in FILES:
            face.upload(file)
        instances, studies = face.json("/instances"), face.json("/studies")
        assert ask(face, "/tools/find", "Instance", {}) == instances[:3]
        assert ask(face, "/tools/find", "Instance", {}, Limit=2) == instances[:2]
        assert ask(face, "/tools/find", "Instance", {}, Limit=9, Since=3) == instances[3:]
        assert ask(face, "/tools/find", "Study", {}) == studies[:2]
        assert ask(face, "/tools/find", "Instance", {"PixelData": "*"}) == instances[:3]
        assert ask(face, "/tools/count-resources", "Instance", {}) == {"Count": 5}


def test_a_file_that_was_lost_is_told_and_one_that_was_deleted_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path) as face:
        for file in FILES[:2]:
            face.upload(file)
        instance = face.json("/instances")[0]
        look = search.files_to_look_into

        def deleted_meanwhile(*args: Any) -> Any:
            files = look(*args)
            if face.get(f"/instances/{instance}").status == 200:
                face.request("DELETE", f"/instances/{instance}")
                for path in face.folder.joinpath("storage").rglob(files[min(files)].uuid):
                    path.unlink()
            return files

        with monkeypatch.context() as patch:
            patch.setattr(search, "files_to_look_into", deleted_meanwhile)
            assert ask(face, "/tools/find", "Instance", {"KVP": "120"}) == face.json("/instances")
        for path in face.folder.joinpath("storage").glob("??/*/*"):
            if path.is_file():
                path.unlink()
        reply = face.post_json("/tools/find", {"Level": "Instance", "Query": {"KVP": "*"}})
        assert (reply.status, reply.json()["OrthancStatus"]) == (500, 2006)
