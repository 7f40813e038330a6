"""Rows of what an open transfer brings beside its instances: see ``extras``.

They are written when the sender declares it, once or again, and go with the rest of the manifest
(``transfers.drop_manifest``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wherry.index.database import Transaction
from wherry.model import Level

_COLUMNS = ("position", "level", "orthanc_id", "content_type", "size", "md5", "staged")
NOT_SENT = ""
"""Stands for the staged file of an attachment that need not be sent."""


@dataclass(frozen=True, slots=True)
class AttachmentRow:
    """One declared attachment."""

    position: int
    level: Level
    orthanc_id: str
    content_type: int
    size: int
    md5: str
    staged: str | None = None
    """JSON of the ``Attachment``, None until it has arrived."""


def replace(
    tx: Transaction,
    transfer_id: str,
    digest: str,
    document: str,
    attachments: Sequence[AttachmentRow],
) -> None:
    """Declare it, in place of what was declared before."""
    for table in ("transfer_extras", "transfer_attachments"):
        tx.run(f"DELETE FROM {table} WHERE transfer_id = ?", (transfer_id,))
    tx.insert(
        "transfer_extras",
        ("transfer_id", "digest", "document"),
        [(transfer_id, digest, document)],
    )
    tx.insert(
        "transfer_attachments",
        ("transfer_id", *_COLUMNS),
        [
            (
                transfer_id,
                one.position,
                int(one.level),
                one.orthanc_id,
                one.content_type,
                one.size,
                one.md5,
                one.staged,
            )
            for one in attachments
        ],
    )


def document(tx: Transaction, transfer_id: str) -> tuple[str, str] | None:
    """Digest and document; None when nothing was declared."""
    row = tx.one(
        "SELECT digest, document FROM transfer_extras WHERE transfer_id = ?", (transfer_id,)
    )
    return (str(row[0]), str(row[1])) if row else None


def attachments(tx: Transaction, transfer_id: str) -> list[AttachmentRow]:
    """All declared attachments, in order of position."""
    rows = tx.all(
        f"SELECT {', '.join(_COLUMNS)} FROM transfer_attachments WHERE transfer_id = ?"
        " ORDER BY position",
        (transfer_id,),
    )
    return [AttachmentRow(row[0], Level(row[1]), *row[2:]) for row in rows]


def attachment(tx: Transaction, transfer_id: str, position: int) -> AttachmentRow | None:
    """One of them."""
    row = tx.one(
        f"SELECT {', '.join(_COLUMNS)} FROM transfer_attachments"
        " WHERE transfer_id = ? AND position = ?",
        (transfer_id, position),
    )
    return AttachmentRow(row[0], Level(row[1]), *row[2:]) if row else None


def stage(tx: Transaction, transfer_id: str, row: AttachmentRow, staged: str) -> bool:
    """Keep an attachment that has arrived; False when it is here, or not wanted any more."""
    changed = tx.run(
        "UPDATE transfer_attachments SET staged = ? WHERE transfer_id = ? AND position = ?"
        " AND orthanc_id = ? AND content_type = ? AND size = ? AND md5 = ? AND staged IS NULL",
        (
            staged,
            transfer_id,
            row.position,
            row.orthanc_id,
            row.content_type,
            row.size,
            row.md5,
        ),
    )
    return changed == 1
