"""Two servers on one PostgreSQL and one storage folder share their jobs: each runs once.

What ran when, and how often, is read in the log of the jobs, a line for each change of state.
"""

from __future__ import annotations

import io
import threading
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support import postgres
from tests.support.dicom_files import make_series
from tests.support.jobs import DEADLINE_S, eventually
from tests.support.receiver import Receiver, receiving
from tests.support.server import Server, running

JOBS = 200
INSTANCES = make_series(10)
ONCE = ["Pending", "Running", "Success"]
TAKEN_OVER = ["Pending", "Running", "Pending", "Running", "Success"]


@dataclass
class Gate:
    """A peer that takes an instance when it is let in; until then its job holds a worker."""

    receiver: Receiver
    doors: dict[str, threading.Event] = field(default_factory=lambda: defaultdict(threading.Event))

    def __post_init__(self) -> None:
        self.receiver.rule = self._wait

    def _wait(self, instance: str) -> None:
        assert self.doors[instance].wait(DEADLINE_S)


class Pair:
    """Two servers, the database that they share, and what is stored."""

    def __init__(self, folder: Path, conninfo: str, gate: Gate, workers: tuple[int, int]) -> None:
        self.connection = psycopg.connect(conninfo, autocommit=True)
        self.gate = gate
        self.storage = folder / "shared"
        config = {
            "PostgreSQL": {"EnableIndex": True, "ConnectionUri": conninfo},
            "StorageDirectory": str(self.storage),
            "OrthancPeers": {"gate": [gate.receiver.url]},
            "JobsHistorySize": 2 * JOBS,
            "MediaArchiveSize": 2 * JOBS,
        }
        self.a, self.b = (
            Server(folder / name, {**config, "ConcurrentJobs": count})
            for name, count in zip("ab", workers, strict=True)
        )
        self.instances: list[str] = []

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()  # type: ignore[call-overload]

    def count(self, state: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM jobs WHERE state = '{state}'")[0][0])

    def history(self) -> dict[str, list[str]]:
        """The states of each job, in their order."""
        found = defaultdict(list)
        for job, state in self.rows("SELECT job_id, state FROM job_events ORDER BY seq"):
            found[job].append(state)
        return found

    def hold(self, server: Server, instance: int) -> str:
        """A job that waits at the gate with this instance, and occupies a worker from now on."""
        order = {"Resources": [self.instances[instance]], "Asynchronous": True, "Priority": 1000}
        before = self.count("Running")
        job = server.json("POST", "/peers/gate/store", order)["ID"]
        eventually(lambda: self.count("Running") == before + 1, "a job at the gate")
        return str(job)

    def archives(self, count: int, priority: int = 0) -> dict[str, str]:
        """Order as many archives of one instance each, at both servers in turn, from several
        clients; job → instance."""

        def order(number: int) -> tuple[str, str]:
            server, instance = (self.a, self.b)[number % 2], self.instances[number % 10]
            body = {"Resources": [instance], "Asynchronous": True, "Priority": priority}
            return server.json("POST", "/tools/create-archive", body)["ID"], instance

        with ThreadPoolExecutor(4) as pool:
            return dict(pool.map(order, range(count)))

    def check_archives(self, server: Server, ordered: dict[str, str]) -> None:
        """Each job has brought forth its own archive, and no file is left over."""
        files = {one: server.get(f"/instances/{one}/file")[1] for one in self.instances}
        for job, instance in ordered.items():
            status, data = server.get(f"/jobs/{job}/archive")
            assert status == 200
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                assert [archive.read(name) for name in archive.namelist()] == [files[instance]]
        known = "SELECT uuid FROM attachments UNION ALL SELECT uuid FROM job_outputs"
        uuids = [uuid for (uuid,) in self.rows(known)]
        assert len(uuids) == len(INSTANCES) + len(ordered)
        assert sorted(path.name for path in self.storage.glob("??/*/*")) == sorted(uuids)


@contextmanager
def pair(folder: Path, postgresql_conninfo: str, workers: tuple[int, int]) -> Iterator[Pair]:
    """The first of two servers runs and holds the instances; the second can be started."""
    with postgres.database(postgresql_conninfo) as conninfo, receiving() as receiver:
        found = Pair(folder, conninfo, Gate(receiver), workers)
        try:
            with running(found.a), running(found.b):
                found.b.stop()
                for data in INSTANCES:
                    assert found.a.request("POST", "/instances", data)[0] == 200
                found.instances = found.a.json("GET", "/instances")
                yield found
        finally:
            for door in found.gate.doors.values():
                door.set()
            found.connection.close()


def completed(server: Server) -> int:
    """Jobs that ended in this process."""
    text = server.get("/tools/metrics-prometheus")[1].decode()
    lines = dict(line.split()[:2] for line in text.splitlines() if line[:1] not in ("#", ""))
    return int(float(lines["orthanc_jobs_total_completed"]))


def test_each_job_runs_once(tmp_path: Path, postgresql_conninfo: str) -> None:
    with pair(tmp_path, postgresql_conninfo, (2, 2)) as two:
        two.b.start()
        ordered = two.archives(JOBS)
        eventually(lambda: two.count("Success") == JOBS, "all successes")
        assert two.history() == dict.fromkeys(ordered, ONCE)
        shares = [completed(server) for server in (two.a, two.b)]
        assert sum(shares) == JOBS
        assert all(shares), "one of the servers did nothing"
        two.check_archives(two.b, ordered)


@pytest.mark.crash
def test_what_a_killed_server_did_is_taken_up_by_the_other(
    tmp_path: Path, postgresql_conninfo: str
) -> None:
    workers = (3, 1)
    with pair(tmp_path, postgresql_conninfo, workers) as two:
        shut, opened = 0, 1
        held = two.hold(two.a, shut)
        at_gate = [held, two.hold(two.a, opened), two.hold(two.a, opened)]
        two.b.start()
        at_gate.append(two.hold(two.b, opened))  # there is no free worker but that of the second
        ordered = two.archives(JOBS)
        assert two.count("Pending") == JOBS
        two.gate.doors[two.instances[opened]].set()
        eventually(lambda: two.count("Success") >= JOBS // 5, "a fifth of the successes")
        two.a.kill()
        lost = two.count("Running")
        two.gate.doors[two.instances[shut]].set()
        eventually(lambda: two.count("Success") == JOBS + len(at_gate), "all successes")
        history = two.history()
        assert set(history) == {*ordered, *at_gate}
        twice = [job for job, states in history.items() if states == TAKEN_OVER]
        assert held in twice
        assert len(twice) <= min(workers[0], lost)
        assert all(states == ONCE for job, states in history.items() if job not in twice)
        assert two.gate.receiver.uploads.count(two.instances[shut]) == 2
        two.check_archives(two.b, ordered)


def test_priorities_are_those_of_both(tmp_path: Path, postgresql_conninfo: str) -> None:
    """Urgent jobs that come last start first, whichever server has them."""
    with pair(tmp_path, postgresql_conninfo, (1, 1)) as two:
        two.b.start()
        for server in (two.a, two.b):
            two.hold(server, 0)
        low, high = two.archives(60), two.archives(20, priority=10)
        assert two.count("Pending") == 80
        two.gate.doors[two.instances[0]].set()
        eventually(lambda: two.count("Success") == 82, "all successes")
        started = "SELECT job_id FROM job_events WHERE state = 'Running' ORDER BY seq"
        order = [job for (job,) in two.rows(started)][2:]
        assert set(order[:20]) == set(high)
        assert set(order[20:]) == set(low)
        assert Counter(order).most_common(1)[0][1] == 1
        assert all(completed(server) > 1 for server in (two.a, two.b))
