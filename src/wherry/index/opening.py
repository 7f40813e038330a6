"""Opening an index: which database, is it empty, is it of our version.

Alembic is imported by ``upgrade`` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wherry.errors import ConfigurationError, IncompatibleDatabase
from wherry.index import schema
from wherry.index.database import Backend, Index


@dataclass(frozen=True)
class IndexSettings:
    """Where the index is. PostgreSQL when ``postgresql`` is given, else the SQLite file."""

    sqlite_path: Path | None = None
    postgresql: str | None = None
    """Connection string of libpq."""


def open_index(settings: IndexSettings) -> Index:
    """The index, ready to use; its schema is made when the database is empty.

    Raises ``IncompatibleDatabase`` when the schema has another version; the details say what to
    run. Two processes may do this at once: whoever comes second finds the schema made.
    """
    backend = backend_of(settings)
    found = _prepare(backend)
    if found != schema.VERSION:
        raise IncompatibleDatabase(
            f"The index has schema version {found}, this Wherry needs {schema.VERSION}:"
            + _advice(found)
        )
    return Index(backend)


def is_made(settings: IndexSettings) -> bool:
    """Whether there is an index, of whatever version; none is made by asking."""
    if settings.postgresql is None and not (settings.sqlite_path or Path()).is_file():
        return False
    connection = backend_of(settings).reader()
    try:
        return schema.version(connection) is not None
    finally:
        connection.close()


def upgrade(settings: IndexSettings) -> tuple[str, str]:
    """Bring the schema to this program's version; the old version and the new one.

    ``""`` stands for an empty database. Safe to repeat; all of it happens in one transaction.
    Raises ``IncompatibleDatabase`` when the database is newer than this program.
    """
    backend = backend_of(settings)
    connection = backend.writer()
    try:
        before = schema.version(connection)
    finally:
        connection.close()
    if before != schema.VERSION:
        from wherry.index import upgrading

        upgrading.run(settings.sqlite_path, settings.postgresql)
    return before or "", schema.VERSION


def backend_of(settings: IndexSettings) -> Backend:
    """The database that the settings name."""
    if settings.postgresql is not None:
        from wherry.index.postgresql import PostgresqlBackend  # costs a process that needs it

        return PostgresqlBackend(settings.postgresql)
    if settings.sqlite_path is None:
        raise ConfigurationError("Neither an index file nor a PostgreSQL database is configured")
    from wherry.index.sqlite import SqliteBackend

    return SqliteBackend(settings.sqlite_path)


def _prepare(backend: Backend) -> str | None:
    """The version of the database, after making the schema of an empty one."""
    connection = backend.writer()
    try:
        found = schema.version(connection)
        if found is None:
            connection.begin()  # alone from here on: another process may have been quicker
            found = schema.version(connection)
            if found is None:
                schema.create(connection)
                found = schema.VERSION
            connection.commit()
    except BaseException:
        connection.rollback()
        raise
    finally:
        connection.close()
    return found


def _advice(found: str | None) -> str:
    if found is not None and found.isdecimal() and int(found) < int(schema.VERSION):
        return " run: wherry upgrade CONFIG"
    return " it was made by another version of Wherry, run that one"
