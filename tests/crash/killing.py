"""Which points are taken, how many at once, and what all lives of a server have in common.

``WHERRY_CRASH_STRIDE=n`` takes every n-th point only, and an n-th of the random kills (CI); the
default of 1 takes all of them (``make crash-nightly``).
"""

from __future__ import annotations

import http.client
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

from tests.crash.killpoints import KillPoints
from tests.support.server import Server

STRIDE = int(os.environ.get("WHERRY_CRASH_STRIDE", "1"))
WORKERS = os.cpu_count() or 1
DEAD = (ConnectionError, http.client.HTTPException, TimeoutError, OSError)
"""What a client meets when the server dies under it."""

P = TypeVar("P")
R = TypeVar("R")


def some(points: Iterable[P]) -> list[P]:
    """Every n-th point."""
    return list(points)[::STRIDE]


def everywhere(live: Callable[[P], R], points: Sequence[P]) -> list[R]:
    """What came of a life for each point, as many at once as there are processors."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(live, points))


def copied(template: Path, folder: Path) -> Path:
    """What a server that was stopped left behind, for another one."""
    shutil.copytree(template, folder, ignore=shutil.ignore_patterns("log"))
    return folder


def submit(server: Server, path: str, order: dict[str, Any]) -> str | None:
    """The identifier of a new job; None when the server died before it said so."""
    with suppress(*DEAD):
        return str(server.json("POST", path, {**order, "Asynchronous": True})["ID"])
    return None


def until_its_end(server: Server, job: str | None) -> None:
    """Wait until the job has ended, or the server has."""
    if job is not None:
        with suppress(*DEAD):
            server.wait_for_job(job)


def end(server: Server, points: KillPoints) -> None:
    """Wait for a server that kills itself, or stop one that does not."""
    if points.fatal:
        assert server.process is not None
        server.process.wait(30)
    else:
        server.stop()


def rows(server: Server, query: str) -> list[tuple[Any, ...]]:
    """What the index of a server says, dead or alive."""
    with closing(sqlite3.connect(server.folder / "index" / "wherry.db")) as index:
        return index.execute(query).fetchall()
