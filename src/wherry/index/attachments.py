"""Attachments: the files of a resource, at every level (rest-api §7).

A file that is replaced or taken away goes to the journal of deletions in the same transaction,
and the totals of the store follow. That the new file is safe before is ``ingest``'s business.
"""

from __future__ import annotations

from dataclasses import replace

from wherry.errors import UnknownResource
from wherry.index import deletions, revisions, totals
from wherry.index.database import Transaction
from wherry.index.rooted import log_change, row_of
from wherry.model import Attachment, ChangeType, Level, Revision

_COLUMNS = (
    "content_type",
    "uuid",
    "uncompressed_size",
    "uncompressed_md5",
    "compressed_size",
    "compressed_md5",
    "compression",
    "place",
    "revision",
    "uncompressed_blake3",
    "compressed_blake3",
)
_READ = (
    "SELECT uuid, content_type, uncompressed_size, uncompressed_md5, compressed_size,"
    " compressed_md5, compression, place, revision, uncompressed_blake3, compressed_blake3"
    " FROM attachments"
)
_FIRST_OF_USERS = 1024


def of_one(tx: Transaction, level: Level, orthanc_id: str) -> dict[int, Attachment]:
    """The files of a resource by number, ascending. Raises ``UnknownResource``."""
    row = row_of(tx, level, orthanc_id)
    found = (Attachment(*values) for values in tx.all(f"{_READ} WHERE resource = ?", (row,)))
    return {one.content_type: one for one in sorted(found, key=lambda one: one.content_type)}


def get(tx: Transaction, level: Level, orthanc_id: str, content_type: int) -> Attachment:
    """One file. Raises ``UnknownResource`` when the resource or the file is unknown."""
    found = _get(tx, row_of(tx, level, orthanc_id), content_type)
    if found is None:
        raise UnknownResource
    return found


def check(
    tx: Transaction,
    level: Level,
    orthanc_id: str,
    content_type: int,
    *,
    claimed: Revision | None = None,
    required: bool = False,
) -> None:
    """Raises what ``put`` would raise now: worth knowing before a long file arrives."""
    current = _get(tx, row_of(tx, level, orthanc_id), content_type)
    if current is not None:
        revisions.check(state(current), claimed, required=required)


def put(
    tx: Transaction,
    level: Level,
    orthanc_id: str,
    attachment: Attachment,
    *,
    claimed: Revision | None = None,
    required: bool = False,
) -> Attachment:
    """Attach a file, in place of the one with the same number; it, with its revision.

    Raises ``UnknownResource``, ``BadRevision``.
    """
    row = row_of(tx, level, orthanc_id)
    current = _get(tx, row, attachment.content_type)
    if current is not None:
        revisions.check(state(current), claimed, required=required)
    put_in = replace(attachment, revision=0 if current is None else current.revision + 1)
    _exchange(tx, level, row, current, put_in)
    return put_in


def remove(
    tx: Transaction,
    level: Level,
    orthanc_id: str,
    content_type: int,
    *,
    claimed: Revision | None = None,
    required: bool = False,
) -> None:
    """Take a file away. Raises ``UnknownResource`` when the resource or the file is unknown,
    ``BadRevision``."""
    row = row_of(tx, level, orthanc_id)
    current = _get(tx, row, content_type)
    if current is None:
        raise UnknownResource
    revisions.check(state(current), claimed, required=required)
    _exchange(tx, level, row, current, None)


def exchange(
    tx: Transaction, level: Level, orthanc_id: str, known: Attachment, attachment: Attachment
) -> bool:
    """Put another file with the same content in the place of ``known``: its revision stays.

    False, and nothing changed, when ``known`` is not attached there any more.
    """
    row = row_of(tx, level, orthanc_id)
    current = _get(tx, row, known.content_type)
    if current is None or current.uuid != known.uuid:
        return False
    _exchange(tx, level, row, current, replace(attachment, revision=current.revision))
    return True


def count_sealed(tx: Transaction, seal: str) -> int:
    """Files whose place ends with this container, of all there are: a look at each of them."""
    row = tx.one("SELECT COUNT(*) FROM attachments WHERE place LIKE ?", (f"%:{seal}",))
    return int(row[0]) if row else 0


def state(attachment: Attachment) -> Revision:
    """What its entity tag says."""
    return Revision(attachment.revision, attachment.uncompressed_md5)


def _get(tx: Transaction, row: int, content_type: int) -> Attachment | None:
    found = tx.one(f"{_READ} WHERE resource = ? AND content_type = ?", (row, content_type))
    return Attachment(*found) if found else None


def _exchange(
    tx: Transaction, level: Level, row: int, old: Attachment | None, new: Attachment | None
) -> None:
    """Rows, journal of deletions, totals, log of changes."""
    counters = totals.load(tx)
    if old is not None:
        tx.run(
            "DELETE FROM attachments WHERE resource = ? AND content_type = ?",
            (row, old.content_type),
        )
        deletions.add(tx, [(old.uuid, old.place)])
        counters.disk_bytes -= old.compressed_size
        counters.uncompressed_bytes -= old.uncompressed_size
    if new is not None:
        values = [getattr(new, column) for column in _COLUMNS]
        tx.insert("attachments", ("resource", *_COLUMNS), [(row, *values)])
        counters.disk_bytes += new.compressed_size
        counters.uncompressed_bytes += new.uncompressed_size
    content_type = (new or old).content_type  # type: ignore[union-attr]
    if content_type >= _FIRST_OF_USERS:
        log_change(tx, ChangeType.UpdatedAttachment, level, row, counters)
    else:
        totals.save(tx, counters)
