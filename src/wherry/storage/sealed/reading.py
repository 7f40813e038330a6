"""A file on its way out. Nothing that was changed is given out, and nothing of a file that was cut
off or made longer: before its first byte is, its end was seen.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from wherry import limits
from wherry.config.encryption import MasterKey
from wherry.errors import CorruptedFile
from wherry.storage.base import FileReader
from wherry.storage.mapping import mapped
from wherry.storage.scratch import fill, nameless, spread
from wherry.storage.sealed import a1, w1


class W1Reader:
    """A ``FileReader`` of the plain bytes of our container; takes over that of the sealed ones.
    Ranges cost the chunks that they touch."""

    def __init__(self, inner: FileReader, opened: w1.Opened, uuid: str, place: str) -> None:
        """Raises ``CorruptedFile``."""
        self._inner = inner
        self._key = opened.key
        self._uuid = uuid
        self.place = place
        self.size = w1.plain_size(inner.size, opened.key, uuid)
        body = inner.size - w1.HEADER_BYTES
        self._last = -(-body // opened.key.sealed_bytes) - 1
        self._end_seen = False
        self._held = (-1, b"")

    def read_at(self, offset: int, size: int) -> bytes:
        each = self._key.chunk_bytes
        end = min(self.size, offset + size)
        if not self._end_seen and (offset >= end or (end - 1) // each < self._last):
            self._held = (self._last, self._chunks(self._last, self._last)[0])
        pieces = []
        while offset < end:
            first = offset // each
            held, chunk = self._held
            if held == first:
                chunks = [chunk]
            else:
                most = first + limits.READ_CHUNK_BYTES // each
                chunks = self._chunks(first, min((end - 1) // each, most))
            skip = offset - first * each
            chunks[0] = chunks[0][skip:]
            beyond = offset + sum(map(len, chunks)) - end
            if beyond > 0:
                chunks[-1] = chunks[-1][:-beyond]
            pieces += chunks
            offset += sum(map(len, chunks))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _chunks(self, first: int, last: int) -> list[bytes]:
        """These chunks, opened; the last one is held, for who reads little by little."""
        each = self._key.sealed_bytes
        start = w1.HEADER_BYTES + first * each
        sealed = self._inner.read_at(start, (last - first + 1) * each)
        chunks = []
        try:
            with memoryview(sealed) as view:
                for number in range(first, last + 1):
                    at = (number - first) * each
                    with view[at : at + each] as chunk:
                        is_last = number == self._last
                        chunks.append(self._key.open(number, chunk, last=is_last))
        except CorruptedFile:
            raise CorruptedFile(
                f"The stored file {self._uuid} is damaged, or is not the one that was stored"
            ) from None
        self._end_seen = self._end_seen or last == self._last
        self._held = (last, chunks[-1])
        return chunks

    @contextmanager
    def map(self) -> Iterator[memoryview]:
        if self.size <= limits.UNPACKED_IN_MEMORY_BYTES:
            with memoryview(self.read_at(0, self.size)) as view:
                yield view
            return
        with spread(
            self.read_at(at, limits.READ_CHUNK_BYTES)
            for at in range(0, self.size, limits.READ_CHUNK_BYTES)
        ) as view:
            yield view

    def forget(self, offset: int, size: int) -> None:
        each = self._key
        start = offset // each.chunk_bytes * each.sealed_bytes
        chunks = -(-size // each.chunk_bytes) + 1
        self._inner.forget(w1.HEADER_BYTES + start, chunks * each.sealed_bytes)

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        self._inner.close()


class A1Reader:
    """A ``FileReader`` of the plain bytes of Orthanc's container; takes over that of the sealed
    ones. The whole file is opened when its first byte is asked for: in memory if it is small, else
    in a nameless file."""

    def __init__(
        self, inner: FileReader, master: MasterKey, header: bytes, uuid: str, place: str
    ) -> None:
        """Raises ``CorruptedFile``."""
        self._inner = inner
        self._master = master
        self._header = header
        self._uuid = uuid
        self.place = place
        self.size = inner.size - a1.OVERHEAD_BYTES
        if self.size < 0:
            raise CorruptedFile(f"The stored file {uuid} is damaged")
        self._lock = threading.Lock()
        self._small: bytes | None = None
        self._large: IO[bytes] | None = None

    def read_at(self, offset: int, size: int) -> bytes:
        self._open()
        if self._large is not None:
            return os.pread(self._large.fileno(), size, offset)
        assert self._small is not None
        return self._small[offset : offset + size]

    @contextmanager
    def map(self) -> Iterator[memoryview]:
        self._open()
        if self._large is not None:
            with mapped(self._large.fileno()) as view:
                yield view
            return
        assert self._small is not None
        with memoryview(self._small) as view:
            yield view

    def _open(self) -> None:
        with self._lock:
            if self._small is not None or self._large is not None:
                return
            plain = a1.plain(self._master, self._header, self._inner.read_at, self.size, self._uuid)
            if self.size <= limits.UNPACKED_IN_MEMORY_BYTES:
                self._small = b"".join(plain)
                return
            file = nameless()
            try:
                fill(file, plain)
            except BaseException:
                file.close()
                raise
            self._large = file

    def forget(self, offset: int, size: int) -> None:
        self._inner.forget(offset, size)

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        if self._large is not None:
            self._large.close()
        self._inner.close()
