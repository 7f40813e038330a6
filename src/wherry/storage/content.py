"""Attachments as their owner knows them, however they are compressed in the storage area.

Not here: how they are compressed (``packed``, ``blocks``), where the bytes lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from wherry.errors import CorruptedFile
from wherry.model import Attachment, Compression
from wherry.storage import packed
from wherry.storage.base import FileReader, StorageArea
from wherry.storage.blocks import BlockPacker, BlockReader, Blocks, unpacked_blocks
from wherry.storage.packed import Bytes, PackedReader, Packer


def open_content(storage: StorageArea, attachment: Attachment) -> FileReader:
    """The uncompressed bytes of an attachment. Raises ``MissingFile``; its methods raise
    ``CorruptedFile`` when a compressed file is damaged."""
    uuid, size = attachment.uuid, attachment.uncompressed_size
    match attachment.compression:
        case Compression.NONE:
            return storage.open(uuid, attachment.place)
        case Compression.ZLIB:
            return PackedReader(storage.open(uuid, attachment.place), size, uuid)
        case Compression.ZSTD:
            return BlockReader(storage.open(uuid, attachment.place), size, uuid)
    raise CorruptedFile(f"The stored file {uuid} has an unknown compression")


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


def new_packer(compression: Compression) -> Packer:
    """For the bytes of one file. The prefix with their number is the caller's to write."""
    return BlockPacker() if compression is Compression.ZSTD else packed.new_packer()


def unpacked(
    source: Bytes, compression: Compression, size: int, name: str
) -> AbstractContextManager[memoryview]:
    """All plain bytes of a compressed file as one buffer. Raises ``CorruptedFile``."""
    if compression is Compression.ZSTD:
        return unpacked_blocks(Blocks(source, size, name), size)
    return packed.unpacked(source, size, name)
