"""Says what bounds a figure: samples of Wherry's servers during one phase.

With py-spy installed, each server is sampled from outside (``*.speedscope.json``, to be opened at
speedscope.app). Without it, the server is started under ``sampled.py``, which samples itself.
Either way ``*.txt`` lists the threads by CPU: one near 100 % of the wall time is the bound; when
all are low, the process waits (disk, network, the other side).

A profiled phase is slower: its figures are not for the table.

Not here: the phases.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
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
_LOOK_S: Final = 0.1
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
        watchers = {role: ThreadWatcher(pid) for role, pid in pids.items()}
        try:
            yield
        finally:
            for watcher in watchers.values():
                watcher.stop()
            for spy in spies.values():
                if spy is not None:
                    spy.send_signal(signal.SIGINT)
                    spy.wait(60)
            for role, watcher in watchers.items():
                place = self.folder / f"{label}-{role}"
                samples = _read_samples(_speedscope(place))
                text = watcher.report(_thread_names(samples)) + _hottest(samples)
                place.with_name(place.name + ".txt").write_text(text)

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


class ThreadWatcher(threading.Thread):
    """CPU of each thread of a process, looked at often, so that threads that end count too."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._before = thread_cpu_seconds(pid)
        self._seen = dict(self._before)
        self._begin = time.monotonic()
        self._wall = 0.0
        self._ended = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self._look()

    def stop(self) -> None:
        self._ended.set()
        self.join()
        self._look()
        self._wall = time.monotonic() - self._begin

    def report(self, names: Mapping[str, str]) -> str:
        """A line a thread; ``names`` by thread id."""
        spent = {one: cpu - self._before.get(one, 0.0) for one, cpu in self._seen.items()}
        lines = [
            f"wall {self._wall:.2f} s, {sum(spent.values()) / self._wall:.2f} cores",
            "",
            "CPU s  of wall  thread",
        ]
        for one, cpu in sorted(spent.items(), key=lambda pair: -pair[1]):
            if cpu >= _LEAST_CPU_S:
                name = names.get(one.split()[0], one)
                lines.append(f"{cpu:5.2f}  {cpu / self._wall:6.0%}   {name}")
        return "\n".join(lines) + "\n"

    def _look(self) -> None:
        with contextlib.suppress(OSError):
            self._seen |= thread_cpu_seconds(self._pid)


def _speedscope(place: Path) -> Path:
    return place.with_name(place.name + ".speedscope.json")


def _read_samples(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None


def _thread_names(samples: dict[str, Any] | None) -> dict[str, str]:
    """Thread id -> name, from titles such as ``Thread 123 "worker-0"``."""
    titles = [profile["name"] for profile in samples["profiles"]] if samples else []
    found = [re.match(r'Thread (\d+) "(.*)"', title) for title in titles]
    return {match[1]: f"{match[2]} ({match[1]})" for match in found if match}


def _hottest(samples: dict[str, Any] | None) -> str:
    """Where the samples are: by thread, by innermost function, by function anywhere below."""
    if samples is None:
        return ""
    names = [
        f"{frame['name']} ({_short(frame.get('file'))})" for frame in samples["shared"]["frames"]
    ]
    threads: Counter[str] = Counter()
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for profile in samples["profiles"]:
        for stack in profile["samples"]:
            if stack:
                threads[profile["name"]] += 1
                own[names[stack[-1]]] += 1
                below.update({names[frame] for frame in stack})
    total = max(1, threads.total())
    tables = (("samples by thread", threads), ("own", own), ("with callees", below))
    return "".join(
        f"\n{title}\n"
        + "".join(f"{n / total:6.1%}  {name}\n" for name, n in counts.most_common(_TOP))
        for title, counts in tables
    )


def _short(file: str | None) -> str:
    return "/".join((file or "?").split("/")[-2:])
