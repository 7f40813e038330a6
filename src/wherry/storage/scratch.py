"""Plain bytes that somebody must look at as a whole, and that are too many for memory: a file
without a name, which goes away when it is closed, or with the process.

Not here: what is kept. Where these files lie is for ``TMPDIR`` to say.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO

from wherry import limits
from wherry.errors import CannotWriteFile
from wherry.storage.base import type_buffer
from wherry.storage.direct import write_all
from wherry.storage.mapping import mapped


def nameless() -> IO[bytes]:
    """An empty file. Raises ``CannotWriteFile``."""
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise _no_room() from error


def fill(file: IO[bytes], pieces: Iterable[type_buffer]) -> None:
    """Append, and let others see it. Raises ``CannotWriteFile``."""
    try:
        for piece in pieces:
            file.write(piece)
        file.flush()
    except OSError as error:
        raise _no_room() from error


def write_at(file: IO[bytes], data: type_buffer, offset: int) -> None:
    """Write at ``offset``, from any thread. Raises ``CannotWriteFile``."""
    try:
        write_all(file.fileno(), data, offset)
    except OSError as error:
        raise _no_room() from error


def read_all(file: IO[bytes]) -> Iterator[bytes]:
    """All bytes, in pieces."""
    at = 0
    while piece := os.pread(file.fileno(), limits.READ_CHUNK_BYTES, at):
        yield piece
        at += len(piece)


@contextmanager
def spread(pieces: Iterable[type_buffer]) -> Iterator[memoryview]:
    """These bytes as one read-only buffer. Raises ``CannotWriteFile``, and what ``pieces``
    raises."""
    with nameless() as file:
        fill(file, pieces)
        with mapped(file.fileno()) as view:
            yield view


def _no_room() -> CannotWriteFile:
    return CannotWriteFile("No room to unpack a stored file")
