"""Receiving over DIMSE: Wherry, Debian's Orthanc and DCMTK's storescp, sent to by DCMTK's storescu.

    python -m bench.dimse_scp --rounds 3

500 instances of 0.5 MB and 2,000 of 30 KB, over 1 and 4 associations, with and without
``TCP_NODELAY`` at the ends that are DCMTK's (Wherry never has Nagle's algorithm on). In a round
each kind of server takes its turn with a fresh folder; ratios are of one round, and their median is
shown. Wherry and Orthanc index what comes and sync it; storescp writes files. CPU is that of the
receiver, for one instance.

Not here: sending (``dimse_scu``).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from bench.make_data import DEFAULT_FOLDER
from bench.meter import Meter, machine
from bench.servers import Server, free_port
from bench.servers import command as server_command

KINDS: Final = ("storescp", "orthanc", "wherry")
SETS: Final = {"onco": 500, "small": 2000}
PDU: Final = "131072"


@dataclass(frozen=True)
class Figure:
    """One measurement."""

    rate: float
    """Instances a second, from the first connection to the last answer."""
    cpu_us: float
    peak_bytes: int


@contextmanager
def receiver(kind: str, folder: Path, *, nodelay: bool) -> Iterator[tuple[int, int]]:
    """One that listens: its port and its process."""
    port = free_port()
    folder.mkdir(parents=True)
    if kind == "storescp":
        command = ["storescp", "+B", "+xa", "-pdu", PDU, "-od", str(folder), str(port)]
        environ = _environ(nodelay=nodelay)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environ) as process:
            _wait(port)
            yield port, process.pid
            process.terminate()
        return
    overrides = {"DicomServerEnabled": True, "DicomPort": port, "MaximumPduLength": int(PDU)}
    command = ["env", f"TCP_NODELAY={int(nodelay)}", *server_command(kind)]
    with Server(kind, folder, free_port(), overrides=overrides, command=command) as server:
        _wait(port)
        yield port, server.pid


def _wait(port: int) -> None:
    while subprocess.run(["echoscu", "127.0.0.1", str(port)], capture_output=True).returncode:
        time.sleep(0.05)


def _environ(*, nodelay: bool) -> dict[str, str]:
    """DCMTK, and Orthanc with it, has Nagle's algorithm on unless this says otherwise."""
    return os.environ | {"TCP_NODELAY": "1" if nodelay else "0"}


def send(files: Sequence[Path], port: int, associations: int, *, nodelay: bool) -> float:
    """Seconds until all is acknowledged."""
    parts = [list(map(str, files[n::associations])) for n in range(associations)]
    begin = time.monotonic()
    senders = [
        subprocess.Popen(
            ["storescu", "-pdu", PDU, "127.0.0.1", str(port), *part],
            env=_environ(nodelay=nodelay),
            stderr=subprocess.DEVNULL,
        )
        for part in parts
    ]
    if any(sender.wait() for sender in senders):
        raise RuntimeError("storescu failed")
    return time.monotonic() - begin


def measure(kind: str, files: Sequence[Path], associations: int, *, nodelay: bool) -> Figure:
    """One kind of server, fresh."""
    folder = Path(tempfile.mkdtemp(prefix="dimse-"))
    with receiver(kind, folder / "server", nodelay=nodelay) as (port, pid):
        meter = Meter({"server": pid})
        seconds = send(files, port, associations, nodelay=nodelay)
        costs, _ = meter.read()
    _waste.append(folder)
    cost = costs["server"]
    return Figure(len(files) / seconds, cost.cpu_s / len(files) * 1e6, cost.peak_rss_bytes)


_waste: list[Path] = []
"""Removed at the end: some file systems are slow for minutes after a mass deletion."""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", default="onco,small")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--associations", default="1,4")
    parser.add_argument("--nodelay", default="1,0")
    asked = parser.parse_args()
    kinds = asked.kinds.split(",")
    print(f"Machine: {machine()}\n")
    columns = ("set", "associations", "NODELAY", "server", "instances/s", "× orthanc")
    print(f"| {' | '.join(columns)} | × storescp | CPU µs | peak MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    try:
        for name, count, nodelay in product(
            asked.set.split(","), asked.associations.split(","), asked.nodelay.split(",")
        ):
            files = sorted((DEFAULT_FOLDER / name).glob("*.dcm"))[: SETS[name]]
            rounds = [
                {kind: measure(kind, files, int(count), nodelay=nodelay == "1") for kind in order}
                for order in (kinds if n % 2 else kinds[::-1] for n in range(asked.rounds))
            ]
            for kind in kinds:
                print(_row(f"{name} | {count} | {nodelay}", kind, rounds), flush=True)
    finally:
        for folder in _waste:
            shutil.rmtree(folder)


def _row(what: str, kind: str, rounds: Sequence[dict[str, Figure]]) -> str:
    def ratio(other: str) -> str:
        if other not in rounds[0]:
            return ""
        return f"{statistics.median(one[kind].rate / one[other].rate for one in rounds):.2f}"

    def median(field: str) -> float:
        return float(statistics.median(getattr(one[kind], field) for one in rounds))

    return (
        f"| {what} | {kind} | {median('rate'):.0f} | {ratio('orthanc')} | {ratio('storescp')} "
        f"| {median('cpu_us'):.0f} | {median('peak_bytes') / 1e6:.0f} |"
    )


if __name__ == "__main__":
    main()
