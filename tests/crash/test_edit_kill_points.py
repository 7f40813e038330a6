"""A server dies while it edits a study of 200 small instances, or gives back what a cancelled job
has made. Somebody looks all the time: of the new instances there are none or all, and the sources
that are not to be kept go in the same moment.

A group of instances is a step (``tests.support.limited``), so that a job has a dozen checkpoints.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from blake3 import blake3

from tests.crash.killing import (
    DEAD,
    STRIDE,
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
from tests.support.jobs import eventually
from tests.support.limited import Limited
from tests.support.server import Server, running

pytestmark = pytest.mark.crash

COUNT = 200
LIMITS = {"EDITED_TOGETHER": 20, "EDITED_STEP_S": 0.0}
CONFIG = {"ConcurrentJobs": 1}


@dataclass
class Store:
    """What all servers begin with."""

    folder: Path
    study: str
    series: str
    """The first of two, with half of the instances."""
    instances: frozenset[str]
    half: frozenset[str]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("editing") / "template"
    with running(Server(folder, CONFIG)) as server:
        stored = []
        for number in range(COUNT):
            data = make_instance(1, 1 + number % 2, number, pixel_bytes=512)
            stored.append(orjson.loads(server.request("POST", "/instances", data)[1]))
        server.stop()
    first = stored[0]
    return Store(
        folder,
        first["ParentStudy"],
        first["ParentSeries"],
        frozenset(one["ID"] for one in stored),
        frozenset(one["ID"] for one in stored if one["ParentSeries"] == first["ParentSeries"]),
    )


@dataclass(frozen=True)
class Scenario:
    """An order, and what it may show."""

    path: str
    body: dict[str, Any]
    made: int
    """New instances."""
    moved: Callable[[Store], frozenset[str]]
    """Sources that go."""

    def check(self, store: Store, snapshot: set[str], *, done: bool | None = None) -> None:
        """Nothing has happened, or everything; ``done``: which of the two, if it is known."""
        new = snapshot - store.instances
        gone = store.instances - snapshot
        if not new and not gone:
            assert not done, "the job is said to be done"
            return
        assert done is not False
        assert (len(new), gone) == (self.made, self.moved(store))


SCENARIOS = {
    "modify": Scenario(
        "/studies/{study}/modify",
        {"Replace": {"StudyDescription": "new"}},
        COUNT,
        lambda store: frozenset(),
    ),
    "move": Scenario(
        "/studies/{study}/anonymize", {"KeepSource": False}, COUNT, lambda store: store.instances
    ),
    "split": Scenario(
        "/studies/{study}/split", {"Series": ["{series}"]}, COUNT // 2, lambda store: store.half
    ),
}


def spelt(value: Any, store: Store) -> Any:
    text = orjson.dumps(value).decode()
    return orjson.loads(text.replace("{study}", store.study).replace("{series}", store.series))


@contextmanager
def alive(template: Path, folder: Path, shim: Path) -> Iterator[tuple[Limited, KillPoints]]:
    """A server on a copy of ``template``."""
    copied(template, folder)
    points = KillPoints(folder, shim)
    server = Limited(folder, CONFIG, environ=points.environ, limits=LIMITS)
    with running(server):
        yield server, points


class Reader:
    """Looks at the store until it is told to stop, or the server is dead."""

    def __init__(self, server: Server, check: Callable[[set[str]], None]) -> None:
        self.looks = 0
        self._server = server
        self._check = check
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.01):  # a look costs the server something
                with suppress(*DEAD):
                    self._check(instances(self._server))
                    self.looks += 1
        except BaseException as error:
            self._error = error


def instances(server: Server) -> set[str]:
    """One request, one snapshot."""
    return set(server.json("GET", "/instances"))


def restart(server: Server) -> None:
    server.environ = {}
    server.start()


def tell(capsys: pytest.CaptureFixture[str], what: str, fatal: list[str]) -> None:
    kinds = Counter(kind for kind in fatal if kind)
    with capsys.disabled():
        print(
            f"\n{what}: killed at {kinds.total()} points "
            f"({', '.join(f'{kind} {number}' for kind, number in sorted(kinds.items()))})"
        )
    assert kinds.total() >= len(fatal) * 0.75, "most points must really kill"


def check_files(server: Server) -> None:
    """Every file is an attachment of this size and digest, and the other way round; no job holds
    names of files."""

    def known() -> dict[str, tuple[int, str]]:
        found = rows(server, "SELECT uuid, compressed_size, compressed_blake3 FROM attachments")
        return {uuid: (size, digest) for uuid, size, digest in found}

    eventually(lambda: server.files() == set(known()), "the same files on disk as in the index")
    for uuid, told in known().items():
        data = (server.storage / uuid[:2] / uuid[2:4] / uuid).read_bytes()
        assert (len(data), blake3(data).hexdigest()) == told
    assert rows(server, "SELECT owner FROM staging_blocks WHERE owner LIKE 'job:%'") == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_while_a_study_is_edited(
    tmp_path: Path, shim: Path, store: Store, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = SCENARIOS[name]
    path, body = spelt(scenario.path, store), spelt(scenario.body, store)

    def live(point: int) -> tuple[int, str]:
        """Calls made, and the fatal one."""
        with alive(store.folder, tmp_path / str(point), shim) as (server, points):
            with Reader(server, lambda seen: scenario.check(store, seen)) as reader:
                points.arm(point)
                job = submit(server, path, body)
                until_its_end(server, job)
                with suppress(*DEAD):  # files of sources that went are removed in the background
                    eventually(lambda: points.fatal or at_rest(server), "the end of the removals")
                count = points.count
                end(server, points)
            assert point or reader.looks
            restart(server)
            with Reader(server, lambda seen: scenario.check(store, seen)):
                known = server.json("GET", "/jobs")
                assert known == [job] or (job is None and len(known) <= 1), f"killed at {point}"
                for one in known:
                    ended = server.wait_for_job(one)
                    assert ended["State"] == "Success", ended
                    assert ended["Content"]["InstancesCount"] == scenario.made
            scenario.check(store, instances(server), done=bool(known))
            check_files(server)
            check_result(server, scenario, store, done=bool(known))
            return count, points.fatal

    count, fatal = live(0)
    assert not fatal
    assert count > COUNT // LIMITS["EDITED_TOGETHER"]
    points = some(range(1, count + 1))
    if STRIDE > 1:  # each life is two servers
        points = points[1 :: 3 if name == "modify" else 9]
    lives = everywhere(live, points)
    tell(capsys, f"{name}, {count} durable calls", [fatal for _, fatal in lives])


def at_rest(server: Server) -> bool:
    return not rows(server, "SELECT uuid FROM deleted_files")


def check_result(server: Server, scenario: Scenario, store: Store, *, done: bool) -> None:
    """The new study is whole."""
    studies = {one: server.json("GET", f"/studies/{one}/statistics") for one in studies_of(server)}
    new = {one: found for one, found in studies.items() if one != store.study}
    counts = [int(found["CountInstances"]) for found in new.values()]
    assert counts == ([scenario.made] if done else [])


def studies_of(server: Server) -> list[str]:
    found: list[str] = server.json("GET", "/studies")
    return found


# --- given back --------------------------------------------------------------------------------
def test_killed_while_a_cancelled_job_is_given_back(
    tmp_path: Path, shim: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"/studies/{store.study}/modify"
    template = tmp_path / "paused"
    with alive(store.folder, template, shim) as (server, points):
        points.arm(150)
        job = submit(server, path, {})
        assert job is not None
        until_its_end(server, job)
        end(server, points)
        with closing(sqlite3.connect(server.folder / "index" / "wherry.db")) as index, index:
            index.execute("UPDATE jobs SET requested = 'pause' WHERE state = 'Running'")
        restart(server)
        eventually(lambda: server.json("GET", f"/jobs/{job}")["State"] == "Paused")
        server.stop()
    assert len(server.files()) > COUNT

    def given_back(server: Server) -> bool:
        query = f"SELECT state, requested, checkpoint FROM jobs WHERE id = '{job}'"
        return rows(server, query) == [("Failure", "", "{}")]

    def live(point: int) -> tuple[int, str]:
        with alive(template, tmp_path / str(point), shim) as (server, points):
            points.arm(point)
            with suppress(*DEAD):
                server.request("POST", f"/jobs/{job}/cancel")
                eventually(lambda: points.fatal or given_back(server), "the end of the job")
            count = points.count
            end(server, points)
            restart(server)
            server.json("POST", f"/jobs/{job}/cancel")
            eventually(lambda: given_back(server), "the end of the job")
            assert instances(server) == store.instances
            check_files(server)
            return count, points.fatal

    count, fatal = live(0)
    assert not fatal
    points = some(range(1, count + 1))
    lives = everywhere(live, points if STRIDE == 1 else points[:2])
    tell(capsys, f"settle, {count} durable calls", [fatal for _, fatal in lives])
    assert STRIDE > 1 or count > 5
