"""Says what bounds a figure: samples of Wherry's servers during one phase.

With py-spy installed, each server is sampled from outside (``*.speedscope.json``, to be opened at
speedscope.app). Without it, the server is started under ``sampled.py``, which samples itself.
Either way ``*.txt`` lists the threads by CPU: one near 100 % of the wall time is the bound; when
all are low, the process waits (disk, network, the other side).

A profiled phase is slower: its figures are not for the table.

Not here: the phases.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.meter import thread_cpu_seconds

RATE_HZ: Final = 200
_TOP: Final = 25
_LEAST_CPU_S: Final = 0.02


def py_spy() -> str | None:
    """The program, beside this Python or on the path."""
    beside = Path(sys.executable).parent / "py-spy"
    return str(beside) if beside.exists() else shutil.which("py-spy")


def stacks(pid: int) -> str:
    """What every thread of the process does now; empty without py-spy."""
    program = py_spy()
    if program is None:
        return ""
    dump = [program, "dump", "--pid", str(pid)]
    return subprocess.run(dump, capture_output=True, text=True, check=False).stdout


def sampled_command(out: Path) -> list[str]:
    """Starts Wherry so that it samples itself into ``out``."""
    return [sys.executable, str(Path(__file__).with_name("sampled.py")), str(out), "serve"]


@dataclass
class Profiler:
    """Writes below ``folder``."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def attaches(self) -> bool:
        return py_spy() is not None

    @contextmanager
    def watch(self, label: str, pids: Mapping[str, int]) -> Iterator[None]:
        """Sample the processes while the block runs; ``pids`` by role."""
        spies = {role: self._attach(f"{label}-{role}", pid) for role, pid in pids.items()}
        before = {role: thread_cpu_seconds(pid) for role, pid in pids.items()}
        begin = time.monotonic()
        try:
            yield
        finally:
            wall = time.monotonic() - begin
            after = {role: thread_cpu_seconds(pid) for role, pid in pids.items()}
            for spy in spies.values():
                if spy is not None:
                    spy.send_signal(signal.SIGINT)
                    spy.wait(60)
            for role in pids:
                place = self.folder / f"{label}-{role}"
                text = _threads(before[role], after[role], wall)
                place.with_suffix(".txt").write_text(text + _hottest(_speedscope(place)))

    def _attach(self, label: str, pid: int) -> subprocess.Popen[bytes] | None:
        program = py_spy()
        if program is None:
            return None
        options = ["--rate", str(RATE_HZ), "--threads", "--nonblocking", "--format", "speedscope"]
        out = str(_speedscope(self.folder / label))
        spy = subprocess.Popen(
            [program, "record", *options, "--pid", str(pid), "--output", out],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(1.0)
        if spy.poll() is not None:
            raise OSError(f"py-spy cannot attach to process {pid} (it needs ptrace rights)")
        return spy


def _speedscope(place: Path) -> Path:
    return place.with_name(place.name + ".speedscope.json")


def _threads(before: Mapping[str, float], after: Mapping[str, float], wall: float) -> str:
    spent = {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}
    lines = [
        f"wall {wall:.2f} s, {sum(spent.values()) / wall:.2f} cores",
        "",
        "CPU s  of wall  thread",
    ]
    for name, seconds in sorted(spent.items(), key=lambda pair: -pair[1]):
        if seconds >= _LEAST_CPU_S:
            lines.append(f"{seconds:5.2f}  {seconds / wall:6.0%}   {name}")
    return "\n".join(lines) + "\n"


def _hottest(path: Path) -> str:
    """Where the samples are: by thread, by innermost function, by function anywhere below."""
    if not path.exists():
        return ""
    document: dict[str, Any] = json.loads(path.read_text())
    names = [
        f"{frame['name']} ({_short(frame.get('file'))})" for frame in document["shared"]["frames"]
    ]
    threads: Counter[str] = Counter()
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for profile in document["profiles"]:
        for stack in profile["samples"]:
            if stack:
                threads[profile["name"]] += 1
                own[names[stack[-1]]] += 1
                below.update({names[frame] for frame in stack})
    total = max(1, threads.total())
    return "".join(
        f"\n{title}\n"
        + "".join(f"{n / total:6.1%}  {name}\n" for name, n in counts.most_common(_TOP))
        for title, counts in (("samples by thread", threads), ("own", own), ("with callees", below))
    )


def _short(file: str | None) -> str:
    return "/".join((file or "?").split("/")[-2:])
