"""Attachments as their owner knows them, however they are compressed in the storage area.

Not here: compressing; where the bytes lie.
"""

from __future__ import annotations

from wherry.errors import NotImplementedYet
from wherry.model import Attachment
from wherry.storage.base import FileReader, StorageArea

STORED_PLAIN = 1
STORED_ZLIB = 2


def open_content(storage: StorageArea, attachment: Attachment) -> FileReader:
    """The uncompressed bytes of an attachment. Raises ``MissingFile``."""
    if attachment.compression != STORED_PLAIN:
        raise NotImplementedYet
    return storage.open(attachment.uuid)
