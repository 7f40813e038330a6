"""A server dies while it makes an archive, removes an older one, or gives back a cancelled one.

Steps are small (``tests.support.limited``), so that an archive of half a megabyte has a dozen
checkpoints. ``MediaArchiveSize`` is 1: each archive that is made displaces the one before.
"""

from __future__ import annotations

import base64
import io
import sqlite3
import zipfile
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from tests.crash.killing import (
    DEAD,
    copied,
    end,
    everywhere,
    rows,
    some,
    submit,
    until_its_end,
)
from tests.crash.killpoints import KillPoints
from tests.support.dicom_files import make_instance
from tests.support.dicomdirs import leaves
from tests.support.jobs import eventually
from tests.support.limited import Limited
from tests.support.server import Server, running

pytestmark = pytest.mark.crash

COUNT = 24
PIXELS = 20_480
STEP = 60_000
MEMBER = PIXELS + 1_500
"""The largest member of an archive: noise does not get smaller."""
LIMITS = {"ARCHIVE_STEP_BYTES": STEP, "ARCHIVE_STEP_S": 3600.0}
CONFIG = {"MediaArchiveSize": 1, "ConcurrentJobs": 1}
KINDS = ["archive", "media"]
type_point = tuple[int, str]
"""Arguments of ``KillPoints.arm``."""


@dataclass
class Store:
    """What all servers begin with: a study, and an older archive of one instance."""

    folder: Path
    instances: list[bytes]
    study: str
    older: str
    """The job that made the older archive."""
    whole: dict[str, bytes]
    """Kind → an archive of the study that nothing disturbed."""

    def places(self, kind: str) -> list[int]:
        """Where the members of an archive end, the first entry being 0."""
        with zipfile.ZipFile(io.BytesIO(self.whole[kind])) as archive:
            return [*(info.header_offset for info in archive.infolist()), archive.start_dir]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    instances = [
        make_instance(number=n, pixel_bytes=PIXELS, PixelData=Random(n).randbytes(PIXELS))
        for n in range(1, COUNT + 1)
    ]
    folder = tmp_path_factory.mktemp("archives") / "template"
    with running(Server(folder, CONFIG)) as server:
        for data in instances:
            stored = server.request("POST", "/instances", data)
        answer = orjson.loads(stored[1])
        order = {"Resources": [answer["ID"]], "Asynchronous": True}
        older = server.json("POST", "/tools/create-archive", order)["ID"]
        assert server.wait_for_job(older)["State"] == "Success"
        study = answer["ParentStudy"]
        whole = {kind: server.get(f"/studies/{study}/{kind}")[1] for kind in KINDS}
        server.stop()
    return Store(folder, instances, study, older, whole)


@contextmanager
def alive(template: Path, folder: Path, shim: Path) -> Iterator[tuple[Limited, KillPoints]]:
    """A server on a copy of ``template``."""
    copied(template, folder)
    points = KillPoints(folder, shim)
    server = Limited(folder, CONFIG, environ=points.environ, limits=LIMITS)
    with running(server):
        yield server, points


def points_of(count: int) -> list[type_point]:
    """Durable calls, and in any case the removal of the file that is displaced or given back."""
    return [*((number, "") for number in some(range(1, count + 1))), (1, "unlink")]


def restart(server: Server) -> None:
    server.environ = {}
    server.start()


def tell(capsys: pytest.CaptureFixture[str], what: str, fatal: Sequence[str]) -> None:
    kinds = Counter(kind for kind in fatal if kind)
    with capsys.disabled():
        print(
            f"\n{what}: killed at {kinds.total()} points "
            f"({', '.join(f'{kind} {number}' for kind, number in sorted(kinds.items()))})"
        )
    assert kinds.total() >= len(fatal) * 0.75, "most points must really kill"


# --- what is there ---------------------------------------------------------------------------
def draft(server: Server, kind: str) -> dict[str, Any] | None:
    """The checkpoint of the archive that is being made; None when there is none."""
    for (text,) in rows(server, f"SELECT checkpoint FROM jobs WHERE type = '{kind.title()}'"):
        checkpoint: dict[str, Any] = orjson.loads(text)
        if "File" in checkpoint:
            return checkpoint
    return None


def done(checkpoint: dict[str, Any]) -> int:
    """Members that are complete."""
    return len(array("Q", base64.b64decode(checkpoint["Packed"])))


def path_of(server: Server, uuid: str) -> Path:
    return server.storage / uuid[:2] / uuid[2:4] / uuid


def check_files(server: Server, outputs: int) -> None:
    """Every file is an attachment or an output of a job, and the other way round; nobody holds
    names that may be files."""

    def known() -> set[str]:
        found = rows(server, "SELECT uuid FROM attachments UNION SELECT uuid FROM job_outputs")
        return {uuid for (uuid,) in found}

    eventually(lambda: server.files() == known(), "the same files on disk as in the index")
    assert len(known()) == COUNT + outputs
    assert rows(server, "SELECT owner FROM staging_blocks WHERE owner LIKE 'job:%'") == []


def check_archive(data: bytes, kind: str, store: Store) -> None:
    """A valid ZIP of the files as they were received, and the same directory as without a death."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(io.BytesIO(store.whole[kind])) as archive:
        expected = {name: archive.read(name) for name in archive.namelist()}
    assert list(files) == list(expected)
    if kind == "media":
        assert referred(files.pop("DICOMDIR")) == referred(expected.pop("DICOMDIR"))
    assert files == expected
    assert sorted(files.values()) == sorted(store.instances)


def referred(directory: bytes) -> list[tuple[list[str], str]]:
    return [
        ([*one.record.ReferencedFileID], one.record.ReferencedSOPInstanceUIDInFile)
        for one in leaves(directory)
    ]


# --- being made ------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_an_archive_is_made(
    tmp_path: Path, shim: Path, store: Store, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = store.places(kind)

    def live(point: type_point) -> tuple[int, str, int]:
        """Calls made, the fatal one, and bytes that were made again."""
        with alive(store.folder, tmp_path / "-".join(map(str, point)), shim) as (server, points):
            points.arm(*point)
            job = submit(server, f"/studies/{store.study}/{kind}", {})
            until_its_end(server, job)
            with suppress(*DEAD):
                eventually(lambda: points.fatal or at_rest(server), "the end of the older archive")
            count = points.count
            end(server, points)
            again = 0
            with untouched(server, kind, places) as (kept, written):
                again = max(0, written - kept)
                restart(server)
                known = server.json("GET", "/jobs")
                assert store.older in known
                mine = [one for one in known if one != store.older]
                assert mine == [job] or (job is None and len(mine) <= 1), f"killed at {point}"
                for one in mine:
                    ended = server.wait_for_job(one)
                    assert ended["State"] == "Success", ended
            for one in mine:
                status, data = server.get(f"/jobs/{one}/archive")
                assert status == 200
                check_archive(data, kind, store)
            assert server.get(f"/jobs/{store.older}/archive")[0] == (404 if mine else 200)
            check_files(server, outputs=1)
            assert again <= STEP + MEMBER, f"killed at {point}"
            return count, points.fatal, again

    count, fatal, _ = live((0, ""))
    assert not fatal
    assert count > COUNT
    lives = everywhere(live, points_of(count))
    again = max(bytes for _, _, bytes in lives)
    tell(
        capsys,
        f"{kind}, {count} durable calls, at most {again} of {len(store.whole[kind])} bytes again",
        [fatal for _, fatal, _ in lives],
    )


def at_rest(server: Server) -> bool:
    """Whether what was displaced is gone; that is done in the background."""
    gone = not rows(server, "SELECT uuid FROM deleted_files")
    return gone and len(server.files()) == COUNT + 1


@contextmanager
def untouched(server: Server, kind: str, places: list[int]) -> Iterator[tuple[int, int]]:
    """While inside, nobody writes in front of the checkpoint of a dead server: to be seen from
    the last byte before it, which is another one meanwhile. How many bytes the checkpoint keeps,
    and how many were written."""
    checkpoint = draft(server, kind)
    if checkpoint is None:
        yield 0, 0
        return
    kept, path = places[done(checkpoint)], path_of(server, checkpoint["File"])
    if not kept:
        yield 0, path.stat().st_size if path.exists() else 0
        return
    written = path.stat().st_size
    assert kept <= written
    flip(path, kept - 1)
    yield kept, written
    flip(path, kept - 1)


def flip(path: Path, place: int) -> None:
    """Change all bits of a byte, so that a second time gives back the first."""
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 255]))


# --- being given back ------------------------------------------------------------------------
@pytest.fixture(scope="module")
def paused(store: Store, shim: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which half an archive waits, and its job: somebody asked for a pause, and the
    server died before the job had obeyed."""
    folder = tmp_path_factory.mktemp("paused") / "template"
    with alive(store.folder, folder, shim) as (server, points):
        points.arm(70)
        job = submit(server, f"/studies/{store.study}/archive", {})
        assert job is not None
        until_its_end(server, job)
        end(server, points)
        checkpoint = draft(server, "archive")
        assert checkpoint is not None
        assert 0 < done(checkpoint) < COUNT
        with closing(sqlite3.connect(server.folder / "index" / "wherry.db")) as index, index:
            index.execute("UPDATE jobs SET requested = 'pause' WHERE state = 'Running'")
        restart(server)
        eventually(lambda: server.json("GET", f"/jobs/{job}")["State"] == "Paused")
        server.stop()
    assert path_of(server, checkpoint["File"]).stat().st_size > 0
    return folder, job


def test_killed_while_a_cancelled_archive_is_given_back(
    tmp_path: Path,
    shim: Path,
    store: Store,
    paused: tuple[Path, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    template, job = paused

    def given_back(server: Server) -> bool:
        query = f"SELECT state, requested, checkpoint FROM jobs WHERE id = '{job}'"
        return rows(server, query) == [("Failure", "", "{}")]

    def live(point: type_point) -> tuple[int, str]:
        with alive(template, tmp_path / "-".join(map(str, point)), shim) as (server, points):
            points.arm(*point)
            answered = False
            with suppress(*DEAD):
                answered = server.request("POST", f"/jobs/{job}/cancel")[0] == 200
                eventually(lambda: points.fatal or given_back(server), "the end of the job")
            count = points.count
            end(server, points)
            restart(server)
            state = server.json("GET", f"/jobs/{job}")["State"]
            assert state == "Failure" or (state == "Paused" and not answered)
            server.json("POST", f"/jobs/{job}/cancel")
            eventually(lambda: given_back(server), "the end of the job")
            assert server.json("GET", f"/jobs/{job}")["ErrorCode"] == 37
            check_files(server, outputs=1)
            assert server.get(f"/jobs/{store.older}/archive")[0] == 200
            return count, points.fatal

    count, fatal = live((0, ""))
    assert not fatal
    assert count > 5
    lives = everywhere(live, points_of(count))
    tell(capsys, f"settle, {count} durable calls", [fatal for _, fatal in lives])
