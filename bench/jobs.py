"""Jobs with a long history, Wherry beside Debian's Orthanc: submitting, ending, listing them.

    python -m bench.jobs                                  # 3 rounds, history of 0, 1,000, 10,000
    python -m bench.jobs --history 0,1000 --rounds 1      # quickly
    python -m bench.jobs --job archive                    # real work: an archive of one small file

A round has one fresh server of each kind, one after the other, whose history is filled by jobs that
end at once: ``POST /peers/{name}/store`` of nothing. With each size of history it is asked to take
some more while its two workers are busy with a peer that never answers, so that a submission is
timed and nothing else; then the workers are set free, and the times at which the jobs say that they
ended give the rate of completions. Every figure is one request, or one job: wall time, and CPU of
the server to the microsecond.

Not here: what jobs do (``archives``, ``run``).
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.api import ServerError
from bench.fetch import Client
from bench.meter import exact_cpu_seconds, machine
from bench.profiling import Profiler
from bench.reads import small_instance
from bench.servers import KINDS, Server, free_port

WORKERS: Final = 2
FILLERS: Final = 4
"""Clients that fill the history."""
PEER: Final = "hole"
QUESTIONS: Final = (
    ("GET /jobs", "/jobs", KINDS),
    ("GET /jobs?expand", "/jobs?expand", KINDS),
    ("GET /jobs?limit=20&expand", "/jobs?limit=20&expand", ("wherry",)),
    ("GET /jobs/{id}", "/jobs/{id}", KINDS),
    ("GET /tools/metrics-prometheus", "/tools/metrics-prometheus", KINDS),
)
"""What it is called, its path, who knows it."""
SUBMISSION, COMPLETION = "submission", "completion"
_ASK_S: Final = 0.5
_ASK_LEAST: Final = 3
_SETTLE_S: Final = 1.0
_POLL_S: Final = 0.05
_TIMEOUT_S: Final = 1800.0
_LOOKS: Final = 20
_UNFINISHED: Final = re.compile(r"^orthanc_jobs_(?:pending|running) (\d+)", re.MULTILINE)
_TIME: Final = "%Y%m%dT%H%M%S.%f"


@dataclass(frozen=True)
class Figure:
    """One request or one job."""

    what: str
    history: int
    waiting: int
    kind: str
    round: int
    wall_s: float
    cpu_s: float
    count: int

    @property
    def row(self) -> tuple[str, int, int]:
        return self.what, self.history, self.waiting


class Hole:
    """A peer that takes connections and never answers."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._socket.setblocking(False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/"

    def let_go(self) -> None:
        """Close what has come."""
        try:
            while True:
                self._socket.accept()[0].close()
        except BlockingIOError:
            pass

    def close(self) -> None:
        self._socket.close()


@dataclass
class Stand:
    """One server in one round."""

    server: Server
    client: Client
    hole: Hole
    job: str
    round: int
    profiler: Profiler | None
    instance: str = ""
    ended: list[str] = field(default_factory=list)
    """Identifiers of jobs that ended, the oldest first."""

    def submit(self, client: Client) -> str:
        """A job that ends at once."""
        if self.job == "archive":
            path, body = "/tools/create-archive", {"Resources": [self.instance]}
        else:
            path, body = f"/peers/{PEER}/store", {"Resources": list[str]()}
        answer, _ = client.json("POST", path, {**body, "Asynchronous": True, "Synchronous": False})
        return str(answer["ID"])

    def fill(self, size: int) -> float:
        """Let so many jobs be history; how many ended a second meanwhile."""
        missing = max(0, size - len(self.ended))
        begin = time.monotonic()
        with ThreadPoolExecutor(FILLERS) as pool:
            shares = [missing // FILLERS + (n < missing % FILLERS) for n in range(FILLERS)]
            for ids in list(pool.map(self._fill, shares)):
                self.ended += ids
        return missing / max(0.001, time.monotonic() - begin)

    def _fill(self, count: int) -> list[str]:
        with Client("127.0.0.1", self.server.port) as client:
            ids = [self.submit(client) for _ in range(count)]
            if ids:
                self.await_end(client, ids[-1])
        return ids

    def await_end(self, client: Client, job_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < deadline:
            job: dict[str, Any] = client.json("GET", f"/jobs/{job_id}")[0]
            if job["State"] == "Success":
                return job
            if job["State"] == "Failure":
                raise ServerError(f"job {job['Type']}: {job['ErrorDescription']}")
            time.sleep(_POLL_S)
        raise ServerError(f"a job has not ended within {_TIMEOUT_S:.0f} s")

    # --- what is measured --------------------------------------------------------------------
    def submissions(self, history: int, waiting: int, count: int) -> Iterator[Figure]:
        """Of so many, while ``waiting`` wait already; then how fast they all end."""
        blockers = self._block()
        first = [self.submit(self.client) for _ in range(waiting)]
        time.sleep(_SETTLE_S)
        walls = []
        with self._profiled(f"{SUBMISSION}-{history}-{waiting}"):
            before = exact_cpu_seconds(self.server.pid)
            for _ in range(count):
                begin = time.monotonic()
                first.append(self.submit(self.client))
                walls.append(time.monotonic() - begin)
            cpu = exact_cpu_seconds(self.server.pid) - before
        yield self._figure(SUBMISSION, history, waiting, median(walls), cpu / count, count)
        with self._profiled(f"{COMPLETION}-{history}-{waiting}"):
            before = exact_cpu_seconds(self.server.pid)
            self._free(blockers)
            for one in first[:: max(1, len(first) // _LOOKS)]:
                self.await_end(self.client, one)
            while self._unfinished():
                time.sleep(_POLL_S)
            cpu = exact_cpu_seconds(self.server.pid) - before
        times = [_completed(self.await_end(self.client, one)) for one in first]
        wall = (max(times) - min(times)) / (len(times) - 1)
        yield self._figure(COMPLETION, history, waiting, wall, cpu / len(first), len(first))
        self.ended += first

    def questions(self, history: int) -> Iterator[Figure]:
        """One after the other, over one connection."""
        time.sleep(_SETTLE_S)
        job_id = self.ended[-(history // 2) - 1]
        for name, path, kinds in QUESTIONS:
            if self.server.kind not in kinds:
                continue
            walls: list[float] = []
            self.client.ask("GET", path.format(id=job_id))
            with self._profiled(f"{name.partition(' ')[2].strip('/').replace('/', '-')}-{history}"):
                before = exact_cpu_seconds(self.server.pid)
                while len(walls) < _ASK_LEAST or sum(walls) < _ASK_S:
                    walls.append(self.client.ask("GET", path.format(id=job_id)).wall_s)
                cpu = exact_cpu_seconds(self.server.pid) - before
            count = len(walls)
            yield self._figure(name, history, 0, median(walls), cpu / count, count)

    def _unfinished(self) -> int:
        """Jobs that wait or run. Cheap, but not with a long history: so not asked often."""
        said = bytearray()
        self.client.ask("GET", "/tools/metrics-prometheus", take=said.extend)
        return sum(map(int, _UNFINISHED.findall(said.decode())))

    def _figure(
        self, what: str, history: int, waiting: int, wall_s: float, cpu_s: float, count: int
    ) -> Figure:
        kind = self.server.kind
        return Figure(what, history, waiting, kind, self.round, wall_s, cpu_s, count)

    # --- keeping the workers busy --------------------------------------------------------------
    def _block(self) -> list[str]:
        body = {"Resources": [self.instance], "Synchronous": False, "Priority": 1000}
        path = f"/peers/{PEER}/store"
        blockers = [str(self.client.json("POST", path, body)[0]["ID"]) for _ in range(WORKERS)]
        while set(self._states(blockers)) != {"Running"}:
            time.sleep(_POLL_S)
        return blockers

    def _free(self, blockers: Sequence[str]) -> None:
        for one in blockers:
            self.client.ask("POST", f"/jobs/{one}/cancel", b"{}")
        while set(self._states(blockers)) != {"Failure"}:
            self.hole.let_go()
            time.sleep(_POLL_S)

    def _states(self, ids: Sequence[str]) -> list[str]:
        return [self.client.json("GET", f"/jobs/{one}")[0]["State"] for one in ids]

    @contextmanager
    def _profiled(self, label: str) -> Iterator[None]:
        if self.profiler is None or self.server.kind != "wherry":
            yield
            return
        with self.profiler.watch(label, {"server": self.server.pid}):
            yield


def _completed(job: dict[str, Any]) -> float:
    return datetime.strptime(job["CompletionTime"], _TIME).timestamp()


def measure(stand: Stand, sizes: Sequence[int], waiting: int, count: int) -> Iterator[Figure]:
    """All figures of one server."""
    stand.instance = stand.server.api.call("POST", "/instances", small_instance(1))["ID"]
    stand.ended.append(stand.submit(stand.client))
    stand.await_end(stand.client, stand.ended[0])
    for size in sizes:
        if len(stand.ended) < size:
            say(f"  {stand.server.kind}: {stand.fill(size):.0f}/s while history grows to {size}")
        if size:
            yield from stand.questions(size)
        yield from stand.submissions(size, 0, count)
    if waiting:
        yield from stand.submissions(sizes[-1], waiting, count)


# --- the report ------------------------------------------------------------------------------
def render(found: Sequence[Figure], versions: dict[str, str], rounds: int) -> str:
    """In Markdown."""
    servers = ", ".join(f"{kind} {version}" for kind, version in sorted(versions.items()))
    kinds = [kind for kind in KINDS if any(one.kind == kind for one in found)]
    heads = " | ".join(f"{kind} /s | ms | CPU ms" for kind in kinds)
    lines = [
        f"Machine: {machine()}",
        f"Servers: {servers}",
        f"Medians of {rounds} rounds; one client, one request at a time",
        "",
        f"| what | history | waiting | {heads} | ratio |",
        "|---|---:|---:|" + "---:|" * (3 * len(kinds) + 1),
    ]
    order = [*(name for name, _, _ in QUESTIONS), SUBMISSION, COMPLETION]
    for row in sorted({one.row for one in found}, key=lambda row: (row[1:], order.index(row[0]))):
        cells = [row[0], f"{row[1]:,}", f"{row[2]:,}"]
        for kind in kinds:
            mine = [one for one in found if (one.row, one.kind) == (row, kind)]
            if not mine:
                cells += ["", "", ""]
                continue
            wall = median(one.wall_s for one in mine)
            cpu = median(one.cpu_s for one in mine)
            cells += [_short(1 / wall), _short(1000 * wall), _short(1000 * cpu)]
        ratio = _ratio(found, row)
        cells.append(_short(ratio) if ratio else "")
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Ratio: Orthanc's wall time over Wherry's of the same round.", ""]
    return "\n".join(lines + [_growth(found, kind) for kind in kinds])


def _ratio(found: Sequence[Figure], row: tuple[str, int, int]) -> float | None:
    walls = {(one.kind, one.round): one.wall_s for one in found if one.row == row}
    ratios = [
        walls["orthanc", number] / wall
        for (kind, number), wall in walls.items()
        if kind == "wherry" and ("orthanc", number) in walls
    ]
    return median(ratios) if ratios else None


def _growth(found: Sequence[Figure], kind: str) -> str:
    """How a submission and a completion grow from the shortest history to the longest."""
    words = []
    for what in (SUBMISSION, COMPLETION):
        mine = [one for one in found if (one.kind, one.what) == (kind, what)]
        rows = sorted({one.row for one in mine}, key=lambda row: row[1:])

        def middle(row: tuple[str, int, int], of: str, mine: list[Figure] = mine) -> float:
            return float(median(getattr(one, of) for one in mine if one.row == row))

        for row in rows[1:]:
            wall, cpu = (middle(row, of) / middle(rows[0], of) for of in ("wall_s", "cpu_s"))
            words.append(f"{what} ({row[1]:,}, {row[2]:,} waiting) × {wall:.2f}, CPU × {cpu:.2f}")
    return f"{kind}, beside history {rows[0][1]}: {'; '.join(words)}."


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


# --- the command -----------------------------------------------------------------------------
def main() -> int:
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end as well
    sizes = sorted(map(int, given.history.split(",")))
    profiler = Profiler(given.profile) if given.profile else None
    own = {"wherry": json.loads(given.wherry_config.read_text()) if given.wherry_config else {}}
    found: list[Figure] = []
    versions: dict[str, str] = {}
    hole = Hole()
    kept = max(*sizes, given.waiting + given.submissions + WORKERS)
    settings = {"ConcurrentJobs": WORKERS, "JobsHistorySize": kept, "LimitJobs": 0}
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir=given.scratch) as scratch:
        for number in range(1, given.rounds + 1):
            say(f"round {number} of {given.rounds}")
            kinds = given.kinds.split(",")
            for kind in kinds if number % 2 else reversed(kinds):
                place = Path(scratch) / f"{number}-{kind}"
                overrides = settings | own.get(kind, {})
                with (
                    Server(kind, place, free_port(), {PEER: hole.url}, overrides) as server,
                    Client("127.0.0.1", server.port) as client,
                ):
                    versions[kind] = server.api.version()
                    stand = Stand(server, client, hole, given.job, number, profiler)
                    for one in measure(stand, sizes, given.waiting, given.submissions):
                        say(
                            f"  {kind} {one.what} ({one.history}, {one.waiting} waiting): "
                            f"{1000 * one.wall_s:.2f} ms, CPU {1000 * one.cpu_s:.2f} ms"
                        )
                        found.append(one)
    hole.close()
    report = render(found, versions, given.rounds)
    print(f"\n{report}")
    if given.markdown:
        given.markdown.write_text(report + "\n")
    if given.json:
        document = {
            "machine": machine(),
            "versions": versions,
            "results": [asdict(one) for one in found],
        }
        given.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def say(line: str) -> None:
    print(line, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Jobs: Wherry beside Debian's Orthanc.")
    parser.add_argument("--history", default="0,1000,10000", help="ended jobs, several sizes")
    parser.add_argument("--waiting", type=int, default=1000, help="jobs that wait; 0: leave it out")
    parser.add_argument("--submissions", type=int, default=500, help="timed with each size")
    parser.add_argument("--job", choices=("store", "archive"), default="store")
    parser.add_argument("--kinds", default=",".join(KINDS), help="orthanc,wherry or one of them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="folder for the servers (default: temporary)")
    parser.add_argument(
        "--wherry-config", type=Path, help="JSON merged into Wherry's configuration"
    )
    parser.add_argument("--profile", type=Path, help="profile Wherry into this folder (py-spy)")
    parser.add_argument("--markdown", type=Path, help="write the report there too")
    parser.add_argument("--json", type=Path, help="write all results there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
