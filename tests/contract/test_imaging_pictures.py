"""Pictures made by real workers: what is read of a large file, and what it costs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from tests.support.images import image_file, pixels, written
from tests.support.imaging import in_memory
from wherry import limits
from wherry.imaging.pool import ImagingPool, Source
from wherry.metrics import Metrics

ROWS, COLUMNS, FRAMES = 2048, 1024, 100
FRAME_BYTES = 2 * ROWS * COLUMNS
WANTED = {"show": "preview", "type": "image/png", "quality": 90}


@pytest.fixture
def pool() -> Iterator[ImagingPool]:
    made = ImagingPool(1, limits.IMAGING_MEMORY_BYTES, Metrics())
    yield made
    made.close()


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    """400 MiB of frames, all black but the last but one."""
    path = tmp_path / "volume.dcm"
    head = dcmread(io.BytesIO(image_file(np.zeros((1, 1), "u2"))))
    head.NumberOfFrames, head.Rows, head.Columns = FRAMES, ROWS, COLUMNS
    file = written(head)
    at = file.rindex(b"\xe0\x7f\x10\x00OW") + 12
    with path.open("wb") as out:
        out.write(file[: at - 4] + (FRAMES * FRAME_BYTES).to_bytes(4, "little"))
        out.seek(at + (FRAMES - 2) * FRAME_BYTES)
        out.write(np.arange(ROWS * COLUMNS, dtype="u2").tobytes())
        out.truncate(at + FRAMES * FRAME_BYTES)
    with path.open("rb") as opened:
        yield Source.whole(opened.fileno())


def status_bytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def test_one_frame_of_a_large_file_is_all_that_is_read(pool: ImagingPool, source: Source) -> None:
    _, file = in_memory(pool, "picture", {**WANTED, "frame": FRAMES - 2}, source)
    shown = pixels(file)
    assert shown.shape == (ROWS, COLUMNS)
    assert (shown[0, 0], shown[63, -1]) == (0, 255)
    assert not pixels(in_memory(pool, "picture", {**WANTED, "frame": 7}, source)[1]).any()
    assert status_bytes(pool.pids()[0], "VmHWM") < 100 * limits.MIB


def test_an_array_of_many_frames_is_written_frame_by_frame(
    pool: ImagingPool, source: Source, tmp_path: Path
) -> None:
    with (tmp_path / "array").open("wb") as sink:
        found = pool.run("array", {"frame": None, "rescale": False}, source, sink.fileno(), at=128)
    assert found == {"kind": "<u2", "shape": [FRAMES, ROWS, COLUMNS, 1]}
    assert (tmp_path / "array").stat().st_size == 128 + FRAMES * FRAME_BYTES
    assert status_bytes(pool.pids()[0], "VmHWM") < 150 * limits.MIB
