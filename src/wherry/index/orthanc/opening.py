"""Opening an Orthanc's index without leaving a trace on it, while its Orthanc is kept out.

A shared lock on the file, the one that SQLite itself would take, tells whether an Orthanc has it
open, and keeps one from starting meanwhile. Under that lock SQLite may take the file for immutable:
it then looks for no other locks and makes no files. What a crash has left in a journal belongs to
the index: then a copy is read, into which SQLite brings the journal.

Not here: the rows (``reading``).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from wherry.errors import (
    ConfigurationError,
    DatabaseError,
    DatabaseUnavailable,
    IncompatibleDatabase,
)
from wherry.index.orthanc.reading import OrthancIndex, Revision

NAME: Final = "index"
"""Of the file in ``IndexDirectory``."""
_MAGIC: Final = b"SQLite format 3\0"
_JOURNALS: Final = ("-wal", "-journal")
_COPY: Final = "wherry-adopts-a-copy"
"""Folder beside the index; what an earlier attempt left in it is of no use."""
_SCHEMA: Final = "6"
_UPGRADABLE: Final = ("3", "4", "5")

# The bytes that readers of an SQLite file lock (SHARED_FIRST, SHARED_SIZE of its file format).
_SHARED_FIRST: Final = 0x40000000 + 2
_SHARED_SIZE: Final = 510
_FLOCK: Final = "hhqqi4x"
"""``struct flock`` on 64-bit Linux: type, whence, start, length, process."""


def seems_there(folder: Path) -> bool:
    """Whether there is an SQLite database in ``folder`` (``IndexDirectory``) where the index of an
    Orthanc would be; it is not opened."""
    try:
        with (folder / NAME).open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


@contextmanager
def orthanc_index(folder: Path) -> Iterator[OrthancIndex]:
    """The index in ``folder`` (``IndexDirectory``); nobody else can open it meanwhile.

    Raises ``ConfigurationError`` when there is none, ``DatabaseUnavailable`` when an Orthanc has it
    open, ``IncompatibleDatabase`` for another schema, ``DatabaseError`` when it is damaged.
    """
    # SQLite puts its journals beside the file that a link leads to.
    path = Path(os.path.realpath(folder / NAME))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"There is no Orthanc index {path}: {reason}") from None
    try:
        _keep_out(descriptor, path)
        with _settled(path) as source, closing(_connect(source)) as raw:
            yield OrthancIndex(raw, _revision(raw, path))
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        raise DatabaseError(f"The Orthanc index {path} cannot be read ({name})") from error
    finally:
        os.close(descriptor)


def _keep_out(descriptor: int, path: Path) -> None:
    """Lock it like a reader; the lock belongs to the descriptor and ends with it."""
    lock = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, _SHARED_FIRST, _SHARED_SIZE, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
    except BlockingIOError:
        raise DatabaseUnavailable(f"An Orthanc has {path} open: stop it first") from None
    except OSError as error:
        raise DatabaseUnavailable(
            f"Nobody can tell whether an Orthanc has {path} open: the file system does not lock"
            f" ({error.strerror})"
        ) from None


@contextmanager
def _settled(path: Path) -> Iterator[str]:
    """The address of a file that holds all of the index: the file itself, or a copy into which
    the journal of a crash is brought."""
    journals = [path.with_name(path.name + suffix) for suffix in _JOURNALS]
    if not any(journal.exists() and journal.stat().st_size for journal in journals):
        yield f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        return
    folder = path.with_name(_COPY)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        try:
            folder.mkdir()
            for file in (path, *journals):
                if file.exists():
                    shutil.copyfile(file, folder / file.name)
        except OSError as error:
            raise ConfigurationError(
                f"{path} was left by a crash and has to be copied beside it: {error.strerror}"
            ) from None
        yield (folder / path.name).absolute().as_uri()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _connect(address: str) -> sqlite3.Connection:
    raw = sqlite3.connect(address, uri=True, isolation_level=None)
    raw.execute("PRAGMA query_only = ON")
    return raw


def _revision(raw: sqlite3.Connection, path: Path) -> Revision:
    """Which optional tables and columns there are. Raises ``IncompatibleDatabase``."""
    tables = {row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "GlobalProperties" not in tables:
        raise IncompatibleDatabase(f"{path} is no index of an Orthanc")
    row = raw.execute("SELECT value FROM GlobalProperties WHERE property = 1").fetchone()
    found = str(row[0]) if row else "none"
    if found in _UPGRADABLE:
        raise IncompatibleDatabase(
            f"{path} has schema {found}: start its Orthanc once with --upgrade (and a backup),"
            " stop it, and come back"
        )
    if found != _SCHEMA:
        raise IncompatibleDatabase(f"{path} has schema {found}; only {_SCHEMA} is understood")
    return Revision(
        tables=frozenset(tables),
        revisions=_has(raw, "Metadata", "revision") and _has(raw, "AttachedFiles", "revision"),
        custom_data=_has(raw, "AttachedFiles", "customData"),
    )


def _has(raw: sqlite3.Connection, table: str, column: str) -> bool:
    return any(row[1] == column for row in raw.execute(f"PRAGMA table_info({table})"))
