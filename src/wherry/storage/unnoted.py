"""Reads that are no use of a file: who only looks whether it is whole does not want it near.

Not here: who is told of the others (``hybrid``), what follows from it (``moving.reads``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_unnoted: ContextVar[bool] = ContextVar("unnoted", default=False)


@contextmanager
def unnoted() -> Iterator[None]:
    """What this thread opens meanwhile is not noted as read."""
    before = _unnoted.set(True)
    try:
        yield
    finally:
        _unnoted.reset(before)


def is_use() -> bool:
    """Whether a file that is opened now is used."""
    return not _unnoted.get()
