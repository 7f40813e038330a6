"""An object, read: its beginning came when it was opened, the rest comes in pieces.

Who reads on from where he was gets the next piece before he asks for it; who reads here and there
gets what he asks for. Pieces are requests of their own: a broken line costs one of them, and a
reader that is slow holds no connection.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from obstore import Bytes

from wherry import limits
from wherry.errors import CannotWriteFile, CorruptedFile
from wherry.storage.direct import write_all
from wherry.storage.mapping import mapped

type_fetch = Callable[[int, int], Bytes]
"""The bytes from one offset until before another, all of which are there."""
type_start = Callable[[type_fetch, int, int], Future[Bytes]]
_AHEAD = 4
"""Pieces that are on their way at once when a whole object is wanted."""


class _Piece(NamedTuple):
    start: int
    data: memoryview

    @property
    def end(self) -> int:
        return self.start + len(self.data)

    def has(self, offset: int) -> bool:
        return self.start <= offset < self.end


class ObjectReader:
    """The ``FileReader`` of an object; one thread at a time. ``head``: its first bytes."""

    def __init__(
        self,
        place: str,
        size: int,
        head: Bytes,
        fetch: type_fetch,
        start: type_start,
        folder: Path,
    ) -> None:
        self.place = place
        self.size = size
        self._head = _Piece(0, memoryview(head))
        self._piece = self._head
        self._fetch = fetch
        self._start = start
        self._folder = folder
        self._next: tuple[int, Future[Bytes]] | None = None
        self._reached = 0
        """Where the last read ended."""

    def read_at(self, offset: int, size: int) -> bytes:
        in_order = offset == self._reached
        end = min(offset + size, self.size)
        parts = []
        at = offset
        while at < end:
            piece = self._piece_with(at, end, in_order=in_order)
            part = piece.data[at - piece.start : end - piece.start]
            parts.append(part)
            at += len(part)
            if in_order:
                self._look_ahead(piece, at)
        self._reached = max(at, offset)
        return b"".join(parts)

    def _piece_with(self, offset: int, end: int, *, in_order: bool) -> _Piece:
        if self._head.has(offset):
            return self._head
        if self._piece.has(offset):
            return self._piece
        if self._next is not None and self._next[0] == offset:
            start, coming = self._next
            self._next = None
            self._piece = _Piece(start, memoryview(coming.result()))
        else:
            least = limits.OBJECT_PIECE_BYTES if in_order else limits.OBJECT_LEAST_BYTES
            until = min(max(end, offset + least), self.size)
            self._piece = _Piece(offset, memoryview(self._fetch(offset, until)))
        return self._piece

    def _look_ahead(self, piece: _Piece, reached: int) -> None:
        """Half of a piece is read: its reader will want the next one."""
        if (
            self._next is None
            and piece.end < self.size
            and 2 * (reached - piece.start) > len(piece.data)
        ):
            until = min(piece.end + limits.OBJECT_PIECE_BYTES, self.size)
            self._next = piece.end, self._start(self._fetch, piece.end, until)

    @contextmanager
    def map(self) -> Iterator[memoryview]:
        if self.size == len(self._head.data):
            yield self._head.data
        elif self.size <= limits.UNPACKED_IN_MEMORY_BYTES:
            rest = self._fetch(len(self._head.data), self.size)
            yield memoryview(b"".join((self._head.data, rest)))
        else:
            try:
                file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            except OSError as error:
                raise CannotWriteFile("No room to look into a stored file") from error
            with file:
                self._copy_to(file.fileno())
                with mapped(file.fileno()) as view:
                    yield view

    def _copy_to(self, fd: int) -> None:
        at = len(self._head.data)
        step = limits.OBJECT_PIECE_BYTES
        starts = iter(range(at, self.size, step))
        coming: deque[tuple[int, Future[Bytes]]] = deque()
        try:
            write_all(fd, self._head.data, 0)
            while True:
                for start in islice(starts, _AHEAD - len(coming)):
                    until = min(start + step, self.size)
                    coming.append((start, self._start(self._fetch, start, until)))
                if not coming:
                    return
                start, piece = coming.popleft()
                write_all(fd, memoryview(piece.result()), start)
        except OSError as error:
            raise CannotWriteFile("No room to look into a stored file") from error
        finally:
            for _, piece in coming:
                piece.cancel()

    def forget(self, offset: int, size: int) -> None:
        """Nothing is kept of it anyway."""

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        if self._next is not None:
            self._next[1].cancel()
            self._next = None


def checked(data: Bytes, start: int, end: int) -> Bytes:
    """Raises ``CorruptedFile`` when a piece is shorter than it must be."""
    if len(data) != end - start:
        raise CorruptedFile("A stored file has lost bytes in the object storage")
    return data
