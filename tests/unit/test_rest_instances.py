from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    with serving(tmp_path_factory.mktemp("store")) as face:
        face.upload(make_instance(SpecificCharacterSet="ISO_IR 192", ImageComments="x" * 300))
        yield face


@pytest.fixture
def path(store: Face) -> str:
    return f"/instances/{store.json('/instances')[0]}"


def test_file(store: Face, path: str) -> None:
    reply = store.get(f"{path}/file")
    assert reply.body[128:132] == b"DICM"
    assert reply.headers["content-type"] == "application/dicom"
    uuid = store.json(path)["FileUuid"]
    assert reply.headers["content-disposition"] == f'filename="{uuid}.dcm"'


def test_a_file_name_of_the_callers_choice_is_inert(store: Face, path: str) -> None:
    def named(query: str) -> str:
        return store.get(f"{path}/file?filename={query}").headers["content-disposition"]

    assert named("hello.dcm") == 'filename="hello.dcm"'
    assert named("a%22%0d%0aX-Evil:%201") == 'filename="a___X-Evil: 1"'
    assert named("../..%2Fetc%5Cpasswd%00") == 'filename=".._.._etc_passwd_"'


def test_a_stored_file_that_is_gone(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("gone")
    with serving(folder) as face:
        path = face.upload(make_instance())["Path"]
        next((folder / "storage").glob("??/*/*")).unlink()
        reply = face.get(f"{path}/file")
        assert (reply.status, reply.json()["OrthancStatus"]) == (500, 2006)
        assert str(folder) not in reply.body.decode()


def test_tags(store: Face, path: str) -> None:
    full = store.json(f"{path}/tags")
    assert full["0010,0010"] == {"Name": "PatientName", "Type": "String", "Value": "Doe^Jane"}
    assert full["0020,4000"]["Type"] == "TooLong"
    assert full["7fe0,0010"]["Value"] is None
    assert store.json(f"{path}/tags?short")["0010,0010"] == "Doe^Jane"
    simple = store.json(f"{path}/tags?simplify")
    assert simple["PatientName"] == "Doe^Jane"
    assert store.json(f"{path}/simplified-tags") == simple


def test_long_tags_on_request(store: Face, path: str) -> None:
    for name in ("ImageComments", "0020-4000", "0020,4000"):
        shown = store.json(f"{path}/simplified-tags?ignore-length={name}&ignore-length=PatientID")
        assert shown["ImageComments"] == "x" * 300
    reply = store.get(f"{path}/tags?ignore-length=Nope")
    assert (reply.status, reply.json()["OrthancStatus"]) == (500, 27)


@pytest.mark.parametrize("what", ["file", "tags", "simplified-tags"])
def test_unknown_instance(store: Face, what: str) -> None:
    reply = store.get(f"/instances/nope/{what}")
    assert (reply.status, reply.json()["OrthancStatus"]) == (404, 17)
