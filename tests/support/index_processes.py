"""What other processes do in tests of the index: importable, as ``spawn`` needs it."""

from __future__ import annotations

from typing import Any

from tests.support.staged import study
from wherry.index import resources
from wherry.index.opening import IndexSettings, open_index
from wherry.model import StoreStatus


def open_and_close(settings: IndexSettings, barrier: Any) -> None:
    """Open an index at the same time as others."""
    if barrier is not None:
        barrier.wait()
    index = open_index(settings)
    index.write(lambda tx: tx.one("SELECT 1"))
    index.close()


def ingest(settings: IndexSettings, barrier: Any, answers: Any, count: int, batch: int) -> None:
    """Store a study in batches; answer the instances that were not there."""
    index = open_index(settings)
    instances = study(count)
    barrier.wait()
    stored = []
    for start in range(0, count, batch):
        piece = instances[start : start + batch]
        stored += index.write(lambda tx, b=piece: resources.add_instances(tx, b, overwrite=False))
    index.close()
    answers.put([s.identifiers.instance for s in stored if s.status is StoreStatus.SUCCESS])
