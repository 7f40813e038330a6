"""All stored files, page by page; and what is not known of those that were adopted.

An Orthanc may know neither the digest of a file (``StoreMD5ForAttachments``) nor the transfer
syntax of an instance (before its 1.2.0): both are read from the file, once.

Not here: reading it (``replication.filecheck``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from wherry.index.database import Transaction
from wherry.index.related import FILE
from wherry.model import Attachment

type_after = tuple[int, int]
"""Resource (row) and content type of the last file of the page before."""
START: Final[type_after] = (0, -1)


class StoredFile(NamedTuple):
    """One attachment and what it belongs to."""

    resource: int
    attachment: Attachment

    @property
    def place(self) -> type_after:
        """Behind this one the next page begins."""
        return self.resource, self.attachment.content_type


class Digests(NamedTuple):
    """Of one file, lower-case hex; empty = not known."""

    uuid: str
    uncompressed_md5: str
    compressed_md5: str
    uncompressed_blake3: str = ""
    compressed_blake3: str = ""


class Header(NamedTuple):
    """Of one instance (row)."""

    instance: int
    transfer_syntax: str
    sop_class_uid: str


_WHOLE: Final = (
    "(a.uncompressed_md5 <> '' OR a.uncompressed_blake3 <> '')"
    " AND (a.compressed_md5 <> '' OR a.compressed_blake3 <> '')"
)
_DIGESTS: Final = (
    "uncompressed_md5",
    "compressed_md5",
    "uncompressed_blake3",
    "compressed_blake3",
)


def count(tx: Transaction) -> int:
    """How many there are."""
    row = tx.one("SELECT count(*) FROM attachments")
    return int(row[0]) if row else 0


def unfinished(tx: Transaction) -> int:
    """How often ``without_digest`` and ``without_header`` have something to say."""
    row = tx.one(
        f"SELECT (SELECT count(*) FROM attachments a WHERE NOT ({_WHOLE}))"
        " + (SELECT count(*) FROM instances WHERE transfer_syntax = '')"
    )
    return int(row[0]) if row else 0


def page(tx: Transaction, after: type_after, limit: int) -> list[StoredFile]:
    """The next ``limit`` files."""
    return _page(tx, after, limit, "")


def without_digest(tx: Transaction, after: type_after, limit: int) -> list[StoredFile]:
    """The same of those whose digests are not known."""
    return _page(tx, after, limit, f" AND NOT ({_WHOLE})")


def without_header(tx: Transaction, after: int, limit: int) -> list[StoredFile]:
    """The DICOM files of the next ``limit`` instances without a transfer syntax, behind the one
    with the row ``after``."""
    rows = tx.all(
        f"SELECT i.id, {FILE} FROM instances i JOIN attachments a"
        " ON a.resource = i.id AND a.content_type = 1"
        " WHERE i.id > ? AND i.transfer_syntax = '' ORDER BY i.id LIMIT ?",
        (after, limit),
    )
    return [StoredFile(row[0], Attachment(*row[1:])) for row in rows]


def set_digests(tx: Transaction, found: Collection[Digests]) -> None:
    """Write down the digests of files; one that is known stays."""
    told = ", ".join(f"{one} = CASE a.{one} WHEN '' THEN ? ELSE a.{one} END" for one in _DIGESTS)
    tx.many(
        f"UPDATE attachments AS a SET {told} WHERE a.uuid = ?",
        [(*one[1:], one.uuid) for one in found],
    )


def set_headers(tx: Transaction, found: Sequence[Header]) -> None:
    """Write down what files are, unless it is known."""
    tx.many(
        "UPDATE instances SET transfer_syntax = ?, sop_class_uid = ?"
        " WHERE id = ? AND transfer_syntax = ''",
        [(one.transfer_syntax, one.sop_class_uid, one.instance) for one in found],
    )


def _page(tx: Transaction, after: type_after, limit: int, more: str) -> list[StoredFile]:
    rows = tx.all(
        f"SELECT a.resource, {FILE} FROM attachments a"
        f" WHERE (a.resource, a.content_type) > (?, ?){more}"
        " ORDER BY a.resource, a.content_type LIMIT ?",
        (*after, limit),
    )
    return [StoredFile(row[0], Attachment(*row[1:])) for row in rows]
