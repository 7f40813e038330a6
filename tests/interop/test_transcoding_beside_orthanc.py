"""Every file of pydicom in every transfer syntax, as the real Orthanc makes it and as we do.

``transcoding_table.txt`` has a line for each file and a column for each transfer syntax:

    =  both transcode it, to the same pixels (those that lose something: to pixels that are near)
    .  neither does
    +  we do, Orthanc gives the file as it is
    -  Orthanc does, we give the file as it is (docs/differences.md)

A sample of the lines is played in each run, all of them with ``WHERRY_WHOLE_TABLE=1``; with
``WHERRY_WRITE_TABLE=1`` the table is written.
"""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from tests.support.genuine import Orthanc
from tests.support.pydicom_files import FILES, ROOT
from wherry.dicom.codecs.image import Image
from wherry.dicom.codecs.syntaxes import LOSSY
from wherry.dicom.preamble import DEFLATED
from wherry.dicom.transcoding.transcoding import Transcoding
from wherry.errors import WherryError
from wherry.imaging.pool import Source
from wherry.imaging.transcoding import inflated, syntax_of

TABLE = Path(__file__).parent / "transcoding_table.txt"
_BASE = "1.2.840.10008.1.2"
TARGETS = {
    "implicit": _BASE,
    "explicit": f"{_BASE}.1",
    "deflated": f"{_BASE}.1.99",
    "big": f"{_BASE}.2",
    **{name: f"{_BASE}.4.{name}" for name in ("50", "51", "57", "70", "80", "81", "90", "91")},
    "rle": f"{_BASE}.5",
}
NAMES = [one for one in FILES if one.startswith("test_files/") and "dicomdirtests" not in one]
WHOLE = bool(os.environ.get("WHERRY_WHOLE_TABLE") or os.environ.get("WHERRY_WRITE_TABLE"))


def table() -> dict[str, str]:
    lines = [line.split() for line in TABLE.read_text().splitlines()[1:]]
    return {name: "".join(found) for name, *found in lines}


def theirs(orthanc: Orthanc, series: str, syntax: str) -> bytes:
    for _ in range(3):
        with suppress(ConnectionError):  # now and then Orthanc cuts the connection of a ZIP
            status, data = orthanc.raw("GET", f"/series/{series}/archive?transcode={syntax}")
            break
    assert status == 200
    archive = zipfile.ZipFile(io.BytesIO(data))
    return archive.read(archive.namelist()[0])


def ours(data: bytes, syntax: str, folder: Path) -> bytes:
    """As the worker makes it; the file as it is where that cannot be."""
    path = folder / "source"
    path.write_bytes(data)
    with path.open("rb") as file:
        source = Source.whole(file.fileno())
        try:
            if syntax_of(source) == syntax:
                return data
            with inflated(source, syntax_of(source)) as plain:
                content = os.pread(plain.file, plain.size, 0)
            if syntax_of(source) == DEFLATED and syntax == TARGETS["explicit"]:
                return content
            made = Transcoding(memoryview(content), syntax)
            found = bytearray(b"".join(bytes(piece) for piece in made.pieces()))
        except WherryError:
            return data
        for position, value in made.patches:
            found[position : position + len(value)] = value
        return bytes(found)


def read(data: bytes) -> pydicom.Dataset:
    with warnings.catch_warnings(action="ignore"):
        return pydicom.dcmread(io.BytesIO(data), force=True)


def frames(data: bytes) -> np.ndarray[Any, Any]:
    image = Image(data)
    shape = image.shape
    found = np.stack([image.frame(number) for number in range(shape.frames)]).astype("i8")
    return found[..., :] & ((1 << shape.bits_stored) - 1)


def compare(source: bytes, mine: bytes, other: bytes, syntax: str) -> str:
    changed = mine != source, other != source
    if changed != (True, True):
        return {(False, False): ".", (True, False): "+", (False, True): "-"}[changed]
    mine_read, other_read = read(mine), read(other)
    assert mine_read.file_meta.TransferSyntaxUID == syntax
    assert other_read.file_meta.TransferSyntaxUID == syntax
    old = read(source).get("SOPInstanceUID")
    is_new = (mine_read.get("SOPInstanceUID") != old, other_read.get("SOPInstanceUID") != old)
    assert is_new[0] == is_new[1]
    kept = {"PatientName", "StudyInstanceUID", "Rows", "BitsStored", "PhotometricInterpretation"}
    if is_new[0]:  # Orthanc writes an empty one for what was lost before
        methods = [one.LossyImageCompressionMethod for one in (mine_read, other_read)]
        assert len({one if isinstance(one, str) else one[-1] for one in methods}) == 1
        assert mine_read.LossyImageCompression == other_read.LossyImageCompression == "01"
    for keyword in kept:
        if keyword == "PhotometricInterpretation" and mine_read.get(keyword) == "YBR_FULL":
            continue  # of one colour for two pixels: Orthanc does not spread it
        assert mine_read.get(keyword) == other_read.get(keyword), keyword
    if "PixelData" not in mine_read:
        return "="
    if syntax in LOSSY:
        far = np.abs(frames(mine) - frames(other)).mean()
        assert far < 2 ** (mine_read.BitsStored - 5), far
    elif mine_read.BitsAllocated in (8, 16):
        np.testing.assert_array_equal(frames(mine), frames(other))
    return "="


def line(orthanc: Orthanc, name: str, folder: Path) -> str:
    data = (ROOT / name).read_bytes()
    status, answer = orthanc.upload(data)
    if status != 200:
        return ""
    return "".join(
        compare(
            data,
            ours(data, syntax, folder),
            theirs(orthanc, answer["ParentSeries"], syntax),
            syntax,
        )
        for syntax in TARGETS.values()
    )


SAMPLE = (
    "CT_small",
    "ExplVR_BigEnd",
    "JPEG2000",
    "JPGExtended",
    "SC_rgb_dcmtk_+eb+cy+np",
    "SC_rgb_rle_2frame",
    "SC_rgb_rle_32bit",
    "examples_overlay",
    "examples_palette",
    "image_dfl",
    "liver_1frame",
    "reportsi",
)


def test_the_table(orthanc: Orthanc, tmp_path: Path) -> None:
    sample = [f"test_files/{name}.dcm" for name in SAMPLE]
    found = {
        name.removeprefix("test_files/"): made
        for name in (NAMES if WHOLE else sample)
        if (made := line(orthanc, name, tmp_path))
    }
    if os.environ.get("WHERRY_WRITE_TABLE"):
        rows = [f"{'':45}{' '.join(f'{one[:3]:3}' for one in TARGETS)}"]
        rows += [f"{name:45}{'   '.join(marks)}" for name, marks in found.items()]
        TABLE.write_text("\n".join(row.rstrip() for row in rows) + "\n")
    known = table()
    assert found == {name: known[name] for name in found}
