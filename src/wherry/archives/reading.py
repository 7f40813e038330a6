"""Stored files on their way into an archive: read in a thread of its own, a few pieces ahead.

While one piece is packed the next is read and digested, both without the interpreter lock: on two
processors an archive is made half as fast again. Small files go from thread to thread together,
because the way costs more than they do. Memory: a handful of batches of
``limits.READ_CHUNK_BYTES``, whatever the size of the files.

Every file is compared with the digest that the index knows, as it passes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Final

from wherry import limits
from wherry.archives.contents import Item
from wherry.digests import digest_like
from wherry.errors import CorruptedFile, WherryError
from wherry.storage.base import FileReader, StorageArea
from wherry.storage.outgoing import FileRange, all_opened

_BATCHES: Final = 3
"""That may wait for the packer."""
type_passed = bytes | BaseException | None
"""A piece of a file, the end of one, or why there is no more."""
type_look = Callable[[Item, FileReader], None]


class _Closed(Exception):
    """Nobody wants the rest."""


class FilesAhead:
    """The files of some items, in their order. Close it in the end."""

    def __init__(self, storage: StorageArea, items: Iterable[Item], look: type_look) -> None:
        """``look`` is shown each file before it is read, in the reading thread."""
        self._storage = storage
        self._items = items
        self._look = look
        self._changed = threading.Condition()
        self._waiting: deque[list[type_passed]] = deque()
        self._closed = False
        self._taken: deque[type_passed] = deque()
        self._thread = threading.Thread(target=self._run, name="archive-reader", daemon=True)
        self._thread.start()

    def file(self) -> Iterator[bytes]:
        """The pieces of the next file.

        Raises ``MissingFile``, ``CorruptedFile``: in the end, when its bytes are others.
        """
        while True:
            if not self._taken:
                self._taken.extend(self._take())
            passed = self._taken.popleft()
            if passed is None:
                return
            if isinstance(passed, BaseException):
                raise passed
            yield passed

    def close(self) -> None:
        """Stop reading. Safe to call twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    # --- between the threads -----------------------------------------------------------------
    def _take(self) -> list[type_passed]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            batch = self._waiting.popleft()
            self._changed.notify_all()
            return batch

    def _put(self, batch: list[type_passed]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._waiting) < _BATCHES)
            if self._closed:
                raise _Closed
            self._waiting.append(batch)
            self._changed.notify_all()

    # --- the reading thread ------------------------------------------------------------------
    def _run(self) -> None:
        try:
            for batch in self._batches():
                self._put(batch)
        except _Closed:
            pass

    def _batches(self) -> Iterator[list[type_passed]]:
        batch: list[type_passed] = []
        size = 0
        try:
            with closing(self._files()) as files:
                for item, reader in files:
                    for piece in self._pieces(item, reader):
                        batch.append(piece)
                        size += len(piece)
                        if size >= limits.READ_CHUNK_BYTES:
                            yield batch
                            batch, size = [], 0
                    batch.append(None)
        except Exception as error:
            batch.append(error)
        yield batch

    def _files(self) -> Generator[tuple[Item, FileReader], None, None]:
        items = list(self._items)
        whole = [_whole(item) for item in items]
        with closing(all_opened(self._storage, whole)) as readers:
            for item in items:
                with named(item):
                    reader = next(readers)
                yield item, reader

    def _pieces(self, item: Item, reader: FileReader) -> Iterator[bytes]:
        attachment = item.attachment
        size = attachment.uncompressed_size
        digest = digest_like(attachment.digest)
        # A slice of CT is a little more than a chunk: one read, one piece.
        portion = size if size <= 2 * limits.READ_CHUNK_BYTES else limits.READ_CHUNK_BYTES
        with named(item):
            self._look(item, reader)
            offset = 0
            while offset < size:
                piece = reader.read_at(offset, min(portion, size - offset))
                if not piece:
                    break
                digest.update(piece)
                offset += len(piece)
                yield piece
        if digest.hexdigest() != attachment.digest:
            raise CorruptedFile(f"Instance {item.orthanc_id}: its file here is damaged")


def _whole(item: Item) -> FileRange:
    return FileRange(item.orthanc_id, item.attachment, 0, item.attachment.uncompressed_size)


@contextmanager
def named(item: Item) -> Iterator[None]:
    """What goes wrong inside says which instance it is about."""
    try:
        yield
    except WherryError as error:
        if item.orthanc_id in error.details:
            raise
        cause = error.details or error.text
        raise type(error)(f"Instance {item.orthanc_id}: {cause}") from error
