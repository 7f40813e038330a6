"""A process that runs jobs until it is killed, and says which step it does.

    python -m tests.support.job_process PROCESS-ID sqlite PATH | postgresql CONNINFO

Each step is one line on standard output, written before its checkpoint: what the parent does not
read was not done.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from wherry.index.opening import IndexSettings, open_index
from wherry.jobs.engine import JobEngine
from wherry.jobs.handler import JobControl
from wherry.jobs.shop import Rules
from wherry.model import Job


class Spoken:
    """Does steps and says so."""

    type = "Steps"

    def run(self, control: JobControl) -> None:
        for step in range(control.job.checkpoint.get("done", 0), control.job.parameters["steps"]):
            print(step, flush=True)
            control.save({"done": step + 1}, {"Done": step + 1})

    def settle(self, job: Job) -> None:
        pass


def main(process_id: str, dialect: str, where: str) -> None:
    settings = (
        IndexSettings(sqlite_path=Path(where))
        if dialect == "sqlite"
        else IndexSettings(postgresql=where)
    )
    engine = JobEngine(
        open_index(settings),
        [Spoken()],
        process_id=process_id,
        rules=Rules(concurrency=1, history_size=10),
    )
    engine.start()
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
