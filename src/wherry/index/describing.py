"""Resources with all that their JSON shows: one by its identifier, some, or the next of a level.

Everything about a resource comes with its row, in one statement: what hangs on it is gathered by
subqueries, because a statement of its own costs more than what it finds. Many resources take no
more statements than one.

Not here: what is rarely asked for (``related``), how it is written in JSON (``rest.rendering``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from wherry import clock
from wherry.index import completeness
from wherry.index.database import Transaction
from wherry.model import Level, Resource

_JOIN: Final = {"sqlite": "group_concat", "postgresql": "string_agg"}
_BETWEEN: Final = "\n"
"""Between texts that are gathered: neither identifiers nor labels hold it."""

_TIMES: Final = "a.updated_at, a.stable"
_FIRST_OWN: Final = 7
"""Columns from here on differ from level to level."""

_OWN: Final = {
    Level.PATIENT: f"{_TIMES}, r.protected",
    Level.STUDY: f"{_TIMES}, r.patient_tags",
    Level.SERIES: f"{_TIMES}, r.expected_instances",
    Level.INSTANCE: "r.index_in_series, a.uncompressed_size, a.uuid",
}


def get(tx: Transaction, level: Level, orthanc_id: str) -> Resource | None:
    """One resource, or None when it is unknown."""
    row = tx.one(f"{_select(level, tx.dialect)} WHERE r.orthanc_id = ?", (orthanc_id,))
    return None if row is None else _resources(tx, level, [row])[0]


def get_many(tx: Transaction, level: Level, ids: Iterable[str]) -> list[Resource]:
    """Resources in the order of ``ids``; unknown ones are left out."""
    wanted = list(ids)
    rows = tx.all(f"{_select(level, tx.dialect)} WHERE r.orthanc_id IN ?", (wanted,))
    found = {one.orthanc_id: one for one in _resources(tx, level, rows)}
    return [found[orthanc_id] for orthanc_id in wanted if orthanc_id in found]


def following(
    tx: Transaction, level: Level, limit: int, *, after: int = 0, skip: int = 0
) -> list[Resource]:
    """At most ``limit`` resources in order of arrival, of those whose ``row`` is above ``after``;
    the first ``skip`` of them are left out."""
    rows = tx.all(
        f"{_select(level, tx.dialect)} WHERE r.id > ? ORDER BY r.id LIMIT ? OFFSET ?",
        (after, limit, skip),
    )
    return _resources(tx, level, rows)


@lru_cache(maxsize=16)
def _select(level: Level, dialect: str) -> str:
    """The statement up to its condition; ``r`` is the resource."""
    gather, table = _JOIN[dialect], level.plural
    labels = f"SELECT {gather}(l.label, '{_BETWEEN}') FROM labels l WHERE l.resource = r.id"
    children, parent, upper = "NULL", "NULL", ""
    if level < Level.INSTANCE:
        below = Level(level + 1).plural
        children = (
            f"(SELECT {gather}(c.orthanc_id, '{_BETWEEN}') FROM"
            f" (SELECT b.orthanc_id FROM {below} b WHERE b.parent = r.id ORDER BY b.id) c)"
        )
    if level > Level.PATIENT:
        parent, upper = "p.orthanc_id", f" JOIN {Level(level - 1).plural} p ON p.id = r.parent"
    more = (
        " JOIN activity a ON a.resource = r.id"
        if level < Level.INSTANCE
        else " LEFT JOIN attachments a ON a.resource = r.id AND a.content_type = 1"
    )
    return (
        f"SELECT r.id, r.orthanc_id, r.tags, {parent}, {children}, ({labels}),"
        " (SELECT min(m.type) FROM metadata m WHERE m.resource = r.id AND m.type IN (5, 6)),"
        f" {_OWN[level]} FROM {table} r{upper}{more}"
    )


def _resources(tx: Transaction, level: Level, rows: Collection[tuple[Any, ...]]) -> list[Resource]:
    status: dict[int, str] = {}
    if level is Level.SERIES:
        announced = [row[0] for row in rows if row[_FIRST_OWN + 2] is not None]
        status = completeness.statuses(tx, announced) if announced else {}
    origins = _origins(tx, [row[0] for row in rows if row[6] is not None])
    found = []
    for row in rows:
        key, orthanc_id, tags, parent, children, labels, _, first, second, third = row
        fields: dict[str, Any] = {}
        if level is Level.INSTANCE:
            fields["index_in_series"] = first
            fields["file_size"], fields["file_uuid"] = second or 0, third or ""
        else:
            fields["last_update"], fields["is_stable"] = orthanc_date(int(first)), bool(second)
            if children is not None:
                fields["children"] = tuple(children.split(_BETWEEN))
        if level is Level.PATIENT:
            fields["is_protected"] = bool(third)
        elif level is Level.STUDY:
            fields["patient_tags"] = orjson.loads(third)
        elif level is Level.SERIES:
            fields["expected_instances"] = third
            fields["status"] = status.get(key, "Unknown")
        if labels is not None:
            fields["labels"] = tuple(sorted(labels.split(_BETWEEN)))
        if key in origins:
            fields |= origins[key]
        found.append(Resource(level, orthanc_id, orjson.loads(tags), parent, row=key, **fields))
    return found


def _origins(tx: Transaction, rows: list[int]) -> dict[int, dict[str, str]]:
    """What these resources (rows) were made from."""
    found: dict[int, dict[str, str]] = {}
    if rows:
        for row, kind, value in tx.all(
            "SELECT resource, type, value FROM metadata WHERE resource IN ? AND type IN (5, 6)",
            (rows,),
        ):
            found.setdefault(row, {})["modified_from" if kind == 5 else "anonymized_from"] = value
    return found


@lru_cache(maxsize=4096)
def orthanc_date(timestamp: int) -> str:
    """Orthanc's spelling of a time. Remembered: what arrives together has the same second."""
    return clock.orthanc_date(datetime.fromtimestamp(timestamp, UTC))
