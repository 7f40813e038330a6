"""Digests that nobody has taken yet, on every index: taken once, held against what is known."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from tests.support.dicom_files import make_instance
from wherry import limits
from wherry.errors import CorruptedFile, MissingFile, StorageUnavailable
from wherry.index import resources
from wherry.index.database import Index
from wherry.ingest import digesting
from wherry.ingest.ingest import Ingest
from wherry.ingest.recovery import Janitor
from wherry.jobs.handler import Interrupted
from wherry.model import Attachment, Compression, ManifestInstance, Origin
from wherry.storage.base import ANYWHERE, FileReader
from wherry.storage.filesystem import FilesystemStorage


class Store:
    """An ingest, and what it took in: instances whose BLAKE3 is known, or whose MD5 is."""

    def __init__(self, index: Index, folder: Path, compression: Compression) -> None:
        self.index = index
        self.storage = FilesystemStorage(folder)
        self.ingest = Ingest(
            index,
            self.storage,
            Janitor(index, self.storage),
            owner="process-1",
            overwrite=False,
            max_instance_bytes=1_000_000,
            compression=compression,
        )
        self.digesting = self.ingest.digesting
        self.folder = folder
        self.data: dict[str, bytes] = {}

    def add(self, number: int, *, md5: bool = False) -> str:
        data = make_instance(number=number, pixel_bytes=2000)
        digest = hashlib.md5(data).hexdigest() if md5 else ""
        staging = self.ingest.stage(Origin("RestApi"), digest)
        staging.write(data)
        [stored] = self.ingest.commit([staging.finish()])
        name = stored.identifiers.instance
        self.data[name] = data
        return name

    def file(self, name: str) -> Attachment:
        with self.index.read() as tx:
            return resources.files_of(tx, [name])[name]

    def path(self, name: str) -> Path:
        uuid = self.file(name).uuid
        return self.folder / uuid[:2] / uuid[2:4] / uuid

    def damage(self, name: str) -> None:
        stored = bytearray(self.path(name).read_bytes())
        stored[-3] ^= 1
        self.path(name).write_bytes(stored)

    def told(self, name: str, kind: str) -> ManifestInstance:
        data = self.data[name]
        digest = hashlib.md5(data).hexdigest() if kind == "md5" else blake3(data).hexdigest()
        return ManifestInstance(name, len(data), digest)

    def held(self, *told: ManifestInstance) -> set[ManifestInstance]:
        with self.index.read() as tx:
            return resources.held(tx, told)


@pytest.fixture(params=[Compression.NONE, Compression.ZLIB])
def store(index: Index, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    store = Store(index, tmp_path / "storage", request.param)
    yield store
    store.ingest.close()


def test_an_md5_is_taken_once_and_written_down(store: Store) -> None:
    name = store.add(1)
    known = store.file(name)
    assert (known.uncompressed_md5, known.compressed_md5) == ("", "")
    assert known.uncompressed_blake3 == blake3(store.data[name]).hexdigest()
    assert known.compressed_blake3 == blake3(store.path(name).read_bytes()).hexdigest()
    [found] = store.digesting.with_md5([known])
    assert found.uncompressed_md5 == hashlib.md5(store.data[name]).hexdigest()
    assert found.compressed_md5 == hashlib.md5(store.path(name).read_bytes()).hexdigest()
    assert (found.digest, found.stored_digest) == (known.digest, known.stored_digest)
    assert store.file(name) == found
    store.path(name).unlink()
    assert store.digesting.with_md5([found]) == [found]


def test_what_is_damaged_gets_no_md5(store: Store) -> None:
    names = [store.add(number) for number in range(5)]
    store.damage(names[1])
    store.path(names[3]).unlink()
    files = [store.file(name) for name in names]
    for place, error in ((1, CorruptedFile), (3, MissingFile)):
        with pytest.raises(error):
            store.digesting.with_md5([files[place]])
    with pytest.raises((CorruptedFile, MissingFile)):
        store.digesting.with_md5(files)
    found = store.digesting.with_md5(files, permissive=True)
    assert [bool(one.uncompressed_md5) for one in found] == [True, False, True, False, True]
    assert [store.file(name) for name in names] == found


def test_an_interruption_keeps_what_was_taken(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DIGESTED_AT_ONCE", 1)
    names = [store.add(number) for number in range(3)]
    files = [store.file(name) for name in names]
    reads = 1 if files[0].compression == Compression.NONE else 2

    def check() -> None:
        nonlocal reads
        reads -= 1
        if reads < 0:
            raise Interrupted("cancel")

    with pytest.raises(Interrupted):
        store.digesting.with_md5(files, check)
    assert [bool(store.file(name).uncompressed_md5) for name in names] == [True, False, False]


@pytest.mark.parametrize(("stored", "told"), [("md5", "blake3"), ("blake3", "md5")])
def test_an_instance_is_held_whatever_digest_is_told(store: Store, stored: str, told: str) -> None:
    first, second = (store.add(number, md5=stored == "md5") for number in (1, 2))
    same, known = store.told(first, told), store.told(second, stored)
    other = ManifestInstance(second, len(store.data[second]), same.digest)
    longer = ManifestInstance(first, same.size + 1, same.digest)
    assert store.held(same, known, other, longer) == {known}
    assert store.digesting.held([same, known, other, longer]) == {same, known}
    assert store.held(same, known, other, longer) == {same, known}


def test_what_is_damaged_is_not_held(store: Store) -> None:
    name = store.add(1)
    store.damage(name)
    assert store.digesting.held([store.told(name, "md5")]) == set()


def test_the_same_file_is_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    name = store.add(1)
    told = [ManifestInstance(name, store.told(name, "md5").size, f"{n:032x}") for n in range(50)]
    told.append(ManifestInstance(name, told[0].size, "no digest"))
    reads, found = [], store.storage.open

    def open_it(uuid: str, place: str = ANYWHERE) -> FileReader:
        reads.append(uuid)
        return found(uuid, place)

    monkeypatch.setattr(store.storage, "open", open_it)
    once = 1 if store.file(name).compression == Compression.NONE else 2
    assert store.digesting.held(told) == set()
    assert store.digesting.held(told) == set()
    assert len(reads) == once


def test_who_asks_meanwhile_waits_for_the_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = store.file(store.add(1))
    reads: list[Any] = []
    waiting, take = threading.Event(), store.digesting._take

    class Noted(Future[Attachment]):
        def exception(self, timeout: float | None = None) -> BaseException | None:
            waiting.set()
            return super().exception(timeout)

    def wait(*args: Any) -> Attachment:
        reads.append(args)
        assert waiting.wait(10), "nobody waits"
        return take(*args)

    monkeypatch.setattr(digesting, "Future", Noted)
    monkeypatch.setattr(store.digesting, "_take", wait)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(store.digesting.with_md5, [[file], [file]]))
    assert answers[0] == answers[1]
    assert len(reads) == 1


def test_a_storage_out_of_reach(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    file = store.file(store.add(1))

    def away(uuid: str, place: str = ANYWHERE) -> FileReader:
        raise StorageUnavailable("away")

    monkeypatch.setattr(store.storage, "open", away)
    assert store.digesting.with_md5([file], permissive=True) == [file]
    with pytest.raises(StorageUnavailable):
        store.digesting.with_md5([file])


def test_a_question_makes_no_more_be_read_than_has_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [store.add(number) for number in range(4)]
    told = [store.told(name, "md5") for name in names]
    monkeypatch.setattr(limits, "DIGESTED_FOR_A_QUESTION_BYTES", 2 * told[0].size)
    assert store.digesting.held(told) == set(told[:2])
    assert store.digesting.held(told) == set(told)
    monkeypatch.setattr(limits, "DIGESTED_FOR_A_QUESTION_BYTES", told[0].size - 1)
    fifth = store.told(store.add(5), "md5")
    assert store.digesting.held([fifth]) == set(), "not even one that is longer"
