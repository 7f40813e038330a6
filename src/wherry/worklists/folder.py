"""Worklist items that others put into a folder, as ``.wl`` files (as for DCMTK's ``wlmscpfs``).

The folder is looked at anew for each query; a file that has not changed is not read again. What is
no regular file (links lead out of it), too long, or no data set is passed over: one bad file hides
no other. Nothing is ever written there.

Not here: items of the index (``book``).
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from wherry import limits
from wherry.dicom.attributes import of_file
from wherry.errors import BadFileFormat
from wherry.worklists.item import Item

log = logging.getLogger(__name__)

_ENDING = ".wl"
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

type_state = tuple[int, int, int, int]
"""What changes when a file does: its inode, size and times."""


class _Known(NamedTuple):
    state: type_state
    item: Item | None
    """None: it is no item."""


class WorklistFolder:
    """The items of one folder. Blocking; from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._complained = False

    def items(self) -> list[Item]:
        """All of them, sorted by the names of their files."""
        with self._lock:
            known: dict[str, _Known] = {}
            left = limits.WORKLIST_FOLDER_ELEMENTS
            try:
                folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as error:
                self._complain("cannot be opened: %s", error.strerror)
                self._known = known
                return []
            try:
                for name, state in self._files(folder):
                    before = self._known.get(name)
                    if before is None or before.state != state:
                        before = _Known(state, _read(folder, name))
                    left -= 0 if before.item is None else before.item.size
                    if left < 0:
                        self._complain("has too many elements")
                        break
                    known[name] = before
            finally:
                os.close(folder)
            bad = sum(one.item is None for one in known.values())
            if bad and known.keys() != self._known.keys():
                log.warning("%d files in the folder of worklists cannot be read", bad)
            self._known = known
            return [one.item for one in known.values() if one.item is not None]

    def _files(self, folder: int) -> Iterator[tuple[str, type_state]]:
        """The files that are looked at: those of the first names that fit into the bounds."""
        with os.scandir(folder) as entries:
            names = []
            for entry in entries:
                if entry.name.lower().endswith(_ENDING):
                    names.append(entry.name)
                    if len(names) > limits.WORKLISTS:
                        self._complain("has more than %d items", limits.WORKLISTS)
                        break
        left = limits.WORKLIST_FOLDER_BYTES
        for name in sorted(names[: limits.WORKLISTS]):
            with suppress(FileNotFoundError):
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if not stat.S_ISREG(found.st_mode) or found.st_size > limits.WORKLIST_FILE_BYTES:
                    continue
                left -= found.st_size
                if left < 0:
                    self._complain("has more than %d bytes", limits.WORKLIST_FOLDER_BYTES)
                    return
                yield name, _state(found)

    def _complain(self, problem: str, *arguments: object) -> None:
        """Once: it is looked at often."""
        if not self._complained:
            self._complained = True
            log.warning("The folder of worklists " + problem, *arguments)


def _state(found: os.stat_result) -> type_state:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(folder: int, name: str) -> Item | None:
    try:
        file = os.open(name, _FLAGS, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EACCES):
            raise
        return None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        data = _bytes(file)
    finally:
        os.close(file)
    if data is None:
        return None
    try:
        return Item(Path(name).stem, of_file(data), is_ours=False)
    except BadFileFormat:
        return None


def _bytes(file: int) -> bytes | None:
    """None when there is more than a file may have: it has grown since it was looked at."""
    data = bytearray()
    while piece := os.read(file, limits.WORKLIST_FILE_BYTES + 1):
        data += piece
        if len(data) > limits.WORKLIST_FILE_BYTES:
            return None
    return bytes(data)
