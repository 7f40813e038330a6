"""An index of every earlier version of Wherry, with all that a server leaves in it, is brought to
this version: nothing is lost, and a server goes on with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.adopt_store import post, put, upload
from tests.support import older_index, postgres
from tests.support.dicom_files import make_instance, make_series
from tests.support.server import Server, running
from wherry.index.database import Index
from wherry.index.opening import IndexSettings, open_index, upgrade

FILES = [*make_series(3), make_instance(2, patient_id="B"), make_instance(3, patient_id="C")]
CONFIG: dict[str, Any] = {
    "StableAge": 1,
    "LogExportedResources": True,
    "UserMetadata": {"mine": 4321},
    "Worklists": {"Enable": True},
}
ASKED = [
    *(f"/{level}?expand" for level in ("patients", "studies", "series", "instances")),
    "/changes?limit=1000",
    "/exports",
    "/statistics",
    "/tools/labels",
    "/peers?expand",
    "/worklists/?format=Simplify",
]


def live(server: Server) -> None:
    """Leave something of everything."""
    ids = [upload(server, data) for data in FILES]
    study = server.json("GET", f"/instances/{ids[0]}/study")["ID"]
    put(server, f"/studies/{study}/metadata/mine", b"a text")
    put(server, f"/studies/{study}/labels/seen", b"")
    put(server, f"/studies/{study}/attachments/4400", b"beside")
    put(server, f"/patients/{server.json('GET', '/patients')[0]}/protected", b"1")
    put(server, "/peers/self", json.dumps([server.url]).encode())
    server.json("POST", "/peers/self/store", study)
    job = server.json("POST", f"/studies/{study}/archive", {"Asynchronous": True})["ID"]
    server.wait_for_job(job)
    post(server, f"/instances/{ids[1]}/attachments/dicom/compress")
    server.json("DELETE", f"/instances/{ids[-1]}")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, Any]]]:
    """A server that has lived and was stopped, and what it answered last."""
    server = Server(tmp_path_factory.mktemp("lived"), CONFIG)
    with running(server):
        live(server)
        answers = {path: server.get(path) for path in ASKED}
        assert server.stop() == 0
    yield server, answers


@pytest.fixture
def newest(lived: tuple[Server, dict[str, Any]]) -> Iterator[Index]:
    index = open_index(IndexSettings(sqlite_path=lived[0].folder / "index" / "wherry.db"))
    yield index
    index.close()


def nothing_is_lost(settings: IndexSettings, version: str, newest: Index) -> None:
    older_index.make(settings, version, newest)
    index = open_index_of(settings)
    with index.read() as tx:
        before = {
            table: (names, older_index.rows(tx, table, names))
            for table, names in older_index.known(tx)
        }
    index.close()
    assert upgrade(settings)[0] == version
    index = open_index(settings)
    with index.read() as tx, newest.read() as as_it_was:
        for table, (names, rows) in before.items():
            now = (older_index.named_now(table, n) for n in names if n != "unprotected_at")
            kept = older_index.rows(tx, table, tuple(now))
            place = names.index("unprotected_at") if "unprotected_at" in names else len(names)
            assert kept == sorted((row[:place] + row[place + 1 :] for row in rows), key=repr)
        names = dict(older_index.known(tx))["studies"]  # some columns of it are filled in
        expected = older_index.rows(as_it_was, "studies", names)
        assert older_index.rows(tx, "studies", names) == expected
    index.close()


def open_index_of(settings: IndexSettings) -> Index:
    """Whatever its version."""
    from wherry.index.opening import backend_of

    return Index(backend_of(settings))


@pytest.mark.parametrize("version", older_index.versions())
def test_on_postgresql(version: str, newest: Index, postgresql_conninfo: str) -> None:
    with postgres.database(postgresql_conninfo) as conninfo:
        nothing_is_lost(IndexSettings(postgresql=conninfo), version, newest)


@pytest.mark.parametrize("version", older_index.versions())
def test_on_sqlite_and_a_server_goes_on(
    version: str, newest: Index, lived: tuple[Server, dict[str, Any]], tmp_path: Path
) -> None:
    before, answers = lived
    shutil.copytree(before.storage, tmp_path / "storage")
    (tmp_path / "index").mkdir()
    settings = IndexSettings(sqlite_path=tmp_path / "index" / "wherry.db")
    older_index.make(settings, version, newest)
    server = Server(tmp_path, CONFIG, port=before.port)
    shutil.copyfile(before.folder / "config.json", tmp_path / "config.json")
    config = json.loads((tmp_path / "config.json").read_text())
    folders = {"StorageDirectory": "storage", "IndexDirectory": "index"}
    (tmp_path / "config.json").write_text(json.dumps(config | folders))
    command = [sys.executable, "-m", "wherry", "upgrade", str(tmp_path / "config.json")]
    assert f"from schema {version}" in subprocess.check_output(command, text=True)
    with running(server):
        for path in ASKED:
            if version < "0012" and path.startswith("/worklists"):
                continue
            assert server.get(path) == answers[path], path
        for one in server.json("GET", "/instances"):
            assert server.get(f"/instances/{one}/file")[1] in FILES
        assert upload(server, make_instance(9, patient_id="NEW")) is not None


def test_on_sqlite_nothing_is_lost(newest: Index, tmp_path: Path) -> None:
    for version in older_index.versions():
        settings = IndexSettings(sqlite_path=tmp_path / f"{version}.db")
        nothing_is_lost(settings, version, newest)
