"""A file of the storage area read from one offset to another, a bounded piece at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from wherry import limits
from wherry.digests import new_digest, type_kind
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


def digest_of_file(
    reader: FileReader,
    kind: type_kind = new_digest,
    told: Callable[[int], None] = lambda size: None,
    *,
    last_use: bool = False,
) -> str:
    """The digest of a whole file, which is closed then. ``told`` hears how many bytes were read,
    every now and then; what it raises passes through. ``last_use``: the system need not keep what
    was read in memory."""
    digest = kind()
    with closing(reader):
        for piece in pieces(reader, 0, reader.size):
            digest.update(piece)
            told(len(piece))
        if last_use:
            reader.forget(0, reader.size)
    return digest.hexdigest()
