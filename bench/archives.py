"""Archives of whole studies, Wherry beside Debian's Orthanc: MB/s, CPU, memory, first byte.

    python -m bench.archives                       # 3 rounds, about 10 minutes; Orthanc needs most
    python -m bench.archives --cases onco-archive,onco-archive-job --rounds 5
    python -m bench.archives --check               # is what comes what was uploaded?

A case is a set and a way: ``archive`` and ``media`` are streamed (``GET``); ``archive-job`` and
``media-job`` are jobs, timed from the submission until the job says Success, and their output is
not fetched. Each server is filled once; each measurement has a fresh process on that folder, which
archives the set ``warm`` in the same way before the clock starts. Orthanc packs some 11 MB/s, so it
is spared the set ``big`` (``--orthanc-big``): its rate with ``onco`` stands in for that.

Not here: the client (``fetch``), costs (``meter``), what is right (``archive_check``).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench import archive_check, driver
from bench.api import ServerError
from bench.fetch import Client
from bench.make_data import DEFAULT_FOLDER, PLANS, Manifest, files, make
from bench.meter import Meter, machine, resident_bytes
from bench.profiling import Profiler
from bench.servers import KINDS, Server, free_port

WAYS: Final = ("archive", "media", "archive-job", "media-job")
CASES: Final = "onco-archive,onco-archive-job,big-archive,small-archive,small-media"
CHECKED: Final = "onco-archive,onco-archive-job,big-archive,big-archive-job,small-media"
BIG, STAND_IN, WARM = "big", "onco", "warm"
_POLL_S: Final = 0.02
_SETTLE_S: Final = 1.0


@dataclass(frozen=True)
class Case:
    """What is archived, and how."""

    what: Manifest
    way: str

    @property
    def name(self) -> str:
        return f"{self.what.name}-{self.way}"

    @property
    def path(self) -> str:
        route = self.way.removesuffix("-job")
        return f"/studies/{self.what.orthanc_study_id}/{route}"

    @property
    def is_job(self) -> bool:
        return self.way.endswith("-job")


@dataclass(frozen=True)
class Measurement:
    """One archive."""

    case: str
    kind: str
    round: int
    input_bytes: int
    zip_bytes: int
    wall_s: float
    first_s: float | None
    """Until the first byte of the ZIP; a job has none."""
    cpu_s: float
    client_cpu_s: float
    peak_bytes: int
    idle_bytes: int
    """Resident memory of the process when it had just started."""
    others_cores: float

    @property
    def input_mb_per_s(self) -> float:
        return self.input_bytes / 1e6 / self.wall_s


@dataclass
class Bench:
    """Settings of a run, and the servers' folders."""

    data: Path
    scratch: Path
    overrides: dict[str, dict[str, Any]]
    profiler: Profiler | None = None
    orthanc_big: bool = False
    versions: dict[str, str] = field(default_factory=dict)

    def spares(self, kind: str, case: Case) -> bool:
        """Whether this kind of server is not to be asked for this."""
        return kind == "orthanc" and case.what.name == BIG and not self.orthanc_big

    def server(self, kind: str) -> Server:
        """A process, not yet started, on the folder of its kind."""
        shared = {"MediaArchiveSize": 1}
        overrides = shared | self.overrides.get(kind, {})
        return Server(kind, self.scratch / kind, free_port(), {}, overrides)

    def fill(self, kind: str, sets: Sequence[str]) -> None:
        with self.server(kind) as server:
            self.versions[kind] = server.api.version()
            for name in sets:
                target = driver.Target(server.api, server.pid)
                driver.ingest(target, files(self.data, name), 8)

    @contextmanager
    def profiled(self, kind: str, label: str, pid: int) -> Iterator[None]:
        if self.profiler is None or kind != "wherry":
            yield
            return
        with self.profiler.watch(label, {"server": pid}):
            yield


def measure(bench: Bench, case: Case, kind: str, number: int) -> Measurement:
    """One archive of a fresh process. Raises ``ServerError``, ``OSError``."""
    with bench.server(kind) as server, Client("127.0.0.1", server.port) as client:
        time.sleep(_SETTLE_S)  # what it does after a start
        idle = resident_bytes(server.pid)
        _archive(client, Case(make(PLANS[WARM], bench.data), case.way))
        os.sync()
        with bench.profiled(kind, f"{case.name}-{number}", server.pid):
            meter = Meter({"server": server.pid})
            before = time.process_time()
            wall, first, size = _archive(client, case)
            mine = time.process_time() - before
            costs, others = meter.read()
    cost = costs["server"]
    return Measurement(
        case.name,
        kind,
        number,
        case.what.bytes,
        size,
        wall,
        first,
        cost.cpu_s,
        mine,
        cost.peak_rss_bytes,
        idle,
        max(0.0, others - mine / wall),
    )


def _archive(client: Client, case: Case) -> tuple[float, float | None, int]:
    """Seconds, seconds to the first byte, bytes of the ZIP."""
    if not case.is_job:
        fetched = client.ask("GET", case.path, take=_drop)
        return fetched.wall_s, fetched.first_s, fetched.size
    begin = time.monotonic()
    job = run_job(client, case.path, {})
    return time.monotonic() - begin, None, int(job["Content"]["ArchiveSize"])


def run_job(client: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The job when it has ended in Success. Raises ``ServerError``."""
    named, _ = client.json("POST", path, body | {"Asynchronous": True})
    while True:
        job: dict[str, Any] = client.json("GET", f"/jobs/{named['ID']}")[0]
        if job["State"] == "Success":
            return job
        if job["State"] not in ("Pending", "Running"):
            raise ServerError(f"job {job['State']}: {job['ErrorDescription']}")
        time.sleep(_POLL_S)


def _drop(_: memoryview) -> None:
    pass


def rounds(
    bench: Bench, cases: Sequence[Case], kinds: Sequence[str], count: int
) -> Iterator[Measurement]:
    """Every case by one kind of server and then by the other; the order changes each round."""
    for number in range(1, count + 1):
        say(f"round {number} of {count}")
        for case in cases:
            for kind in kinds if number % 2 else reversed(kinds):
                if bench.spares(kind, case):
                    continue
                found = measure(bench, case, kind, number)
                say(f"  {case.name} {kind}: {found.wall_s:.2f} s, {found.input_mb_per_s:.0f} MB/s")
                yield found


# --- the report ------------------------------------------------------------------------------
def heading(sets: Sequence[Manifest], versions: dict[str, str], rounds: int) -> list[str]:
    """What was measured, and on what."""
    servers = ", ".join(f"{kind} {version}" for kind, version in sorted(versions.items()))
    lines = [f"Machine: {machine()}", f"Servers: {servers}", f"Medians of {rounds} rounds", ""]
    for what in dict.fromkeys(sets):
        lines.append(f"{what.name.upper()}: {what.count} instances, {what.bytes / 1e6:.1f} MB")
    return lines


def render(
    found: Sequence[Measurement], cases: Sequence[Case], versions: dict[str, str], rounds: int
) -> str:
    """In Markdown."""
    lines = [
        *heading([case.what for case in cases], versions, rounds),
        "",
        "| case | server | wall s | in MB/s | ZIP MB/s | ZIP MB | first byte ms | CPU s"
        " | peak MB | above idle MB | others | ratio |",
        "|---|---|" + "---:|" * 10,
    ]
    stood_in = False
    for case in cases:
        for kind in KINDS:
            mine = [one for one in found if (one.case, one.kind) == (case.name, kind)]
            if not mine:
                continue
            ratio, other = _ratio(found, case) if kind == "wherry" else (None, False)
            stood_in |= other
            firsts = [one.first_s for one in mine if one.first_s is not None]
            cells = [
                case.name,
                kind,
                f"{median(one.wall_s for one in mine):.2f}",
                f"{median(one.input_mb_per_s for one in mine):.0f}",
                f"{median(one.zip_bytes / 1e6 / one.wall_s for one in mine):.0f}",
                f"{median(one.zip_bytes / 1e6 for one in mine):.1f}",
                f"{1000 * median(firsts):.0f}" if firsts else "",
                f"{median(one.cpu_s for one in mine):.2f}",
                f"{max(one.peak_bytes for one in mine) / 1e6:.0f}",
                f"{max(one.peak_bytes - one.idle_bytes for one in mine) / 1e6:.0f}",
                f"{median(one.others_cores for one in mine):.2f}",
                f"{ratio:.1f}{'¹' if other else ''}" if ratio else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Ratio: Wherry's MB/s of input over Orthanc's of the same round. First byte: of the ZIP.",
        "Peak: the highest of the rounds. Others: cores that everything else kept busy meanwhile.",
    ]
    if stood_in:
        lines.append(f"¹ over Orthanc's rate with {STAND_IN.upper()}.")
    return "\n".join(lines)


def _ratio(found: Sequence[Measurement], case: Case) -> tuple[float | None, bool]:
    """The median over the rounds, and whether another set stood in at Orthanc."""
    for name in (case.name, f"{STAND_IN}-{case.way}"):
        base = {
            one.round: one.input_mb_per_s
            for one in found
            if (one.case, one.kind) == (name, "orthanc")
        }
        ratios = [
            one.input_mb_per_s / base[one.round]
            for one in found
            if (one.case, one.kind) == (case.name, "wherry") and one.round in base
        ]
        if ratios:
            return median(ratios), name != case.name
    return None, False


# --- the check -------------------------------------------------------------------------------
def check(bench: Bench, cases: Sequence[Case], kinds: Sequence[str]) -> bool:
    """Fetch each archive and compare it with what was uploaded; whether all were right."""
    right = True
    place = bench.scratch / "fetched.zip"
    for kind in kinds:
        for case in cases:
            if bench.spares(kind, case):
                continue
            with bench.server(kind) as server, Client("127.0.0.1", server.port) as client:
                path = case.path
                if case.is_job:
                    path = f"/jobs/{run_job(client, case.path, {})['ID']}/archive"
                with place.open("wb") as file:
                    client.ask("GET", path, take=file.write)
            media = "media" in case.way
            faults = archive_check.faults(place, files(bench.data, case.what.name), media=media)
            size = place.stat().st_size
            say(f"{case.name} {kind}: {size} bytes, {'; '.join(faults) or 'right'}")
            right &= not faults
            place.unlink()
    return right


# --- the command -----------------------------------------------------------------------------
def main() -> int:
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end as well
    names = (given.cases or (CHECKED if given.check else CASES)).split(",")
    kinds = (given.kinds or ("wherry" if given.check else ",".join(KINDS))).split(",")
    split = [name.partition("-") for name in names]
    unknown = [a + b + c for a, b, c in split if a not in PLANS or c not in WAYS]
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; a case is a set and one of {', '.join(WAYS)}")
    cases = [Case(make(PLANS[name], given.data), way) for name, _, way in split]
    make(PLANS[WARM], given.data)
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir=given.scratch) as scratch:
        bench = Bench(
            given.data,
            Path(scratch),
            {"wherry": json.loads(given.wherry_config.read_text())} if given.wherry_config else {},
            Profiler(given.profile) if given.profile else None,
            given.orthanc_big,
        )
        for kind in kinds:
            sets = sorted({case.what.name for case in cases if not bench.spares(kind, case)})
            say(f"filling {kind}: {', '.join(sets)}")
            bench.fill(kind, [WARM, *sets])
        os.sync()
        if given.check:
            return 0 if check(bench, cases, kinds) else 1
        found = list(rounds(bench, cases, kinds, given.rounds))
    report = render(found, cases, bench.versions, given.rounds)
    print(f"\n{report}")
    if given.markdown:
        given.markdown.write_text(report + "\n")
    if given.json:
        document = {
            "machine": machine(),
            "versions": bench.versions,
            "results": [asdict(one) for one in found],
        }
        given.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def say(line: str) -> None:
    print(line, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Archives: Wherry beside Debian's Orthanc.")
    parser.add_argument("--cases", help=f"default {CASES}; for --check {CHECKED}")
    parser.add_argument("--kinds", help="orthanc,wherry or one of them; --check: wherry")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="compare bytes, measure nothing")
    parser.add_argument("--orthanc-big", action="store_true", help="the set big by Orthanc too")
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
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
