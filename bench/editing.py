"""Jobs that edit a whole study, Wherry beside Debian's Orthanc: wall time, CPU, memory.

    python -m bench.editing                        # ONCO and SMALL anonymized, MAMMO modified
    python -m bench.editing --cases onco-anonymize --rounds 5

A case is a set and ``anonymize`` or ``modify``, timed from the submission until the job says
Success. Each server is filled once; each measurement has a fresh process on that folder, which
edits the set ``warm`` before the clock starts. What was made is deleted before the next one.

Not here: the editor alone (``edit``).
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
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.api import ServerError
from bench.archives import Bench, heading, run_job, say
from bench.fetch import Client
from bench.make_data import DEFAULT_FOLDER, PLANS, Manifest, make
from bench.meter import Meter, machine, resident_bytes
from bench.servers import KINDS

BODIES: Final[dict[str, dict[str, Any]]] = {
    "anonymize": {},
    "modify": {"Replace": {"InstitutionName": "Somewhere"}},
}
CASES: Final = "onco-anonymize,small-anonymize,mammo-modify"
WARM: Final = "warm"
_SETTLE_S: Final = 1.0


@dataclass(frozen=True)
class Case:
    """What is edited, and how."""

    what: Manifest
    way: str

    @property
    def name(self) -> str:
        return f"{self.what.name}-{self.way}"

    @property
    def path(self) -> str:
        return f"/studies/{self.what.orthanc_study_id}/{self.way}"


@dataclass(frozen=True)
class Measurement:
    """One job."""

    case: str
    kind: str
    round: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    idle_bytes: int
    others_cores: float


def measure(bench: Bench, case: Case, kind: str, number: int) -> Measurement:
    """One job of a fresh process. Raises ``ServerError``, ``OSError``."""
    with bench.server(kind) as server, Client("127.0.0.1", server.port) as client:
        time.sleep(_SETTLE_S)  # what it does after a start
        idle = resident_bytes(server.pid)
        warm = Case(make(PLANS[WARM], bench.data), case.way)
        _forget(client, run_job(client, warm.path, BODIES[case.way]))
        os.sync()
        with bench.profiled(kind, f"{case.name}-{number}", server.pid):
            meter = Meter({"server": server.pid})
            begin = time.monotonic()
            job = run_job(client, case.path, BODIES[case.way])
            wall = time.monotonic() - begin
            costs, others = meter.read()
        count = client.json("GET", f"{job['Content']['Path']}/statistics")[0]["CountInstances"]
        if int(count) != case.what.count:
            raise ServerError(f"{count} instances instead of {case.what.count}")
        _forget(client, job)
    cost = costs["server"]
    return Measurement(case.name, kind, number, wall, cost.cpu_s, cost.peak_rss_bytes, idle, others)


def _forget(client: Client, job: dict[str, Any]) -> None:
    client.ask("DELETE", job["Content"]["Path"])


def rounds(
    bench: Bench, cases: Sequence[Case], kinds: Sequence[str], count: int
) -> Iterator[Measurement]:
    """Every case by one kind of server and then by the other; the order changes each round."""
    for number in range(1, count + 1):
        say(f"round {number} of {count}")
        for case in cases:
            for kind in kinds if number % 2 else reversed(kinds):
                found = measure(bench, case, kind, number)
                say(f"  {case.name} {kind}: {found.wall_s:.2f} s, CPU {found.cpu_s:.2f} s")
                yield found


def render(
    found: Sequence[Measurement], cases: Sequence[Case], versions: dict[str, str], rounds: int
) -> str:
    """In Markdown."""
    lines = [
        *heading([case.what for case in cases], versions, rounds),
        "",
        "| case | server | wall s | ms an instance | CPU s | above idle MB | others | ratio |",
        "|---|---|" + "---:|" * 6,
    ]
    for case in cases:
        for kind in KINDS:
            mine = [one for one in found if (one.case, one.kind) == (case.name, kind)]
            if not mine:
                continue
            wall = median(one.wall_s for one in mine)
            ratio = _ratio(found, case) if kind == "wherry" else None
            cells = [
                case.name,
                kind,
                f"{wall:.2f}",
                f"{1000 * wall / case.what.count:.2f}",
                f"{median(one.cpu_s for one in mine):.2f}",
                f"{max(one.peak_bytes - one.idle_bytes for one in mine) / 1e6:.0f}",
                f"{median(one.others_cores for one in mine):.2f}",
                f"{ratio:.1f}" if ratio else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Ratio: Orthanc's wall time over Wherry's of the same round. Above idle: the highest of the"
        " rounds. Others: cores that everything else kept busy meanwhile.",
    ]
    return "\n".join(lines)


def _ratio(found: Sequence[Measurement], case: Case) -> float | None:
    walls = {(one.kind, one.round): one.wall_s for one in found if one.case == case.name}
    ratios = [
        walls["orthanc", number] / wall
        for (kind, number), wall in walls.items()
        if kind == "wherry" and ("orthanc", number) in walls
    ]
    return median(ratios) if ratios else None


def main() -> int:
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end as well
    names, kinds = given.cases.split(","), given.kinds.split(",")
    split = [name.partition("-") for name in names]
    unknown = [a + b + c for a, b, c in split if a not in PLANS or c not in BODIES]
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; a case is a set and one of {', '.join(BODIES)}")
    cases = [Case(make(PLANS[name], given.data), way) for name, _, way in split]
    make(PLANS[WARM], given.data)
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir=given.scratch) as scratch:
        config = json.loads(given.wherry_config.read_text()) if given.wherry_config else {}
        bench = Bench(given.data, Path(scratch), {"wherry": config})
        for kind in kinds:
            sets = sorted({case.what.name for case in cases} | {WARM})
            say(f"filling {kind}: {', '.join(sets)}")
            bench.fill(kind, sets)
        os.sync()
        found = list(rounds(bench, cases, kinds, given.rounds))
    report = render(found, cases, bench.versions, given.rounds)
    print(f"\n{report}")
    if given.json:
        document = {
            "machine": machine(),
            "versions": bench.versions,
            "results": [asdict(one) for one in found],
        }
        given.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Jobs that edit: Wherry beside Debian's Orthanc.")
    parser.add_argument("--cases", default=CASES)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--scratch", type=Path, help="folder for the servers (default: temporary)")
    parser.add_argument(
        "--wherry-config", type=Path, help="JSON merged into Wherry's configuration"
    )
    parser.add_argument("--json", type=Path, help="write all results there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
