"""What a job is run with, without an index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wherry import clock
from wherry.jobs.handler import Interrupted
from wherry.model import Job, JobState


class Control:
    """Keeps what a run saves; interrupts it at a check of one's choice."""

    def __init__(
        self,
        checkpoint: dict[str, Any] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        now = clock.now()
        self.job = Job(
            "j",
            "T",
            JobState.RUNNING,
            0,
            parameters or {},
            {},
            checkpoint or {},
            0.0,
            now,
            now,
            0.0,
        )
        self.saved: list[dict[str, Any]] = []
        self.progress: list[float] = []
        self.contents: list[Mapping[str, Any]] = []
        self.checks = 0
        self.interrupt_at = 0
        self.each_check: Callable[[], None] = lambda: None

    def check(self) -> None:
        self.checks += 1
        self.each_check()
        if self.checks == self.interrupt_at:
            raise Interrupted("stop")

    def save(self, checkpoint: dict[str, Any], content: Mapping[str, Any], progress: float) -> None:
        self.saved.append(checkpoint)
        self.contents.append(content)
        self.progress.append(progress)
