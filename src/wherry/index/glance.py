"""One question to the index in one statement, without a transaction around it.

A statement of SQLite sees a consistent state by itself; to begin and to end a snapshot around it
costs twice as much as a read by key. For what is asked at every request; never for two statements
that must agree with each other.

Not here: the connections (``database``).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, NoReturn

from wherry.errors import BadSequenceOfCalls
from wherry.index.database import Connection, Index, Transaction, type_params


def glance(index: Index) -> AbstractContextManager[Transaction]:
    """Like ``index.read()`` for exactly one statement; cheaper where the index is in this
    process."""
    connection = index.take_idle() if index.embedded else None
    return index.read() if connection is None else _Glance(index, connection)


class _Glance(Transaction):
    """A transaction of one statement; as a context manager it gives the connection back."""

    dialect = "sqlite"

    def __init__(self, index: Index, connection: Connection) -> None:
        self._index = index
        self._connection = connection
        self._asked = False

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._index.give_back(self._connection)

    def all(self, sql: str, params: type_params = ()) -> list[tuple[Any, ...]]:
        """All rows; once."""
        if self._asked:
            raise BadSequenceOfCalls("A glance is one statement")
        self._asked = True
        return self._connection.all(sql, params)

    def one(self, sql: str, params: type_params = ()) -> tuple[Any, ...] | None:
        """The first row; all are fetched, because a statement that is not at its end keeps its
        state of the index alive."""
        rows = self.all(sql, params)
        return rows[0] if rows else None

    def run(self, sql: str, params: type_params = ()) -> NoReturn:
        raise BadSequenceOfCalls("A glance only reads")

    def many(self, sql: str, rows: Sequence[type_params]) -> NoReturn:
        raise BadSequenceOfCalls("A glance only reads")

    def insert(self, table: str, columns: tuple[str, ...], rows: Sequence[type_params]) -> NoReturn:
        raise BadSequenceOfCalls("A glance only reads")
