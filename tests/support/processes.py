"""Server programs of others that a test needs: started, waited for, ended."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_S = 60.0


@dataclass(frozen=True)
class Program:
    """One that listens on ``port`` when it is ready; what it says goes to ``log``."""

    command: Sequence[object]
    port: int
    log: Path


@contextmanager
def running(programs: Sequence[Program]) -> Iterator[None]:
    """All of them until the end of the block, which begins when they are ready."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for program in programs:
            with program.log.open("ab") as out:
                processes.append(
                    subprocess.Popen(
                        [str(part) for part in program.command],
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=out,
                        cwd=program.log.parent,
                    )
                )
        for program, process in zip(programs, processes, strict=True):
            _wait(program, process)
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _wait(program: Program, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", program.port), timeout=1).close()
        except OSError:
            time.sleep(0.02)  # waiting for another process to listen
        else:
            return
    said = program.log.read_text(errors="replace")[-3000:]
    raise AssertionError(f"{program.command[0]} did not start:\n{said}")
