"""Resources with all that their JSON shows: one by its identifier, some, or the next of a level.

Everything about a resource comes with its row, in one statement: what hangs on it is gathered by
subqueries, because a statement of its own costs more than what it finds. Many resources take no
more statements than one.

Not here: what is rarely asked for (``related``), how it is written in JSON (``rest.rendering``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from wherry import clock
from wherry.index import completeness
from wherry.index.database import Transaction
from wherry.index.related import BETWEEN, JOINED, chain
from wherry.model import Level, Resource

_SECOND: Final = {
    "sqlite": "CAST(a.updated_at AS INTEGER)",
    "postgresql": "CAST(floor(a.updated_at) AS bigint)",
}
_SOURCE: Final = 6
"""The column that tells whether a resource was made from another; those behind it differ from
level to level."""


def get(tx: Transaction, level: Level, orthanc_id: str) -> Resource | None:
    """One resource, or None when it is unknown."""
    columns, source = _select(level, tx.dialect)
    row = tx.one(f"SELECT {', '.join(columns)} {source} WHERE r.orthanc_id = ?", (orthanc_id,))
    return None if row is None else _resources(tx, level, [row])[0]


def get_many(tx: Transaction, level: Level, ids: Iterable[str]) -> list[Resource]:
    """Resources in the order of ``ids``; unknown ones are left out."""
    wanted = list(ids)
    columns, source = _select(level, tx.dialect)
    rows = tx.gather(columns, f"{source} WHERE r.orthanc_id IN ?", (wanted,))
    found = {one.orthanc_id: one for one in _resources(tx, level, rows)}
    return [found[orthanc_id] for orthanc_id in wanted if orthanc_id in found]


def following(
    tx: Transaction,
    level: Level,
    limit: int,
    *,
    under: tuple[Level, str] | None = None,
    after: int = 0,
    skip: int = 0,
) -> list[Resource]:
    """At most ``limit`` resources in order of arrival: those whose ``row`` is above ``after``,
    without the first ``skip`` of them, and of these the ones below the resource ``under``."""
    params: list[Any] = [after]
    condition = "r.id > ?"
    if skip:  # on the bare table, because a join would be made for each row that is skipped
        condition = (
            f"r.id >= (SELECT b.id FROM {level.plural} b WHERE b.id > ?"
            " ORDER BY b.id LIMIT 1 OFFSET ?)"
        )
        params.append(skip)
    if under is not None:
        top, orthanc_id = under
        above = Level(level - 1)
        condition += (
            f" AND r.parent IN (SELECT l{above:d}.id FROM {chain(top, above)}"
            f" WHERE l{top:d}.orthanc_id = ?)"
        )
        params.append(orthanc_id)
    columns, source = _select(level, tx.dialect)
    rows = tx.gather(columns, f"{source} WHERE {condition} ORDER BY r.id LIMIT ?", [*params, limit])
    return _resources(tx, level, rows)


@lru_cache(maxsize=16)
def _select(level: Level, dialect: str) -> tuple[tuple[str, ...], str]:
    """The columns, and the statement from there up to its condition; ``r`` is the resource."""
    gather, table = JOINED[dialect], level.plural
    labels = f"SELECT {gather}(l.label, '{BETWEEN}') FROM labels l WHERE l.resource = r.id"
    children, parent, upper = "NULL", "NULL", ""
    if level < Level.INSTANCE:
        below = Level(level + 1).plural
        children = (
            f"(SELECT {gather}(c.orthanc_id, '{BETWEEN}') FROM"
            f" (SELECT b.orthanc_id FROM {below} b WHERE b.parent = r.id ORDER BY b.id) c)"
        )
    if level > Level.PATIENT:
        parent, upper = "p.orthanc_id", f" JOIN {Level(level - 1).plural} p ON p.id = r.parent"
    more = (
        " JOIN activity a ON a.resource = r.id"
        if level < Level.INSTANCE
        else " LEFT JOIN attachments a ON a.resource = r.id AND a.content_type = 1"
    )
    own = {
        Level.PATIENT: "r.protected",
        Level.STUDY: "r.patient_tags",
        Level.SERIES: "r.expected_instances",
        Level.INSTANCE: "a.uuid",
    }
    columns = (
        "r.id",
        "r.orthanc_id",
        "r.tags",
        parent,
        children,
        f"({labels})",
        "(SELECT min(m.type) FROM metadata m WHERE m.resource = r.id AND m.type IN (5, 6))",
        *(
            ("r.index_in_series", "a.uncompressed_size")
            if level is Level.INSTANCE
            else (_SECOND[dialect], "a.stable")
        ),
        own[level],
    )
    return columns, f"FROM {table} r{upper}{more}"


def _resources(tx: Transaction, level: Level, rows: Collection[Sequence[Any]]) -> list[Resource]:
    make = _MAKERS[level]
    found = [make(row) for row in rows]
    if level is Level.SERIES:
        announced = [one.row for one in found if one.expected_instances is not None]
        if announced:
            status = completeness.statuses(tx, announced)
            found = [one._replace(status=status.get(one.row, "Unknown")) for one in found]
    derived = [row[0] for row in rows if row[_SOURCE] is not None]
    if derived:
        origins = _origins(tx, derived)
        found = [one._replace(**origins[one.row]) if one.row in origins else one for one in found]
    return found


def _patient(row: Sequence[Any]) -> Resource:
    key, orthanc_id, tags, parent, children, labels, _, updated, stable, protected = row
    return Resource(
        Level.PATIENT,
        orthanc_id,
        orjson.loads(tags),
        parent,
        tuple(children.split(BETWEEN)) if children else (),
        orthanc_date(updated),
        bool(stable),
        bool(protected),
        labels=_sorted(labels) if labels else (),
        row=key,
    )


def _study(row: Sequence[Any]) -> Resource:
    key, orthanc_id, tags, parent, children, labels, _, updated, stable, patient_tags = row
    return Resource(
        Level.STUDY,
        orthanc_id,
        orjson.loads(tags),
        parent,
        tuple(children.split(BETWEEN)) if children else (),
        orthanc_date(updated),
        bool(stable),
        patient_tags=orjson.loads(patient_tags),
        labels=_sorted(labels) if labels else (),
        row=key,
    )


def _series(row: Sequence[Any]) -> Resource:
    key, orthanc_id, tags, parent, children, labels, _, updated, stable, expected = row
    return Resource(
        Level.SERIES,
        orthanc_id,
        orjson.loads(tags),
        parent,
        tuple(children.split(BETWEEN)) if children else (),
        orthanc_date(updated),
        bool(stable),
        expected_instances=expected,
        labels=_sorted(labels) if labels else (),
        row=key,
    )


def _instance(row: Sequence[Any]) -> Resource:
    key, orthanc_id, tags, parent, _, labels, _, index_in_series, size, uuid = row
    return Resource(
        Level.INSTANCE,
        orthanc_id,
        orjson.loads(tags),
        parent,
        index_in_series=index_in_series,
        file_size=size or 0,
        file_uuid=uuid or "",
        labels=_sorted(labels) if labels else (),
        row=key,
    )


_MAKERS: Final = {
    Level.PATIENT: _patient,
    Level.STUDY: _study,
    Level.SERIES: _series,
    Level.INSTANCE: _instance,
}


def _sorted(labels: str) -> tuple[str, ...]:
    return tuple(sorted(labels.split(BETWEEN)))


def _origins(tx: Transaction, rows: list[int]) -> dict[int, dict[str, Any]]:
    """What these resources (rows) were made from."""
    found: dict[int, dict[str, Any]] = {}
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
