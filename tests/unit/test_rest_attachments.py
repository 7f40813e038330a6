from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.asgi import Reply
from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry.config import WherryConfig
from wherry.errors import MissingFile

TEXT = b"some text"
CONFLICT, OUT_OF_RANGE = 43, 3


class Store:
    """A server with one instance."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.data = make_instance(pixel_bytes=50_000)
        self.instance = face.upload(self.data)["Path"]
        self.study = f"/studies/{face.json('/studies')[0]}"
        self.dicom = f"{self.instance}/attachments/dicom"
        self.mine = f"{self.study}/attachments/my-att"

    def put(self, path: str, data: bytes, **headers: str) -> Reply:
        return self.face.request(
            "PUT", path, data, {k.replace("_", "-"): v for k, v in headers.items()}
        )

    def get(self, path: str, **headers: str) -> Reply:
        names = {k.replace("_", "-"): v for k, v in headers.items()}
        return self.face.request("GET", path, headers=names)

    def post(self, path: str) -> Reply:
        return self.face.request("POST", path)

    def text(self, path: str) -> str:
        reply = self.get(path)
        assert (reply.status, reply.headers["content-type"]) == (200, "text/plain")
        return reply.body.decode()

    def file(self) -> Path:
        """Where the DICOM file lies."""
        uuid = self.face.json(f"{self.dicom}/info")["Uuid"]
        return self.face.folder / "storage" / uuid[:2] / uuid[2:4] / uuid


def opened(folder: Path, **settings: Any) -> Iterator[Store]:
    types = {"my-att": (4400, "text/plain"), "plain": (4401, "")}
    with serving(folder, user_content_type=types, **settings) as face:
        yield Store(face)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    yield from opened(tmp_path)


def tag_of(revision: int, data: bytes) -> str:
    return f'"{revision}-{hashlib.md5(data).hexdigest()}"'


def code(reply: Reply) -> int:
    return int(reply.json()["OrthancStatus"])


def test_the_dicom_file(store: Store) -> None:
    assert store.face.json(f"{store.instance}/attachments") == ["dicom"]
    assert store.face.json(f"{store.instance}/attachments?full") == {"dicom": 1}
    md5, size = hashlib.md5(store.data).hexdigest(), str(len(store.data))
    for name in ("dicom", "1"):
        path = f"{store.instance}/attachments/{name}"
        assert store.text(f"{path}/size") == size
        assert store.text(f"{path}/compressed-size") == size
        assert store.text(f"{path}/md5") == md5
        assert store.text(f"{path}/compressed-md5") == md5
        assert store.text(f"{path}/is-compressed") == "0"
        assert store.face.json(f"{path}/info") == {
            "Uuid": store.face.json(store.instance)["FileUuid"],
            "ContentType": 1,
            "UncompressedSize": len(store.data),
            "CompressedSize": len(store.data),
            "UncompressedMD5": md5,
            "CompressedMD5": md5,
        }
        reply = store.get(f"{path}/data")
        assert reply.body == store.data
        assert reply.headers["content-type"] == "application/dicom"
        uuid = store.file().name
        assert reply.headers["content-disposition"] == f'filename="{uuid}.dcm"'
        assert reply.headers["etag"] == f'"0-{md5}"'
        reply = store.get(f"{path}/compressed-data")
        assert reply.body == store.data
        assert reply.headers["content-type"] == "application/octet-stream"
        assert "content-disposition" not in reply.headers


def test_what_can_be_asked(store: Store) -> None:
    reply = store.get(store.dicom)
    assert reply.headers["etag"] == tag_of(0, store.data)
    assert reply.json() == [
        "compress",
        "compressed-data",
        "compressed-md5",
        "compressed-size",
        "data",
        "info",
        "is-compressed",
        "md5",
        "size",
        "uncompress",
        "verify-md5",
        "uuid",
    ]
    assert code(store.get(f"{store.dicom}/nope")) == 17
    assert code(store.get(f"{store.dicom}/uuid")) == 17
    for method, path in (("GET", "compress"), ("PUT", "data"), ("DELETE", "info")):
        assert store.face.request(method, f"{store.dicom}/{path}").status == 405


def test_a_file_of_a_user(store: Store) -> None:
    before = store.face.json("/changes?last")["Last"]
    reply = store.put(store.mine, TEXT)
    assert (reply.status, reply.body) == (200, b"{}")
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["etag"] == tag_of(0, TEXT)
    reply = store.get(f"{store.mine}/data")
    assert (reply.body, reply.headers["content-type"]) == (TEXT, "text/plain")
    uuid = store.face.json(f"{store.mine}/info")["Uuid"]
    assert reply.headers["content-disposition"] == f'filename="{uuid}"'
    last = store.face.json("/changes?last")
    assert last["Last"] == before + 1
    assert last["Changes"][0]["ChangeType"] == "UpdatedAttachment"
    assert last["Changes"][0]["Path"] == store.study
    assert store.put(f"{store.study}/attachments/4567", b"\0\xff").status == 200
    assert (
        store.get(f"{store.study}/attachments/4567/data").headers["content-type"]
        == "application/octet-stream"
    )
    assert store.face.json(f"{store.study}/attachments") == ["my-att", "4567"]
    assert store.face.json(f"{store.study}/attachments?full") == {"my-att": 4400, "4567": 4567}


def test_sizes_are_counted(store: Store) -> None:
    store.put(store.mine, TEXT)
    size = len(store.data)
    statistics = store.face.json(f"{store.study}/statistics")
    assert statistics["DicomDiskSize"] == statistics["DicomUncompressedSize"] == str(size)
    assert statistics["DiskSize"] == statistics["UncompressedSize"] == str(size + len(TEXT))
    assert store.face.json("/statistics")["TotalDiskSize"] == str(size + len(TEXT))
    store.put(store.mine, b"x")
    assert store.face.json("/statistics")["TotalDiskSize"] == str(size + 1)
    store.face.request("DELETE", store.mine)
    assert store.face.json("/statistics")["TotalDiskSize"] == str(size)


def test_a_long_file_and_an_empty_one(store: Store) -> None:
    data = bytes(range(256)) * 10_000
    pieces = [data[start : start + 300_000] for start in range(0, len(data), 300_000)]
    assert store.face.request("PUT", store.mine, pieces).status == 200
    assert store.get(f"{store.mine}/data").body == data
    assert store.put(store.mine, b"").headers["etag"] == tag_of(1, b"")
    assert store.get(f"{store.mine}/data").body == b""
    assert store.text(f"{store.mine}/size") == "0"


def test_a_packed_body(store: Store) -> None:
    assert store.put(store.mine, gzip.compress(TEXT), Content_Encoding="gzip").status == 200
    assert store.get(f"{store.mine}/data").body == TEXT
    for body in (b"no gzip", gzip.compress(TEXT)[:-1]):
        assert store.put(store.mine, body, Content_Encoding="gzip").status == 400
    assert store.get(f"{store.mine}/data").body == TEXT
    assert len(store.face.files()) == 2


def test_a_file_has_a_bound(tmp_path: Path) -> None:
    small = WherryConfig(maximum_instance_bytes=100_000)
    for store in opened(tmp_path, wherry=small):
        assert store.put(store.mine, bytes(100_001)).status == 413
        assert store.face.request("PUT", store.mine, [bytes(60_000), bytes(60_000)]).status == 413
        assert len(store.face.files()) == 1


def test_what_belongs_to_the_server(store: Store) -> None:
    for name in ("dicom", "1", "500", "70000"):
        for method in ("PUT", "DELETE"):
            reply = store.face.request(method, f"{store.instance}/attachments/{name}", b"x")
            assert (reply.status, reply.body) == (403, b"")
    assert store.get(f"{store.dicom}/data").body == store.data


def test_what_is_unknown(store: Store) -> None:
    for path in ("data", "info", "size", "compress", "uncompress"):
        method = "POST" if "compress" in path else "GET"
        for root, expected in (
            (f"{store.study}/attachments/5000", 17),
            (f"{store.study}/attachments/dicom-as-json", 17),
            ("/studies/nope/attachments/my-att", 17),
            (f"{store.study}/attachments/nope", 7),
            (f"{store.study}/attachments/a%00b%0d%0a", 7),
        ):
            assert code(store.face.request(method, f"{root}/{path}")) == expected
    assert code(store.get("/studies/nope/attachments")) == 17
    assert code(store.put("/studies/nope/attachments/my-att", b"x")) == 17
    assert code(store.put(f"{store.study}/attachments/nope", b"x")) == 7
    assert code(store.face.request("DELETE", store.mine)) == 17
    assert store.post(f"{store.mine}/verify-md5").status == 400


def test_deletion(store: Store) -> None:
    store.put(store.mine, TEXT)
    reply = store.face.request("DELETE", store.mine)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"", "text/plain")
    assert store.face.json(f"{store.study}/attachments") == []
    assert store.face.json("/changes?last")["Changes"][0]["ChangeType"] == "UpdatedAttachment"
    assert code(store.face.request("DELETE", store.mine)) == 17


def test_a_name_of_the_caller_s_choice_is_inert(store: Store) -> None:
    reply = store.get(f"{store.dicom}/data?filename=a%22%0d%0aX-Evil:%201")
    assert reply.headers["content-disposition"] == 'filename="a___X-Evil: 1"'


@pytest.mark.parametrize("header", ["Range", "Content-Range"])
def test_ranges(store: Store, header: str) -> None:
    store.put(store.mine, b"0123456789")
    for what, expected in (
        ("bytes=0-3", b"0123"),
        ("bytes=8-", b"89"),
        ("bytes=-2", b"89"),
        ("bytes=5-99", b"56789"),
    ):
        for path in ("data", "compressed-data"):
            reply = store.get(f"{store.mine}/{path}", **{header: what})
            assert (reply.status, reply.body) == (206, expected)
            first = 10 - len(expected) if expected[-1:] == b"9" else 0
            last = first + len(expected) - 1
            assert reply.headers["content-range"] == f"bytes {first}-{last}/10"
    beyond = store.get(f"{store.mine}/data", **{header: "bytes=10-"})
    assert (beyond.status, code(beyond)) == (416, 41)
    assert store.get(f"{store.mine}/data", **{header: "chapters=1-2"}).status == 200


def test_the_documented_spelling_of_ranges(store: Store) -> None:
    store.put(store.mine, b"0123456789")
    for what in ("bytes 2-4/10", "bytes 2-4/*", "bytes 2-4"):
        reply = store.get(f"{store.mine}/data", Content_Range=what)
        assert (reply.status, reply.body) == (206, b"234")
    reply = store.get(f"{store.mine}/data", Content_Range="bytes 2-4/10", Range="bytes=0-0")
    assert reply.body == b"0"


def test_ranges_of_a_packed_file(store: Store) -> None:
    assert store.post(f"{store.dicom}/compress").status == 200
    size = len(store.data)
    for first, last in ((0, 3), (40_000, 40_010), (size - 5, size - 1)):
        reply = store.get(f"{store.dicom}/data", Range=f"bytes={first}-{last}")
        assert (reply.status, reply.body) == (206, store.data[first : last + 1])


def test_packing(store: Store) -> None:
    tag = store.get(store.dicom).headers["etag"]
    for path, packed in (("compress", "1"), ("compress", "1"), ("uncompress", "0")):
        reply = store.post(f"{store.dicom}/{path}")
        assert (reply.status, reply.body) == (200, b"{}")
        assert reply.headers["content-type"] == "application/json"
        assert store.text(f"{store.dicom}/is-compressed") == packed
        assert store.text(f"{store.dicom}/size") == str(len(store.data))
        assert store.get(f"{store.dicom}/data").body == store.data
        assert store.get(f"{store.instance}/file").body == store.data
        assert store.face.json(f"{store.instance}/simplified-tags")["PatientName"] == "Doe^Jane"
        assert store.post(f"{store.dicom}/verify-md5").status == 200
        assert store.get(store.dicom).headers["etag"] == tag
        assert store.face.json(store.instance)["FileSize"] == len(store.data)
        stored = store.get(f"{store.dicom}/compressed-data").body
        assert store.text(f"{store.dicom}/compressed-size") == str(len(stored))
        assert store.text(f"{store.dicom}/compressed-md5") == hashlib.md5(stored).hexdigest()
        assert store.face.json("/statistics")["TotalDiskSize"] == str(len(stored))
        if packed == "1":
            assert stored[:8] == len(store.data).to_bytes(8, "little")
            assert zlib.decompress(stored[8:]) == store.data
        else:
            assert stored == store.data


def test_verification(store: Store) -> None:
    for path in ("uncompress", "compress"):
        store.post(f"{store.dicom}/{path}")
        assert store.post(f"{store.dicom}/verify-md5").body == b"{}"
        file = store.file()
        stored = file.read_bytes()
        file.write_bytes(stored[:-3] + b"???")
        reply = store.post(f"{store.dicom}/verify-md5")
        assert (reply.status, reply.body) == (400, b"")
        file.write_bytes(stored)
    store.file().unlink()
    assert code(store.post(f"{store.dicom}/verify-md5")) == 2006
    assert code(store.get(f"{store.dicom}/data")) == 2006


def test_a_damaged_packed_file_is_not_served(store: Store) -> None:
    store.post(f"{store.dicom}/compress")
    file = store.file()
    file.write_bytes(file.read_bytes()[:-3] + b"???")
    reply = store.get(f"{store.dicom}/data")
    assert (reply.status, code(reply)) == (500, 20)
    assert str(store.face.folder) not in reply.body.decode()
    assert code(store.post(f"{store.dicom}/uncompress")) == 20


def test_what_the_client_has_already(store: Store) -> None:
    tag = tag_of(0, store.data)
    for path in ("", "/data", "/compressed-data", "/info", "/size", "/md5", "/is-compressed"):
        reply = store.get(f"{store.dicom}{path}", If_None_Match=tag)
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
        assert store.get(f"{store.dicom}{path}", If_None_Match='"1-abc"').status == 200
        reply = store.get(f"{store.dicom}{path}", If_None_Match="x")
        assert (reply.status, code(reply)) == (400, OUT_OF_RANGE)


def test_a_stale_claim(store: Store) -> None:
    store.put(store.mine, b"one")
    assert store.put(store.mine, b"two").headers["etag"] == tag_of(1, b"two")
    reply = store.put(store.mine, b"three", If_Match=tag_of(0, b"one"))
    assert (reply.status, code(reply)) == (409, CONFLICT)
    assert store.put(store.mine, b"three", If_Match="x").status == 400
    stale = {"If-Match": tag_of(0, b"one")}
    assert store.face.request("DELETE", store.mine, headers=stale).status == 409
    assert store.get(f"{store.mine}/data").body == b"two"
    while len(store.face.files()) > 2:  # the janitor is a thread of its own
        pass


def test_revisions_that_are_checked(tmp_path: Path) -> None:
    for store in opened(tmp_path, check_revisions=True):
        assert store.put(store.mine, b"one").headers["etag"] == tag_of(0, b"one")
        reply = store.put(store.mine, b"two")
        assert (reply.status, code(reply)) == (409, CONFLICT)
        current = tag_of(0, b"one")
        assert store.put(store.mine, b"two", If_Match=current).headers["etag"] == tag_of(1, b"two")
        reply = store.face.request("DELETE", store.mine)
        assert reply.status == 409
        assert "is missing" in reply.json()["Details"]
        current_2 = {"If-Match": tag_of(1, b"two")}
        assert store.face.request("DELETE", store.mine, headers=current_2).status == 200
        assert store.face.request("DELETE", store.mine).status == 409
        assert code(store.face.request("DELETE", store.mine, headers=current_2)) == 17


def test_everything_is_packed(tmp_path: Path) -> None:
    for store in opened(tmp_path, storage_compression=True):
        assert store.text(f"{store.dicom}/is-compressed") == "1"
        assert store.file().stat().st_size < len(store.data)
        assert store.get(f"{store.instance}/file").body == store.data
        assert store.face.json(store.instance)["FileSize"] == len(store.data)
        store.put(store.mine, b"")
        assert store.text(f"{store.mine}/is-compressed") == "1"
        assert store.text(f"{store.mine}/compressed-size") == "0"
        assert store.get(f"{store.mine}/data").body == b""


def test_digests_that_are_not_shown(tmp_path: Path) -> None:
    for store in opened(tmp_path, store_md5_for_attachments=False, check_revisions=True):
        assert "md5" not in str(store.get(store.dicom).json())
        info = store.face.json(f"{store.dicom}/info")
        assert (info["UncompressedMD5"], info["CompressedMD5"]) == ("", "")
        for name in ("md5", "compressed-md5"):
            reply = store.get(f"{store.dicom}/{name}")
            assert (reply.status, reply.body) == (404, b"")
        assert store.put(store.mine, b"one").headers["etag"] == '"0-"'
        assert store.get(f"{store.mine}/data", If_None_Match='"0-"').status == 304
        assert store.put(store.mine, b"two", If_Match='"1-"').status == 409
        assert store.put(store.mine, b"two", If_Match='"0-"').headers["etag"] == '"1-"'
        assert store.post(f"{store.dicom}/verify-md5").status == 200


def test_a_file_that_is_replaced_between_two_looks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = store.face.rooms.storage
    real = storage.open
    before = store.file().name

    def too_late(uuid: str, place: str) -> object:
        if uuid == before and store.text(f"{store.dicom}/is-compressed") == "0":
            monkeypatch.setattr(storage, "open", real)
            store.post(f"{store.dicom}/compress")
            raise MissingFile
        return real(uuid, place)

    monkeypatch.setattr(storage, "open", too_late)
    assert store.get(f"{store.dicom}/data").body == store.data
