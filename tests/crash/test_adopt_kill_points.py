"""SIGKILL at every durable call of ``wherry adopt``, then the same command once more: everything is
there, and the index of the Orthanc is as it was."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.killing import everywhere, some
from tests.crash.killpoints import KillPoints
from tests.support.dicom_files import make_series
from tests.support.orthanc_index import OrthancIndexFile
from wherry.index import files, resources
from wherry.index.opening import IndexSettings, open_index
from wherry.model import Level

pytestmark = pytest.mark.crash

COUNT = 12


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an Orthanc left that was killed: part of the index is in its journal; it knew the
    digests of every second file only."""
    folder = tmp_path_factory.mktemp("template")
    made = OrthancIndexFile(folder / "made", "1.12.8", folder / "made")
    made.raw.execute("PRAGMA journal_mode = WAL")
    for number, data in enumerate(make_series(COUNT)):
        series = f"1.{number // 4}"
        made.instance(data, series=series, sop=f"{series}.{number}", md5="" if number % 2 else None)
    made.raw.commit()
    shutil.copytree(folder / "made", folder / "db", ignore=shutil.ignore_patterns("*-shm"))
    made.close()
    assert (folder / "db" / "index-wal").stat().st_size
    return folder / "db"


def adopt(folder: Path, environ: dict[str, str]) -> int:
    (folder / "orthanc.json").write_text(json.dumps({"StorageDirectory": str(folder / "db")}))
    return subprocess.run(
        [sys.executable, "-m", "wherry", "adopt", "--from", str(folder / "orthanc.json")],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environ},
        check=False,
    ).returncode


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("index*")
        if path.is_file()
    }


def run(folder: Path, template: Path, shim: Path, number: int) -> tuple[int, str]:
    """One attempt that dies at a call, and the next one: calls made, and the fatal one."""
    folder.mkdir(parents=True)
    shutil.copytree(template, folder / "db")
    points = KillPoints(folder, shim)
    points.arm(number)
    code = adopt(folder, points.environ)
    assert code == (-signal.SIGKILL if points.fatal else 0), (number, code)
    look(folder / "db" / "wherry.db", whole=not points.fatal)
    assert adopt(folder, {}) == 0
    look(folder / "db" / "wherry.db", whole=True)
    assert digests(folder / "db") == digests(template)
    assert not list((folder / "db").glob("wherry-adopts*"))
    return points.count, points.fatal


def look(path: Path, *, whole: bool) -> None:
    """All of it is there or, unless ``whole``, nothing."""
    if not whole:
        if not path.exists():
            return
        with sqlite3.connect(path) as raw:
            if raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'totals'").fetchone() is None:
                return
        raw.close()
    index = open_index(IndexSettings(sqlite_path=path))
    try:
        with index.read() as tx:
            statistics = resources.statistics(tx)
            found = len(resources.list_ids(tx, Level.INSTANCE))
            assert found == statistics.instances
            assert found == COUNT or (not whole and found == 0)
            if whole:
                assert files.unfinished(tx) == 0
                assert files.count(tx) == COUNT
    finally:
        index.close()


def test_adopting(
    tmp_path: Path, template: Path, shim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count, fatal = run(tmp_path / "count", template, shim, 0)
    assert fatal == ""
    numbers = some(range(1, count + 1))
    results = everywhere(lambda n: run(tmp_path / str(n), template, shim, n), numbers)
    killed = [fatal for _, fatal in results if fatal]
    with capsys.disabled():
        print(f"\nadopt: {count} durable calls, killed at {len(killed)}")
    assert len(killed) >= len(numbers) * 0.9
