"""A power cut: what was answered is there again, although the file system lost it.

A test cannot cut the power of its own machine. It kills the server and then takes away from the
storage area what a power cut may take: the bytes of files that were never synced by themselves.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.crash.killpoints import KillPoints
from tests.support.dicom_files import make_instance
from tests.support.sealed import MASTER, key_file
from tests.support.server import Server, running

COUNT = 40


def spoil(path: Path, way: int) -> None:
    """What is left of a file after a power cut: nothing, its length, a part of it."""
    if way == 0:
        path.unlink()
    elif way == 1:
        path.write_bytes(bytes(path.stat().st_size))
    else:
        path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("sealed", [False, True])
def test_small_instances_come_back(tmp_path: Path, sealed: bool) -> None:
    section = {"StorageEncryption": {"MasterKey": key_file(tmp_path, MASTER)}} if sealed else {}
    with running(Server(tmp_path, {"Wherry": section})) as server:
        sent = {}
        for number in range(COUNT):
            data = make_instance(1, 1, number + 1)
            answer = server.request("POST", "/instances", data)[1]
            sent[json.loads(answer)["ID"]] = data
        gone = next(iter(sent))
        assert server.request("DELETE", f"/instances/{gone}")[0] == 200
        del sent[gone]
        while len(server.files()) > len(sent):
            server.get("/system")
        server.kill()
        for way, path in enumerate(sorted(server.storage.glob("??/*/*"))):
            spoil(path, way % 3)
        server.start()
        for orthanc_id, data in sent.items():
            assert server.get(f"/instances/{orthanc_id}/file") == (200, data)
        assert len(server.files()) == len(sent)
        assert server.get(f"/instances/{gone}")[0] == 404
        assert "39 files restored" in server.log()


def changes(server: Server) -> list[tuple[int, str, str]]:
    found = server.json("GET", "/changes?limit=1000")["Changes"]
    return [(one["Seq"], one["ChangeType"], one["ID"]) for one in found]


@pytest.mark.parametrize("section", ["plain", "sealed"])
def test_the_index_has_again_what_was_answered(tmp_path: Path, shim: Path, section: str) -> None:
    """It was never synced with these instances: the log promises them."""
    sections: dict[str, Any] = {
        "plain": {},
        "sealed": {"StorageEncryption": {"MasterKey": key_file(tmp_path, MASTER)}},
    }
    points = KillPoints(tmp_path, shim)
    points.watch_the_disk()
    server = Server(tmp_path, {"Wherry": sections[section]}, environ=points.environ)
    with running(server):
        sent = {}
        for number in range(COUNT):
            data = make_instance(1, 1, number + 1)
            sent[json.loads(server.request("POST", "/instances", data)[1])["ID"]] = data
        log = changes(server)
        server.kill()
        points.cut_the_power(server.folder / "index", server.storage)
        with closing(sqlite3.connect(server.folder / "index" / "wherry.db")) as index:
            assert index.execute("SELECT count(*) FROM instances").fetchone()[0] < COUNT
        server.environ = {}
        server.start()
        for orthanc_id, data in sent.items():
            assert server.get(f"/instances/{orthanc_id}/file") == (200, data)
        assert changes(server)[: len(log)] == log
        assert len(server.files()) == COUNT


@pytest.mark.parametrize("signal", ["kill", "stop"])
def test_no_log_is_left_behind(tmp_path: Path, signal: str) -> None:
    with running(Server(tmp_path)) as server:
        server.request("POST", "/instances", make_instance())
        getattr(server, signal)()
        server.start()
        assert len(server.files()) == 1
        server.stop()
        assert not list(server.storage.glob("small-files-log/*"))
