"""A power cut: what was answered is there again, although the file system lost it.

A test cannot cut the power of its own machine. It kills the server and then takes away from the
storage area what a power cut may take: the bytes of files that were never synced by themselves.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.crash.killing import DEAD, copied, everywhere, some
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


@pytest.mark.crash
def test_the_power_goes_again_while_it_starts(
    tmp_path: Path, shim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At each durable call of a start that keeps what was promised."""
    points = KillPoints(tmp_path, shim)
    points.watch_the_disk()
    template = Server(tmp_path / "template", {}, environ=points.environ)
    with running(template):
        sent = {}
        for number in range(COUNT):
            data = make_instance(1, 1, number + 1)
            sent[json.loads(template.request("POST", "/instances", data)[1])["ID"]] = data
        gone = next(iter(sent))
        template.json("DELETE", f"/instances/{gone}")
        del sent[gone]
        last = make_instance(1, 1, COUNT + 1)
        sent[json.loads(template.request("POST", "/instances", last)[1])["ID"]] = last
        template.kill()
        points.cut_the_power(template.folder / "index", template.storage)

    def live(number: int) -> tuple[int, str]:
        folder = tmp_path / str(number)
        folder.mkdir()
        again = KillPoints(folder, shim)
        again.watch_the_disk()
        server = Server(copied(template.folder, folder / "server"), {}, environ=again.environ)
        again.keep(server.folder / "index")
        again.arm(number)
        try:
            with suppress(*DEAD, AssertionError):
                server.start()
            if again.fatal:
                assert server.process is not None
                server.process.wait(30)
                again.cut_the_power(server.folder / "index", server.storage)
                server.environ = {}
                server.start()
            for orthanc_id, data in sent.items():
                assert server.get(f"/instances/{orthanc_id}/file") == (200, data), number
            assert server.get(f"/instances/{gone}")[0] == 404, number
            assert len(server.files()) == len(sent), number
            return again.count, again.fatal
        finally:
            if server.process is not None and server.process.poll() is None:
                server.kill()

    count, fatal = live(0)
    assert not fatal
    assert count > COUNT
    numbers = some(range(1, count + 1))
    deaths = [fatal for _, fatal in everywhere(live, numbers) if fatal]
    with capsys.disabled():
        print(f"\na start after a power cut: {count} durable calls, killed at {len(deaths)}")
    assert len(deaths) > len(numbers) / 2


@pytest.mark.parametrize("signal", ["kill", "stop"])
def test_no_log_is_left_behind(tmp_path: Path, signal: str) -> None:
    with running(Server(tmp_path)) as server:
        server.request("POST", "/instances", make_instance())
        getattr(server, signal)()
        server.start()
        assert len(server.files()) == 1
        server.stop()
        assert not list(server.storage.glob("small-files-log/*"))
