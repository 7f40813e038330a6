"""What a process and the machine spent, read from ``/proc``.

CPU seconds are user plus system time of a process and its children, in ticks of 10 ms. The peak of
resident memory is ``VmHWM``, which ``Meter`` resets first, so that it belongs to one phase. Memory
of children counts too, each with its own peak.

Not here: what is done meanwhile (``driver``).
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What one server spent in a phase."""

    cpu_s: float
    peak_rss_bytes: int


class Meter:
    """Between ``__init__`` and ``read``: the cost of each server, and of everybody else."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        for pid in pids.values():
            for one in family(pid):
                _reset_peak(one)
        self._cpu = {role: cpu_seconds(pid) for role, pid in pids.items()}
        self._machine = _machine_cpu_seconds()
        self._begin = time.monotonic()

    def read(self) -> tuple[dict[str, Cost], float]:
        """Cost by role, and how many cores all other processes kept busy meanwhile."""
        wall = max(0.001, time.monotonic() - self._begin)
        costs = {
            role: Cost(
                cpu_seconds(pid) - self._cpu[role],
                sum(_status_bytes(one, "VmHWM") for one in family(pid)),
            )
            for role, pid in self._pids.items()
        }
        busy = _machine_cpu_seconds() - self._machine
        return costs, (busy - sum(cost.cpu_s for cost in costs.values())) / wall


def family(pid: int) -> list[int]:
    """The process and its living descendants."""
    children: dict[int, list[int]] = {}
    for path in _PROC.glob("[0-9]*"):
        try:
            parent = int(_fields(path)[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time, of children that ended as well as of those that live."""
    total = 0
    for one in family(pid):
        fields = _fields(_PROC / str(one))
        total += sum(int(value) for value in fields[11 : 15 if one == pid else 13])
    return total / _TICKS


def exact_cpu_seconds(pid: int) -> float:
    """User and system time of one process to the microsecond, without its children."""
    return time.clock_gettime(~pid << 3 | 2)  # what clock_getcpuclockid(3) makes of a process


def resident_bytes(pid: int) -> int:
    """Resident memory of the process and its descendants now."""
    return sum(_status_bytes(one, "VmRSS") for one in family(pid))


def thread_cpu_seconds(pid: int) -> dict[str, float]:
    """CPU of each living thread: "tid name" -> seconds."""
    found = {}
    for path in (_PROC / str(pid) / "task").iterdir():
        try:
            fields = _fields(path)
            name = (path / "comm").read_text().strip()
        except OSError:
            continue
        found[f"{path.name} {name}"] = (int(fields[11]) + int(fields[12])) / _TICKS
    return found


def machine() -> str:
    """One line about the machine, without its name."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in (_PROC / "cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} x {model}, {memory:.0f} GiB RAM, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def _fields(path: Path) -> list[str]:
    """Of ``stat``, what follows the command: index 1 is the parent, 11 and 12 the times."""
    return (path / "stat").read_text().rpartition(")")[2].split()


def _machine_cpu_seconds() -> float:
    """User, nice, system, interrupts of all cores; idle, waiting and stolen time left out."""
    values = (_PROC / "stat").read_text().partition("\n")[0].split()[1:]
    return sum(int(values[i]) for i in (0, 1, 2, 5, 6)) / _TICKS


def _status_bytes(pid: int, name: str) -> int:
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _reset_peak(pid: int) -> None:
    (_PROC / str(pid) / "clear_refs").write_text("5")
