"""Transfers over a line with a delay and a rate, beside Orthanc's ``/peers/store`` over the same.

    python -m bench.lines --set onco --lines 50x100,50x1000 --what store,push-none,push-auto

A line is the milliseconds of a round trip and the Mbit/s of each direction; ``bench.link`` is it, a
process of its own on the same machine, so that at 1000 Mbit/s three processes share the
processors. *Of the line* is what travelled through it in the time of the transfer, over what it
can carry: 100 % is a line that never waited.

Not here: transfers without a line between (``run``).
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import driver
from bench.driver import Measurement
from bench.make_data import DEFAULT_FOLDER, PLANS, files, make
from bench.meter import machine
from bench.run import RECEIVER, SOURCE, target
from bench.servers import Server, free_port


@dataclass(frozen=True)
class LineKind:
    """``50x100``: round trip in ms, Mbit/s."""

    round_trip_ms: float
    rate_mbit: float

    @property
    def bytes_per_s(self) -> float:
        return self.rate_mbit * 125_000


def parse_line(text: str) -> LineKind:
    """``50x100``."""
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None:
        raise SystemExit(f"{text} is no line; 50x100 is one of 50 ms and 100 Mbit/s")
    return LineKind(float(found[1]), float(found[2]))


@contextmanager
def line_to(port: int, kind: LineKind) -> Iterator[int]:
    """The port of a line to a server."""
    command = [sys.executable, "-m", "bench.link", "--to", f"127.0.0.1:{port}"]
    command += ["--delay-ms", str(kind.round_trip_ms / 2), "--rate-mbit", str(kind.rate_mbit)]
    silent = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=silent, text=True) as link:
        assert link.stdout is not None
        try:
            yield int(re.search(r"\d+", link.stdout.readline())[0])  # type: ignore[index]
        finally:
            link.send_signal(signal.SIGTERM)


def measure(folder: Path, kind: str, line: LineKind, name: str, phase: str) -> Measurement:
    """One transfer by fresh servers: the sender is filled first, and warmed up with ``warm``."""
    what, warm = make(PLANS[name], DEFAULT_FOLDER), make(PLANS["warm"], DEFAULT_FOLDER)
    receiving, sending = free_port(), free_port()
    with line_to(receiving, line) as there, line_to(sending, line) as back:
        peers = {RECEIVER: f"http://127.0.0.1:{there}/"}
        giving = {SOURCE: f"http://127.0.0.1:{back}/"}
        with (
            Server(kind, folder / f"{phase}-s", sending, peers) as source,
            Server(kind, folder / f"{phase}-r", receiving, giving) as receiver,
        ):
            driver.ingest(target(source), files(DEFAULT_FOLDER, "warm"), 8)
            driver.ingest(target(source), files(DEFAULT_FOLDER, name), 8)
            transfer(phase, source, receiver, warm)
            return transfer(phase, source, receiver, what)


def transfer(phase: str, source: Server, receiver: Server, what: Any) -> Measurement:
    """``store``, ``push-none``, ``pull-auto`` and so on."""
    here, there = target(source), target(receiver)
    if phase == "store":
        return driver.store(here, there, RECEIVER, what)
    way, _, compression = phase.partition("-")
    if way == "push":
        return driver.push(here, there, RECEIVER, what, compression)
    return driver.pull(here, there, SOURCE, what, compression)


def row(name: str, line: LineKind, phase: str, found: Measurement) -> str:
    """One line of the table."""
    sent = int(found.details.get("content", {}).get("NetworkBytes", found.bytes))
    peaks = " / ".join(f"{cost.peak_rss_bytes / 1e6:.0f}" for cost in found.costs.values())
    share = sent / found.wall_s / line.bytes_per_s
    return (
        f"| {name} | {line.round_trip_ms:.0f} ms, {line.rate_mbit:.0f} Mbit/s | {phase} |"
        f" {found.wall_s:.1f} | {found.megabytes_per_s:.1f} | {sent / found.bytes:.2f} |"
        f" {share:.0%} | {peaks} |"
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--set", default="onco")
    parser.add_argument("--lines", default="50x100,50x1000")
    parser.add_argument("--what", default="store,push-none,push-gzip,push-auto,pull-auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(machine())
    print("| set | line | phase | wall s | MB/s | travelled | of the line | peak MB |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    results = []
    for name in arguments.set.split(","):
        for line in map(parse_line, arguments.lines.split(",")):
            for phase in arguments.what.split(","):
                folder = Path(tempfile.mkdtemp(prefix="bench-lines-"))
                try:
                    kind = "orthanc" if phase == "store" else "wherry"
                    found = measure(folder, kind, line, name, phase)
                finally:
                    shutil.rmtree(folder)
                print(row(name, line, phase, found), flush=True)
                results.append({"set": name, "phase": phase, "wall_s": found.wall_s})
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
