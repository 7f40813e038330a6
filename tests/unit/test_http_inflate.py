from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry import limits
from wherry.errors import BadFileFormat, TooLarge
from wherry.http.inflate import Inflating, inflate

BOMB = gzip.compress(bytes(64 * limits.MIB))


@given(
    st.lists(st.tuples(st.binary(max_size=50), st.integers(1, 100_000)), max_size=6),
    st.integers(1, 70_000),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_pieces(parts: list[tuple[bytes, int]], step: int) -> None:
    content = b"".join((part * times)[: 3 * limits.MIB] for part, times in parts)
    packed = gzip.compress(content, 1)
    got = bytearray()
    stream = Inflating(got.extend, len(content) + 1)
    for start in range(0, len(packed), step):
        stream.write(packed[start : start + step])
    stream.finish()
    assert got == content


def test_output_comes_in_bounded_pieces() -> None:
    sizes: list[int] = []
    stream = Inflating(lambda piece: sizes.append(len(piece)), 16 * limits.MIB)
    stream.write(gzip.compress(bytes(10 * limits.MIB)))
    stream.finish()
    assert sum(sizes) == 10 * limits.MIB
    assert max(sizes) <= limits.BODY_CHUNK_BYTES


def test_several_members_are_one_stream() -> None:
    assert inflate(gzip.compress(b"one ") + gzip.compress(b"two"), 100) == b"one two"


def test_too_many_members() -> None:
    with pytest.raises(TooLarge, match="members"):
        inflate(gzip.compress(b"") * (limits.GZIP_MEMBERS + 1), 100)


@pytest.mark.parametrize("body", [b"hello, not gzip at all", zlib.compress(b"x" * 99), b"\x1f\x8b"])
def test_not_gzip(body: bytes) -> None:
    with pytest.raises(BadFileFormat):
        inflate(body, 1000)


def test_truncated_and_damaged() -> None:
    packed = bytearray(gzip.compress(bytes(range(256)) * 100))
    with pytest.raises(BadFileFormat, match="truncated"):
        inflate(bytes(packed[:-1]), 100_000)
    packed[-6] ^= 1
    with pytest.raises(BadFileFormat):
        inflate(bytes(packed), 100_000)


def test_a_bomb_is_stopped_by_its_ratio() -> None:
    given = 0

    def sink(piece: bytes) -> None:
        nonlocal given
        given += len(piece)

    with pytest.raises(TooLarge, match="ratio"):
        Inflating(sink, limits.INSTANCE_BYTES).write(BOMB)
    assert given <= limits.INFLATE_FREE_BYTES


def test_the_limit_of_the_caller() -> None:
    with pytest.raises(TooLarge, match="1000 bytes"):
        inflate(gzip.compress(bytes(1001)), 1000)
