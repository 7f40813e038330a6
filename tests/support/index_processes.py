"""What other processes do in tests of the index: importable, as ``spawn`` needs it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.staged import staged, study
from wherry.index import resources
from wherry.index.opening import IndexSettings, open_index
from wherry.index.recycling import Bounds
from wherry.model import StoreStatus


@contextmanager
def spawned(target: Any, *argument_lists: tuple[Any, ...]) -> Iterator[None]:
    """Run ``target`` in a process for each list of arguments; all must end well."""
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=target, args=args) for args in argument_lists]
    for child in children:
        child.start()
    yield
    for child in children:
        child.join(120)
        assert child.exitcode == 0


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


def fill_within_bounds(settings: IndexSettings, barrier: Any, name: str, count: int) -> None:
    """Store patients one by one in an index that may hold five."""
    index = open_index(settings)
    bounds = Bounds(maximum_patients=5, maximum_bytes=5_000)
    barrier.wait()
    for number in range(count):
        one = staged(f"{name}{number}")
        index.write(
            lambda tx, b=one: resources.add_instances(tx, [b], overwrite=False, bounds=bounds)
        )
    index.close()
