"""Sending over DIMSE, Wherry beside Debian's Orthanc: C-STORE to the same ``storescp --ignore``.

    python -m bench.dimse_scu                                # 5 rounds, 3 minutes
    python -m bench.dimse_scu --cases onco:500 --rounds 3
    python -m bench.dimse_scu --receiver fork                # one that takes many associations
    python -m bench.dimse_scu --nodelay                      # Orthanc at its best
    python -m bench.dimse_scu --receiver pdu                 # one with PDUs of 128 KiB

Each server is filled once with the first files of a set; then, in each round, one after the other
sends all of them by ``POST /modalities/{name}/store``, synchronous, to a ``storescp`` of its own
that throws them away, after a few to warm up. Needs ``storescp`` (``apt-get install dcmtk``).

Orthanc waits for the kernel with each message (Nagle's algorithm meets delayed acknowledgements),
unless the environment says ``TCP_NODELAY=1``, which DCMTK reads: ``--nodelay`` says it to both
servers and to ``storescp``. Wherry never waits so.

Not here: receiving.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench import driver
from bench.api import ServerError
from bench.driver import Target
from bench.make_data import DEFAULT_FOLDER, PLANS, files, make
from bench.meter import cpu_seconds, exact_cpu_seconds, machine
from bench.servers import KINDS, Server, free_port

GOAL: Final = 2.0
"""Wherry's rate over Orthanc's."""
MODALITY: Final = "there"
RECEIVERS: Final = {
    "plain": [],
    "fork": ["--fork"],
    "pdu": ["--max-pdu", "131072"],
}
_STORESCP: Final = "/usr/bin/storescp"
_WARM: Final = 20
_UPLOADERS: Final = 4
_START_S: Final = 10.0


@dataclass(frozen=True)
class Case:
    """So many instances of a set."""

    set: str
    count: int


@dataclass(frozen=True)
class Figure:
    """One server sent one case."""

    case: str
    kind: str
    round: int
    count: int
    bytes: int
    wall_s: float
    cpu_s: float
    """Of the sender."""
    receiver_cpu_s: float

    @property
    def rate(self) -> float:
        """Instances a second."""
        return self.count / self.wall_s


@contextmanager
def receiver(options: Sequence[str], folder: Path) -> Iterator[tuple[int, int]]:
    """A fresh ``storescp``: port and process."""
    port = free_port()
    command = [shutil.which("storescp", path="/usr/bin") or _STORESCP, "--ignore", *options]
    with (folder / "storescp.log").open("ab") as log:
        process = subprocess.Popen([*command, str(port)], cwd=folder, stdout=log, stderr=log)
    try:
        _await(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def _await(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise ServerError("storescp does not listen") from None
            time.sleep(0.01)


def _cpu_of_receiver(pid: int) -> float:
    """With its children, which come and go."""
    while True:
        try:
            return cpu_seconds(pid)
        except FileNotFoundError:
            continue


class Sender:
    """A filled server."""

    def __init__(self, server: Server, case: Case, data: Path) -> None:
        self.server = server
        self.case = case
        paths = files(data, case.set)[: case.count]
        self.bytes = sum(path.stat().st_size for path in paths)
        driver.ingest(Target(server.api, server.pid), paths, _UPLOADERS)
        self.few: list[str] = server.api.get("/instances")[:_WARM]
        self.all: list[str] = server.api.get("/studies")

    def measure(self, number: int, options: Sequence[str]) -> Figure:
        """Send all of it once."""
        api = self.server.api
        with receiver(options, self.server.folder) as (port, pid):
            entry = json.dumps(["STORESCP", "127.0.0.1", port]).encode()
            api.call("PUT", f"/modalities/{MODALITY}", entry)
            self._store(self.few, len(self.few))
            receiver_before = _cpu_of_receiver(pid)
            before = exact_cpu_seconds(self.server.pid)
            begin = time.monotonic()
            self._store(self.all, self.case.count)
            wall = time.monotonic() - begin
            cpu = exact_cpu_seconds(self.server.pid) - before
            receiver_cpu = _cpu_of_receiver(pid) - receiver_before
        case = f"{self.case.set}:{self.case.count}"
        count = self.case.count
        return Figure(case, self.server.kind, number, count, self.bytes, wall, cpu, receiver_cpu)

    def _store(self, resources: Sequence[str], count: int) -> None:
        body = {"Resources": resources, "Synchronous": True}
        answer = self.server.api.post(f"/modalities/{MODALITY}/store", body)
        if (answer["InstancesCount"], answer["FailedInstancesCount"]) != (count, 0):
            raise ServerError(f"{self.server.kind} stored not everything: {answer}")


def render(found: Sequence[Figure], versions: dict[str, str], options: Sequence[str]) -> str:
    """In Markdown."""
    rounds = max(one.round for one in found)
    lines = [
        f"Machine: {machine()}",
        f"Servers: {', '.join(f'{kind} {v}' for kind, v in sorted(versions.items()))}",
        f"Receiver: {' '.join(['storescp --ignore', *options])}; medians of {rounds} rounds",
        "",
        "| case | sender | instances/s | MB/s | CPU ms each | storescp's | ratio |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for case in dict.fromkeys(one.case for one in found):
        for kind in KINDS:
            mine = [one for one in found if (one.case, one.kind) == (case, kind)]
            if mine:
                lines.append(_row(case, kind, mine, _ratio(found, case) if kind == "wherry" else 0))
    return "\n".join([*lines, "", f"Ratio: of the rates of the same round; goal {GOAL}."])


def _row(case: str, kind: str, mine: Sequence[Figure], ratio: float) -> str:
    cells = [
        case,
        kind,
        f"{median(one.rate for one in mine):,.0f}",
        f"{median(one.bytes / one.wall_s for one in mine) / 1e6:,.0f}",
        f"{median(1000 * one.cpu_s / one.count for one in mine):.2f}",
        f"{median(1000 * one.receiver_cpu_s / one.count for one in mine):.2f}",
        f"{ratio:.2f}" if ratio else "",
    ]
    return f"| {' | '.join(cells)} |"


def _ratio(found: Sequence[Figure], case: str) -> float:
    rates = {(one.kind, one.round): one.rate for one in found if one.case == case}
    ratios = [
        rate / rates["orthanc", number]
        for (kind, number), rate in rates.items()
        if kind == "wherry" and ("orthanc", number) in rates
    ]
    return median(ratios) if ratios else 0.0


def main() -> int:
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end as well
    cases = [Case(name, int(count)) for name, count in map(_split, given.cases.split(","))]
    kinds = given.kinds.split(",")
    found: list[Figure] = []
    versions: dict[str, str] = {}
    options = RECEIVERS[given.receiver]
    if given.nodelay:
        os.environ["TCP_NODELAY"] = "1"
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir=given.scratch) as scratch:
        for case in cases:
            make(PLANS[case.set], given.data)
            with ExitStack() as stack:
                senders = {}
                for kind in kinds:
                    place = Path(scratch) / f"{case.set}-{kind}"
                    own = {"Wherry": {"StoreAssociations": given.associations}}
                    overrides = own if kind == "wherry" else {}
                    server = Server(kind, place, free_port(), overrides=overrides)
                    stack.enter_context(server)
                    versions[kind] = server.api.version()
                    senders[kind] = Sender(server, case, given.data)
                for number in range(1, given.rounds + 1):
                    for kind in kinds if number % 2 else reversed(kinds):
                        one = senders[kind].measure(number, options)
                        print(f"  {one.case} {number} {kind}: {one.rate:.0f}/s", flush=True)
                        found.append(one)
    print(render(found, versions, options))
    if given.json:
        document = {"machine": machine(), "results": [asdict(one) for one in found]}
        given.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def _split(text: str) -> tuple[str, str]:
    name, _, count = text.partition(":")
    return name, count


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare C-STORE as SCU with Debian's Orthanc.")
    parser.add_argument("--cases", default="onco:500,small:2000", help="set:instances")
    parser.add_argument("--receiver", choices=RECEIVERS, default="plain")
    parser.add_argument("--nodelay", action="store_true", help="TCP_NODELAY=1 for everybody")
    parser.add_argument("--associations", type=int, default=4, help="of Wherry, at most")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--scratch", type=Path, help="folder for the servers (default: temporary)")
    parser.add_argument("--json", type=Path, help="write all results there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
