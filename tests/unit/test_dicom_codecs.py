"""Decoded frames of pydicom's files, and code streams that lie."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.pydicom_files import ROOT
from wherry import limits
from wherry.dicom.codecs import FrameShape, decode, encode
from wherry.dicom.codecs.headers import declared
from wherry.dicom.codecs.image import Image
from wherry.dicom.codecs.syntaxes import (
    BASELINE,
    EXTENDED,
    HTJ2K,
    J2K,
    JLS,
    LOSSLESS_SV1,
    RLE,
)
from wherry.errors import BadFileFormat, CannotDecode

KNOWN = json.loads((Path(__file__).parents[1] / "support/pydicom_frames.json").read_text())
"""Shape, type and digest of what pydicom makes of its files, with pillow, pylibjpeg-openjpeg,
pyjpegls and gdcm; of 12-bit JPEG, which none of them reads, what dcmdjpeg makes of them."""

SHAPE = FrameShape(20, 30)
SYNTAXES = (BASELINE, EXTENDED, LOSSLESS_SV1, JLS, J2K, HTJ2K, RLE)


@pytest.mark.parametrize("name", KNOWN)
def test_frames_of_pydicom(name: str) -> None:
    image = Image((ROOT / name).read_bytes())
    frames = [image.frame(number) for number in range(image.shape.frames)]
    array = np.stack(frames) if len(frames) > 1 else frames[0]
    digest = hashlib.sha256(array.tobytes()).hexdigest()[:16]
    assert [list(array.shape), array.dtype.str.strip("<|"), digest] == KNOWN[name]


def test_the_package_loads_no_decoder() -> None:
    code = (
        "import sys, wherry.dicom.codecs.image, wherry.server;"
        "assert 'imagecodecs' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def coded(syntax: str) -> bytes:
    rows, columns = np.mgrid[0 : SHAPE.rows, 0 : SHAPE.columns]
    return encode(syntax, (rows * 5 + columns).astype("u1"), SHAPE)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    "shape", [FrameShape(20, 31), FrameShape(21, 30), FrameShape(20, 30, 3), FrameShape(2, 299)]
)
def test_another_size_than_the_file_says(syntax: str, shape: FrameShape) -> None:
    if syntax == RLE and shape.samples == 1 and shape.rows * shape.columns < 20 * 30:
        return  # nothing says where its rows end
    with pytest.raises(CannotDecode):
        decode(syntax, coded(syntax), shape)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_padding_behind_it(syntax: str) -> None:
    whole = decode(syntax, coded(syntax), SHAPE)
    np.testing.assert_array_equal(decode(syntax, coded(syntax) + b"\0", SHAPE), whole)


@pytest.mark.parametrize("syntax", SYNTAXES[:-1])
def test_a_code_stream_that_declares_a_bomb(syntax: str) -> None:
    data = bytearray(coded(syntax))
    if syntax in (J2K, HTJ2K):
        struct.pack_into(">II", data, 8, 65535, 65535)
    else:
        at = next(
            data.find(mark)
            for mark in (b"\xff\xc0", b"\xff\xc1", b"\xff\xc3", b"\xff\xf7")
            if mark in data
        )
        struct.pack_into(">HH", data, at + 5, 65535, 65535)
    header = declared(syntax, bytes(data))
    assert (header.rows, header.columns) == (65535, 65535)
    with pytest.raises(CannotDecode, match="another size"):
        decode(syntax, bytes(data), SHAPE)
    with pytest.raises(CannotDecode, match="MiB"):
        decode(syntax, bytes(data), FrameShape(65535, 65535))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_cut_off_or_damaged(syntax: str) -> None:
    """Any beginning of it, any byte of it wrong: an error of ours, or an image of that size."""
    whole = coded(syntax)
    for size in range(0, len(whole), 7):
        tried(syntax, whole[:size])
    for position in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[position] ^= 0x5A
        tried(syntax, bytes(damaged))


def tried(syntax: str, data: bytes) -> None:
    try:
        array = decode(syntax, data, SHAPE)
    except CannotDecode:
        return
    assert array.shape == (20, 30)


def test_more_bits_than_there_is_room_for() -> None:
    wide = FrameShape(20, 30, 1, 16, 12)
    for syntax in (EXTENDED, LOSSLESS_SV1, JLS, J2K, HTJ2K):
        data = encode(syntax, np.full((20, 30), 999, "u2"), wide)
        with pytest.raises(CannotDecode, match="more bits"):
            decode(syntax, data, SHAPE)


@pytest.mark.parametrize(
    ("syntax", "data"),
    [
        (BASELINE, b""),
        (BASELINE, b"\xff\xd8\xff\xd9"),
        (BASELINE, b"\xff\xd8" + b"\xff\xe0\0\2" * 9),
        (BASELINE, b"\xff\xd8\xff\xe0\0\0\xff\xc0"),
        (BASELINE, b"\xff\xd8\xff\xca\0\x0b\x08\0\x14\0\x1e\1\0\0\0"),
        (J2K, b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x00free"),
        (J2K, b"\xff\x4f\xff\x51\0\x29" + bytes(40)),
        (RLE, bytes(64)),
        (RLE, struct.pack("<2I", 1, 5) + bytes(100)),
        (RLE, struct.pack("<2I", 2, 64) + bytes(100)),
        ("1.2.840.10008.1.2.4.100", b"\0\0\1"),
    ],
)
def test_garbage(syntax: str, data: bytes) -> None:
    with pytest.raises(CannotDecode):
        decode(syntax, data, SHAPE)


def test_shapes_that_are_none() -> None:
    for shape in (
        FrameShape(0, 5),
        FrameShape(5, 5, 2),
        FrameShape(5, 5, 1, 12),
        FrameShape(5, 5, 1, 8, 9),
        FrameShape(46341, 46341),
    ):
        with pytest.raises(CannotDecode):
            decode("1.2.840.10008.1.2", bytes(limits.KIB), shape)


def test_what_declares_nothing() -> None:
    with pytest.raises(BadFileFormat):
        declared("1.2.840.10008.1.2", bytes(100))
