"""Job handlers for tests, and a wait with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wherry.index.database import Index
from wherry.jobs.engine import JobEngine
from wherry.jobs.handler import Interrupted, JobControl, JobHandler
from wherry.jobs.shop import Rules
from wherry.model import Job, JobState

DEADLINE_S = 120.0


def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait until ``condition`` holds; fail when it does not within the deadline."""
    until = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < until, f"{what} did not come true"
        time.sleep(0.005)


def reaches(engine: JobEngine, job_id: str, *states: JobState) -> Job:
    """Wait until the job is in one of ``states``."""

    def there() -> bool:
        job = engine.get(job_id)
        return job is not None and job.state in states

    eventually(there, f"job in {states}")
    job = engine.get(job_id)
    assert job is not None
    return job


@contextmanager
def engine_on(
    index: Index,
    *handlers: JobHandler,
    process_id: str = "process-a",
    concurrency: int = 1,
    history_size: int = 1000,
    rules: Rules | None = None,
) -> Iterator[JobEngine]:
    """A started engine, stopped at the end."""
    engine = JobEngine(
        index,
        handlers,
        process_id=process_id,
        rules=rules or Rules(concurrency=concurrency, history_size=history_size),
    )
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


class Steps:
    """Does ``steps`` steps; its checkpoint is the number of those done.

    With ``gated`` each step waits in the middle for ``allow``; ``fail_at`` raises ``error`` in
    that step.
    """

    type = "Steps"

    def __init__(
        self, *, gated: bool = False, fail_at: int | None = None, error: Exception | None = None
    ) -> None:
        self.gated = gated
        self.fail_at = fail_at
        self.error = error
        self.runs: list[Job] = []
        self.done: list[tuple[str, int]] = []
        self.interruptions: list[str] = []
        self.settled: list[Job] = []
        self.in_step = threading.Semaphore(0)
        self._gate = threading.Semaphore(0)

    def allow(self, steps: int = 1) -> None:
        """Let so many steps go on."""
        self._gate.release(steps)

    def wait_in_step(self) -> None:
        """Wait until a step has begun (each is counted once)."""
        assert self.in_step.acquire(timeout=DEADLINE_S)

    def run(self, control: JobControl) -> None:
        self.runs.append(control.job)
        steps = int(control.job.parameters["steps"])
        first = int(control.job.checkpoint.get("done", 0))
        try:
            for step in range(first, steps):
                control.check()
                self.in_step.release()
                if self.gated:
                    assert self._gate.acquire(timeout=DEADLINE_S)
                if step == self.fail_at and self.error is not None:
                    raise self.error
                self.done.append((control.job.id, step))
                control.save({"done": step + 1}, {"Done": step + 1}, (step + 1) / steps)
        except Interrupted as interrupted:
            self.interruptions.append(interrupted.reason)
            raise

    def settle(self, job: Job) -> None:
        self.settled.append(job)
