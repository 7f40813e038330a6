"""A worker that transcodes: its memory does not grow with the file; what it cannot do, it says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.dicom_bytes import data_set, explicit, meta
from tests.support.pydicom_files import ROOT
from wherry import limits
from wherry.dicom.codecs.syntaxes import BASELINE, J2K, J2K_LOSSY, JLS, RLE
from wherry.dicom.preamble import EXPLICIT, IMPLICIT
from wherry.errors import BadFileFormat, CannotEncode, UndecodableImage
from wherry.imaging.pool import ImagingPool, Source
from wherry.imaging.transcoding import Transcoder
from wherry.metrics import Metrics

FILES = ROOT / "test_files"
SIDE, FRAMES = 1024, 64


@pytest.fixture(scope="module")
def pool() -> Iterator[ImagingPool]:
    found = ImagingPool(1, limits.IMAGING_MEMORY_BYTES, Metrics())
    yield found
    found.close()


def source(path: Path) -> Source:
    return Source.whole(os.open(path, os.O_RDONLY))


def number(value: int) -> bytes:
    return value.to_bytes(2, "little")


def volume(path: Path) -> int:
    """A file of 64 frames of 2 MiB; its size."""
    head = meta(EXPLICIT) + data_set(
        (0x00280002, "US", number(1)),
        (0x00280004, "CS", b"MONOCHROME2 "),
        (0x00280008, "IS", f"{FRAMES}".encode()),
        (0x00280010, "US", number(SIDE)),
        (0x00280011, "US", number(SIDE)),
        (0x00280100, "US", number(16)),
        (0x00280101, "US", number(16)),
        (0x00280102, "US", number(15)),
        (0x00280103, "US", number(0)),
    )
    stripes = np.repeat(np.arange(SIDE, dtype="u2"), SIDE)
    with path.open("wb") as file:
        file.write(head + explicit(0x7FE00010, "OW", b"", FRAMES * 2 * SIDE * SIDE))
        for frame in range(FRAMES):
            file.write((stripes + frame).astype("<u2").tobytes())
        return file.tell()


def test_memory_does_not_grow_with_the_file(pool: ImagingPool, tmp_path: Path) -> None:
    path = tmp_path / "volume.dcm"
    size = volume(path)
    transcoder = Transcoder(pool, 90)
    with transcoder.transcode(source(path), [RLE]) as packed:
        assert packed is not None
        assert packed.source.size < size
        with transcoder.transcode(packed.source, [EXPLICIT]) as plain:
            assert plain is not None
            end = plain.source.size - 2**20
            assert os.pread(plain.source.file, 2**20, end) == path.read_bytes()[-(2**20) :]
    [worker] = pool.pids()
    status = Path(f"/proc/{worker}/status").read_text()
    peak_kib = int(status.partition("VmHWM:")[2].split()[0])
    assert peak_kib < 110 * 1024 < size // 1024


def test_the_first_that_can_be(pool: ImagingPool) -> None:
    transcoder = Transcoder(pool, 90)
    ct = source(FILES / "CT_small.dcm")
    with transcoder.transcode(ct, [BASELINE, JLS, J2K]) as found:
        assert found is not None
        assert (found.syntax, found.is_new_image) == (JLS, False)
    with transcoder.transcode(ct, [J2K_LOSSY, JLS], lossy_allowed=False) as found:
        assert found is not None
        assert found.syntax == JLS
    with transcoder.transcode(ct, [J2K_LOSSY, JLS]) as found:
        assert found is not None
        assert (found.syntax, found.is_new_image) == (J2K_LOSSY, True)
    with transcoder.transcode(ct, [JLS, EXPLICIT]) as found:
        assert found is None


@pytest.mark.parametrize(
    ("name", "wanted", "error"),
    [
        ("CT_small.dcm", BASELINE, CannotEncode),
        ("reportsi.dcm", RLE, CannotEncode),
        ("JPEG2000-embedded-sequence-delimiter.dcm", IMPLICIT, UndecodableImage),
        ("README.txt", IMPLICIT, BadFileFormat),
    ],
)
def test_what_cannot_be(
    pool: ImagingPool, tmp_path: Path, name: str, wanted: str, error: type[Exception]
) -> None:
    path = FILES / name
    if not path.exists():
        path = tmp_path / name
        path.write_bytes(b"no DICOM at all")
    transcoder = Transcoder(pool, 90)
    with pytest.raises(error), transcoder.transcode(source(path), [wanted]):
        pass
    with transcoder.or_as_it_is(source(path), [wanted]) as found:
        assert found is None
