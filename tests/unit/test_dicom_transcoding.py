"""A file in another transfer syntax: what is not concerned stays bit for bit."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from imagecodecs import jpeg2k_encode

from tests.support.dicom_bytes import (
    IMPLICIT,
    JPEG,
    UNDEFINED,
    data_set,
    explicit,
    fragments,
    implicit,
    item,
    meta,
    open_item,
    raw_deflate,
    sequence,
)
from wherry import limits
from wherry.dicom.codecs.image import Image
from wherry.dicom.codecs.syntaxes import BASELINE, J2K, JLS_LOSSY, LOSSLESS_SV1, RLE
from wherry.dicom.elements import EXPLICIT_LITTLE, UnreadableError
from wherry.dicom.preamble import BIG_ENDIAN, DEFLATED, EXPLICIT
from wherry.dicom.transcoding.parts import New, Range, parts_of
from wherry.dicom.transcoding.transcoding import Transcoding
from wherry.errors import BadFileFormat, CannotDecode, CannotEncode

SIZE = 12
PIXELS = [np.arange(SIZE * SIZE, dtype="<u2").reshape(SIZE, SIZE) * n for n in (1, 5, 9)]


def number(value: int) -> bytes:
    return struct.pack("<H", value)


def image(*more: tuple[int, str, bytes], frames: Sequence[np.ndarray] = PIXELS) -> bytes:
    """A data set in explicit little endian, without its pixel data."""
    shape = (
        (0x00280002, "US", number(1)),
        (0x00280004, "CS", b"MONOCHROME2 "),
        (0x00280008, "IS", f"{len(frames)} ".encode()),
        (0x00280010, "US", number(SIZE)),
        (0x00280011, "US", number(SIZE)),
        (0x00280100, "US", number(16)),
        (0x00280101, "US", number(16)),
        (0x00280102, "US", number(15)),
        (0x00280103, "US", number(0)),
    )
    return data_set(*shape, *more)


def pixel_data(frames: Sequence[np.ndarray] = PIXELS) -> bytes:
    return explicit(0x7FE00010, "OW", b"".join(one.tobytes() for one in frames))


ODD = (
    explicit(0x00291010, "ZZ", b"odd")
    + explicit(0x00291011, "UN", b"unknown\0")
    + sequence(0x00291012, open_item(explicit(0x00080060, "CS", b"CT")), item(b""))
    + explicit(0x00400275, "SQ", item(explicit(0x00400009, "SH", b"A ")), UNDEFINED)
    + implicit(0xFFFEE0DD)
)
BEHIND = explicit(0xFFFCFFFC, "OB", b"\0" * 9)
NATIVE = meta(EXPLICIT) + image() + ODD + pixel_data() + BEHIND


def made(data: bytes, syntax: str, **options: int) -> bytes:
    found = Transcoding(memoryview(data), syntax, **options)  # type: ignore[arg-type]
    whole = bytearray(b"".join(bytes(piece) for piece in found.pieces()))
    for position, value in found.patches:
        whole[position : position + len(value)] = value
    return bytes(whole)


def frames(data: bytes) -> list[np.ndarray]:
    found = Image(data)
    return [found.frame(number) for number in range(found.shape.frames)]


@pytest.mark.parametrize("syntax", [LOSSLESS_SV1, J2K, RLE])
def test_what_is_not_concerned_stays_bit_for_bit(syntax: str) -> None:
    found = made(NATIVE, syntax)
    start, end = len(meta(EXPLICIT)), NATIVE.index(pixel_data())
    at = found.index(explicit(0x7FE00010, "OB", b"", UNDEFINED))
    assert found[:at].endswith(NATIVE[start:end])
    assert found.endswith(implicit(0xFFFEE0DD) + BEHIND)
    back = made(found, EXPLICIT)
    assert back[back.index(image()) :] == NATIVE[start:]
    np.testing.assert_array_equal(frames(found), PIXELS)


def test_offset_tables() -> None:
    found = made(NATIVE, RLE)
    at = found.index(explicit(0x7FE00010, "OB", b"", UNDEFINED)) + 12
    assert found[at : at + 8] == implicit(0xFFFEE000, b"", 4 * len(PIXELS))
    offsets = struct.unpack_from("<3I", found, at + 8)
    for offset, frame in zip(offsets, range(3), strict=True):
        begin = at + 8 + 12 + offset
        tag, length = struct.unpack_from("<II", found, begin)
        assert tag == 0xE000FFFE
        assert found[begin + 8 : begin + 8 + length] == bytes(Image(found).coded(frame))


def test_the_extended_offset_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wherry.dicom.transcoding.pixels._LONGEST_TABLE", 1000)
    old = explicit(0x7FE00001, "OV", struct.pack("<Q", 7)) + explicit(0x7FE00002, "OV", bytes(8))
    found = made(meta(EXPLICIT) + image() + old + pixel_data(), RLE)
    at = found.index(explicit(0x7FE00001, "OV", b"", 24))
    offsets = struct.unpack_from("<3Q", found, at + 12)
    lengths = struct.unpack_from("<3Q", found, at + 12 + 24 + 12)
    assert found[at + 72 :].startswith(explicit(0x7FE00010, "OB", b"", UNDEFINED) + item(b""))
    for number_, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        begin = at + 72 + 12 + 8 + offset + 8
        assert found[begin : begin + length] == bytes(Image(found).coded(number_))
    assert found.count(struct.pack("<HH", 0x7FE0, 0x0001)) == 1
    back = made(found, EXPLICIT)
    assert struct.pack("<HH", 0x7FE0, 0x0001) not in back
    np.testing.assert_array_equal(frames(back), PIXELS)


def test_several_fragments_and_other_encodings() -> None:
    coded = [bytes(Image(made(NATIVE, LOSSLESS_SV1)).coded(number)) for number in range(3)]
    coded = [one + b"\0" * (len(one) % 2) for one in coded]
    cut = [coded[0][:40], coded[0][40:], coded[1], coded[2][:60], coded[2][60:]]
    file = meta(LOSSLESS_SV1) + image() + fragments(b"", *cut) + BEHIND
    for syntax in (IMPLICIT, BIG_ENDIAN, EXPLICIT, RLE):
        np.testing.assert_array_equal(frames(made(file, syntax)), PIXELS)
    big = made(file, BIG_ENDIAN)
    np.testing.assert_array_equal(frames(made(big, J2K)), PIXELS)


def test_the_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a few bytes a frame could keep a worker for days."""
    monkeypatch.setattr(limits, "TRANSCODED_BYTES", 2 * SIZE * SIZE * 3 - 1)
    with pytest.raises(CannotEncode):
        made(NATIVE, RLE)


def single_bits(*frames: np.ndarray) -> bytes:
    rows, columns = frames[0].shape
    shape = (
        (0x00280002, "US", number(1)),
        (0x00280004, "CS", b"MONOCHROME2 "),
        (0x00280008, "IS", f"{len(frames)} ".encode()),
        (0x00280010, "US", number(rows)),
        (0x00280011, "US", number(columns)),
        *((tag, "US", number(1)) for tag in (0x00280100, 0x00280101)),
        *((tag, "US", number(0)) for tag in (0x00280102, 0x00280103)),
    )
    coded = (
        bytes(jpeg2k_encode(one, 0, codecformat="J2K", bitspersample=1, reversible=True))
        for one in frames
    )
    return meta(J2K) + data_set(*shape) + fragments(b"", *coded)


def test_single_bits_are_single_bits_again() -> None:
    """Some write segmentations in JPEG 2000."""
    some = np.arange(16 * 8).reshape(16, 8) % 3 == 0
    whole = [some.astype("u1"), (~some).astype("u1")]
    back = made(single_bits(*whole), EXPLICIT)
    assert back.endswith(b"".join(np.packbits(one, bitorder="little").tobytes() for one in whole))
    np.testing.assert_array_equal(frames(back), whole)
    odd = [one[:5, :5] for one in whole]
    np.testing.assert_array_equal(frames(made(single_bits(odd[0]), EXPLICIT)), odd[:1])
    with pytest.raises(CannotEncode):
        made(single_bits(*odd), EXPLICIT)


def test_deflated_is_what_the_explicit_one_deflates_to() -> None:
    found = made(made(NATIVE, RLE), DEFLATED)
    end = struct.unpack_from("<I", found, 140)[0] + 144
    assert DEFLATED.encode() in found[:end]
    assert zlib.decompressobj(-15).decompress(found[end:]) == NATIVE[len(meta(EXPLICIT)) :]
    with pytest.raises(BadFileFormat, match="inflated"):
        made(meta(DEFLATED) + raw_deflate(image() + pixel_data()), RLE)


def test_lengths_of_groups_that_change_are_left_out() -> None:
    length = explicit(0x00080000, "UL", struct.pack("<I", 99))
    body = image((0x00280000, "UL", struct.pack("<I", 99)))
    file = meta(EXPLICIT) + length + body + pixel_data()
    kept, changed = made(file, RLE), made(file, JLS_LOSSY)
    assert length in kept
    assert length not in changed
    assert explicit(0x00280000, "UL", struct.pack("<I", 99)) not in changed


def test_loss_after_loss_is_told_in_order() -> None:
    known = ((0x00282110, "CS", b"01"), (0x00282112, "DS", b"7 "), (0x00282114, "CS", b"OLD "))
    found = made(meta(EXPLICIT) + image(*known) + pixel_data(), JLS_LOSSY, quality=50)
    assert explicit(0x00282114, "CS", b"OLD\\ISO_14495_1 ") in found
    at = found.index(b"7\\") + 2
    size = sum(len(bytes(Image(found).coded(number))) for number in range(3))
    assert float(found[at : at + 16]) == pytest.approx(2 * 3 * SIZE**2 / size, abs=0.02)


@pytest.mark.parametrize(
    ("data", "syntax", "error"),
    [
        (NATIVE, BASELINE, CannotEncode),
        (NATIVE, "1.2.840.10008.1.2.4.100", CannotEncode),
        (meta(EXPLICIT) + image(), RLE, CannotEncode),
        (meta(EXPLICIT) + image() + explicit(0x7FE00008, "OF", bytes(64)), RLE, CannotEncode),
        (meta(EXPLICIT) + image() + pixel_data()[:-100], RLE, BadFileFormat),
        (meta(JPEG) + image() + fragments(b"", b"ab", b"cd", b"ef"), EXPLICIT, CannotDecode),
        (meta("1.2.840.10008.1.2.4.100") + image() + fragments(b"", b"ab"), EXPLICIT, CannotDecode),
        (meta(EXPLICIT) + b"garbage", RLE, BadFileFormat),
    ],
)
def test_what_cannot_be(data: bytes, syntax: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        made(data, syntax)


def test_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = explicit(0x00080008, "CS", b"A "), explicit(0x00100020, "LO", b"B ")
    data = one + two
    new = New(0x00080016, "UI", b"1\0")
    assert parts_of(data, 0, EXPLICIT_LITTLE, {}) == [Range(0, len(data))]
    assert parts_of(data, 0, EXPLICIT_LITTLE, {0x00080016: new}) == [
        Range(0, len(one)),
        new,
        Range(len(one), len(data)),
    ]
    assert parts_of(data, 0, EXPLICIT_LITTLE, {0x00080008: None, 0x00080016: new}) == [
        new,
        Range(len(one), len(data)),
    ]
    last = New(0x00200010, "SH", b"C ")
    assert parts_of(data, 0, EXPLICIT_LITTLE, {0x00200010: last})[-1] == last
    with pytest.raises(UnreadableError):
        parts_of(data[:-1], 0, EXPLICIT_LITTLE, {})
    monkeypatch.setattr(limits, "DICOM_ELEMENTS", 1)
    with pytest.raises(BadFileFormat):
        parts_of(data, 0, EXPLICIT_LITTLE, {})
