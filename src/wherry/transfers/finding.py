"""The rows of a transfer for somebody who asks: only what is his, and what makes sense."""

from __future__ import annotations

import re

from wherry.errors import ParameterOutOfRange, UnknownResource
from wherry.index import transfers
from wherry.index.database import Transaction
from wherry.index.transfer_rows import BucketRow, TransferRow
from wherry.transfers.landers import Piece

_TRANSFER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def open_transfer(tx: Transaction, transfer_id: str, username: str | None) -> TransferRow:
    """An open transfer. Raises ``UnknownResource``."""
    transfer = known_transfer(tx, transfer_id, username)
    if transfer.state != "open":
        raise UnknownResource
    return transfer


def known_transfer(tx: Transaction, transfer_id: str, username: str | None) -> TransferRow:
    """One that is open or committed. A push belongs to the user who opened it, a pull to its job
    (None). Raises ``UnknownResource``."""
    transfer = transfers.get(tx, transfer_id) if _TRANSFER_ID.fullmatch(transfer_id) else None
    if transfer is None or transfer.state == "discarded":
        raise UnknownResource
    if username is not None and (transfer.kind, transfer.username) != ("push", username):
        raise UnknownResource
    return transfer


def bucket_of(tx: Transaction, transfer: TransferRow, position: int) -> BucketRow:
    """One of its buckets. Raises ``ParameterOutOfRange``."""
    if position < transfer.bucket_count:  # one beyond may not even fit in a column
        row = transfers.bucket(tx, transfer.id, position)
        if row is not None:
            return row
    raise ParameterOutOfRange(
        f"There is no bucket {position}: the push has {transfer.bucket_count}"
    )


def pieces_of(tx: Transaction, transfer_id: str, row: BucketRow) -> list[Piece]:
    """The bucket in terms of instances, held against what was declared. Raises
    ``UnknownResource``, ``ParameterOutOfRange``."""
    positions = {position for position, _, _ in row.chunks}
    if -1 in positions:
        raise UnknownResource("Unknown instance")
    instances = transfers.instances(tx, transfer_id, positions)
    pieces = [Piece(instances[place], offset, size) for place, offset, size in row.chunks]
    for piece in pieces:
        if piece.offset + piece.size > piece.instance.size:
            raise ParameterOutOfRange(
                f"The bucket reaches beyond instance {piece.instance.orthanc_id}"
            )
    return pieces
