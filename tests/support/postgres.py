"""A real PostgreSQL for the tests: a throw-away cluster in a temporary folder.

Debian's server programs refuse to run as root, so that root runs them as user ``postgres``.
Durability stays on: what is tested is what runs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg


def programs() -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl`` of PostgreSQL 15 or newer, the newest there is."""
    found = [
        folder
        for folder in Path("/usr/lib/postgresql").glob("*/bin")
        if folder.parent.name.isdecimal()
        and int(folder.parent.name) >= 15
        and (folder / "initdb").exists()
    ]
    return max(found, key=lambda folder: int(folder.parent.name), default=None)


@contextmanager
def cluster() -> Iterator[str]:
    """A running cluster; the connection string of its superuser."""
    folder = programs()
    if folder is None:
        raise FileNotFoundError("no PostgreSQL 15 or newer under /usr/lib/postgresql")
    home = Path(tempfile.mkdtemp(prefix="wherry-postgresql-"))
    port = _free_port()
    data = home / "data"
    try:
        if user := _user():
            os.chown(home, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        _run(folder / "initdb", "-D", data, "-U", "wherry", "-A", "trust", "-E", "UTF8", "-N")
        options = (
            f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c fsync=on"
            " -c shared_buffers=64MB -c max_connections=60"
        )
        _run(folder / "pg_ctl", "-D", data, "-l", home / "log", "-o", options, "-w", "start")
        try:
            yield f"host=127.0.0.1 port={port} user=wherry dbname=postgres"
        finally:
            _run(folder / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def database(conninfo: str) -> Iterator[str]:
    """An empty database of its own in a cluster; its connection string."""
    name = f"wherry_{uuid4().hex[:12]}"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield conninfo.replace("dbname=postgres", f"dbname={name}")
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _user() -> str | None:
    return "postgres" if os.geteuid() == 0 else None


def _run(*command: object) -> None:
    # Output goes to nowhere: the server inherits it and would keep a pipe open for ever.
    subprocess.run(
        [str(part) for part in command],
        check=True,
        user=_user(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
