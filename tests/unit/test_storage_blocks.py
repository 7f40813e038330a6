"""Files compressed in blocks: any part is read, damage is noticed, nothing is unpacked beyond its
size."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import zstandard

from wherry import limits
from wherry.errors import CorruptedFile
from wherry.model import Attachment, Compression
from wherry.storage.base import FileReader
from wherry.storage.blocks import BlockPacker
from wherry.storage.content import open_content
from wherry.storage.filesystem import FilesystemStorage

BLOCK = 40_000
CONTENT = random.Random(1).randbytes(50_000) + bytes(200_000) + random.Random(2).randbytes(50_001)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STORED_BLOCK_BYTES", BLOCK)


def packed(content: bytes, piece: int = 1_000_000) -> bytes:
    packer = BlockPacker()
    blocks = [
        packer.compress(content[start : start + piece]) for start in range(0, len(content), piece)
    ]
    return struct.pack("<Q", len(content)) + b"".join(blocks) + packer.flush()


def frame(content: bytes) -> bytes:
    made = zstandard.ZstdCompressor(write_checksum=True).compress(content)
    return struct.pack("<I", len(made)) + made


def opened(folder: Path, stored: bytes, size: int) -> FileReader:
    storage, uuid = FilesystemStorage(folder), str(uuid4())
    writer = storage.create(uuid)
    writer.write(stored)
    writer.sync()
    writer.close()
    return open_content(storage, Attachment(uuid, 1, size, "", len(stored), "", Compression.ZSTD))


def test_it_is_what_it_is_said_to_be() -> None:
    stored, at, blocks = packed(CONTENT), 8, []
    while at < len(stored):
        (length,) = struct.unpack_from("<I", stored, at)
        blocks.append(zstandard.ZstdDecompressor().decompress(stored[at + 4 : at + 4 + length]))
        at += 4 + length
    assert [len(block) for block in blocks] == [BLOCK] * 7 + [len(CONTENT) - 7 * BLOCK]
    assert b"".join(blocks) == CONTENT


@pytest.mark.parametrize("piece", [1, 700, BLOCK, BLOCK + 1])
def test_pieces_of_any_size_give_the_same_file(piece: int) -> None:
    some = CONTENT[: 3 * BLOCK + 5] if piece > 1 else CONTENT[:1000]
    assert packed(some, piece) == packed(some)


@pytest.mark.parametrize("in_memory", [0, limits.UNPACKED_IN_MEMORY_BYTES])
def test_any_part_may_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(limits, "UNPACKED_IN_MEMORY_BYTES", in_memory)
    reader = opened(tmp_path, packed(CONTENT), len(CONTENT))
    assert (reader.size, reader.fileno(), reader.place) == (len(CONTENT), None, "")
    some = random.Random(3)
    ranges = [(0, 10), (BLOCK - 1, 2), (0, len(CONTENT)), (len(CONTENT) - 1, 5), (len(CONTENT), 1)]
    ranges += [(some.randrange(len(CONTENT)), some.randrange(2 * BLOCK)) for _ in range(50)]
    for offset, size in ranges:
        assert reader.read_at(offset, size) == CONTENT[offset : offset + size]
    with reader.map() as view:
        assert bytes(view) == CONTENT
    reader.close()


def test_a_part_costs_its_own_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = opened(tmp_path, packed(CONTENT), len(CONTENT))
    unpacked = []
    real = zstandard.frame_content_size
    monkeypatch.setattr(
        "wherry.storage.blocks.zstandard.frame_content_size",
        lambda data: unpacked.append(1) or real(data),
    )
    assert reader.read_at(5 * BLOCK + 7, 100) == CONTENT[5 * BLOCK + 7 :][:100]
    assert len(unpacked) == 1
    reader.close()


def test_an_empty_file(tmp_path: Path) -> None:
    for stored in (b"", packed(b"")):
        reader = opened(tmp_path, stored, 0)
        assert reader.read_at(0, 10) == b""
        with reader.map() as view:
            assert bytes(view) == b""
        reader.close()


BOMB = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(500_000_000))


@pytest.mark.parametrize(
    "harm",
    [
        lambda stored: stored[:-1],
        lambda stored: stored[: len(stored) // 2],
        lambda stored: stored[:8],
        lambda stored: stored[:5],
        lambda stored: b"",
        lambda stored: stored + b"x",
        lambda stored: stored + frame(b"more"),
        lambda stored: struct.pack("<Q", 5) + stored[8:],
        lambda stored: struct.pack("<Q", 2**63) + stored[8:],
        lambda stored: stored[:8] + struct.pack("<I", 2**32 - 1) + stored[12:],
        lambda stored: stored[:8] + struct.pack("<I", 0) + stored[12:],
        lambda stored: stored[:-1] + bytes([stored[-1] ^ 1]),
        lambda stored: stored[:8] + frame(b"another size"),
        lambda stored: stored[:8] + frame(bytes(10_000_000)),
        lambda stored: stored[:8] + struct.pack("<I", len(BOMB)) + BOMB,
        lambda stored: bytes(len(stored)),
    ],
)
def test_damage_is_noticed(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    reader = opened(tmp_path, harm(packed(CONTENT)), len(CONTENT))
    with pytest.raises(CorruptedFile), reader.map():
        pass
    with pytest.raises(CorruptedFile):
        offset = 0
        while offset < len(CONTENT):
            offset += len(reader.read_at(offset, 10_000))
    reader.close()
