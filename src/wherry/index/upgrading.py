"""Runs the migrations with Alembic. Importing this is expensive: only ``upgrade`` does.

Not here: the migrations (``migrations/versions``), and the creation of a fresh index (``schema``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event, pool

from wherry import limits
from wherry.errors import IncompatibleDatabase


def run(sqlite_path: Path | None, postgresql: str | None, scripts: str = "") -> None:
    """Run what is missing, in one transaction that excludes all writers."""
    config = Config()
    config.set_main_option("script_location", "wherry.index:migrations")
    config.set_main_option("path_separator", "os")
    if scripts:  # only tests have migrations elsewhere
        config.set_main_option("version_locations", scripts)
    with _connect(sqlite_path, postgresql) as connection, connection.begin():
        if postgresql is not None:
            from wherry.index.postgresql import WRITE_LOCK

            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise IncompatibleDatabase(
                "The index was made by another version of Wherry, run that one"
            ) from error


def _connect(sqlite_path: Path | None, postgresql: str | None) -> Connection:
    if postgresql is not None:
        import psycopg

        return create_engine(
            "postgresql+psycopg://",
            creator=lambda: psycopg.connect(postgresql),
            poolclass=pool.NullPool,
        ).connect()
    engine = create_engine(
        f"sqlite:///{sqlite_path}",
        connect_args={"timeout": limits.INDEX_WAIT_S, "isolation_level": None},
        poolclass=pool.NullPool,
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> Any:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine.connect()
