"""Transactions, start-up and failures, on real databases."""

from __future__ import annotations

import multiprocessing
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support import postgres
from tests.support.index_processes import ingest, open_and_close, spawned
from tests.support.staged import study
from wherry import limits
from wherry.errors import (
    ConfigurationError,
    DatabaseError,
    DatabaseUnavailable,
    IncompatibleDatabase,
    ParameterOutOfRange,
    StorageFull,
)
from wherry.index import changes, processes, resources, schema, settings, upgrading
from wherry.index.database import Index, Transaction, Transient
from wherry.index.opening import IndexSettings, open_index, upgrade
from wherry.index.postgresql import PostgresqlConnection, PostgresqlWriter
from wherry.index.processes import ProcessRow
from wherry.index.sqlite import SqliteConnection
from wherry.model import Level


def put(key: str) -> Any:
    return lambda tx: settings.put(tx, key, {"key": key})


# --- transactions ----------------------------------------------------------------------------


def test_a_read_is_one_snapshot_and_does_not_hold_up_the_writer(index: Index) -> None:
    index.write(put("a"))
    with index.read() as tx:
        assert settings.get(tx, "a") == {"key": "a"}
        index.write(put("b"))
        assert settings.get(tx, "b") is None
    with index.read() as tx:
        assert settings.get(tx, "b") == {"key": "b"}


def test_a_read_cannot_write(index: Index) -> None:
    with pytest.raises(DatabaseError), index.read() as tx:
        put("a")(tx)
    with index.read() as tx:
        assert settings.get(tx, "a") is None


def test_a_work_that_fails_leaves_nothing(index: Index) -> None:
    def fail(tx: Transaction) -> None:
        put("half")(tx)
        raise KeyError

    errors: list[BaseException | None] = []
    for work in (put("a"), fail, put("b")):
        index.submit(work, lambda _, error: errors.append(error))
    index.write(put("c"))
    assert sorted(type(error).__name__ for error in errors) == [
        "KeyError",
        "NoneType",
        "NoneType",
    ]
    with index.read() as tx:
        there = [key for key in ("a", "half", "b", "c") if settings.get(tx, key)]
    assert there == ["a", "b", "c"]


def test_many_threads(index: Index) -> None:
    def work(number: int) -> None:
        for step in range(5):
            index.write(put(f"{number}.{step}"))
            with index.read() as tx:
                assert settings.get(tx, f"{number}.{step}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with index.read() as tx:
        assert tx.one("SELECT count(*) FROM settings") == (40,)


@pytest.mark.parametrize("value", [2**70, "\ud800"])
def test_what_no_database_can_hold_is_the_callers_fault(index: Index, value: object) -> None:
    with pytest.raises(ParameterOutOfRange), index.read() as tx:
        column = "change_seq" if isinstance(value, int) else "key"
        table = "totals" if isinstance(value, int) else "settings"
        tx.one(f"SELECT {column} FROM {table} WHERE {column} = ?", (value,))


def test_bad_sql_is_a_database_error(index: Index) -> None:
    with pytest.raises(DatabaseError):
        index.write(lambda tx: tx.run("INSERT INTO nothing VALUES (1)"))


def test_statements_with_lists_and_many_rows(index: Index) -> None:
    def work(tx: Transaction) -> None:
        tx.insert(
            "deleted_files", ("uuid", "place"), [(f"u{number:03d}", "") for number in range(150)]
        )
        tx.many("UPDATE deleted_files SET uuid = ? WHERE uuid = ?", [("a", "u001"), ("b", "u002")])

    index.write(work)
    with index.read() as tx:
        assert tx.all(
            "SELECT uuid FROM deleted_files WHERE uuid IN ? AND uuid < ? ORDER BY uuid",
            (["a", "b", "u003", "zz"], "u"),
        ) == [("a",), ("b",)]
        assert tx.one("SELECT count(*) FROM deleted_files WHERE uuid LIKE 'u%'") == (148,)
        assert tx.all("SELECT uuid FROM deleted_files WHERE uuid IN ?", ([],)) == []
    assert (
        index.write(lambda tx: tx.run("DELETE FROM deleted_files WHERE uuid IN ?", (["a"],))) == 1
    )


def test_settings_and_processes(index: Index) -> None:
    index.write(put("peers"))
    index.write(lambda tx: settings.put(tx, "peers", ["new", None, 1.5]))
    index.write(lambda tx: settings.put(tx, "other", {}))
    index.write(lambda tx: settings.remove(tx, "other"))
    me = ProcessRow("id", "host", 4711, "99", 1.25)
    index.write(lambda tx: processes.register(tx, me))
    index.write(lambda tx: processes.renew(tx, "id", 2.5))
    with index.read() as tx:
        assert settings.get(tx, "peers") == ["new", None, 1.5]
        assert settings.get(tx, "other") is None
        assert processes.everyone(tx) == [ProcessRow("id", "host", 4711, "99", 2.5)]
    index.write(lambda tx: processes.forget(tx, "id"))
    with index.read() as tx:
        assert processes.everyone(tx) == []


# --- several processes -----------------------------------------------------------------------


def test_processes_may_open_an_empty_database_at_once(index_settings: IndexSettings) -> None:
    barrier = multiprocessing.get_context("spawn").Barrier(3)
    with spawned(open_and_close, *[(index_settings, barrier)] * 3):
        pass
    open_index(index_settings).close()


def test_processes_may_ingest_the_same_study_at_once(index_settings: IndexSettings) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.SimpleQueue()
    with spawned(ingest, *[(index_settings, barrier, answers, 200, 10)] * 2):
        stored = [answers.get() for _ in range(2)]
    expected = {one.summary.identifiers.instance for one in study(200)}
    assert set(stored[0]) | set(stored[1]) == expected
    assert set(stored[0]) & set(stored[1]) == set()
    index = open_index(index_settings)
    with index.read() as tx:
        counts = resources.statistics(tx)
        assert set(resources.list_ids(tx, Level.INSTANCE)) == expected
        found = changes.page(tx, 0, 1000)
        lost = tx.one(
            "SELECT count(*) FROM instances i WHERE NOT EXISTS"
            " (SELECT 1 FROM attachments a WHERE a.resource = i.id)"
        )
    index.close()
    assert (counts.patients, counts.studies, counts.series, counts.instances) == (1, 1, 2, 200)
    assert [row[0] for row in found.rows] == list(range(1, 200 + 1 + 1 + 2 + 1))
    assert (found.done, found.last, lost) == (True, 204, (0,))


# --- schema versions -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "advice"), [("0000", "run: wherry upgrade CONFIG"), ("9999", "another version")]
)
def test_another_schema_version_refuses(
    index_settings: IndexSettings, version: str, advice: str
) -> None:
    index = open_index(index_settings)
    index.write(lambda tx: tx.run("UPDATE alembic_version SET version_num = ?", (version,)))
    index.close()
    with pytest.raises(IncompatibleDatabase, match=advice) as caught:
        open_index(index_settings)
    assert version in caught.value.details
    with pytest.raises(IncompatibleDatabase, match="another version"):
        upgrade(index_settings)


def _schema(tx: Transaction) -> list[tuple[Any, ...]]:
    if tx.dialect == "sqlite":
        return tx.all(
            "SELECT type, name, sql FROM sqlite_master"
            " WHERE tbl_name <> 'alembic_version' ORDER BY 1, 2"
        )
    return tx.all(
        "SELECT table_name, column_name, data_type, collation_name, column_default, is_nullable"
        " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
    ) + tx.all("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")


def test_upgrading_from_nothing_makes_the_schema_of_a_fresh_index(
    index_settings: IndexSettings,
) -> None:
    index = open_index(index_settings)
    with index.read() as tx:
        expected = _schema(tx)
    tables = (
        "query_answers queries"
        " transfer_attachments transfer_extras transfer_buckets transfer_instances transfers"
        " jobs processes staging_blocks deleted_files"
        " settings exports changes totals labels metadata attachments activity instances series"
        " studies patients job_events job_outputs receipts webhooks"
        " transfer_turns commitments commitment_requests worklists moving_files tiers"
        " alembic_version"
    )
    index.write(lambda tx: [tx.run(f"DROP TABLE {table}") for table in tables.split()])
    index.close()
    assert upgrade(index_settings) == ("", schema.VERSION)
    assert upgrade(index_settings) == (schema.VERSION, schema.VERSION)
    index = open_index(index_settings)
    with index.read() as tx:
        assert _schema(tx) == expected
    index.close()


def test_a_migration_runs_wholly_or_not_at_all(
    index_settings: IndexSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index(index_settings)
    index.write(lambda tx: resources.add_instances(tx, study(2), overwrite=False))
    index.close()
    before, after = schema.VERSION, f"{int(schema.VERSION) + 1:04d}"
    step = (
        f"from alembic import op\nrevision = '{after}'\ndown_revision = '{before}'\n"
        "def upgrade():\n    op.execute('CREATE TABLE extra (id INTEGER)')\n"
        '    op.execute("INSERT INTO extra SELECT id FROM instances")\n'
    )
    migration = tmp_path / f"v{after}_extra.py"
    scripts = f"{Path(upgrading.__file__).parent / 'migrations' / 'versions'}:{tmp_path}"
    run = upgrading.run
    monkeypatch.setattr(upgrading, "run", lambda a, b: run(a, b, scripts))
    monkeypatch.setattr(schema, "VERSION", after)
    with pytest.raises(IncompatibleDatabase, match=rf"has schema version {before}.*wherry upgrade"):
        open_index(index_settings)
    migration.write_text(step + "    raise RuntimeError('half way')\n")
    with pytest.raises(RuntimeError):
        upgrade(index_settings)
    with pytest.raises(IncompatibleDatabase, match=before):
        open_index(index_settings)
    migration.write_text(step)
    assert upgrade(index_settings) == (before, after)
    index = open_index(index_settings)
    with index.read() as tx:
        assert tx.one("SELECT count(*) FROM extra") == (2,)
    index.close()


def test_an_index_of_the_first_schema_is_filled_in(
    index_settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSION", "0001")
        index = open_index(index_settings)
        index.write(
            lambda tx: tx.run("INSERT INTO patients (id, orthanc_id, tags) VALUES (1, 'p', '{}')")
        )
        tags = '{"0010,0010": "STRASSE^A ", "0010,0030": "1970.01.02"}'
        index.write(
            lambda tx: tx.run(
                "INSERT INTO studies (id, parent, orthanc_id, tags, patient_tags)"
                " VALUES (2, 1, 's', '{}', ?)",
                (tags,),
            )
        )
        index.close()
    assert upgrade(index_settings) == ("0001", schema.VERSION)
    index = open_index(index_settings)
    with index.read() as tx:
        found = tx.one("SELECT patient_name, patient_birth_date, patient_sex FROM studies")
    assert found == ("strasse^a", "19700102", None)
    index.close()


def test_opening_does_not_import_alembic(index_settings: IndexSettings) -> None:
    code = (
        "import sys; from tests.support.index_processes import open_and_close;"
        "from wherry.index.opening import IndexSettings; from pathlib import Path, PosixPath;"
        f"open_and_close({index_settings!r}, None);"
        "sys.exit(any(name in sys.modules for name in ('alembic', 'sqlalchemy')))"
    )
    import subprocess

    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


# --- failures --------------------------------------------------------------------------------


def test_no_database_configured() -> None:
    with pytest.raises(ConfigurationError):
        open_index(IndexSettings())


def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    index = open_index(IndexSettings(sqlite_path=tmp_path / "index.db"))
    pages = index.write(lambda tx: tx.one("PRAGMA page_count"))
    assert pages
    index.write(lambda tx: tx.run(f"PRAGMA max_page_count = {pages[0] + 5}"))
    with pytest.raises(StorageFull):
        index.write(lambda tx: resources.add_instances(tx, study(500), overwrite=False))
    with index.read() as tx:
        assert resources.list_ids(tx, Level.PATIENT) == []
    index.write(lambda tx: tx.run("PRAGMA max_page_count = 1000000"))
    index.write(lambda tx: resources.add_instances(tx, study(500), overwrite=False))
    index.close()


def test_a_damaged_file_is_said_and_the_writer_survives(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = open_index(IndexSettings(sqlite_path=path))
    index.write(lambda tx: resources.add_instances(tx, study(500), overwrite=False))
    index.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 8192))
    with pytest.raises(DatabaseError):
        open_index(IndexSettings(sqlite_path=path))
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(DatabaseError, match="damaged"):
        open_index(IndexSettings(sqlite_path=path))


def test_a_file_damaged_while_open(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = open_index(IndexSettings(sqlite_path=path))
    index.write(lambda tx: resources.add_instances(tx, study(500), overwrite=False))
    index.close()
    index = open_index(IndexSettings(sqlite_path=path))
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (path.stat().st_size - 8192))
    for _ in range(2):
        with pytest.raises(DatabaseError, match="damaged"):
            index.write(lambda tx: resources.add_instances(tx, study(1), overwrite=False))
    with pytest.raises(DatabaseError, match="damaged"), index.read() as tx:
        resources.list_ids(tx, Level.INSTANCE)
    index.close()


def test_another_process_that_keeps_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INDEX_WAIT_S", 0.01)
    path = IndexSettings(sqlite_path=tmp_path / "index.db")
    holder, other = open_index(path), open_index(path)
    held, gate = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        held.set()
        gate.wait()

    done = threading.Event()
    holder.submit(hold, lambda *_: done.set())
    held.wait()
    with pytest.raises(DatabaseUnavailable, match="locked"):
        other.write(put("a"))
    gate.set()
    done.wait()
    other.write(put("a"))
    holder.close()
    other.close()


@pytest.fixture
def conninfo(postgresql_conninfo: str) -> Iterator[str]:
    with postgres.database(postgresql_conninfo) as conninfo:
        yield conninfo


def kill_connections(conninfo: str) -> int:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        killed = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'wherry' AND datname = current_database()"
        ).fetchone()
    assert killed
    return int(killed[0])


def test_lost_connections_are_replaced(conninfo: str) -> None:
    index = open_index(IndexSettings(postgresql=conninfo))
    index.write(put("a"))
    with index.read() as tx, index.read():
        assert settings.get(tx, "a")
    assert kill_connections(conninfo) == 3
    index.write(put("b"))
    with index.read() as tx:
        assert settings.get(tx, "b")
    with pytest.raises(DatabaseUnavailable), index.read() as tx:
        kill_connections(conninfo)
        settings.get(tx, "a")
    index.close()


@pytest.mark.parametrize("committed", [True, False])
def test_a_connection_lost_in_commit_neither_loses_nor_repeats(
    conninfo: str, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    index = open_index(IndexSettings(postgresql=conninfo))
    commit = PostgresqlConnection.commit
    cut = [True]

    def lose(self: PostgresqlConnection) -> None:
        if isinstance(self, PostgresqlWriter) and cut:
            cut.clear()
            if committed:
                commit(self)
            self.close()
            raise Transient("lost")
        commit(self)

    monkeypatch.setattr(PostgresqlConnection, "commit", lose)
    runs = []

    def count(tx: Transaction) -> None:
        runs.append(1)
        tx.run("UPDATE totals SET export_seq = export_seq + 1")

    index.write(count)
    assert len(runs) == (1 if committed else 2)
    with index.read() as tx:
        assert tx.one("SELECT export_seq FROM totals") == (1,)
    index.close()


def test_no_postgresql_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatabaseUnavailable):
        open_index(IndexSettings(postgresql="host=127.0.0.1 port=1 dbname=x user=x"))


def test_after_an_error_of_the_disk_the_log_is_emptied_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a sync could not write, the kernel takes for written: a later commit would stand behind
    a hole."""
    path = tmp_path / "index.db"
    index = open_index(IndexSettings(sqlite_path=path))
    index.write(lambda tx: settings.put(tx, "one", 1), promised=True)
    execute = SqliteConnection._execute
    emptied: list[int] = []

    def broken(connection: SqliteConnection, sql: str, params: Any) -> Any:
        if sql == "COMMIT":
            cause = sqlite3.OperationalError("disk I/O error")
            cause.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise DatabaseError("SQLite: SQLITE_IOERR_FSYNC") from cause
        return execute(connection, sql, params)

    def watched(connection: SqliteConnection, sql: str, params: Any) -> Any:
        if sql.startswith("BEGIN"):
            emptied.append(Path(f"{path}-wal").stat().st_size)
        return execute(connection, sql, params)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteConnection, "_execute", broken)
        with pytest.raises(DatabaseError):
            index.write(lambda tx: settings.put(tx, "two", 2))
    with monkeypatch.context() as patch:
        patch.setattr(SqliteConnection, "_execute", watched)
        index.write(lambda tx: settings.put(tx, "three", 3))
        index.write(lambda tx: settings.put(tx, "four", 4))
    assert emptied[0] == 0
    assert emptied[1] > 0
    with index.read() as tx:
        found = {key: settings.get(tx, key) for key in ("one", "two", "three", "four")}
    assert found == {"one": 1, "two": None, "three": 3, "four": 4}
    index.close()
