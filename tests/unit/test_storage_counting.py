"""The figures of a storage area that is measured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from wherry import clock
from wherry.metrics import Metrics
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage

NAME = "0" * 8 + "-0000-0000-0000-" + "0" * 12


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that goes on by a millisecond whenever it is looked at."""
    ticks = count()
    monkeypatch.setattr(clock, "monotonic", lambda: 100 + next(ticks) / 1000)
    yield


def figures(metrics: Metrics) -> dict[str, float]:
    return {line.split()[0]: float(line.split()[1]) for line in metrics.render().splitlines()}


@pytest.mark.usefixtures("ticking")
def test_bytes_and_times(tmp_path: Path) -> None:
    metrics = Metrics()
    storage = CountingStorage(FilesystemStorage(tmp_path), metrics)
    writer = storage.create(NAME)
    writer.write(b"12345")
    writer.write(b"678")
    assert "orthanc_storage_written_bytes" not in figures(metrics)
    writer.sync()
    writer.close()
    writer.close()
    again = storage.reopen(NAME)
    again.write_at(b"xy", 8)
    again.close()
    reader = storage.open(NAME)
    assert reader.read_at(0, 4) == b"1234"
    assert reader.read_at(4, 100) == b"5678xy"
    reader.close()
    storage.delete(NAME)
    found = figures(metrics)
    assert found["orthanc_storage_written_bytes"] == 10
    assert found["orthanc_storage_read_bytes"] == 10
    # four pieces of work of a millisecond: creation, two writes, sync
    assert found["orthanc_storage_create_duration_ms"] == pytest.approx(4)
    assert found["orthanc_storage_read_duration_ms"] == pytest.approx(1)
    assert found["orthanc_storage_remove_duration_ms"] >= 1
