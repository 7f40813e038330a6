"""A file on its way in: plain bytes are gathered to portions, sealed and handed to the file of
the storage area below. Two portions are in memory, however large the file is.

What comes in another order than it stands in the file waits in a nameless one until the end.

A portion is sealed when more bytes come, for the last one of a file is marked as such: the end is
written by ``sync``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Protocol

from wherry import limits
from wherry.config.encryption import MasterKey
from wherry.errors import BadSequenceOfCalls, CorruptedFile
from wherry.storage.base import FileWriter, type_buffer
from wherry.storage.mapping import mapped
from wherry.storage.scratch import nameless, read_all, spread, write_at
from wherry.storage.sealed import a1, w1

type_read_at = Callable[[int, int], bytes]
"""Offset and size to bytes."""


class Sealer(Protocol):
    """What makes the bytes of one container, portion by portion."""

    header: bytes
    mark: str
    """What the index should remember of this file, or nothing."""
    portion_bytes: int

    def seal(self, plain: type_buffer, *, last: bool) -> bytes:
        """The next bytes of the container; all portions but the last one are full."""

    def opened(self, read: type_read_at) -> Iterator[bytes]:
        """The plain bytes of what was sealed so far, which ``read`` gives: header and all."""


class W1Sealer:
    """``Sealer`` of our container."""

    def __init__(self, begun: w1.Opened) -> None:
        self.header, self._key, self.mark = begun
        self.portion_bytes = self._key.chunk_bytes
        self._chunks = 0
        self._ended = False

    def seal(self, plain: type_buffer, *, last: bool) -> bytes:
        sealed = self._key.seal(self._chunks, plain, last=last)
        self._chunks += 1
        self._ended = last
        return sealed

    def opened(self, read: type_read_at) -> Iterator[bytes]:
        at = len(self.header)
        for number in range(self._chunks):
            last = self._ended and number == self._chunks - 1
            yield self._key.open(number, read(at, self._key.sealed_bytes), last=last)
            at += self._key.sealed_bytes


class A1Sealer:
    """``Sealer`` of Orthanc's container."""

    mark = ""
    portion_bytes = limits.SEALED_CHUNK_BYTES

    def __init__(self, master: MasterKey) -> None:
        self._master = master
        self.header, self._encryptor = a1.begin(master, os.urandom(32), os.urandom(32))
        self._plain = 0

    def seal(self, plain: type_buffer, *, last: bool) -> bytes:
        sealed = self._encryptor.update(plain)
        self._plain += len(plain)
        return sealed + self._encryptor.finalize() + self._encryptor.tag if last else sealed

    def opened(self, read: type_read_at) -> Iterator[bytes]:
        decryptor = a1.decrypting(self._master, self.header)
        at, end = len(self.header), len(self.header) + self._plain
        while at < end:
            portion = read(at, min(self.portion_bytes, end - at))
            if not portion:
                raise CorruptedFile("A new file has lost bytes")
            at += len(portion)
            yield decryptor.update(portion)


def sealed_whole(sealer: Sealer, plain: type_buffer) -> bytes:
    """A small file in its container."""
    pieces, portion = [sealer.header], sealer.portion_bytes
    with memoryview(plain) as view:
        for start in range(0, len(view) or 1, portion):
            end = start + portion
            pieces.append(sealer.seal(view[start:end], last=end >= len(view)))
    return b"".join(pieces)


class SealedWriter:
    """A ``FileWriter`` of plain bytes; takes over the writer of the sealed ones."""

    def __init__(
        self,
        inner: FileWriter,
        sealer: Sealer,
        place: str,
        give_back: Callable[[memoryview], None],
    ) -> None:
        self._inner = inner
        self._sealer = sealer
        self._give_back = give_back
        self.place = place
        self._buffer = memoryview(bytearray(sealer.portion_bytes))
        self._aside: IO[bytes] | None = None
        self._lock = threading.Lock()
        self._filled = 0
        self._sealed_plain = 0
        self._begun = False
        self._broken = False
        """A portion was not written: no other one may follow."""
        self._ended = False

    @property
    def uuid(self) -> str:
        return self._inner.uuid

    def write(self, data: type_buffer) -> None:
        view, start = memoryview(data), 0
        while start < len(view):
            room = self.room()
            left = len(view) - start
            if not self._filled and left > len(room):  # a full portion, and more behind it
                self._emit(view[start : start + len(room)])
                start += len(room)
                continue
            size = min(left, len(room))
            room[:size] = view[start : start + size]
            self.filled(size)
            start += size

    def room(self) -> memoryview:
        if self._ended:
            raise BadSequenceOfCalls("A sealed file has ended")
        if self._filled == len(self._buffer):
            self._emit(self._buffer)
            self._filled = 0
        return self._buffer[self._filled :]

    def filled(self, size: int) -> None:
        self._filled += size

    def adopt(self, buffer: memoryview, size: int) -> None:
        try:
            self.write(buffer[:size])
        finally:
            self._give_back(buffer)

    def flush(self) -> None:
        pass  # half a portion cannot be read anyway

    def write_at(self, data: type_buffer, offset: int) -> None:
        with self._lock:
            if self._aside is None:
                self._aside = nameless()
        write_at(self._aside, data, offset)

    @contextmanager
    def map(self) -> Iterator[memoryview]:
        if self._aside is not None:
            with mapped(self._aside.fileno()) as view:
                yield view
        elif not self._sealed_plain:
            yield self._buffer[: self._filled].toreadonly()
        else:
            with self._shown(self._pieces()) as view:
                yield view

    @contextmanager
    def _shown(self, pieces: Iterable[type_buffer]) -> Iterator[memoryview]:
        if self._sealed_plain + self._filled <= limits.UNPACKED_IN_MEMORY_BYTES:
            yield memoryview(b"".join(pieces))
        else:
            with spread(pieces) as view:
                yield view

    def read_at(self, offset: int, size: int) -> bytes:
        with self.map() as view:
            return bytes(view[offset : offset + size])

    def _pieces(self) -> Iterator[type_buffer]:
        yield from self._sealer.opened(self._inner.read_at)
        if not self._ended:
            yield self._buffer[: self._filled]

    def sync(self) -> None:
        if not self._ended:
            if self._aside is not None:
                for piece in read_all(self._aside):
                    self.write(piece)
            self._emit(self._buffer[: self._filled], last=True)
            self._ended = True
        self._inner.sync()

    def close(self) -> None:
        if self._aside is not None:
            self._aside.close()
        self._inner.close()

    def _emit(self, plain: type_buffer, *, last: bool = False) -> None:
        if self._broken:
            raise BadSequenceOfCalls("A sealed file that could not be written is not complete")
        self._broken = True
        if not self._begun:
            self._begun = True
            self._inner.write(self._sealer.header)
        self._inner.write(self._sealer.seal(plain, last=last))
        self._sealed_plain += len(plain)
        self._broken = False
