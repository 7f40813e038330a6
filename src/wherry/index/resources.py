"""Resources of the four levels: what the faces ask about them.

``add_instances`` and ``delete`` are offered here too; they live in ``adding`` and ``removing``.
All questions about many resources take a fixed number of statements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from wherry import clock
from wherry.index import completeness, totals
from wherry.index.adding import add_instances
from wherry.index.database import Transaction
from wherry.index.removing import delete
from wherry.model import Attachment, Level, Resource, Statistics

_MODIFIED_FROM, _ANONYMIZED_FROM = 5, 6
_NO_LIMIT = 2**62

_FILE = (
    "a.uuid, a.content_type, a.uncompressed_size, a.uncompressed_md5, a.compressed_size,"
    " a.compressed_md5, a.compression, a.place, a.revision"
)

_SELECT = {
    Level.PATIENT: "SELECT r.id, r.orthanc_id, r.tags, NULL, a.updated_at, a.stable, r.protected"
    " FROM patients r JOIN activity a ON a.resource = r.id",
    Level.STUDY: "SELECT r.id, r.orthanc_id, r.tags, p.orthanc_id, a.updated_at, a.stable,"
    " r.patient_tags FROM studies r JOIN patients p ON p.id = r.parent"
    " JOIN activity a ON a.resource = r.id",
    Level.SERIES: "SELECT r.id, r.orthanc_id, r.tags, p.orthanc_id, a.updated_at, a.stable,"
    " r.expected_instances FROM series r JOIN studies p ON p.id = r.parent"
    " JOIN activity a ON a.resource = r.id",
    Level.INSTANCE: "SELECT r.id, r.orthanc_id, r.tags, p.orthanc_id, NULL, NULL,"
    " r.index_in_series, a.uncompressed_size, a.uuid FROM instances r"
    " JOIN series p ON p.id = r.parent"
    " LEFT JOIN attachments a ON a.resource = r.id AND a.content_type = 1",
}


def get(tx: Transaction, level: Level, orthanc_id: str) -> Resource | None:
    """One resource, or None when it is unknown."""
    return next(iter(get_many(tx, level, (orthanc_id,))), None)


def get_many(tx: Transaction, level: Level, ids: Iterable[str]) -> list[Resource]:
    """Resources in the order of ``ids``; unknown ones are left out."""
    wanted = list(ids)
    rows = tx.all(f"{_SELECT[level]} WHERE r.orthanc_id IN ?", (wanted,))
    keys = [row[0] for row in rows]
    common = _common(tx, level, keys)
    status = completeness.statuses(tx, keys) if level is Level.SERIES else {}
    found = {}
    for row in rows:
        fields = common[row[0]]
        if level is Level.PATIENT:
            fields["is_protected"] = bool(row[6])
        elif level is Level.STUDY:
            fields["patient_tags"] = orjson.loads(row[6])
        elif level is Level.SERIES:
            fields["expected_instances"] = row[6]
            fields["status"] = status.get(row[0], "Unknown")
        else:
            fields["index_in_series"] = row[6]
            fields["file_size"], fields["file_uuid"] = row[7] or 0, row[8] or ""
        if row[4] is not None:
            fields["last_update"] = _date(row[4])
            fields["is_stable"] = bool(row[5])
        found[row[1]] = Resource(level, row[1], orjson.loads(row[2]), row[3], **fields)
    return [found[orthanc_id] for orthanc_id in wanted if orthanc_id in found]


def _common(tx: Transaction, level: Level, rows: list[int]) -> dict[int, dict[str, Any]]:
    """Fields that come from tables of their own, by row."""
    fields: dict[int, dict[str, Any]] = {row: {} for row in rows}
    if level is not Level.INSTANCE:
        children = defaultdict(list)
        for parent, orthanc_id in tx.all(
            f"SELECT parent, orthanc_id FROM {Level(level + 1).plural}"
            " WHERE parent IN ? ORDER BY parent, id",
            (rows,),
        ):
            children[parent].append(orthanc_id)
        for row, orthanc_ids in children.items():
            fields[row]["children"] = tuple(orthanc_ids)
    for row, kind, value in tx.all(
        "SELECT resource, type, value FROM metadata WHERE resource IN ? AND type IN ?",
        (rows, [_MODIFIED_FROM, _ANONYMIZED_FROM]),
    ):
        fields[row]["modified_from" if kind == _MODIFIED_FROM else "anonymized_from"] = value
    for row, label in tx.all(
        "SELECT resource, label FROM labels WHERE resource IN ? ORDER BY resource, label", (rows,)
    ):
        fields[row]["labels"] = (*fields[row].get("labels", ()), label)
    return fields


def list_ids(tx: Transaction, level: Level, since: int = 0, limit: int | None = None) -> list[str]:
    """Identifiers in order of arrival, after the first ``since``."""
    rows = tx.all(
        f"SELECT orthanc_id FROM {level.plural} ORDER BY id LIMIT ? OFFSET ?",
        (_NO_LIMIT if limit is None else limit, since),
    )
    return [row[0] for row in rows]


def descendants(tx: Transaction, level: Level, orthanc_id: str, at: Level) -> list[str] | None:
    """Identifiers at the lower level ``at``, in order of arrival; None when unknown."""
    row = _row(tx, level, orthanc_id)
    if row is None:
        return None
    rows = tx.all(
        f"SELECT l{at:d}.orthanc_id FROM {_chain(level, at)} WHERE l{level:d}.id = ?"
        f" ORDER BY l{at:d}.id",
        (row,),
    )
    return [found[0] for found in rows]


def ancestor(tx: Transaction, level: Level, orthanc_id: str, at: Level) -> str | None:
    """The identifier at the upper level ``at``; None when the resource is unknown."""
    row = tx.one(
        f"SELECT l{at:d}.orthanc_id FROM {_chain(at, level)} WHERE l{level:d}.orthanc_id = ?",
        (orthanc_id,),
    )
    return row[0] if row else None


def attachment(
    tx: Transaction, level: Level, orthanc_id: str, content_type: int = 1
) -> Attachment | None:
    """One file of a resource; None when the file or the resource is unknown."""
    row = tx.one(
        f"SELECT {_FILE} FROM {level.plural} r JOIN attachments a ON a.resource = r.id"
        " WHERE r.orthanc_id = ? AND a.content_type = ?",
        (orthanc_id, content_type),
    )
    return Attachment(*row) if row else None


def files_under(
    tx: Transaction, level: Level, orthanc_id: str
) -> list[tuple[str, Attachment]] | None:
    """Instances under a resource with their DICOM files, sorted by identifier; None when the
    resource is unknown."""
    row = _row(tx, level, orthanc_id)
    if row is None:
        return None
    rows = tx.all(
        f"SELECT l4.orthanc_id, {_FILE} FROM {_chain(level, Level.INSTANCE)}"
        f" JOIN attachments a ON a.resource = l4.id AND a.content_type = 1"
        f" WHERE l{level:d}.id = ? ORDER BY l4.orthanc_id",
        (row,),
    )
    return [(found[0], Attachment(*found[1:])) for found in rows]


def files_of(tx: Transaction, instance_ids: Collection[str]) -> dict[str, Attachment]:
    """DICOM files of these instances; unknown ones are left out."""
    rows = tx.all(
        f"SELECT r.orthanc_id, {_FILE} FROM instances r JOIN attachments a"
        " ON a.resource = r.id AND a.content_type = 1 WHERE r.orthanc_id IN ?",
        (list(instance_ids),),
    )
    return {row[0]: Attachment(*row[1:]) for row in rows}


def statistics(tx: Transaction) -> Statistics:
    """Totals of the whole store, in constant time."""
    now = totals.load(tx)
    return Statistics(
        now.patients,
        now.studies,
        now.series,
        now.instances,
        now.disk_bytes,
        now.uncompressed_bytes,
    )


def statistics_of(
    tx: Transaction, level: Level, orthanc_id: str, *, dicom_only: bool = False
) -> Statistics | None:
    """Totals of one resource and all below it (itself counted); bytes of all its attachments, or
    of the DICOM files only. None when it is unknown."""
    row = _row(tx, level, orthanc_id)
    if row is None:
        return None
    counts = [0, 0, 0, 0]
    sizes = [0, 0]
    for at in range(level, Level.INSTANCE + 1):
        found = tx.one(
            f"SELECT count(DISTINCT l{at}.id), coalesce(sum(a.compressed_size), 0),"
            f" coalesce(sum(a.uncompressed_size), 0) FROM {_chain(level, Level(at))}"
            f" LEFT JOIN attachments a ON a.resource = l{at}.id"
            f" {'AND a.content_type = 1' if dicom_only else ''} WHERE l{level:d}.id = ?",
            (row,),
        )
        assert found is not None
        counts[at - 1] = found[0]
        sizes = [sizes[0] + int(found[1]), sizes[1] + int(found[2])]
    return Statistics(*counts, *sizes)


_METADATA = (
    ("IndexInSeries", "index_in_series"),
    ("ReceptionDate", "reception_date"),
    ("RemoteAET", "remote_aet"),
    ("Origin", "origin"),
    ("TransferSyntax", "transfer_syntax"),
    ("SopClassUid", "sop_class_uid"),
    ("RemoteIP", "remote_ip"),
    ("CalledAET", "called_aet"),
    ("HttpUsername", "username"),
    ("PixelDataOffset", "pixel_data_offset"),
)


def instance_metadata(tx: Transaction, orthanc_id: str) -> dict[str, str]:
    """Core metadata of an instance by Orthanc's names, those that it has."""
    columns = ", ".join(column for _, column in _METADATA)
    row = tx.one(f"SELECT {columns} FROM instances WHERE orthanc_id = ?", (orthanc_id,))
    if row is None:
        return {}
    return {
        name: str(value)
        for (name, _), value in zip(_METADATA, row, strict=True)
        if value is not None and value != ""
    }


def _row(tx: Transaction, level: Level, orthanc_id: str) -> int | None:
    row = tx.one(f"SELECT id FROM {level.plural} WHERE orthanc_id = ?", (orthanc_id,))
    return row[0] if row else None


def _chain(top: Level, bottom: Level) -> str:
    """The tables from one level down to another, joined, named ``l1`` … ``l4``."""
    text = f"{top.plural} l{top:d}"
    for at in range(top + 1, bottom + 1):
        text += f" JOIN {Level(at).plural} l{at} ON l{at}.parent = l{at - 1}.id"
    return text


def _date(timestamp: float) -> str:
    return clock.orthanc_date(datetime.fromtimestamp(timestamp, UTC))


__all__ = [
    "add_instances",
    "ancestor",
    "attachment",
    "delete",
    "descendants",
    "files_of",
    "files_under",
    "get",
    "get_many",
    "instance_metadata",
    "list_ids",
    "statistics",
    "statistics_of",
]
