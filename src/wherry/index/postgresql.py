"""PostgreSQL under the index: several processes on several machines.

Every write transaction first takes one advisory lock. So the numbers of changes become visible in
their order, counters need no locks of their own, and two processes never deadlock; what is lost
is small, because a transaction of ours is short and shared by many works.

Not here: the schema, and when to commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, LiteralString, cast

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper

from wherry import limits
from wherry.errors import (
    DatabaseError,
    DatabaseUnavailable,
    ParameterOutOfRange,
    StorageFull,
    WherryError,
)
from wherry.index.database import Backend, Connection, Transient, type_params

WRITE_LOCK = 0x5765727279  # "Wherry": the key of the advisory lock of all writers
_COPY_ROWS = 8  # from here on COPY is cheaper than one INSERT with many values

_BEGIN_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_BEGIN_WRITE = (
    f"BEGIN; SELECT pg_advisory_xact_lock({WRITE_LOCK}); SELECT pg_current_xact_id()::text"
)


class PostgresqlBackend(Backend):
    """Connections to the database that ``conninfo`` (libpq) names."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo

    def reader(self) -> PostgresqlReader:
        return PostgresqlReader(self._open())

    def writer(self) -> PostgresqlWriter:
        return PostgresqlWriter(self._open(), self.outcome)

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        try:
            raw = psycopg.connect(
                self._conninfo,
                autocommit=True,
                connect_timeout=10,
                application_name="wherry",
                options=f"-c lock_timeout={int(limits.INDEX_WAIT_S * 1000)}"
                " -c synchronous_commit=on -c client_min_messages=warning",
            )
        except psycopg.Error as error:
            raise Transient("PostgreSQL does not accept a connection") from error
        raw.prepare_threshold = 2
        raw.prepared_max = 200
        # One type for all integers: otherwise each magnitude is a statement of its own.
        raw.adapters.register_dumper(int, Int8Dumper)
        return raw

    def outcome(self, xid: str) -> bool:
        """Whether a transaction whose connection was lost in its COMMIT was committed."""
        for attempt in range(limits.INDEX_RETRIES):
            time.sleep(limits.INDEX_RETRY_S * 2**attempt)
            with suppress(psycopg.Error, Transient), self._open() as raw:
                with raw.transaction():  # the lock waits for its end, should it still run
                    raw.execute("SELECT pg_advisory_xact_lock(%s)", (WRITE_LOCK,))
                row = raw.execute("SELECT pg_xact_status(%s::xid8)", (xid,)).fetchone()
                return row == ("committed",)
        raise DatabaseUnavailable("PostgreSQL was lost in a commit: its outcome is not known")


class PostgresqlConnection(Connection):
    """One psycopg connection in autocommit mode, with explicit BEGIN."""

    dialect = "postgresql"

    def __init__(self, raw: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._raw = raw
        self._cursor = raw.cursor()

    # --- Transaction -------------------------------------------------------------------------

    def one(self, sql: str, params: type_params = ()) -> tuple[Any, ...] | None:
        return self._execute(sql, params).fetchone()

    def all(self, sql: str, params: type_params = ()) -> list[tuple[Any, ...]]:
        return self._execute(sql, params).fetchall()

    def run(self, sql: str, params: type_params = ()) -> int:
        return self._execute(sql, params).rowcount

    def many(self, sql: str, rows: Sequence[type_params]) -> None:
        try:
            self._cursor.executemany(_translate(sql), rows)
        except _ERRORS as error:
            raise self._failed(error) from error

    def insert(self, table: str, columns: tuple[str, ...], rows: Sequence[type_params]) -> None:
        if len(rows) < _COPY_ROWS:
            for row in rows:
                self._execute(_insert_statement(table, columns), row)
            return
        try:
            with self._cursor.copy(_copy_statement(table, columns)) as copy:
                for row in rows:
                    copy.write_row(row)
        except _ERRORS as error:
            raise self._failed(error) from error

    def _execute(self, sql: str, params: type_params) -> psycopg.Cursor[tuple[Any, ...]]:
        try:
            return self._cursor.execute(_translate(sql), params)
        except _ERRORS as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> WherryError:
        if self._raw.broken:
            return Transient("The connection to PostgreSQL was lost")
        return _translate_error(error)

    # --- Connection --------------------------------------------------------------------------

    def begin(self) -> None:
        self._simple(_BEGIN_READ)

    def commit(self) -> None:
        self._simple("COMMIT")

    def rollback(self) -> None:
        if self._raw.closed or self._raw.info.transaction_status is TransactionStatus.IDLE:
            return
        try:
            self._raw.execute("ROLLBACK")
        except psycopg.Error:
            self.close()

    @property
    def usable(self) -> bool:
        return not self._raw.closed

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._raw.close()

    def _simple(self, sql: LiteralString) -> psycopg.Cursor[tuple[Any, ...]]:
        """Statements without parameters, in one round trip."""
        try:
            return self._cursor.execute(sql, prepare=False)
        except psycopg.Error as error:
            raise self._failed(error) from error


class PostgresqlReader(PostgresqlConnection):
    """Sees one snapshot per transaction and cannot change anything."""


class PostgresqlWriter(PostgresqlConnection):
    """Its transactions exclude those of all other writers of this database."""

    def __init__(
        self, raw: psycopg.Connection[tuple[Any, ...]], outcome: Callable[[str], bool]
    ) -> None:
        super().__init__(raw)
        self._outcome = outcome
        self._xid = ""

    def begin(self) -> None:
        cursor = self._simple(_BEGIN_WRITE)
        while cursor.nextset():
            pass
        self._xid = str(cast(tuple[Any, ...], cursor.fetchone())[0])

    def commit(self) -> None:
        try:
            super().commit()
        except Transient:
            # Lost in the one moment in which nobody tells whether it happened: ask.
            if not self._outcome(self._xid):
                raise


_ERRORS = (psycopg.Error, UnicodeEncodeError)
_RETRY = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.AdminShutdown,
    psycopg.errors.CrashShutdown,
    psycopg.errors.CannotConnectNow,
)


def _translate_error(error: Exception) -> WherryError:
    """The error of our tree for one of the driver; only the SQLSTATE goes on, because the words
    of the server may hold values."""
    if isinstance(error, _RETRY):
        return Transient(f"PostgreSQL: {type(error).__name__}")
    if isinstance(error, psycopg.errors.DiskFull):
        return StorageFull("The disk of the index is full")
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return DatabaseUnavailable("Another process keeps the index locked")
    if isinstance(error, psycopg.DataError | UnicodeEncodeError):
        return ParameterOutOfRange("A value cannot be represented in the index")
    return DatabaseError(f"PostgreSQL: {getattr(error, 'sqlstate', None) or type(error).__name__}")


@lru_cache(maxsize=512)
def _translate(sql: str) -> LiteralString:
    """psycopg's spelling of the placeholders."""
    return sql.replace("%", "%%").replace(" IN ?", " = ANY(%s)").replace("?", "%s")


@lru_cache(maxsize=128)
def _insert_statement(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


@lru_cache(maxsize=128)
def _copy_statement(table: str, columns: tuple[str, ...]) -> LiteralString:
    return f"COPY {table} ({', '.join(columns)}) FROM STDIN"
