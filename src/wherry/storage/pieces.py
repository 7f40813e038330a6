"""A file of the storage area read from one offset to another, a bounded piece at a time."""

from __future__ import annotations

from collections.abc import Iterator

from wherry import limits
from wherry.storage.base import FileReader


def pieces(reader: FileReader, start: int, end: int) -> Iterator[bytes]:
    """Bytes from ``start`` until before ``end``, in pieces of at most ``limits.READ_CHUNK_BYTES``;
    fewer only if the file is shorter, which is the caller's to notice."""
    while start < end:
        piece = reader.read_at(start, min(limits.READ_CHUNK_BYTES, end - start))
        if not piece:
            return
        start += len(piece)
        yield piece
