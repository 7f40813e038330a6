"""Frames of encapsulated pixel data: by number, by offset tables, by their beginnings."""

from __future__ import annotations

import struct

import pytest

from tests.support.dicom_bytes import JPEG, data_set, explicit, fragments, meta
from wherry.dicom.frames import count_of, frame
from wherry.errors import BadFileFormat, ParameterOutOfRange

FRAMES = (0x00280008, "IS", b"2 ")
A, B, C, D = b"\xff\xd8\xff\xe0", b"bb", b"\xff\xd8\xff\xe1", b"dddd"


def frames(file: bytes) -> list[bytes]:
    found = []
    for number in (0, 1):
        one = frame(file, number)
        found.append(b"".join(bytes(one.data[p : p + n]) for p, n in one.pieces))
    return found


def test_one_fragment_each() -> None:
    assert frames(meta(JPEG) + data_set(FRAMES) + fragments(b"", b"ab", b"cd")) == [b"ab", b"cd"]


def test_by_the_offset_table() -> None:
    table = struct.pack("<2I", 0, 8 + len(b"xx") + 8 + len(b"yy"))
    file = meta(JPEG) + data_set(FRAMES) + fragments(table, b"xx", b"yy", b"zz")
    assert frames(file) == [b"xxyy", b"zz"]


def test_by_the_extended_offset_table() -> None:
    table = struct.pack("<2Q", 0, 10)
    file = meta(JPEG) + data_set(FRAMES) + explicit(0x7FE00001, "OV", table)
    assert frames(file + fragments(b"", b"xx", b"yy", b"zz")) == [b"xx", b"yyzz"]


@pytest.mark.parametrize("table", [b"", struct.pack("<2I", 0, 7), struct.pack("<2I", 9, 0)])
def test_by_how_they_begin(table: bytes) -> None:
    file = meta(JPEG) + data_set(FRAMES) + fragments(table, A, B, C, D)
    assert frames(file) == [A + B, C + D]


def test_frames_that_cannot_be_told_apart() -> None:
    with pytest.raises(BadFileFormat, match="told apart"):
        frame(meta(JPEG) + data_set(FRAMES) + fragments(b"", B, B, B), 0)
    with pytest.raises(BadFileFormat, match="offset table"):
        frame(meta(JPEG) + data_set(FRAMES) + fragments(), 0)
    with pytest.raises(ParameterOutOfRange):
        frame(meta(JPEG) + data_set(FRAMES) + fragments(b"", B, B), 2)


def test_pixels_shorter_than_their_frames() -> None:
    size = (
        (0x00280010, "US", b"\2\0"),
        (0x00280011, "US", b"\2\0"),
        (0x00280100, "US", b"\x08\0"),
    )
    body = data_set(FRAMES, *size)
    file = meta() + body + explicit(0x7FE00010, "OW", bytes(8))
    assert frame(file, 1).pieces == ((len(file) - 4, 4),)
    with pytest.raises(BadFileFormat, match="shorter"):
        frame(meta() + body + explicit(0x7FE00010, "OW", bytes(6)), 0)


@pytest.mark.parametrize(
    ("text", "count"), [(None, 1), ("", 1), (" 3 ", 3), ("0", 0), ("x", 1), ("-1", 1), ("1.5", 1)]
)
def test_number_of_frames(text: str | None, count: int) -> None:
    assert count_of(text) == count
