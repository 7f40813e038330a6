"""SQLite under the index: one file, one process or a few on the same machine.

WAL, so that readers and the writer do not wait for each other; ``synchronous=FULL``, so that a
commit that was answered survives a power cut, but for commits that are promised elsewhere: of these
a power cut takes the newest, and leaves the index whole (``synchronous=NORMAL``). The measured
reasons are in ``docs/decisions/sqlite-driver.md``.

Not here: the schema, and when to commit.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from wherry import limits
from wherry.errors import (
    DatabaseError,
    DatabaseUnavailable,
    ParameterOutOfRange,
    StorageFull,
    WherryError,
)
from wherry.index.database import Backend, Connection, type_params

_WRITER_CACHE_KIB = 8 * 1024
_READER_CACHE_KIB = 1024
_CHECKPOINT_PAGES = 4000  # 16 MiB of log: a checkpoint every few thousand instances
_LOG_BYTES = 64 * limits.MIB
_ROWS_PER_STATEMENT = (64, 8, 1)


class SqliteBackend(Backend):
    """Connections to the file at ``path``."""

    embedded = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def reader(self) -> SqliteConnection:
        connection = self._open(_READER_CACHE_KIB)
        connection.script("PRAGMA query_only = ON")
        return connection

    def writer(self) -> SqliteConnection:
        connection = self._open(_WRITER_CACHE_KIB)
        self._use_log(connection)
        connection.script(
            f"PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES};"
            f"PRAGMA journal_size_limit = {_LOG_BYTES}"
        )
        return connection

    def _open(self, cache_kib: int) -> SqliteConnection:
        try:
            raw = sqlite3.connect(
                self._path,
                timeout=limits.INDEX_WAIT_S,
                isolation_level=None,
                check_same_thread=False,  # readers wander between threads, one at a time
                cached_statements=256,
            )
        except sqlite3.Error as error:
            raise _translate_error(error) from error
        connection = SqliteConnection(raw)
        connection.script(
            f"PRAGMA cache_size = -{cache_kib}; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;"
            "PRAGMA foreign_keys = ON"
        )
        return connection

    @staticmethod
    def _use_log(connection: SqliteConnection) -> None:
        """Switch to WAL; two processes that do it at once are told "locked" without waiting."""
        deadline = time.monotonic() + limits.INDEX_WAIT_S
        while True:
            try:
                mode = connection.one("PRAGMA journal_mode = WAL")
            except DatabaseUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                if mode != ("wal",):
                    raise DatabaseError("The file system of the index does not support SQLite WAL")
                return


class SqliteConnection(Connection):
    """One ``sqlite3`` connection in autocommit mode, with explicit BEGIN."""

    dialect = "sqlite"

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw: sqlite3.Connection | None = raw
        self._cursor = raw.cursor()
        self._begin = "BEGIN IMMEDIATE"
        self._relaxed = False
        self._doubtful = False

    # --- Transaction -------------------------------------------------------------------------

    def one(self, sql: str, params: type_params = ()) -> tuple[Any, ...] | None:
        cursor = self._execute(sql, params)
        try:
            row: tuple[Any, ...] | None = cursor.fetchone()
        except sqlite3.Error as error:
            raise _translate_error(error) from error
        return row

    def all(self, sql: str, params: type_params = ()) -> list[tuple[Any, ...]]:
        cursor = self._execute(sql, params)
        try:
            return cursor.fetchall()
        except sqlite3.Error as error:
            raise _translate_error(error) from error

    def gather(
        self, columns: tuple[str, ...], source: str, params: type_params = ()
    ) -> Sequence[Sequence[Any]]:
        # One row that has them all: each step of SQLite gives the interpreter lock away, and with
        # several busy threads getting it back takes longer than the step.
        row = self.one(_gathering(columns, source), params)
        assert row is not None
        rows: list[list[Any]] = orjson.loads(f"[{row[0] or ''}]")
        return rows

    def run(self, sql: str, params: type_params = ()) -> int:
        return self._execute(sql, params).rowcount

    def many(self, sql: str, rows: Sequence[type_params]) -> None:
        try:
            self._cursor.executemany(sql, rows)
        except _ERRORS as error:
            raise _translate_error(error) from error

    def insert(self, table: str, columns: tuple[str, ...], rows: Sequence[type_params]) -> None:
        # Many rows in one statement: each step of SQLite gives the interpreter lock away, and
        # a busy neighbour thread keeps it for milliseconds.
        done = 0
        for size in _ROWS_PER_STATEMENT:
            sql = _insert_statement(table, columns, size)
            while len(rows) - done >= size:
                piece = rows[done : done + size]
                self._execute(sql, piece[0] if size == 1 else list(chain.from_iterable(piece)))
                done += size

    def _execute(self, sql: str, params: type_params) -> sqlite3.Cursor:
        text, of_one = _translate(sql)
        if of_one:
            if all(type(p) is not list or len(p) == 1 for p in params):
                text, params = of_one, [p[0] if type(p) is list else p for p in params]
            else:
                params = [orjson.dumps(p).decode() if type(p) is list else p for p in params]
        try:
            return self._cursor.execute(text, params)
        except _ERRORS as error:
            raise _translate_error(error) from error

    # --- Connection --------------------------------------------------------------------------

    def state(self) -> int | None:
        row = self.one("PRAGMA data_version")
        return None if row is None else int(row[0])

    def begin(self) -> None:
        if self._doubtful:
            self._empty_log()
        self._execute(self._begin, ())

    def _empty_log(self) -> None:
        """A commit could not be written or synced. What a kernel could not write it takes for
        written, so a later sync would not say that there is a hole in the log before it."""
        if self.one("PRAGMA wal_checkpoint(TRUNCATE)") != (0, 0, 0):
            raise DatabaseUnavailable("After an error of the disk the index is not written yet")
        self._doubtful = False

    def relax(self, promised: bool) -> None:
        if promised is not self._relaxed:
            self._execute(f"PRAGMA synchronous = {'NORMAL' if promised else 'FULL'}", ())
            self._relaxed = promised

    def commit(self) -> None:
        try:
            self._execute("COMMIT", ())
        except DatabaseError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", 0)
            self._doubtful = self._doubtful or code & 0xFF == sqlite3.SQLITE_IOERR
            raise

    def rollback(self) -> None:
        if self._raw is None or not self._raw.in_transaction:
            return  # SQLite itself rolls back after some errors
        try:
            self._cursor.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()

    @property
    def usable(self) -> bool:
        return self._raw is not None

    def close(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()

    def script(self, sql: str) -> None:
        """Statements without parameters, separated by semicolons, outside of a transaction."""
        for statement in filter(str.strip, sql.split(";")):
            self._execute(statement, ())
        self._begin = "BEGIN" if "query_only" in sql else self._begin


_ERRORS = (sqlite3.Error, OverflowError, UnicodeEncodeError)


def _translate_error(error: Exception) -> WherryError:
    """The error of our tree for one of the driver. The driver's words may hold values: of an
    error, only the name of its code goes on."""
    if isinstance(error, OverflowError | UnicodeEncodeError):
        return ParameterOutOfRange("A value cannot be represented in the index")
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageFull("The disk of the index is full")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DatabaseUnavailable("Another process keeps the index locked")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DatabaseError(f"The file of the index is damaged ({name})")
    return DatabaseError(f"SQLite: {name}")


@lru_cache(maxsize=512)
def _translate(sql: str) -> tuple[str, str]:
    """SQLite's text for a statement; and if it has lists among its parameters, a cheaper text for
    lists of one, else nothing."""
    if " IN ?" not in sql:
        return sql, ""
    many = sql.replace(" IN ?", " IN (SELECT value FROM json_each(?))")
    return many, sql.replace(" IN ?", " = ?")


@lru_cache(maxsize=128)
def _insert_statement(table: str, columns: tuple[str, ...], rows: int) -> str:
    row = "(" + ", ".join("?" * len(columns)) + ")"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"


@lru_cache(maxsize=128)
def _gathering(columns: tuple[str, ...], source: str) -> str:
    names = [f"c{number}" for number in range(len(columns))]
    named = ", ".join(f"{one} AS {name}" for one, name in zip(columns, names, strict=True))
    return (
        f"SELECT group_concat(json_array({', '.join(names)}), ',') FROM (SELECT {named} {source})"
    )
