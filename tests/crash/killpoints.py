"""Counting and killing at the durable calls of a server; the C side is ``killpoint.c``.

The shim counts every fsync, rename, unlink, truncate, mkdir and write to a regular file that the
process makes, SQLite's commits among them, and can end it by SIGKILL just before the n-th. The
number of points of a scenario is found by running it once without killing.
"""

from __future__ import annotations

import mmap
import os
import shutil
import sqlite3
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

KINDS = {1: "fsync", 2: "rename", 3: "unlink", 4: "write", 5: "truncate", 6: "mkdir"}
_SIZE = 64


def build(folder: Path) -> Path:
    """Compile the shim; skips the test, saying why, on a machine without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler for the kill-point shim (apt install gcc libc6-dev)")
    target = folder / "killpoint.so"
    source = Path(__file__).with_name("killpoint.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-o", str(target), str(source), "-ldl"], check=True
    )
    return target


_SPOILED: Sequence[Callable[[Path], object]] = (
    Path.unlink,
    lambda path: path.write_bytes(bytes(path.stat().st_size)),
    lambda path: path.write_bytes(path.read_bytes()[:100]),
)
"""What is left of a file that was not synced: nothing, its length, a part of it."""


class KillPoints:
    """The shared counters of one server process."""

    def __init__(self, folder: Path, shim: Path) -> None:
        path = folder / "killpoints"
        path.write_bytes(bytes(_SIZE))
        self.environ = {"LD_PRELOAD": str(shim), "KILLPOINT_FILE": str(path)}
        descriptor = os.open(path, os.O_RDWR)
        self._shared = mmap.mmap(descriptor, _SIZE)
        os.close(descriptor)
        self._durable = folder / "durable"
        self._durable.mkdir(exist_ok=True)

    def watch_the_disk(self) -> None:
        """A server that is started now notes what a power cut would leave of its files."""
        self.environ["KILLPOINT_DURABLE"] = str(self._durable)

    def keep(self, index: Path) -> None:
        """All that there is now is on the disk."""
        for path in index.glob("wherry.db*"):
            if not path.name.endswith("-shm"):
                shutil.copyfile(path, self._durable / path.name)
        (self._durable / "synced").write_text(f"*{time.time_ns()}\n")

    def cut_the_power(self, index: Path, storage: Path) -> None:
        """Of a server that was killed, take away what a power cut may take: what was written to its
        index since the last sync, and files that were never synced by themselves."""
        for suffix in ("", "-wal"):
            kept = self._durable / f"wherry.db{suffix}"
            target = index / kept.name
            if kept.exists():
                shutil.copyfile(kept, target)
            else:
                target.unlink(missing_ok=True)
        (index / "wherry.db-shm").unlink(missing_ok=True)
        with closing(sqlite3.connect(index / "wherry.db")) as database:
            database.execute("UPDATE processes SET host = 'another boot', heartbeat_at = 0")
            database.commit()
        submitted = self._durable / "submitted"
        if submitted.exists():
            offset, size, name = submitted.read_text().split(" ", 2)
            with Path(name).open("r+b") as log:
                log.seek(int(offset))
                log.write(bytes(int(size)))
        synced = set[str]()
        for line in (self._durable / "synced").read_text().split("\n"):
            before, _, after = line[1:].partition("\t")
            if not line.startswith(">"):
                synced.add(line)
            elif before in synced:  # it has another name now
                synced.add(after)
        all_at = max((int(one[1:]) for one in synced if one.startswith("*")), default=0)
        for number, path in enumerate(sorted(storage.glob("??/*/*"))):
            if str(path) not in synced and path.stat().st_mtime_ns >= all_at:
                _SPOILED[number % len(_SPOILED)](path)

    def slow_down(self, sync_us: int) -> None:
        """From now on every sync takes so many microseconds longer."""
        struct.pack_into("<Q", self._shared, 32, sync_us)

    def arm(self, number: int, only: str = "") -> None:
        """Start counting, all calls or those of one kind; die at call ``number`` (0 = never)."""
        number_of = {"": 0} | {kind: number for number, kind in KINDS.items()}
        struct.pack_into("<Q", self._shared, 40, number_of[only])
        struct.pack_into("<QQQQ", self._shared, 0, 0, number, 1, 0)

    @property
    def count(self) -> int:
        """Calls since ``arm``."""
        return int(struct.unpack_from("<Q", self._shared, 0)[0])

    @property
    def fatal(self) -> str:
        """What the fatal call was; empty when the process was not killed by a point."""
        return KINDS.get(int(struct.unpack_from("<Q", self._shared, 24)[0]), "")
