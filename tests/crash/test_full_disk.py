"""A disk that is full, or nearly, while an archive is made: the job fails, and nothing else does.

The storage folder is a small file system of its own, which needs the right to mount one.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.crash.killing import rows
from tests.support.dicom_files import make_instance
from tests.support.jobs import eventually
from tests.support.limited import Limited
from tests.support.server import Server, running
from wherry import limits

DISK = 128 * limits.MIB
COUNT = 24
SIZE = limits.MIB


@contextmanager
def mounted(folder: Path) -> Iterator[None]:
    """A file system of ``DISK`` bytes in ``folder``."""
    folder.mkdir()
    if (mount := shutil.which("mount")) is None:
        pytest.skip("there is no program mount")
    command = [mount, "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(params=["the reserve is reached", "the disk is full"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """A server with a series of 24 MiB for which there is no room a second time, and what the job
    will say of that.

    Either 64 MiB are kept free, as always, and are reached before the first byte; or none are, so
    that the file system refuses a write in the middle.
    """
    reserved = request.param == "the reserve is reached"
    bounds = {} if reserved else {"FREE_DISK_BYTES": 0}
    server = Limited(tmp_path / "server", limits=bounds)
    server.folder.mkdir()
    with mounted(server.storage), running(server):
        for number in range(1, COUNT + 1):
            noise = Random(number).randbytes(SIZE)
            data = make_instance(number=number, pixel_bytes=SIZE, PixelData=noise)
            status, answer = server.request("POST", "/instances", data)
            assert status == 200, answer
        left = limits.FREE_DISK_BYTES - limits.MIB if reserved else COUNT * SIZE // 2
        with (server.storage / "ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, free(server) - left)
        if reserved:
            eventually(lambda: server.request("POST", "/instances", data)[0] == 507)
        yield server, "No space is left" if reserved else "No space left"


def free(server: Server) -> int:
    state = os.statvfs(server.storage)
    return state.f_bavail * state.f_frsize


def order(server: Server, resource: str) -> str:
    body = {"Resources": [resource], "Asynchronous": True}
    return str(server.json("POST", "/tools/create-archive", body)["ID"])


def known(server: Server) -> set[str]:
    """Files that the index knows."""
    found = rows(server, "SELECT uuid FROM attachments UNION SELECT uuid FROM job_outputs")
    return {uuid for (uuid,) in found}


def test_an_archive_without_room_fails_and_leaves_nothing(filled: tuple[Server, str]) -> None:
    server, cause = filled
    before = free(server)
    job = server.wait_for_job(order(server, server.json("GET", "/series")[0]))
    assert (job["State"], job["ErrorCode"]) == ("Failure", 19)
    assert job["ErrorDescription"] == "The file storage is full"
    assert cause in job["ErrorDetails"]
    blocks = "SELECT owner FROM staging_blocks WHERE owner LIKE 'job:%'"
    eventually(lambda: not rows(server, blocks), "the removal of the unfinished archive")
    assert server.files() == known(server)
    assert len(known(server)) == COUNT
    assert free(server) >= before
    assert server.get(f"/jobs/{job['ID']}/archive")[0] == 404
    check_it_goes_on(server)


def check_it_goes_on(server: Server) -> None:
    """What is stored is served; with a little more room a small archive can be made, and the next
    instance stored."""
    first = server.json("GET", "/instances")[0]
    status, data = server.get(f"/instances/{first}/file")
    assert status == 200
    os.truncate(server.storage / "ballast", limits.MIB)
    eventually(lambda: server.request("POST", "/instances", data)[0] == 200)
    job = server.wait_for_job(order(server, first))
    assert job["State"] == "Success", job
    status, archive = server.get(f"/jobs/{job['ID']}/archive")
    assert status == 200
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert [opened.read(name) for name in opened.namelist()] == [data]
    status, answer = server.request("POST", "/instances", make_instance(study=2))
    assert (status, json.loads(answer)["Status"]) == (200, "Success")
    assert len(known(server)) == COUNT + 2
    assert server.files() == known(server)
    assert "Traceback" not in server.log()
