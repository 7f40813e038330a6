"""Orthanc's compressed format: what is written can be read by zlib, and damage is noticed."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path
from uuid import uuid4

import pytest

from wherry import limits
from wherry.errors import CannotWriteFile, CorruptedFile, MissingFile
from wherry.model import Attachment
from wherry.storage.base import FileReader
from wherry.storage.content import open_content
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.packed import _parking, _Stream

FROM_ORTHANC = b"\t\0\0\0\0\0\0\0x\x9c+\xce\xcfMU(I\xad(\x01\x00\x11\xe8\x03\x9a"
"""What Debian's Orthanc 1.10.1 stores for ``some text``."""


def opened(folder: Path, stored: bytes, size: int, compression: int = 2) -> FileReader:
    """A stored file, as an attachment of ``size`` plain bytes."""
    storage, uuid = FilesystemStorage(folder), str(uuid4())
    writer = storage.create(uuid)
    writer.write(stored)
    writer.sync()
    writer.close()
    return open_content(storage, Attachment(uuid, 1, size, "", len(stored), "", compression))


def packed(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + zlib.compress(content)


@pytest.fixture(params=["memory", "file"])
def content(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Bytes that are unpacked in one of the two ways."""
    if request.param == "file":
        monkeypatch.setattr(limits, "UNPACKED_IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(limits, "READ_CHUNK_BYTES", 4096)
    some = random.Random(1)
    return some.randbytes(50_000) + bytes(200_000) + some.randbytes(50_000)


def test_a_file_of_orthanc(tmp_path: Path) -> None:
    reader = opened(tmp_path, FROM_ORTHANC, 9)
    assert (reader.size, reader.fileno()) == (9, None)
    assert reader.read_at(0, 100) == b"some text"
    reader.close()


def test_any_part_may_be_read(tmp_path: Path, content: bytes) -> None:
    reader = opened(tmp_path, packed(content), len(content))
    for offset, size in (
        (0, 10),
        (10, 10),
        (249_990, 20),
        (5, 5),
        (0, len(content)),
        (len(content) - 3, 100),
        (len(content), 1),
        (len(content) + 5, 1),
        (7, 0),
    ):
        assert reader.read_at(offset, size) == content[offset : offset + size]
    with reader.map() as view:
        assert bytes(view) == content
    assert reader.read_at(0, 3) == content[:3]
    reader.close()
    reader.close()


def test_an_empty_file(tmp_path: Path) -> None:
    for stored in (b"", packed(b"")):
        reader = opened(tmp_path, stored, 0)
        assert reader.read_at(0, 10) == b""
        with reader.map() as view:
            assert bytes(view) == b""
        reader.close()


@pytest.mark.parametrize(
    "harm",
    [
        lambda stored: stored[:-1],
        lambda stored: stored[: len(stored) // 2],
        lambda stored: stored[:8],
        lambda stored: stored[:5],
        lambda stored: b"",
        lambda stored: stored + b"x",
        lambda stored: struct.pack("<Q", 5) + stored[8:],
        lambda stored: struct.pack("<Q", 2**63) + stored[8:],
        lambda stored: stored[:8] + b"y" + stored[9:],
        lambda stored: stored[:-1] + bytes([stored[-1] ^ 1]),
        lambda stored: stored[:8] + zlib.compress(b"another size"),
        lambda stored: stored[:8] + zlib.compress(bytes(10_000_000)),
        lambda stored: bytes(len(stored)),
    ],
)
def test_damage_is_noticed(tmp_path: Path, content: bytes, harm: object) -> None:
    assert callable(harm)
    reader = opened(tmp_path, harm(packed(content)), len(content))
    with pytest.raises(CorruptedFile), reader.map():
        pass
    with pytest.raises(CorruptedFile):
        offset = 0
        while offset < len(content):
            offset += len(reader.read_at(offset, 10_000))
    reader.close()


def test_a_bomb_is_not_inflated_beyond_its_size(tmp_path: Path) -> None:
    bomb = struct.pack("<Q", 100) + zlib.compress(bytes(200_000_000))
    reader = opened(tmp_path, bomb, 100)
    with pytest.raises(CorruptedFile):
        reader.read_at(0, 100)
    reader.close()


def test_no_room_to_unpack(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNPACKED_IN_MEMORY_BYTES", 1000)
    reader = opened(tmp_path, packed(content), len(content))

    def full() -> object:
        raise OSError(28, "No space left")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(CannotWriteFile), reader.map():
        pass
    reader.close()


def test_other_compressions(tmp_path: Path) -> None:
    assert opened(tmp_path, b"plain", 5, compression=1).read_at(0, 10) == b"plain"
    with pytest.raises(CorruptedFile):
        opened(tmp_path, b"plain", 5, compression=4)


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    storage = FilesystemStorage(tmp_path)
    with pytest.raises(MissingFile):
        open_content(storage, Attachment(str(uuid4()), 1, 5, "", 5, "", 2))


def test_portions_are_not_paid_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that come one after the other go on where the last one has stopped."""
    content = random.Random(3).randbytes(64) * 200_000
    storage, uuid = FilesystemStorage(tmp_path), str(uuid4())
    writer = storage.create(uuid)
    stored = packed(content)
    writer.write(stored)
    writer.sync()
    writer.close()
    attachment = Attachment(uuid, 1, len(content), "", len(stored), "", 2)
    inflated = []
    real = _Stream._inflate

    def counting(self: _Stream, most: int) -> bytes:
        piece = real(self, most)
        inflated.append(len(piece))
        return piece

    monkeypatch.setattr(_Stream, "_inflate", counting)
    portion = 3_000_000
    for start in (0, 3_000_000, 9_000_000, 6_000_000, 12_000_000):
        reader = open_content(storage, attachment)
        assert reader.read_at(start, portion) == content[start : start + portion]
        reader.close()
        reader.close()
    assert sum(inflated) < 2 * len(content)


def test_parked_streams_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PARKED_STREAMS", 2)
    content = bytes(5_000_000)
    for _ in range(5):
        reader = opened(tmp_path, packed(content), len(content))
        assert reader.read_at(2_000_000, 10) == bytes(10)
        reader.close()
    assert len(_parking._streams) == 2


def test_a_stream_that_failed_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = random.Random(4)
    content = some.randbytes(64) * 30_000 + some.randbytes(64) * 30_000
    storage, uuid = FilesystemStorage(tmp_path), str(uuid4())
    writer = storage.create(uuid)
    stored = packed(content)
    writer.write(stored)
    writer.sync()
    writer.close()
    attachment = Attachment(uuid, 1, len(content), "", len(stored), "", 2)
    reader = open_content(storage, attachment)
    assert reader.read_at(0, 1_500_000) == content[:1_500_000]
    real = _Stream._inflate
    calls = []

    def failing(self: _Stream, most: int) -> bytes:
        calls.append(1)
        if len(calls) == 2:
            raise OSError
        return real(self, min(most, 1000))

    monkeypatch.setattr(_Stream, "_inflate", failing)
    with pytest.raises(OSError):
        reader.read_at(1_500_000, 100_000)
    monkeypatch.undo()
    reader.close()
    again = open_content(storage, attachment)
    assert again.read_at(1_600_000, 400_000) == content[1_600_000:2_000_000]
    again.close()
