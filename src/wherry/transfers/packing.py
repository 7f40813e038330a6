"""Instances that arrived by transfer, stored compressed (``StorageCompression``).

Their bytes come in pieces, in any order, so they land plain; once an instance is verified, it is
written again in Orthanc's compressed format, under another name of its transfer's block. A crash
in between leaves files that are swept with the block.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

from wherry.digests import digest_like
from wherry.errors import CorruptedFile
from wherry.index.deletions import type_file
from wherry.index.staging import block_of
from wherry.ingest.deposit import Deposit
from wherry.ingest.names import name_in
from wherry.model import Compression, StagedInstance
from wherry.storage.base import StorageArea
from wherry.storage.pieces import pieces


class BlockNames:
    """Names of a block that its transfer journals and sweeps."""

    def __init__(self, block: str) -> None:
        self._block = block

    def take(self) -> str:
        """A fresh name."""
        return name_in(self._block)

    def settle(self, uuid: str) -> None:
        """Nothing: the block is swept as a whole."""

    def leave(self, files: Sequence[type_file]) -> None:
        """Nothing either."""


def packed(
    storage: StorageArea, staged: StagedInstance, compression: Compression
) -> StagedInstance:
    """The same instance in a compressed file, synced; the plain one stays. Raises
    ``CorruptedFile`` when that has changed since it was verified, ``CannotWriteFile``."""
    plain = staged.attachment
    names = BlockNames(block_of(plain.uuid))
    deposit = Deposit(
        storage,
        names,
        plain.content_type,
        compression=compression,
        max_bytes=plain.uncompressed_size,
        kind=partial(digest_like, plain.digest),
    )
    try:
        with closing(storage.open(plain.uuid, plain.place)) as reader:
            for piece in pieces(reader, 0, plain.uncompressed_size):
                deposit.write(piece)
        attachment = deposit.finish()
    except BaseException:
        deposit.abort()
        raise
    if attachment.digest != plain.digest:
        storage.delete(attachment.uuid, attachment.place)
        name = staged.summary.identifiers.instance
        raise CorruptedFile(f"Instance {name}: its file has changed")
    return replace(staged, attachment=attachment)
