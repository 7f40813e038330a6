"""A stored file as the input of a task, wherever it lies and however it is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from wherry import limits
from wherry.digests import digest_like
from wherry.errors import CorruptedFile
from wherry.imaging.pool import Source
from wherry.imaging.process import memfd
from wherry.model import Attachment
from wherry.storage import scratch
from wherry.storage.base import StorageArea
from wherry.storage.content import open_content
from wherry.storage.direct import write_all
from wherry.storage.pieces import pieces


@contextmanager
def checked_source(storage: StorageArea, attachment: Attachment) -> Iterator[Source]:
    """As ``stored_source``; and its bytes are what was received, or ``CorruptedFile``."""
    with stored_source(storage, attachment) as source:
        digest = digest_like(attachment.digest)
        for piece in read_pieces(source):
            digest.update(piece)
        if digest.hexdigest() != attachment.digest:
            raise CorruptedFile("Its file here is damaged")
        yield source


def read_pieces(source: Source) -> Iterator[bytes]:
    """All bytes of it. Raises ``CorruptedFile`` when it has become shorter."""
    at, end = source.offset, source.offset + source.size
    while at < end:
        piece = os.pread(source.file, min(limits.READ_CHUNK_BYTES, end - at), at)
        if not piece:
            raise CorruptedFile("A file became shorter while it was read")
        at += len(piece)
        yield piece


@contextmanager
def stored_source(storage: StorageArea, attachment: Attachment) -> Iterator[Source]:
    """The plain bytes of a file: its own descriptor where it lies as it is, else a copy, in memory
    if it is short. Blocking.

    Raises ``MissingFile``, ``CorruptedFile``, ``StorageUnavailable``, ``CannotWriteFile``.
    """
    reader = open_content(storage, attachment)
    try:
        file = reader.fileno()
        if file is not None:
            yield Source(file, 0, reader.size)
        elif reader.size <= limits.UNPACKED_IN_MEMORY_BYTES:
            copy = memfd()
            try:
                write_all(copy, reader.read_at(0, reader.size), 0)
                yield Source(copy, 0, reader.size)
            finally:
                os.close(copy)
        else:
            with scratch.nameless() as room:
                scratch.fill(room, pieces(reader, 0, reader.size))
                yield Source.whole(room.fileno())
    finally:
        reader.close()
