"""A power cut: what was answered is there again, although the file system lost it.

A test cannot cut the power of its own machine. It kills the server and then takes away from the
storage area what a power cut may take: the bytes of files that were never synced by themselves.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("signal", ["kill", "stop"])
def test_no_log_is_left_behind(tmp_path: Path, signal: str) -> None:
    with running(Server(tmp_path)) as server:
        server.request("POST", "/instances", make_instance())
        getattr(server, signal)()
        server.start()
        assert len(server.files()) == 1
        server.stop()
        assert not list(server.storage.glob("small-files-log/*"))
