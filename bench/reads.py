"""Questions to a filled store, Wherry beside Debian's Orthanc: requests a second, CPU, ratios.

    python -m bench.reads --instances 5000
    python -m bench.reads --instances 100000 --rounds 1

Fills both with the same small instances (20 a study) and 40 CT slices of 0.5 MB, then asks each
question with 1 and with 8 kept-alive connections, the two servers in turn. Needs ``wrk``
(``apt-get install wrk``) for the load, which a client in Python could not make.

Not here: taking files in, transfers (``run``).
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.dicomfile import Elements, dicom_file
from bench.make_data import DEFAULT_FOLDER, PLANS, files, make
from bench.meter import cpu_seconds, machine
from bench.servers import KINDS, Server, free_port

STUDY_INSTANCES: Final = 20
CLIENTS: Final = (1, 8)
_SECONDS: Final = 3
_ROOT: Final = "1.2.826.0.1.3680043.10.1234.9"
_RATE: Final = re.compile(r"Requests/sec:\s+([\d.]+)")
_COUNT: Final = re.compile(r"(\d+) requests in")
_BAD: Final = re.compile(r"Non-2xx or 3xx responses: (\d+)")


@dataclass(frozen=True)
class Question:
    """One kind of request; several targets are asked in turn."""

    name: str
    targets: Sequence[str]
    body: str = ""

    def script(self) -> str:
        """For wrk, in Lua."""
        listed = ", ".join(json.dumps(target) for target in self.targets)
        verb, body = ("POST", json.dumps(self.body)) if self.body else ("GET", "nil")
        return (
            f"local t = {{{listed}}}\nlocal n = 0\n"
            "request = function()\n  n = n % #t + 1\n"
            f'  return wrk.format("{verb}", t[n], nil, {body})\nend\n'
        )


@dataclass(frozen=True)
class Measured:
    """What one server did with one question."""

    per_s: float
    cpu_us: float


def small_instance(number: int) -> bytes:
    """The ``number``-th of the small instances."""
    study, within = divmod(number, STUDY_INSTANCES)
    day = f"2020{study % 12 + 1:02d}{study % 28 + 1:02d}"
    elements: Elements = {
        0x00080016: ("UI", "1.2.840.10008.5.1.4.1.1.2"),
        0x00080018: ("UI", f"{_ROOT}.{study}.1.{within}"),
        0x00080020: ("DA", day),
        0x00080030: ("TM", "101112"),
        0x00080050: ("SH", f"A{study}"),
        0x00080060: ("CS", "CT"),
        0x00081030: ("LO", "Thorax"),
        0x0008103E: ("LO", "Axial"),
        0x00100010: ("PN", f"NAME{study % 997}^FIRST{study}"),
        0x00100020: ("LO", f"ID{study}"),
        0x00100030: ("DA", "19700101"),
        0x00100040: ("CS", "F"),
        0x0020000D: ("UI", f"{_ROOT}.{study}"),
        0x0020000E: ("UI", f"{_ROOT}.{study}.1"),
        0x00200011: ("IS", "1"),
        0x00200013: ("IS", str(within + 1)),
    }
    return b"".join(dicom_file(elements))


def questions(instances: int, slices: Sequence[str], sample: dict[str, Any]) -> list[Question]:
    """What is asked; ``slices`` are identifiers of 0.5 MB files."""

    def find(name: str, **query: str) -> Question:
        body = json.dumps({"Level": "Study", "Query": query})
        return Question(f"find {name}", ["/tools/find"], body)

    study = instances // STUDY_INSTANCES // 2
    return [
        Question("file 0.5 MB", [f"/instances/{one}/file" for one in slices]),
        Question("studies?expand", ["/studies?expand"]),
        find("PatientID", PatientID=f"ID{study}"),
        find("wildcard name", PatientName="NAME12*"),
        find("name in the middle", PatientName="*FIRST12*"),
        find("date range", StudyDate="20200101-20200107"),
        Question("changes", ["/changes"]),
        Question("statistics", ["/statistics"]),
        Question("system", ["/system"]),
        Question("one study", [f"/studies/{sample['ParentStudy']}"]),
        Question("one instance", [f"/instances/{sample['ID']}"]),
        Question("simplified-tags", [f"/instances/{sample['ID']}/simplified-tags"]),
    ]


def ask(server: Server, question: Question, clients: int, script: Path) -> Measured:
    """Load one server for a few seconds."""
    script.write_text(question.script())
    command = ["wrk", "-t1", f"-c{clients}", f"-d{_SECONDS}s", "--timeout", "30s", "-s"]
    before = cpu_seconds(server.pid)
    said = subprocess.run(
        [*command, str(script), server.url], capture_output=True, text=True, check=True
    ).stdout
    used = cpu_seconds(server.pid) - before
    bad, rate, count = _BAD.search(said), _RATE.search(said), _COUNT.search(said)
    if bad or rate is None or count is None:
        raise RuntimeError(f"{question.name} at {server.kind}: {said}")
    return Measured(float(rate[1]), used * 1e6 / max(1, int(count[1])))


def fill(server: Server, instances: int, data: Path) -> tuple[dict[str, Any], list[str]]:
    """Upload; the answer for one small instance, and the identifiers of the slices."""
    with ThreadPoolExecutor(8) as pool:

        def post(body: bytes) -> Any:
            return server.api.call("POST", "/instances", body)

        answers = list(pool.map(post, map(small_instance, range(instances))))
        slices = list(pool.map(lambda path: post(path.read_bytes()), files(data, "warm")))
    return answers[len(answers) // 2], [one["ID"] for one in slices]


def rounds(
    servers: dict[str, Server], asked: Sequence[Question], count: int, script: Path
) -> Iterator[tuple[Question, int, dict[str, list[Measured]]]]:
    """Every question at every number of clients, the servers in turn."""
    for question in asked:
        for clients in CLIENTS:
            found: dict[str, list[Measured]] = {kind: [] for kind in servers}
            for number in range(count):
                kinds = list(servers) if number % 2 else list(reversed(servers))
                for kind in kinds:
                    found[kind].append(ask(servers[kind], question, clients, script))
            yield question, clients, found


def line(question: Question, clients: int, found: dict[str, list[Measured]]) -> str:
    """One row of the table."""
    cells = [f"{question.name:20} {clients:2}"]
    rates = {}
    for kind, measured in found.items():
        rates[kind] = statistics.median(one.per_s for one in measured)
        cpu_us = statistics.median(one.cpu_us for one in measured)
        cells.append(f"{rates[kind]:10.0f} {cpu_us:8.0f}")
    if len(rates) == len(KINDS):
        cells.append(f"{rates['wherry'] / rates['orthanc']:8.2f}")
    return " ".join(cells)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--only", default="", help="names of questions that hold this text")
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not installed (Debian: apt-get install wrk)")
    make(PLANS["warm"], given.data)
    kinds = given.kinds.split(",")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        scratch = Path(folder)
        servers = {}
        for kind in kinds:
            server = stack.enter_context(Server(kind, scratch / kind, free_port()))
            servers[kind] = server
            sample, slices = fill(server, given.instances, given.data)
        print(machine())
        head = " ".join(f"{kind + '/s':>10} {'CPU us':>8}" for kind in kinds)
        print(f"{given.instances} instances\n{'question':20}  c {head} {'ratio':>8}")
        asked = [
            one for one in questions(given.instances, slices, sample) if given.only in one.name
        ]
        for row in rounds(servers, asked, given.rounds, scratch / "load.lua"):
            print(line(*row), flush=True)


if __name__ == "__main__":
    main()
