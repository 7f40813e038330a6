"""Measures one phase of any Orthanc-compatible server, known by its URL and process id.

    python -m bench.driver ingest --url http://127.0.0.1:8042 --pid 123 --set onco --clients 8
    python -m bench.driver push   --url ... --pid ... --to-url ... --to-pid ... --peer name
    python -m bench.driver pull, store (POST /peers/{name}/store): likewise

A phase ends when the server has said yes; afterwards ``/statistics`` of the receiver must show all
instances, or there is no figure.

Not here: starting servers (``servers``), rounds and ratios (``run``).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.api import Api, ServerError
from bench.make_data import DEFAULT_FOLDER, PLANS, Manifest, files, make
from bench.meter import Cost, Meter

POLL_S: Final = 0.02
JOB_TIMEOUT_S: Final = 1800.0
COUNT_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class Target:
    """A server to measure; without ``pid`` its costs stay unknown."""

    api: Api
    pid: int | None = None


@dataclass(frozen=True)
class Measurement:
    """One phase."""

    phase: str
    instances: int
    bytes: int
    wall_s: float
    costs: dict[str, Cost]
    others_cores: float
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def instances_per_s(self) -> float:
        return self.instances / self.wall_s

    @property
    def megabytes_per_s(self) -> float:
        return self.bytes / 1e6 / self.wall_s

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "instances_per_s": self.instances_per_s,
            "megabytes_per_s": self.megabytes_per_s,
        }


def ingest(receiver: Target, paths: Sequence[Path], clients: int) -> Measurement:
    """Post the files with so many clients, from a process of its own."""
    before = receiver.api.count()
    user, _, password = receiver.api.user.partition(":")
    plan = {
        "host": receiver.api.host,
        "port": receiver.api.port,
        "user": user,
        "password": password,
        "paths": [str(path.resolve()) for path in paths],
        "clients": clients,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "bench.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as load:
        assert load.stdin is not None
        assert load.stdout is not None
        load.stdin.write(json.dumps(plan) + "\n")
        load.stdin.flush()
        if load.stdout.readline().strip() != "ready":
            raise ServerError("the load generator did not start")
        meter = _meter({"receiver": receiver})
        load.stdin.write("go\n")
        load.stdin.flush()
        line = load.stdout.readline()
        costs, others = meter.read()
    if not line:
        raise ServerError("the load generator ended without a result")
    result = json.loads(line)
    if result["answers"] != {"Success": len(paths)}:
        raise ServerError(
            f"answers {result['answers']}, errors {result['errors']}, said {result['complaints']}"
        )
    _verify(receiver.api, before + len(paths))
    wall = result["last"] - result["first"]
    return Measurement(
        f"ingest-{clients}",
        len(paths),
        result["bytes"],
        wall,
        costs,
        others - result["cpu_s"] / wall,
        {
            "generator_cpu_s": result["cpu_s"],
            "reconnections": result["reconnections"],
            "retries": result["retries"],
            "complaints": result["complaints"],
            "median_ms": result["median_ms"],
            "p99_ms": result["p99_ms"],
        },
    )


def store(source: Target, receiver: Target, peer: str, what: Manifest) -> Measurement:
    """``POST /peers/{name}/store``, synchronous."""
    body = {"Resources": [what.orthanc_study_id], "Synchronous": True}
    return _transfer(
        "store", source, receiver, what, lambda: source.api.post(f"/peers/{peer}/store", body)
    )


def push(
    source: Target, receiver: Target, peer: str, what: Manifest, compression: str
) -> Measurement:
    """``POST /transfers/send`` at the source; ``peer`` is its name for the receiver."""
    return _transfer(
        f"push-{compression}",
        source,
        receiver,
        what,
        lambda: _run_job(source.api, "/transfers/send", peer, what, compression),
    )


def pull(
    source: Target, receiver: Target, peer: str, what: Manifest, compression: str
) -> Measurement:
    """``POST /transfers/pull`` at the receiver; ``peer`` is its name for the source."""
    return _transfer(
        f"pull-{compression}",
        source,
        receiver,
        what,
        lambda: _run_job(receiver.api, "/transfers/pull", peer, what, compression),
    )


def _transfer(
    phase: str, source: Target, receiver: Target, what: Manifest, act: Callable[[], Any]
) -> Measurement:
    before = receiver.api.count()
    meter = _meter({"source": source, "receiver": receiver})
    begin = time.monotonic()
    content = act()
    wall = time.monotonic() - begin
    costs, others = meter.read()
    _verify(receiver.api, before + what.count)
    return Measurement(
        phase, what.count, what.bytes, wall, costs, others, {"content": content or {}}
    )


def _run_job(api: Api, path: str, peer: str, what: Manifest, compression: str) -> Any:
    """Start the job, wait until it ends, return its content."""
    answer = api.post(
        path,
        {
            "Resources": [{"Level": "Study", "ID": what.orthanc_study_id}],
            "Peer": peer,
            "Compression": compression,
        },
    )
    deadline = time.monotonic() + JOB_TIMEOUT_S
    while time.monotonic() < deadline:
        job = api.get(f"/jobs/{answer['ID']}")
        if job["State"] == "Success":
            return {k: v for k, v in job.get("Content", {}).items() if k != "Resources"}
        if job["State"] not in ("Pending", "Running", "Retry"):
            raise ServerError(
                f"job {job['State']}: {job.get('ErrorDescription')} {job.get('ErrorDetails')}"
            )
        time.sleep(POLL_S)
    raise ServerError(f"job not finished after {JOB_TIMEOUT_S:.0f} s")


def _meter(targets: dict[str, Target]) -> Meter:
    return Meter({role: one.pid for role, one in targets.items() if one.pid is not None})


def _verify(api: Api, expected: int) -> None:
    """``/statistics`` must show all instances. Orthanc may be late by a moment."""
    deadline = time.monotonic() + COUNT_TIMEOUT_S
    while (count := api.count()) != expected:
        if time.monotonic() > deadline:
            raise ServerError(f"{count} instances at the receiver, expected {expected}")
        time.sleep(POLL_S)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure one phase of a running server.")
    parser.add_argument("phase", choices=("ingest", "store", "push", "pull"))
    parser.add_argument("--url", required=True, help="receiver of an ingest, source of a transfer")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--user", default="", help="name:password, for both servers")
    parser.add_argument("--set", default="onco", choices=sorted(PLANS))
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--to-url", help="receiver of a transfer")
    parser.add_argument("--to-pid", type=int)
    parser.add_argument("--peer", help="name of the other server where the request goes")
    parser.add_argument("--compression", choices=("none", "gzip"), default="none")
    parsed = parser.parse_args()
    what = make(PLANS[parsed.set], parsed.data)
    here = Target(Api(parsed.url, parsed.user), parsed.pid)
    if parsed.phase == "ingest":
        found = ingest(here, files(parsed.data, parsed.set), parsed.clients)
    else:
        if not parsed.to_url or not parsed.peer:
            parser.error("a transfer needs --to-url and --peer")
        there = Target(Api(parsed.to_url, parsed.user), parsed.to_pid)
        if parsed.phase == "store":
            found = store(here, there, parsed.peer, what)
        else:
            act = push if parsed.phase == "push" else pull
            found = act(here, there, parsed.peer, what, parsed.compression)
    print(json.dumps(found.as_json(), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
