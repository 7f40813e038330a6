"""Debian's Orthanc and Wherry side by side: interleaved rounds, medians, ratios.

    python -m bench.run --set onco,small,mammo --what ingest,push,pull --rounds 3

In a round, each phase is run by one kind of server and then by the other, never both at once, each
into a fresh folder and after a warm-up; the order changes from round to round. A ratio compares
the two of one round, so that a busy machine slows both; the median of the rounds is shown.
Orthanc has no transfers plugin in Debian: its ``POST /peers/{name}/store`` is what a push or pull
is compared with.

Not here: one measurement (``driver``), what the table says (``table``).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import driver
from bench.api import ServerError
from bench.driver import Measurement, Target
from bench.make_data import DEFAULT_FOLDER, PLANS, Manifest, files, make
from bench.meter import machine
from bench.profiling import Profiler, sampled_command, stacks
from bench.servers import KINDS, Server, free_port
from bench.table import TRANSFERS, Result, render

PHASES: Final = {
    "ingest": ("ingest-8", "ingest-1"),
    "push": ("store", "push-none", "push-gzip", "push-auto"),
    "pull": ("store", "pull-none", "pull-gzip", "pull-auto"),
}
ONLY: Final = {
    "store": "orthanc",
    **dict.fromkeys(TRANSFERS, "wherry"),
}
"""Phases that one kind of server has alone."""

SOURCE, RECEIVER = "source", "receiver"


@dataclass
class Bench:
    """Settings of a run and the folders it has used."""

    data: Path
    scratch: Path
    kinds: Sequence[str]
    overrides: dict[str, dict[str, Any]]
    disk_bytes: int
    profiler: Profiler | None = None
    versions: dict[str, str] = field(default_factory=dict)
    _number: int = 0

    def server(self, kind: str, port: int, peers: dict[str, str]) -> Server:
        """A server with a fresh folder, not yet started."""
        self._number += 1
        folder = self.scratch / f"{self._number:03d}-{kind}"
        found = Server(kind, folder, port, peers, self.overrides.get(kind, {}))
        if self.profiler and not self.profiler.attaches and kind == "wherry":
            found.command = sampled_command(self.profiler.folder / f"{folder.name}.collapsed")
        return found

    def make_room(self) -> None:
        """Remove old folders only when they are many: creating files is slow after it."""
        used = sum(path.stat().st_blocks * 512 for path in self.scratch.rglob("*"))
        if used > self.disk_bytes:
            for folder in self.scratch.iterdir():
                shutil.rmtree(folder)
            os.sync()


@dataclass
class Stand:
    """One kind of server in one round with one set: the source, and the port of receivers."""

    bench: Bench
    kind: str
    what: Manifest
    source_port: int = field(default_factory=free_port)
    receiver_port: int = field(default_factory=free_port)
    source: Server | None = None

    def new_source(self) -> Server:
        peers = {RECEIVER: f"http://127.0.0.1:{self.receiver_port}/"}
        return self.bench.server(self.kind, self.source_port, peers)

    @contextmanager
    def fresh_receiver(self) -> Iterator[Server]:
        peers = {SOURCE: f"http://127.0.0.1:{self.source_port}/"}
        with self.bench.server(self.kind, self.receiver_port, peers) as receiver:
            yield receiver

    def measure(self, phase: str, stack: ExitStack, label: str) -> Measurement | None:
        """Run one phase. ``None`` when it only prepared the source."""
        if phase in ("ingest-8", "fill"):
            self.source = stack.enter_context(self.new_source())
            self.bench.versions[self.kind] = self.source.api.version()
            return self._ingest(self.source, 8, label, measured=phase != "fill")
        if phase == "ingest-1":
            with self.fresh_receiver() as receiver:
                return self._ingest(receiver, 1, label)
        assert self.source is not None
        with self.fresh_receiver() as receiver, _explained(self.source, receiver):
            warm = make(PLANS["warm"], self.bench.data)
            self._transfer(phase, receiver, warm)
            os.sync()
            with self._profiled(label, {SOURCE: self.source.pid, RECEIVER: receiver.pid}):
                return self._transfer(phase, receiver, self.what)

    def _ingest(
        self, receiver: Server, clients: int, label: str, *, measured: bool = True
    ) -> Measurement | None:
        with _explained(receiver):
            driver.ingest(target(receiver), files(self.bench.data, "warm"), clients)
            os.sync()
            with self._profiled(label if measured else "", {RECEIVER: receiver.pid}):
                paths = files(self.bench.data, self.what.name)
                found = driver.ingest(target(receiver), paths, clients)
        return found if measured else None

    def _transfer(self, phase: str, receiver: Server, what: Manifest) -> Measurement:
        assert self.source is not None
        here, there = target(self.source), target(receiver)
        if phase == "store":
            return driver.store(here, there, RECEIVER, what)
        verb, _, compression = phase.partition("-")
        if verb == "push":
            return driver.push(here, there, RECEIVER, what, compression)
        return driver.pull(here, there, SOURCE, what, compression)

    @contextmanager
    def _profiled(self, label: str, pids: dict[str, int]) -> Iterator[None]:
        if self.bench.profiler is None or self.kind != "wherry" or not label:
            yield
            return
        with self.bench.profiler.watch(label, pids):
            yield


@contextmanager
def _explained(*servers: Server) -> Iterator[None]:
    """When the block fails, print what the servers say and what their threads do."""
    try:
        yield
    except (ServerError, OSError):
        for server in servers:
            if server.kind == "wherry":
                say(f"--- log of {server.folder.name}\n{server.log_tail()}")
                say(stacks(server.pid) or "(no stacks: py-spy is not installed)")
        raise


def target(server: Server) -> Target:
    return Target(server.api, server.pid)


def run_round(
    bench: Bench, what: Manifest, phases: Sequence[str], number: int, say: Callable[[str], None]
) -> list[Result]:
    """All phases of one set, each by one kind and then by the other."""
    results = []
    kinds = list(bench.kinds) if number % 2 else list(reversed(bench.kinds))
    broken: set[str] = set()
    with ExitStack() as stack:
        stands = {kind: Stand(bench, kind, what) for kind in kinds}
        for phase in phases:
            for kind in kinds:
                if kind in broken or ONLY.get(phase, kind) != kind:
                    continue
                label = f"{what.name}-{phase}-{number}"
                try:
                    found = stands[kind].measure(phase, stack, label)
                except (ServerError, OSError) as failure:
                    say(f"  {what.name} {phase} {kind}: FAILED {failure}")
                    results.append(Result(what.name, phase, kind, number, None, str(failure)))
                    if stands[kind].source is None or phase in ("ingest-8", "fill"):
                        broken.add(kind)
                    continue
                if found is not None:
                    results.append(Result(what.name, phase, kind, number, found, ""))
                    say(
                        f"  {what.name} {phase} {kind}: {found.wall_s:.2f} s, "
                        f"{found.instances_per_s:.0f}/s, {found.megabytes_per_s:.0f} MB/s"
                    )
    return results


def phases_of(what: Sequence[str]) -> list[str]:
    """The phases to run, in order; the source must be filled before anything travels."""
    wanted = [phase for name in what for phase in PHASES.get(name, (name,))]
    wanted = list(dict.fromkeys(wanted))
    if "ingest-8" not in wanted and any(not phase.startswith("ingest") for phase in wanted):
        wanted.insert(0, "fill")
    return sorted(wanted, key=lambda phase: phase not in ("fill", "ingest-8"))


def main() -> int:
    parsed = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end as well
    known = {phase for phases in PHASES.values() for phase in phases}
    what = parsed.what.split(",")
    unknown = [name for name in what if name not in PHASES and name not in known]
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; known: {', '.join([*PHASES, *sorted(known)])}")
    sets = [make(PLANS[name], parsed.data) for name in parsed.set.split(",")]
    make(PLANS["warm"], parsed.data)
    overrides = {
        kind: json.loads(path.read_text())
        for kind, path in (("orthanc", parsed.orthanc_config), ("wherry", parsed.wherry_config))
        if path is not None
    }
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir=parsed.scratch) as scratch:
        bench = Bench(
            parsed.data,
            Path(scratch),
            parsed.kinds.split(","),
            overrides,
            int(parsed.disk * 1e9),
            Profiler(parsed.profile) if parsed.profile else None,
        )
        if not parsed.no_warm_up:
            print("warm-up, not measured", flush=True)
            run_round(bench, sets[0], ["fill"], 0, say)
        for number in range(1, parsed.rounds + 1):
            print(f"round {number} of {parsed.rounds}", flush=True)
            for one in sets:
                bench.make_room()
                results += run_round(bench, one, phases_of(what), number, say)
    report = render(results, sets, machine(), bench.versions)
    print(report)
    if parsed.json:
        document = {
            "machine": machine(),
            "versions": bench.versions,
            "results": [result.as_json() for result in results],
        }
        parsed.json.write_text(json.dumps(document, indent=2) + "\n")
    return 1 if any(result.measurement is None for result in results) else 0


def say(line: str) -> None:
    print(line, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare Wherry with Debian's Orthanc.")
    parser.add_argument("--set", default="onco,small,mammo")
    parser.add_argument("--what", default="ingest,push,pull", help="groups or single phases")
    parser.add_argument("--kinds", default=",".join(KINDS), help="orthanc,wherry or one of them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--scratch", type=Path, help="folder for the servers (default: temporary)")
    parser.add_argument("--disk", type=float, default=16, help="GB of old folders kept")
    parser.add_argument(
        "--wherry-config", type=Path, help="JSON merged into Wherry's configuration"
    )
    parser.add_argument("--orthanc-config", type=Path, help="the same for Orthanc")
    parser.add_argument("--json", type=Path, help="write all results there")
    parser.add_argument("--profile", type=Path, help="profile Wherry into this folder")
    parser.add_argument(
        "--no-warm-up", action="store_true", help="skip the round that is thrown away"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
