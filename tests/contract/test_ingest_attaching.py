"""Files beside the instances, on every index: no file without its row, no row without its file."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from tests.support.dicom_files import make_instance
from wherry.errors import (
    BadRevision,
    BadSequenceOfCalls,
    CannotWriteFile,
    CorruptedFile,
    DatabaseError,
    MissingFile,
    Unavailable,
    UnknownResource,
)
from wherry.index import attachments, deletions, resources, staging
from wherry.index.database import Index, Transaction
from wherry.index.staging import PREFIX_LENGTH
from wherry.ingest.ingest import Ingest
from wherry.ingest.recovery import Janitor, reclaim
from wherry.model import Attachment, Compression, Level, Origin, Revision
from wherry.storage.content import open_content
from wherry.storage.filesystem import FilesystemStorage

ME = "process-1"
TEXT = b"some text" * 1000


class Shop:
    """An ingest, a study with one instance, and what lies where."""

    def __init__(
        self,
        index: Index,
        folder: Path,
        compression: Compression = Compression.NONE,
        codec: Compression = Compression.ZLIB,
    ) -> None:
        self.index = index
        self.folder = folder
        self.storage = FilesystemStorage(folder)
        self.janitor = Janitor(index, self.storage)
        self.ingest = Ingest(
            index,
            self.storage,
            self.janitor,
            owner=ME,
            overwrite=False,
            max_instance_bytes=1_000_000,
            compression=compression,
            codec=codec,
        )
        self.data = make_instance(pixel_bytes=20_000)
        staging_ = self.ingest.stage(Origin("RestApi"))
        staging_.write(self.data)
        (stored,) = self.ingest.commit([staging_.finish()])
        self.study, self.instance = stored.identifiers.study, stored.identifiers.instance

    def put(self, data: bytes = TEXT, number: int = 1024, **claim: Revision) -> Attachment:
        deposit = self.ingest.attachments.deposit(number)
        deposit.write(data)
        return self.ingest.attachments.attach(Level.STUDY, self.study, deposit, **claim)

    def recompress(self, *, compress: bool) -> None:
        self.ingest.attachments.recompress(Level.INSTANCE, self.instance, 1, compress=compress)

    def file(self) -> Attachment:
        """The DICOM file."""
        with self.index.read() as tx:
            return resources.files_of(tx, [self.instance])[self.instance]

    def content(self, attachment: Attachment) -> bytes:
        reader = open_content(self.storage, attachment)
        try:
            return reader.read_at(0, reader.size)
        finally:
            reader.close()

    def path(self, attachment: Attachment) -> Path:
        uuid = attachment.uuid
        return self.folder / uuid[:2] / uuid[2:4] / uuid

    def files(self) -> set[str]:
        return {path.name for path in self.folder.glob("??/*/*")}

    def rows(self) -> set[str]:
        with self.index.read() as tx:
            return {row[0] for row in tx.all("SELECT uuid FROM attachments")}

    def tidy(self) -> None:
        """Wait until the janitor has cleared its journal; then files and rows must agree."""
        self.janitor.start()
        while True:
            with self.index.read() as tx:
                if not deletions.pending(tx, 1):
                    break
            threading.Event().wait(0.01)  # the janitor is a thread of its own
        self.janitor.close()
        assert self.files() == self.rows()

    def blocks(self) -> list[str]:
        with self.index.read() as tx:
            return staging.blocks(tx, ME)


@pytest.fixture
def shop(index: Index, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(index, tmp_path / "storage")
    yield shop
    shop.ingest.close()
    assert shop.blocks() == [], "every name is settled"


def test_a_file_is_attached(shop: Shop) -> None:
    attached = shop.put()
    assert shop.content(attached) == TEXT
    assert attached.uncompressed_md5 == hashlib.md5(TEXT).hexdigest()
    assert shop.ingest.attachments.is_intact(attached)
    shop.tidy()


def test_a_file_is_replaced_and_taken_away(shop: Shop) -> None:
    first, second = shop.put(), shop.put(b"other")
    assert (first.revision, second.revision) == (0, 1)
    assert shop.content(second) == b"other"
    shop.ingest.attachments.detach(
        Level.STUDY, shop.study, 1024, claimed=attachments.state(second), required=True
    )
    shop.tidy()
    assert len(shop.files()) == 1


def test_what_is_refused_leaves_nothing(shop: Shop) -> None:
    first = shop.put()
    before = shop.files()
    with pytest.raises(BadRevision):
        shop.put(b"other", claimed=Revision(1, first.uncompressed_md5))
    deposit = shop.ingest.attachments.deposit(1024)
    deposit.write(b"x")
    with pytest.raises(UnknownResource):
        shop.ingest.attachments.attach(Level.STUDY, "nope", deposit)
    assert shop.files() == before
    shop.tidy()


def test_a_failed_transaction_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseError

    before = shop.files()
    monkeypatch.setattr(attachments, "put", fail)
    with pytest.raises(DatabaseError):
        shop.put()
    assert shop.files() == before
    assert shop.rows() == before


def test_a_commit_of_unknown_outcome_keeps_the_file(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shop.index.write

    def lose_the_answer(work: object) -> None:
        real(work)  # type: ignore[arg-type]
        raise DatabaseError("the connection broke")

    deposit = shop.ingest.attachments.deposit(1024)
    deposit.write(TEXT)
    monkeypatch.setattr(shop.index, "write", lose_the_answer)
    with pytest.raises(DatabaseError):
        shop.ingest.attachments.attach(Level.STUDY, shop.study, deposit)
    monkeypatch.undo()
    with shop.index.read() as tx:
        attached = attachments.get(tx, Level.STUDY, shop.study, 1024)
    assert shop.content(attached) == TEXT
    shop.tidy()


def test_what_cannot_be_synced_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "broken")

    before = shop.files()
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(CannotWriteFile):
        shop.put()
    monkeypatch.undo()
    assert shop.files() == before == shop.rows()


def test_a_process_taken_for_dead_attaches_nothing(shop: Shop) -> None:
    deposit = shop.ingest.attachments.deposit(1024)
    deposit.write(TEXT)
    reclaim(shop.index, shop.storage, [ME])
    with pytest.raises(BadSequenceOfCalls):
        shop.ingest.attachments.attach(Level.STUDY, shop.study, deposit)
    assert shop.files() == shop.rows()
    assert shop.content(shop.put()) == TEXT  # with names of its own again


def test_a_crash_before_the_commit_is_swept(shop: Shop) -> None:
    attached = shop.put()
    deposit = shop.ingest.attachments.deposit(1025)
    deposit.write(TEXT)
    lost = deposit.finish()
    assert lost.uuid[:PREFIX_LENGTH] in shop.blocks()
    reclaim(shop.index, shop.storage, [ME])
    assert lost.uuid not in shop.files()
    assert attached.uuid in shop.files()
    shop.ingest.attachments._files.settle(lost.uuid)


def test_packing_and_unpacking(shop: Shop) -> None:
    plain = shop.file()
    shop.recompress(compress=True)
    packed = shop.file()
    assert packed.compression == 2
    assert packed.compressed_size < packed.uncompressed_size == len(shop.data)
    assert packed.digest == plain.digest
    assert shop.path(packed).stat().st_size == packed.compressed_size
    assert blake3(shop.path(packed).read_bytes()).hexdigest() == packed.stored_digest
    assert shop.content(packed) == shop.data
    assert shop.ingest.attachments.is_intact(packed)
    shop.recompress(compress=True)
    assert shop.file() == packed
    shop.recompress(compress=False)
    again = shop.file()
    assert (again.compression, again.stored_digest) == (1, plain.digest)
    assert shop.path(again).read_bytes() == shop.data
    shop.tidy()


def test_damage_is_not_hidden_by_packing(shop: Shop) -> None:
    file = shop.file()
    damaged = bytearray(shop.data)
    damaged[500] ^= 1
    shop.path(file).write_bytes(damaged)
    assert not shop.ingest.attachments.is_intact(file)
    before = shop.files()
    with pytest.raises(CorruptedFile):
        shop.recompress(compress=True)
    shop.path(file).write_bytes(shop.data[:-1])
    assert not shop.ingest.attachments.is_intact(file)
    with pytest.raises(CorruptedFile):
        shop.recompress(compress=True)
    assert shop.file() == file
    assert shop.files() == before
    shop.path(file).unlink()
    with pytest.raises(MissingFile):
        shop.recompress(compress=True)
    with pytest.raises(MissingFile):
        shop.ingest.attachments.is_intact(file)


def test_damage_of_a_packed_file(shop: Shop) -> None:
    shop.recompress(compress=True)
    file = shop.file()
    stored = shop.path(file).read_bytes()
    for harm in (stored[:-1], stored[:100] + b"?" + stored[101:], stored + b"x"):
        shop.path(file).write_bytes(harm)
        assert not shop.ingest.attachments.is_intact(file)
        with pytest.raises(CorruptedFile):
            shop.recompress(compress=False)
    assert shop.file() == file
    assert shop.files() == shop.rows() | journal(shop)


def test_what_is_verified_is_what_the_disk_has(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system remembers of a file says nothing of the disk."""
    calls: list[str] = []
    opened = shop.storage.open

    class Reader:
        def __init__(self, uuid: str, place: str) -> None:
            self.inner = opened(uuid, place)
            self.size = self.inner.size
            self.close = self.inner.close

        def forget(self, offset: int, size: int) -> None:
            calls.append(f"forget {offset} {size}")

        def read_at(self, offset: int, size: int) -> bytes:
            calls.append("read")
            return self.inner.read_at(offset, size)

    monkeypatch.setattr(shop.storage, "open", Reader)
    told: list[int] = []
    file = shop.file()
    assert shop.ingest.attachments.is_intact(file, told.append)
    assert calls[0] == f"forget 0 {file.compressed_size}"
    assert set(calls[1:]) == {"read"}
    assert sum(told) == file.compressed_size


def journal(shop: Shop) -> set[str]:
    with shop.index.read() as tx:
        return {uuid for uuid, _ in deletions.pending(tx, 100)}


def test_files_of_all_kinds_lie_side_by_side(index: Index, tmp_path: Path) -> None:
    shop = Shop(index, tmp_path / "storage", codec=Compression.ZSTD)
    shop.recompress(compress=True)
    packed = shop.file()
    assert packed.compression == Compression.ZSTD
    assert packed.compressed_size < packed.uncompressed_size
    assert shop.content(packed) == shop.data
    assert shop.ingest.attachments.is_intact(packed)
    shop.recompress(compress=True)
    assert shop.file() == packed
    shop.recompress(compress=False)
    assert shop.file().compression == Compression.NONE
    assert shop.content(shop.file()) == shop.data
    shop.tidy()


def test_a_file_that_others_change_meanwhile(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    real = attachments.exchange
    tries = []

    def too_late(tx: Transaction, *args: object) -> bool:
        tries.append(1)
        return len(tries) > 1 and real(tx, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(attachments, "exchange", too_late)
    shop.recompress(compress=True)
    assert (len(tries), shop.file().compression) == (2, 2)
    monkeypatch.setattr(attachments, "exchange", lambda *_: False)
    with pytest.raises(Unavailable):
        shop.recompress(compress=False)
    assert shop.file().compression == 2
    shop.tidy()


@pytest.mark.parametrize("codec", [Compression.ZLIB, Compression.ZSTD])
@pytest.mark.parametrize("piece", [700, 1_000_000])
def test_what_comes_in_is_packed(
    index: Index, tmp_path: Path, piece: int, codec: Compression
) -> None:
    shop = Shop(index, tmp_path / "storage", codec)
    assert shop.file().compression == codec
    assert shop.content(shop.file()) == shop.data
    assert shop.put().compression == codec
    other = make_instance(InstanceNumber=2, SOPInstanceUID="1.2.3.4.5", pixel_bytes=20_000)
    staging_ = shop.ingest.stage(Origin("RestApi"))
    for start in range(0, len(other), piece):
        staging_.write(other[start : start + piece])
    staged = staging_.finish()
    (stored,) = shop.ingest.commit([staged])
    assert shop.content(staged.attachment) == other
    assert staged.attachment.compressed_size < len(other)
    assert stored.identifiers.instance != shop.instance
    shop.tidy()
    shop.ingest.close()
