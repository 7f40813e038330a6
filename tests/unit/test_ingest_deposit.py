"""A new file, packed or plain: its bytes, sizes and digests, and nothing left of it if it fails."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from blake3 import blake3

from wherry import limits
from wherry.errors import StorageFull, TooLarge
from wherry.ingest.deposit import Deposit
from wherry.model import Compression
from wherry.storage.content import open_content
from wherry.storage.filesystem import FilesystemStorage


class Names:
    """Counts what is open."""

    def __init__(self) -> None:
        self.open: set[str] = set()

    def take(self) -> str:
        name = str(uuid4())
        self.open.add(name)
        return name

    def settle(self, uuid: str) -> None:
        self.open.remove(uuid)

    def leave(self, files: Sequence[tuple[str, str]]) -> None:
        raise AssertionError("the storage area is within reach")


@pytest.fixture
def storage(tmp_path: Path) -> FilesystemStorage:
    return FilesystemStorage(tmp_path)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def digest(data: bytes) -> str:
    return blake3(data).hexdigest()


CONTENTS = {
    "empty": b"",
    "small": b"some text",
    "long": bytes(300_000) + random.Random(2).randbytes(300_000),
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("piece", [7_000, 10_000_000])
@pytest.mark.parametrize("held", [1_000, 10_000_000])
@pytest.mark.parametrize("compression", [Compression.ZLIB, Compression.ZSTD])
def test_packed(
    storage: FilesystemStorage,
    tmp_path: Path,
    name: str,
    piece: int,
    held: int,
    compression: Compression,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PACKED_IN_MEMORY_BYTES", held)
    monkeypatch.setattr(limits, "STORED_BLOCK_BYTES", 100_000)
    data = CONTENTS[name]
    names = Names()
    deposit = Deposit(storage, names, 4400, compression=compression, max_bytes=1_000_000)
    for start in range(0, len(data), piece):
        deposit.write(data[start : start + piece])
    with deposit.content() as view:
        assert bytes(view) == data
    attachment = deposit.finish()
    (file,) = files(tmp_path)
    stored = file.read_bytes()
    assert file.name == attachment.uuid
    if data:
        assert int.from_bytes(stored[:8], "little") == len(data)
        if compression is Compression.ZLIB:
            assert zlib.decompress(stored[8:]) == data
    else:
        assert stored == b""
    assert attachment.content_type == 4400
    assert attachment.compression == compression
    assert (attachment.uncompressed_size, attachment.digest) == (len(data), digest(data))
    assert (attachment.compressed_size, attachment.stored_digest) == (len(stored), digest(stored))
    reader = open_content(storage, attachment)
    assert reader.read_at(0, len(data)) == data
    reader.close()
    deposit.abort()  # nothing any more
    assert names.open == {attachment.uuid}
    assert files(tmp_path) == [file]


@pytest.mark.parametrize("name", CONTENTS)
def test_plain(storage: FilesystemStorage, tmp_path: Path, name: str) -> None:
    data = CONTENTS[name]
    deposit = Deposit(storage, Names(), compression=Compression.NONE, max_bytes=1_000_000)
    for start in range(0, len(data), 7_000):
        deposit.write(data[start : start + 7_000])
    with deposit.content() as view:
        assert bytes(view) == data
    attachment = deposit.finish()
    assert files(tmp_path)[0].read_bytes() == data
    assert attachment.compression == 1
    assert attachment.digest == attachment.stored_digest == digest(data)
    assert attachment.uncompressed_md5 == ""
    assert attachment.uncompressed_size == attachment.compressed_size == len(data)


@pytest.mark.parametrize("compression", [*Compression])
def test_a_file_has_a_bound(
    storage: FilesystemStorage, tmp_path: Path, compression: Compression
) -> None:
    names = Names()
    deposit = Deposit(storage, names, compression=compression, max_bytes=10)
    deposit.write(b"123456789")
    with pytest.raises(TooLarge):
        deposit.write(b"12")
    deposit.abort()
    deposit.abort()
    assert files(tmp_path) == []
    assert not names.open


def test_a_full_disk(storage: FilesystemStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names()
    monkeypatch.setattr(storage, "free_bytes", lambda: 1000)
    deposit = Deposit(storage, names, compression=Compression.NONE, max_bytes=10)
    with pytest.raises(StorageFull):
        deposit.write(b"x")
    deposit.abort()
    assert not names.open


def test_a_file_that_cannot_be_made(
    storage: FilesystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names()

    def refuse(*_: object) -> None:
        raise StorageFull

    monkeypatch.setattr(storage, "create", refuse)
    deposit = Deposit(storage, names, compression=Compression.NONE, max_bytes=10)
    with pytest.raises(StorageFull):
        deposit.write(b"x")
    assert not names.open
