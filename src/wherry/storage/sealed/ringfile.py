"""The copy of the key ring beside the data: with it and the master key, all files can be read when
the index is lost.

Not here: what is in it (``ring``), who keeps it up to date (``wherry.keyring``).
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from wherry.errors import CannotWriteFile

NAME: Final = "wherry-keys/ring.json"
"""Below the folder, or the root of the names, of a store."""


class RingFile(Protocol):
    """A few hundred bytes in a store."""

    def read(self) -> bytes | None:
        """The bytes; None when nothing was ever written. Raises ``WherryError``."""

    def write(self, data: bytes) -> None:
        """Replace the bytes, wholly or not at all, durably. Raises ``WherryError``."""


class FolderRingFile:
    """In a file system."""

    def __init__(self, root: Path) -> None:
        """``root``: the storage directory."""
        self._path = root / NAME

    def read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CannotWriteFile(f"The key ring cannot be read ({error.strerror})") from error

    def write(self, data: bytes) -> None:
        folder = self._path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fd, name = tempfile.mkstemp(dir=folder, prefix=".ring-")
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path)
            except BaseException:
                with suppress(OSError):
                    Path(name).unlink()
                raise
            _sync(folder)
            _sync(folder.parent)
        except OSError as error:
            raise CannotWriteFile(f"The key ring cannot be written ({error.strerror})") from error


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
