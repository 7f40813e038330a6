"""Objects: their names, what is asked of the store, what its complaints become."""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, PermissionDeniedError
from obstore.store import MemoryStore, S3Store

from wherry import clock, limits
from wherry.errors import (
    BadSequenceOfCalls,
    CannotWriteFile,
    CorruptedFile,
    MissingFile,
    StorageFull,
    StorageUnavailable,
    WherryError,
)
from wherry.storage.base import SmallFile
from wherry.storage.objects.azure import AzureContainer
from wherry.storage.objects.client import Bucket, Client
from wherry.storage.objects.failures import failure, is_missing, is_out_of_reach
from wherry.storage.objects.names import Names, uuid_of
from wherry.storage.objects.storage import ObjectStorage

UUID = "abcd1234-5678-4abc-8abc-123456789abc"


def names(*, legacy: bool = False, sealed: bool = False, unknown: bool = False) -> Names:
    return Names("root", legacy=legacy, sealed=sealed, unknown_headers=unknown)


def storage(folder: Path, store: MemoryStore, names: Names) -> ObjectStorage:
    return ObjectStorage(Client(Bucket(store, lambda *_: iter(()))), names, folder)


# --- names --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "plain", "sealed"),
    [
        (1, ".dcm", ".dcm.enc"),
        (2, ".json", ".json.enc"),
        (3, ".dcm.head", ".dcm.head.enc"),
        (0, ".unk", ".unk.enc"),
        (1024, ".unk", ".unk.enc"),
    ],
)
def test_names_of_orthancs_plugins(kind: int, plain: str, sealed: str) -> None:
    assert names().name(kind) == plain
    assert names(sealed=True).name(kind) == sealed
    assert names().key(UUID, plain) == f"root/{UUID}{plain}"
    for structure in (names(legacy=True), names(legacy=True, sealed=True)):
        assert structure.key(UUID, structure.name(kind)) == f"root/ab/cd/{UUID}"
    for name in (plain, sealed):
        assert uuid_of(names().key(UUID, name)) == UUID


def test_what_is_no_file_of_ours() -> None:
    for key in ("root/readme.txt", f"root/{UUID}.DCM", f"root/{UUID}x", f"{UUID}/more"):
        assert uuid_of(key) is None


def test_names_that_nobody_wrote() -> None:
    for name in ("", "dcm", "/..", ".dcm/../x", ".DCM"):
        with pytest.raises(CorruptedFile):
            names().key(UUID, name)


def test_a_file_of_which_nothing_is_known_is_looked_for_everywhere(tmp_path: Path) -> None:
    every = [*names().all(), *names(sealed=True).all(), *names(legacy=True).all()]
    for name in dict.fromkeys(every):
        store = MemoryStore()
        store.put(names().key(UUID, name), b"found")
        area = storage(tmp_path, store, names())
        assert area.open(UUID).read_at(0, 10) == b"found"
        assert area.size(UUID) == 5
        area.delete(UUID)
        with pytest.raises(MissingFile):
            area.open(UUID)


@pytest.mark.parametrize("sealed", [False, True])
def test_headers_under_their_old_name(tmp_path: Path, sealed: bool) -> None:
    store = MemoryStore()
    end = ".enc" if sealed else ""
    store.put(f"root/{UUID}.unk{end}", b"a header")
    place = f"object-storage:.dcm.head{end}:"
    with pytest.raises(MissingFile):
        storage(tmp_path, store, names(sealed=sealed)).open(UUID, place)
    area = storage(tmp_path, store, names(sealed=sealed, unknown=True))
    reader = area.open(UUID, place)
    assert reader.read_at(0, 100) == b"a header"
    area.delete(UUID, place)
    with pytest.raises(MissingFile):
        area.size(UUID, place)


def test_files_of_another_store_are_not_here(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="file system"):
        storage(tmp_path, MemoryStore(), names()).open(UUID, "")
    with pytest.raises(BadSequenceOfCalls):
        storage(tmp_path, MemoryStore(), names()).reopen(UUID)


# --- complaints ---------------------------------------------------------------------------------
def said(status: int, code: str = "") -> GenericError:
    uri = "https://host/bucket/name?sig=SECRET"
    return GenericError(
        f"Generic S3 error: Error performing PUT {uri} - Server returned non-2xx status code: "
        f"{status} X: <Error><Code>{code}</Code></Error>"
    )


@pytest.mark.parametrize(
    ("error", "kind", "out_of_reach"),
    [
        (said(503, "SlowDown"), StorageUnavailable, True),
        (said(500), StorageUnavailable, True),
        (said(429), StorageUnavailable, True),
        (said(404, "NoSuchBucket"), StorageUnavailable, False),
        (said(400, "InvalidStorageClass"), CannotWriteFile, False),
        (said(507), StorageFull, False),
        (said(403, "QuotaExceeded"), StorageFull, False),
        (FileNotFoundError("no such object"), MissingFile, False),
        (AlreadyExistsError("there is one"), CannotWriteFile, False),
        (PermissionDeniedError("status code: 403 <Code>Denied</Code>"), StorageUnavailable, False),
        (GenericError("Generic S3 error: Requested 0..1000, got 0..500"), CorruptedFile, False),
        (GenericError("HTTP error: kind: ConnectionRefused, SECRET"), StorageUnavailable, True),
    ],
)
def test_complaints(error: Exception, kind: type[WherryError], out_of_reach: bool) -> None:
    ours = failure(error, writing=True)
    assert type(ours) is kind
    assert "SECRET" not in ours.details
    assert is_out_of_reach(error) is out_of_reach


def test_a_bucket_that_is_gone_is_no_removal() -> None:
    gone = "status code: 404 Not Found: <Error><Code>NoSuchBucket</Code></Error>"
    assert not is_missing(FileNotFoundError(gone))
    assert is_missing(FileNotFoundError(gone.replace("Bucket", "Key")))


def test_a_refused_connection_has_written_nothing() -> None:
    told = "retries: {}, max_retries: 2, Os {{ code: 111, kind: ConnectionRefused, message: x }}"
    ours = failure(GenericError(told.format(0)))
    assert isinstance(ours, StorageUnavailable)
    assert ours.nothing_done
    for text in (told.format(1), "max_retries: 0, kind: ConnectionRefused,"):
        doubtful = failure(GenericError(text))  # an attempt before may have come through
        assert isinstance(doubtful, StorageUnavailable)
        assert not doubtful.nothing_done
    lost = failure(GenericError("source: TimedOut,"))
    assert isinstance(lost, StorageUnavailable)
    assert not lost.nothing_done


class Away:
    """A listing that fails as long as it is told to."""

    def __init__(self) -> None:
        self.failing = True
        self.asked = 0

    def __call__(self, _folder: str, _prefix: str) -> list[str]:
        self.asked += 1
        if self.failing:
            raise said(503)
        return ["found"]


def test_a_store_that_is_away_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    away = Away()
    client = Client(Bucket(MemoryStore(), away))  # type: ignore[arg-type]
    for _ in range(5):
        with pytest.raises(StorageUnavailable) as caught:
            client.list("", "")
        assert "503" in caught.value.details
    assert away.asked == 1
    assert caught.value.nothing_done
    now[0] += limits.OBJECT_REST_S + 0.1
    with pytest.raises(StorageUnavailable):
        client.list("", "")
    assert away.asked == 2
    now[0] += limits.OBJECT_REST_S + 0.1
    away.failing = False
    assert client.list("", "") == ["found"]
    assert client.list("", "") == ["found"]


def test_what_is_there_with_the_same_bytes_was_written_by_ourselves() -> None:
    client = Client(Bucket(MemoryStore(), lambda *_: iter(())))
    client.put("name", b"bytes")
    client.put("name", memoryview(b"bytes"))
    with pytest.raises(CannotWriteFile):
        client.put("name", b"other")


def test_what_is_there_is_looked_at_only_when_it_is_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    store.put("name", bytes(1000))
    client = Client(Bucket(store, lambda *_: iter(())))

    class Found:
        meta: ClassVar = {"size": 1000}

        def bytes(self) -> bytes:
            raise AssertionError

    monkeypatch.setattr("obstore.get", lambda *_: Found())
    with pytest.raises(CannotWriteFile):
        client.put("name", b"other")


def test_a_name_that_is_taken_may_be_taken_by_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(Bucket(MemoryStore(), lambda *_: iter(())))
    client.put("name", b"bytes")

    def refused(*_: object) -> object:
        raise GenericError("retries: 0, kind: ConnectionRefused,")

    monkeypatch.setattr("obstore.get", refused)
    with pytest.raises(StorageUnavailable) as caught:
        client.put("name", b"bytes")
    assert not caught.value.nothing_done


def test_a_connection_that_nobody_accepts() -> None:
    """In the words of the store's library, which name it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for retries in (0, 1):
        store = S3Store(
            "box",
            endpoint=f"http://127.0.0.1:{port}",
            region="x",
            access_key_id="SECRET",
            secret_access_key="SECRET",
            client_options={"allow_http": True},
            retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=5)},
        )
        client = Client(Bucket(store, lambda *_: iter(())))
        with pytest.raises(StorageUnavailable) as caught:
            client.put("name", b"bytes")
        assert caught.value.nothing_done is (retries == 0)
        text = "".join(traceback.format_exception(caught.value))
        assert str(port) not in text


def test_requests_at_once_are_bounded() -> None:
    both, lock = threading.Barrier(2), threading.Lock()
    running, most = 0, 0

    def listing(_folder: str, _prefix: str) -> list[str]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait(10)
        with lock:
            running -= 1
        return []

    client = Client(Bucket(MemoryStore(), listing, connections=2))  # type: ignore[arg-type]
    threads = [threading.Thread(target=client.list, args=("", "")) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (running, most) == (0, 2)


@pytest.mark.parametrize("nothing_done", [False, True])
def test_files_together_of_which_one_may_come_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_done: bool
) -> None:
    store, plain = MemoryStore(), Client.put
    other = UUID.replace("abcd", "dcba")

    def put(self: Client, key: str, data: bytes) -> None:
        if other in key:
            raise StorageUnavailable("away", nothing_done=nothing_done)
        plain(self, key, data)

    monkeypatch.setattr(Client, "put", put)
    files = [SmallFile(UUID, b"one", "0" * 32), SmallFile(other, b"two", "0" * 32)]
    with pytest.raises(StorageUnavailable) as caught:
        storage(tmp_path, store, names()).put(files)
    assert caught.value.nothing_done is nothing_done
    assert [*store.list().collect()] == []


# --- reading and writing ------------------------------------------------------------------------
def test_an_object_that_shrank_is_damaged(tmp_path: Path) -> None:
    store = MemoryStore()
    area = storage(tmp_path, store, names())
    writer = area.create(UUID)
    writer.write(bytes(3 * limits.OBJECT_HEAD_BYTES))
    writer.sync()
    writer.close()
    key = names().key(UUID, ".dcm")
    reader = area.open(UUID)
    store.put(key, bytes(limits.OBJECT_HEAD_BYTES + 1000))
    with pytest.raises(CorruptedFile):
        reader.read_at(limits.OBJECT_HEAD_BYTES, limits.OBJECT_HEAD_BYTES)
    store.delete(key)
    with pytest.raises(MissingFile):
        reader.read_at(limits.OBJECT_HEAD_BYTES, limits.OBJECT_HEAD_BYTES)


def test_the_next_piece_is_asked_for_before_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * (limits.OBJECT_PIECE_BYTES // 256) * 5
    store = MemoryStore()
    store.put(names().key(UUID, ".dcm"), data)
    area = storage(tmp_path, store, names())
    asked: list[tuple[int, int]] = []
    plain = Client.get

    def get(self: Client, key: str, start: int, end: int) -> object:
        asked.append((start, end))
        return plain(self, key, start, end)

    monkeypatch.setattr(Client, "get", get)
    reader = area.open(UUID, "object-storage:.dcm:")
    assert len(asked) == 1
    at = 0
    while piece := reader.read_at(at, limits.READ_CHUNK_BYTES):
        assert piece == data[at : at + len(piece)]
        at += len(piece)
    assert at == len(data)
    assert len(asked) == 1 + 5  # its head, and pieces of the rest
    assert [start for start, _ in asked] == sorted(start for start, _ in asked)


def test_nothing_is_sent_before_it_is_synced(tmp_path: Path) -> None:
    store = MemoryStore()
    area = storage(tmp_path, store, names())
    writer = area.create(str(uuid4()))
    writer.write(bytes(3_000_000))
    writer.write_at(b"head", 0)
    with writer.map() as view:
        assert view[:4] == b"head"
    assert not [*store.list()]
    writer.close()
    assert not [*store.list()]
    assert not [*tmp_path.iterdir()]


# --- Azure --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("AccountName=a;AccountKey=aw==", "https://a.blob.core.windows.net"),
        (
            "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=aw==;EndpointSuffix=core.cn",
            "http://a.blob.core.cn",
        ),
        ("BlobEndpoint=https://a.blob.x/;SharedAccessSignature=?sig=s", "https://a.blob.x"),
    ],
)
def test_connection_strings(text: str, endpoint: str) -> None:
    credentials = AzureContainer(text, "box").credentials()
    assert credentials["account_name"] == "a"
    assert credentials["endpoint"] == endpoint
    assert credentials.get("account_key", "") == ("aw==" if "AccountKey" in text else "")
    assert credentials.get("sas_key", "") == ("sig=s" if "sig" in text else "")


@pytest.mark.parametrize("text", ["", "AccountName=a", "AccountKey=aw==", "nonsense"])
def test_connection_strings_that_lack_something(text: str) -> None:
    refused: Callable[[], object] = lambda: AzureContainer(text, "box")  # noqa: E731
    with pytest.raises(WherryError, match="ConnectionString"):
        refused()
