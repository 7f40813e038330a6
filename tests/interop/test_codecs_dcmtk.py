"""What we compress, decompressed by DCMTK; what DCMTK compresses, decompressed by us. JPEG 2000, of
which DCMTK knows nothing, goes to Pillow."""

from __future__ import annotations

import io
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pydicom
import pytest

from tests.support.dcmtk import needs_dcmtk
from tests.support.pydicom_files import ROOT
from wherry.dicom.codecs.image import Image
from wherry.dicom.codecs.syntaxes import (
    BASELINE,
    EXTENDED,
    J2K,
    JLS,
    JLS_LOSSY,
    LOSSLESS,
    LOSSLESS_SV1,
    RLE,
)
from wherry.dicom.transcoding.transcoding import Transcoding

pytestmark = needs_dcmtk

FILES = ROOT / "test_files"
READERS = {
    BASELINE: ("dcmdjpeg",),
    EXTENDED: ("dcmdjpeg",),
    LOSSLESS: ("dcmdjpeg",),
    LOSSLESS_SV1: ("dcmdjpeg",),
    JLS: ("dcmdjpls",),
    JLS_LOSSY: ("dcmdjpls",),
    RLE: ("dcmdrle",),
}
LOST = {BASELINE: 25, EXTENDED: 25, JLS_LOSSY: 2}
"""How far a word may be from what our own decoder makes of it; 0 for the others."""
WRITERS: dict[str, Sequence[str]] = {
    "lossless": ("dcmcjpeg", "+e1"),
    "lossless-14": ("dcmcjpeg", "+el"),
    "baseline": ("dcmcjpeg", "+eb"),
    "extended": ("dcmcjpeg", "+ee"),
    "jpeg-ls": ("dcmcjpls", "+el"),
    "near-lossless": ("dcmcjpls", "+en"),
    "by-plane": ("dcmcjpls", "+el", "+in"),
    "rle": ("dcmcrle",),
}
CASES = [
    ("CT_small", (LOSSLESS, LOSSLESS_SV1, JLS, JLS_LOSSY, RLE)),
    ("MR_small_bigendian", (LOSSLESS_SV1, JLS, RLE)),
    ("SC_rgb_rle_2frame", (BASELINE, LOSSLESS, LOSSLESS_SV1, JLS, JLS_LOSSY)),
    ("SC_rgb_rle_16bit_2frame", (LOSSLESS_SV1, JLS)),
    ("JPGExtended", (LOSSLESS_SV1, JLS, RLE)),
    ("examples_overlay", (EXTENDED, LOSSLESS_SV1, JLS, RLE)),
    ("examples_rgb_color", (BASELINE, JLS, RLE)),
    ("JPEG2000", (LOSSLESS_SV1, RLE)),
]


def transcoded(name: str, syntax: str) -> bytes:
    data = (FILES / f"{name}.dcm").read_bytes()
    made = Transcoding(memoryview(data), syntax)
    found = bytearray(b"".join(bytes(piece) for piece in made.pieces()))
    for position, value in made.patches:
        found[position : position + len(value)] = value
    return bytes(found)


def run(tmp_path: Path, data: bytes, *command: str) -> bytes:
    source, target = tmp_path / "source.dcm", tmp_path / "target.dcm"
    source.write_bytes(data)
    done = subprocess.run([*command, source, target], capture_output=True, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
    return target.read_bytes()


def frames(data: bytes) -> np.ndarray:
    image = Image(data)
    bits = (1 << image.shape.bits_stored) - 1
    found = [image.frame(number).astype("i8") & bits for number in range(image.shape.frames)]
    return np.stack(found)


@pytest.mark.parametrize(
    ("name", "syntax"), [(name, one) for name, syntaxes in CASES for one in syntaxes]
)
def test_read_by_dcmtk(tmp_path: Path, name: str, syntax: str) -> None:
    data = transcoded(name, syntax)
    read = frames(run(tmp_path, data, *READERS[syntax]))
    far = np.abs(read - frames(data)).max()
    assert far <= LOST.get(syntax, 0)


EXACT = ("lossless", "lossless-14", "jpeg-ls", "by-plane", "rle")


@pytest.mark.parametrize(
    ("name", "writer"),
    [
        *((name, writer) for name in ("CT_small", "SC_rgb_small_odd") for writer in EXACT),
        *(("examples_overlay", writer) for writer in (*EXACT, "extended", "near-lossless")),
        ("examples_rgb_color", "baseline"),
        ("examples_rgb_color", "near-lossless"),
    ],
)
def test_written_by_dcmtk(tmp_path: Path, name: str, writer: str) -> None:
    data = (FILES / f"{name}.dcm").read_bytes()
    coded = run(tmp_path, data, *WRITERS[writer])
    far = np.abs(frames(coded) - frames(data)).max()
    assert far <= {"baseline": 120, "extended": 60, "near-lossless": 2}.get(writer, 0)


@pytest.mark.parametrize("name", ["examples_rgb_color", "SC_rgb_small_odd"])
def test_jpeg_2000_read_by_pillow(name: str) -> None:
    image = Image(transcoded(name, J2K))
    with PIL.Image.open(io.BytesIO(bytes(image.coded(0)))) as read:
        np.testing.assert_array_equal(np.asarray(read), image.frame(0))


def test_tables_of_offsets_are_right(tmp_path: Path) -> None:
    """Read by pydicom, and by hand."""
    data = transcoded("rtdose", RLE)
    with pydicom.dcmread(io.BytesIO(data)) as read:
        table = read.PixelData[8 : 8 + 4 * 15]
        offsets = struct.unpack("<15I", table)
        first = 8 + 4 * 15
        for offset in offsets:
            assert read.PixelData[first + offset :][:4] == b"\xfe\xff\x00\xe0"
        assert [*pydicom.encaps.generate_frames(read.PixelData, number_of_frames=15)]
        np.testing.assert_array_equal(read.pixel_array, frames((FILES / "rtdose.dcm").read_bytes()))
