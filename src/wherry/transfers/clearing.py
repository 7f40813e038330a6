"""What an ended transfer leaves behind: rows of its manifest, and files that no instance uses."""

from __future__ import annotations

from wherry import limits
from wherry.index import transfers
from wherry.index.database import Index, Transaction
from wherry.index.transfer_rows import TransferRow
from wherry.ingest.recovery import remove_strays
from wherry.storage.base import StorageArea


def clear(index: Index, storage: StorageArea, transfer: TransferRow) -> None:
    """Remove both, rows in portions between which others write. The names stay journaled: another
    process may still be receiving a bucket, and make a file after we looked."""

    def portion(tx: Transaction) -> bool:
        return transfers.drop_manifest(tx, transfer.id, limits.MANIFEST_PORTION)

    while index.write(portion):
        pass
    remove_strays(index, storage, transfer.block)
