"""Attachments as their owner knows them, however they are compressed in the storage area.

Not here: how they are compressed (``packed``), where the bytes lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wherry.errors import CorruptedFile
from wherry.model import Attachment
from wherry.storage.base import FileReader, StorageArea
from wherry.storage.packed import PackedReader

STORED_PLAIN = 1
STORED_ZLIB = 2


def open_content(storage: StorageArea, attachment: Attachment) -> FileReader:
    """The uncompressed bytes of an attachment. Raises ``MissingFile``; its methods raise
    ``CorruptedFile`` when a compressed file is damaged."""
    if attachment.compression == STORED_PLAIN:
        return storage.open(attachment.uuid, attachment.place)
    if attachment.compression != STORED_ZLIB:
        raise CorruptedFile(f"The stored file {attachment.uuid} has an unknown compression")
    return PackedReader(
        storage.open(attachment.uuid, attachment.place),
        attachment.uncompressed_size,
        attachment.uuid,
    )


@contextmanager
def mapped(storage: StorageArea, attachment: Attachment) -> Iterator[memoryview]:
    """The bytes of a file, plain whatever its compression; only what is looked at is read.

    Blocking. Raises as ``open_content``.
    """
    reader = open_content(storage, attachment)
    try:
        with reader.map() as content:
            yield content
    finally:
        reader.close()
