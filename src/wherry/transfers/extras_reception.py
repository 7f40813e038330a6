"""Receiving what travels beside the instances of a transfer: declared, then file by file.

    declare ─▶ attachments, in any order, each as often as it takes ─▶ applied by the commit

It stands in the index like the rest of an open transfer, so that any process goes on after a crash;
files lie in the transfer's block of names until the commit of the transfer makes them visible, in
its own transaction, together with the instances. Declaring it again keeps what has arrived.

What the receiver has already stays: labels of both, metadata and attachments as they are here when
they differ, and the receipt counts them. With ``OverwriteInstances`` those of the sender win, as
its instances do.

Not here: the document (``extras``), the bytes of one file (``extras_incoming``), the instances
(``reception``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from wherry import limits
from wherry.digests import new_md5
from wherry.errors import (
    CorruptedFile,
    ParameterOutOfRange,
    StorageFull,
    TooLarge,
    Unavailable,
)
from wherry.index import transfer_extras, transfers
from wherry.index.database import Index, Transaction
from wherry.index.extras import Extras, same_content, there
from wherry.index.transfer_extras import NOT_SENT, AttachmentRow
from wherry.index.transfer_rows import TransferRow
from wherry.ingest.deposit import Deposit
from wherry.ingest.ingest import Ingest
from wherry.jobs.ranges import to_text
from wherry.model import Attachment, Level, ManifestInstance, type_json
from wherry.storage.base import StorageArea
from wherry.transfers.declaring import Quota
from wherry.transfers.extras import Enclosure, count, digest
from wherry.transfers.extras_incoming import IncomingAttachment
from wherry.transfers.finding import open_transfer
from wherry.transfers.packing import BlockNames
from wherry.transfers.running import Running


@dataclass(frozen=True, slots=True)
class Brought:
    """What a transfer has brought, all of it."""

    digest: str
    extras: tuple[Extras, ...]
    counts: dict[str, int]


class ExtrasReception:
    """The receiving end. Blocking; from any thread."""

    def __init__(
        self,
        index: Index,
        storage: StorageArea,
        running: Running,
        ingest: Ingest,
        quota: Quota,
    ) -> None:
        self._index = index
        self._storage = storage
        self._running = running
        self._ingest = ingest
        self._quota = quota

    # --- declaring -------------------------------------------------------------------------
    def declare(
        self,
        transfer_id: str,
        enclosures: Sequence[Enclosure],
        extras: Sequence[Extras],
        username: str | None = None,
    ) -> list[int]:
        """Declare what a transfer brings: as it travelled, and as it is called here. Positions of
        the attachments that are to be sent.

        Raises ``UnknownResource`` when the transfer is not open, ``TooLarge``, ``StorageFull``,
        ``Unavailable``.
        """
        room_bytes = max(0, self._storage.free_bytes() - limits.FREE_DISK_BYTES)
        told = digest(enclosures)
        text = _to_text(extras, count(enclosures))

        def work(tx: Transaction) -> list[int]:
            transfer = open_transfer(tx, transfer_id, username)
            rows = self._rows(tx, transfer, extras)
            transfer_extras.replace(tx, transfer_id, told, text, rows)
            wanted = [one for one in rows if one.staged is None]
            self._check(transfer, rows)
            self._check_room(tx, sum(one.size for one in wanted), room_bytes)
            return [one.position for one in wanted]

        return self._index.write(work)

    def _rows(
        self, tx: Transaction, transfer: TransferRow, extras: Sequence[Extras]
    ) -> list[AttachmentRow]:
        """What is to be sent, what has arrived already, and what is stored here."""
        arrived = {
            (one.orthanc_id, one.content_type, one.size, one.md5): one.staged
            for one in transfer_extras.attachments(tx, transfer.id)
        }
        stored = there(tx, [(one.level, one.orthanc_id) for one in extras])
        stay = {one.orthanc_id for one in transfers.held(tx, transfer.id)}
        rows: list[AttachmentRow] = []
        for one in extras:
            replaced = one.level is Level.INSTANCE and one.orthanc_id not in stay
            for file in one.attachments:
                key = (one.orthanc_id, file.content_type)
                size, md5 = file.uncompressed_size, file.uncompressed_md5
                staged = arrived.get((*key, size, md5)) or None
                if staged is None and self._needless(file, stored.get(key), replaced):
                    staged = NOT_SENT
                rows.append(AttachmentRow(len(rows), one.level, *key, size, md5, staged))
        return rows

    def _needless(self, file: Attachment, known: Attachment | None, replaced: bool) -> bool:
        """Whether an attachment will be there after the commit without being sent. An instance
        that is overwritten loses those that it has."""
        if known is None:
            return False
        if not self._ingest.overwrite:
            return True
        return not replaced and same_content(known, file)

    def _check(self, transfer: TransferRow, rows: Sequence[AttachmentRow]) -> None:
        if any(one.size > self._quota.instance_bytes for one in rows):
            raise TooLarge(f"An attachment may have at most {self._quota.instance_bytes} bytes")
        total = transfer.total_bytes + sum(one.size for one in rows)
        if total > self._quota.total_bytes:
            raise TooLarge(f"A transfer may have at most {self._quota.total_bytes} bytes")

    def _check_room(self, tx: Transaction, wanted: int, room_bytes: int) -> None:
        """After the rows were written: what is wanted is among what is awaited."""
        if wanted > room_bytes:
            raise StorageFull("The storage area has no room for the attachments of this transfer")
        if wanted and transfers.awaited_bytes(tx) > room_bytes:
            raise Unavailable(
                "The room for these attachments is promised to others that are under way",
                retry_after_s=limits.TRANSFER_BUSY_S,
            )

    # --- attachments -----------------------------------------------------------------------
    def attachment(
        self, transfer_id: str, position: int, username: str | None = None
    ) -> IncomingAttachment:
        """Begin to receive an attachment. Raises ``UnknownResource`` when the transfer is not open,
        ``ParameterOutOfRange`` when it has no such attachment."""
        with self._index.read() as tx:
            transfer = open_transfer(tx, transfer_id, username)
            few = position < limits.EXTRAS_ATTACHMENTS  # one beyond may not fit in a column
            row = transfer_extras.attachment(tx, transfer_id, position) if few else None
        if row is None:
            raise ParameterOutOfRange(f"The transfer declares no attachment {position}")
        deposit = Deposit(
            self._storage,
            BlockNames(transfer.block),
            row.content_type,
            compression=self._ingest.compression,
            max_bytes=row.size,
            kind=new_md5,
        )
        attempt = self._running.begin(transfer_id, -1 - position)  # buckets count from 0
        return IncomingAttachment(self._index, self._storage, self._running, attempt, row, deposit)

    # --- the commit ------------------------------------------------------------------------
    def load(self, tx: Transaction, transfer_id: str) -> Brought | None:
        """What an open transfer has brought; None when it declared nothing. Raises
        ``CorruptedFile`` when an attachment has not arrived."""
        declared = transfer_extras.document(tx, transfer_id)
        if declared is None:
            return None
        files: dict[tuple[Level, str], list[Attachment]] = {}
        for row in transfer_extras.attachments(tx, transfer_id):
            if row.staged is None:
                raise CorruptedFile(
                    f"{row.level.title} {row.orthanc_id}: attachment {row.content_type}"
                    " was not sent"
                )
            files.setdefault((row.level, row.orthanc_id), []).append(_file(row))
        return _from_text(*declared, files)

    def apply(
        self, tx: Transaction, brought: Brought, declared: Sequence[ManifestInstance]
    ) -> tuple[dict[str, type_json], bool]:
        """Make it visible, behind the instances of the same transaction: what the receipt says of
        it, and whether files were brought that are not needed."""
        names = [one.orthanc_id for one in declared]
        outcome = self._ingest.add_extras(tx, brought.extras, names)
        told: dict[str, type_json] = {**brought.counts, "ExtrasDigest": brought.digest}
        if outcome.kept_other:
            told["CountKeptExtras"] = outcome.kept_other
        return told, bool(outcome.unused)


def _file(row: AttachmentRow) -> Attachment:
    if row.staged:
        return Attachment(**orjson.loads(row.staged))
    return Attachment("", row.content_type, row.size, row.md5, row.size, row.md5)


def _to_text(extras: Sequence[Extras], counts: dict[str, int]) -> str:
    """Metadata and labels; attachments have rows of their own."""
    items = [
        (one.level, one.orthanc_id, {str(n): text for n, text in one.metadata.items()}, one.labels)
        for one in extras
    ]
    return orjson.dumps([counts, items]).decode()


def _from_text(digest: str, text: str, files: dict[tuple[Level, str], list[Attachment]]) -> Brought:
    counts, items = orjson.loads(text)
    extras = tuple(
        Extras(
            Level(level),
            orthanc_id,
            {int(number): value for number, value in metadata.items()},
            tuple(labels),
            tuple(files.get((Level(level), orthanc_id), ())),
        )
        for level, orthanc_id, metadata, labels in items
    )
    return Brought(digest, extras, counts)


def answer(missing: Sequence[int]) -> dict[str, str]:
    """The answer to a declaration: positions of the attachments that are to be sent."""
    return {"Missing": to_text(missing)}
