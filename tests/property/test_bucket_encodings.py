"""What is packed comes out again, however it is cut on the way; what is damaged does not."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry import limits
from wherry.errors import BadFileFormat, NetworkProtocol, ParameterOutOfRange, WherryError
from wherry.transfers.encoding import (
    HEAD,
    LADDER,
    PLANES,
    STORED,
    ZSTD,
    Encoding,
    beyond,
    encoded,
    parse_encoding,
)
from wherry.transfers.sealing import SEAL_BYTES, sealed
from wherry.transfers.unpack import BadBlock, unpacker

GZIP = Encoding("gzip")
PACKED = [GZIP, *LADDER[1:]]


class Sink:
    def __init__(self, size: int) -> None:
        self.size = size
        self.data = bytearray()

    def wanted(self) -> int:
        return max(1, self.size - len(self.data))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += data


def slope(size: int) -> bytes:
    """16-bit pixels that rise slowly."""
    noise = random.Random(size)
    values = (1000 + n // 3 % 9000 + noise.randrange(4) for n in range((size + 1) // 2))
    return b"".join(value.to_bytes(2, "little") for value in values)[:size]


def unpack(data: bytes, encoding: Encoding, size: int, cut: int) -> bytes:
    sink = Sink(size)
    found = unpacker(encoding.name, sink)
    assert found is not None
    for start in range(0, len(data), cut):
        found.write(bytearray(data[start : start + cut]))
    found.finish()
    return bytes(sink.data)


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.binary(max_size=5000), max_size=8),
    encoding=st.sampled_from(PACKED),
    cut=st.integers(1, 4000),
)
def test_there_and_back(pieces: list[bytes], encoding: Encoding, cut: int) -> None:
    packed = list(encoded(iter(pieces), encoding))
    assert all(packed)
    plain = b"".join(pieces)
    assert unpack(b"".join(packed), encoding, len(plain), cut) == plain


@pytest.mark.parametrize("encoding", PACKED, ids=str)
@pytest.mark.parametrize("size", [0, 1, 32_769, limits.CODEC_BLOCK_BYTES, 3_000_001])
def test_all_sizes(encoding: Encoding, size: int) -> None:
    data = slope(size)
    pieces = [data[start : start + 524_288] for start in range(0, size, 524_288)]
    packed = b"".join(encoded(iter(pieces), encoding))
    assert unpack(packed, encoding, size, 262_144) == data


def kinds(data: bytes) -> list[int]:
    packed = b"".join(encoded([data], LADDER[2]))
    found, start = [], 0
    while start < len(packed):
        kind, _, size = HEAD.unpack_from(packed, start)
        found.append(kind)
        start += HEAD.size + size
    return found


def test_each_block_is_packed_as_suits_it() -> None:
    text = b"the quick brown fox jumps over the lazy dog %d " * 30_000
    noise = os.urandom(limits.CODEC_BLOCK_BYTES)
    pixels = slope(limits.CODEC_BLOCK_BYTES)
    assert kinds(pixels) == [PLANES]
    assert kinds(text[: limits.CODEC_BLOCK_BYTES]) == [ZSTD]
    assert kinds(noise) == [STORED]
    assert kinds(pixels + noise + pixels) == [PLANES, STORED, PLANES]


@pytest.mark.parametrize("encoding", PACKED, ids=str)
def test_a_flipped_bit_is_noticed_or_harmless(encoding: Encoding) -> None:
    """zstd frames carry checksums; what is stored is not checked here but by its seal or MD5."""
    data = slope(40_000)
    packed = bytearray(b"".join(encoded([data], encoding)))
    for seed in range(200):
        chance = random.Random(seed)
        place, bit = chance.randrange(len(packed)), 1 << chance.randrange(8)
        packed[place] ^= bit
        try:
            assert unpack(bytes(packed), encoding, len(data), 10_000) == data
        except WherryError:
            pass
        packed[place] ^= bit


def frame(kind: int, plain: int, data: bytes, packed: int | None = None) -> bytes:
    return HEAD.pack(kind, plain, len(data) if packed is None else packed) + data


BOMB = b"".join(encoded([bytes(limits.CODEC_BLOCK_BYTES)], LADDER[2]))[HEAD.size :]


@pytest.mark.parametrize(
    ("data", "size", "error"),
    [
        (frame(STORED, 5, b"hello"), 4, NetworkProtocol),
        (frame(STORED, 5, b"hello") * 2, 5, NetworkProtocol),
        (frame(3, 5, b"hello"), 5, BadBlock),
        (frame(STORED, 6, b"hello"), 6, BadBlock),
        (frame(STORED, 0, b""), 0, BadBlock),
        (frame(ZSTD, 2**31, b"x" * 9), 2**31, BadBlock),
        (frame(ZSTD, 100, b"hello"), 100, BadBlock),
        (frame(ZSTD, 1000, BOMB), 1000, BadBlock),
        (frame(PLANES, 1000, BOMB), 1000, BadBlock),
        (frame(STORED, 5, b"hel", 5), 5, BadFileFormat),
        (b"\0" * 11, 5, BadFileFormat),
    ],
)
def test_what_is_no_row_of_blocks(data: bytes, size: int, error: type[WherryError]) -> None:
    with pytest.raises(error):
        unpack(data, LADDER[1], size, 1 << 20)


@pytest.mark.parametrize("text", ["none", "gzip", "blocks1", "blocks-5", "blocks9"])
def test_names(text: str) -> None:
    assert str(parse_encoding(text)) == text


@pytest.mark.parametrize("text", ["", "auto", "blocks", "blocks0", "blocks22", "planes1", "GZIP"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(ParameterOutOfRange):
        parse_encoding(text)


@given(pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=9), skip=st.integers(0, 500))
def test_the_rest_behind_what_is_there(pieces: list[bytes], skip: int) -> None:
    assert b"".join(beyond(skip, iter(pieces))) == b"".join(pieces)[skip:]


def test_a_seal_is_of_these_bytes_in_this_place() -> None:
    span = ("a", 0, 5)
    made = b"".join(sealed([b"he", b"llo"], [span]))
    assert made[:5] == b"hello"
    assert len(made) == 5 + SEAL_BYTES
    assert made == b"".join(sealed([b"hello"], [span]))
    for bytes_, other in [(b"hellp", span), (b"hello", ("a", 1, 5)), (b"hello", ("b", 0, 5))]:
        assert b"".join(sealed([bytes_], [other]))[5:] != made[5:]
