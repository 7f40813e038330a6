"""The files below a folder, each once, whatever links lead around in circles.

Memory: the names of the folders that are still to be looked at, and of one folder's files.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Found:
    """One file."""

    path: Path
    size: int


def walk(
    root: Path, skip: Callable[[str, str], None], fail: Callable[[str, str], None]
) -> Iterator[Found]:
    """All files at or below ``root``, folder by folder, in order of their names.

    Links are followed; a folder is looked at once, however many ways lead to it. ``skip`` is
    told what is no file, ``fail`` what cannot be read: its name, and the reason.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        path = waiting.pop()
        try:
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    waiting.extend(sorted(path.iterdir(), reverse=True))
            elif stat.S_ISREG(status.st_mode):
                yield Found(path, status.st_size)
            else:
                skip(str(path), "no regular file")
        except OSError as error:
            fail(str(path), f"unreadable ({error.strerror})")


def measure(root: Path) -> tuple[int, int]:
    """Files and bytes below ``root``."""
    count = total = 0
    for found in walk(root, _ignore, _ignore):
        count += 1
        total += found.size
    return count, total


def _ignore(name: str, reason: str) -> None:
    """It will be told when it matters."""
