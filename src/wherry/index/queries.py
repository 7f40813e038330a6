"""Queries to modalities and what came of them (``/queries``): kept until more recent ones are used.

Answers are written while others still come, so that nobody holds them all; a query is seen when
it is whole. What a query was in the middle of when its process died goes as any other does: with
the time.

Not here: who asks (``modalities``), how answers are shown (``rest``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from wherry import clock, limits
from wherry.index.database import Transaction
from wherry.model import type_json

_COLUMNS = ("id", "modality", "level", "document", "answers", "used_at")
_UNFINISHED = -1


@dataclass(frozen=True, slots=True)
class Query:
    """One query that was answered."""

    id: str
    modality: str
    """Name of whom was asked."""
    level: str
    """As the client named it."""
    query: dict[str, str]
    """What was asked for: ``ggggeeee`` → text, before anything was added."""
    local_aet: str
    """Our title, as the client wanted it; "" = the usual one."""
    timeout_s: int | None
    """For retrieving too; None = the usual one."""
    answers: int
    """Their number."""


def begin(tx: Transaction, query: Query, keep: int) -> None:
    """A new query, without answers yet and not to be seen; of all, the ``keep`` that were used
    most recently stay."""
    document = {
        "Query": query.query,
        "LocalAet": query.local_aet,
        "Timeout": query.timeout_s,
    }
    text = orjson.dumps(document).decode()
    newest = "SELECT id FROM queries ORDER BY used_at DESC LIMIT ?"
    old = tx.all(f"SELECT id FROM queries WHERE id NOT IN ({newest})", (max(keep, 1) - 1,))
    for (query_id,) in old:
        remove(tx, query_id)
    row = (query.id, query.modality, query.level, text, _UNFINISHED, clock.timestamp())
    tx.insert("queries", _COLUMNS, [row])


def add_answers(tx: Transaction, query_id: str, first: int, answers: Sequence[str]) -> bool:
    """Some more answers, JSON texts; ``first``: the number of the first one. False when the query
    is gone."""
    if tx.one("SELECT 1 FROM queries WHERE id = ?", (query_id,)) is None:
        return False
    rows = [(query_id, number, text) for number, text in enumerate(answers, first)]
    tx.insert("query_answers", ("query_id", "position", "content"), rows)
    return True


def finish(tx: Transaction, query_id: str, answers: int) -> bool:
    """The query has so many answers, and is seen from now on. False when it is gone."""
    done = tx.run(
        "UPDATE queries SET answers = ?, used_at = ? WHERE id = ?",
        (answers, clock.timestamp(), query_id),
    )
    return bool(done)


def ids(tx: Transaction) -> list[str]:
    """All queries, in ascending order."""
    rows = tx.all("SELECT id FROM queries WHERE answers >= 0 ORDER BY id")
    return [row[0] for row in rows]


def get(tx: Transaction, query_id: str) -> Query | None:
    """One query, or None."""
    found = _rows(tx, "AND id = ?", (query_id,))
    return found[0] if found else None


def page(tx: Transaction, after: str, limit: int) -> list[Query]:
    """At most ``limit`` queries behind the identifier ``after``, in ascending order."""
    return _rows(tx, "AND id > ? ORDER BY id LIMIT ?", (after, limit))


def answer(tx: Transaction, query_id: str, number: int) -> dict[str, Any] | None:
    """One answer, or None."""
    row = tx.one(
        "SELECT content FROM query_answers WHERE query_id = ? AND position = ?",
        (query_id, number),
    )
    return orjson.loads(row[0]) if row else None


def answers(tx: Transaction, query_id: str, first: int, limit: int) -> list[dict[str, Any]]:
    """At most ``limit`` answers from number ``first`` on."""
    rows = tx.all(
        "SELECT content FROM query_answers WHERE query_id = ? AND position >= ?"
        " ORDER BY position LIMIT ?",
        (query_id, first, limit),
    )
    return [orjson.loads(row[0]) for row in rows]


def is_used_lately(tx: Transaction, query_id: str) -> bool:
    """Whether ``use`` would change nothing that matters."""
    row = tx.one("SELECT used_at FROM queries WHERE id = ?", (query_id,))
    return row is None or bool(clock.timestamp() - row[0] < limits.QUERY_USED_S)


def use(tx: Transaction, query_id: str) -> None:
    """Somebody looks at it: others go before it."""
    tx.run("UPDATE queries SET used_at = ? WHERE id = ?", (clock.timestamp(), query_id))


def remove(tx: Transaction, query_id: str) -> None:
    """Forget it. No error when there is none."""
    tx.run("DELETE FROM query_answers WHERE query_id = ?", (query_id,))
    tx.run("DELETE FROM queries WHERE id = ?", (query_id,))


def _rows(tx: Transaction, condition: str, params: Sequence[Any]) -> list[Query]:
    columns = "id, modality, level, document, answers"
    rows = tx.all(f"SELECT {columns} FROM queries WHERE answers >= 0 {condition}", params)
    return [_query(*row) for row in rows]


def _query(query_id: str, modality: str, level: str, document: str, answers: int) -> Query:
    found: dict[str, type_json] = orjson.loads(document)
    return Query(
        query_id,
        modality,
        level,
        found["Query"],
        found["LocalAet"],
        found["Timeout"],
        answers,
    )
