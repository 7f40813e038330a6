"""How far a job is that sends instances one by one, to a peer or a modality.

The checkpoint names those that the other end has acknowledged, by their place in the sorted list,
and is written every few of them: whatever dies, a later run sends only the last few again, which
the other end then has already. Files that arrived or went meanwhile change the list, and the run
begins anew.

Not here: the sending.
"""

from __future__ import annotations

import hashlib
import threading
from functools import partial
from typing import Final

import orjson

from wherry import clock, limits
from wherry.jobs.behind import Behind
from wherry.jobs.handler import JobControl
from wherry.jobs.ranges import parse, to_text
from wherry.model import type_json

_CHECKPOINTS: Final = 100
"""Of a long job: its content may be long too."""


class Standing:
    """What is done of one job. Safe from any thread."""

    def __init__(
        self,
        instances: list[str],
        content: dict[str, type_json],
        control: JobControl,
        *,
        sizes: bool,
        behind: bool = False,
    ) -> None:
        """``instances``: their sorted identifiers; ``content``: the public one at the beginning;
        ``sizes``: whether it tells the bytes that were sent; ``behind``: while one checkpoint is
        written the work goes on, up to the next one, so that twice as many may be sent again."""
        self._content = content
        self._sizes = sizes
        self._control = control
        self._count = len(instances)
        self._digest = hashlib.sha256(orjson.dumps(instances)).hexdigest()
        self._lock = threading.Lock()
        self._done: set[int] = set()
        self._failed: set[int] = set()
        self._told: list[dict[str, str]] = []
        self._sent_bytes = 0
        self._unsaved = 0
        self._save_after = max(limits.STORE_SAVED, self._count // _CHECKPOINTS)
        self._reported_at = float("-inf")
        self._saving = threading.Lock()
        self._behind = Behind() if behind else None
        self._take_up(control.job.checkpoint)

    def left(self) -> list[int]:
        """Places of the instances that are still to be sent."""
        with self._lock:
            return [n for n in range(self._count) if n not in self._done and n not in self._failed]

    def done(self) -> list[int]:
        """Places of those that the other end has."""
        with self._lock:
            return sorted(self._done)

    def stored(self, place: int, sent_bytes: int) -> None:
        """The other end has this instance."""
        with self._lock:
            self._done.add(place)
            self._sent_bytes += sent_bytes
        self._step()

    def failed(self, place: int, orthanc_id: str, cause: str) -> None:
        """The other end will not have this instance; nor will it be sent again."""
        with self._lock:
            self._failed.add(place)
            if len(self._told) < limits.STORE_TOLD:
                self._told.append({"ID": orthanc_id, "Details": cause})
        self._step()

    def save(self) -> None:
        """Returns when everything that was true before the call is durable."""
        with self._saving:
            self.settle()
            self._write_now()

    def settle(self) -> None:
        """Wait for a checkpoint that is being written; raises what that raised."""
        if self._behind is not None:
            self._behind.wait()

    def _write_now(self) -> None:
        """Others that come meanwhile find that a checkpoint is due, and wait for this one."""
        checkpoint, count = self._checkpoint()
        self._write(checkpoint)
        self._count_as_saved(count)

    def _write_behind(self, behind: Behind) -> None:
        behind.wait()
        checkpoint, count = self._checkpoint()
        self._count_as_saved(count)
        behind.begin(partial(self._write, checkpoint))

    def _checkpoint(self) -> tuple[dict[str, type_json], int]:
        """As of now, and how many instances in it are in none before."""
        with self._lock:
            checkpoint = {
                "Instances": self._digest,
                "Done": to_text(self._done),
                "Failed": to_text(self._failed),
                "Told": list(self._told),
                "SentBytes": self._sent_bytes,
            }
            return checkpoint, self._unsaved

    def _count_as_saved(self, count: int) -> None:
        with self._lock:
            self._unsaved -= count

    def _write(self, checkpoint: dict[str, type_json]) -> None:
        self._control.save(checkpoint, self.content(), self._share())

    def content(self) -> dict[str, type_json]:
        """The public content of the job."""
        with self._lock:
            content = self._content | {"FailedInstancesCount": len(self._failed)}
            if self._sizes:
                content["Size"] = str(self._sent_bytes)
                content["SizeMB"] = self._sent_bytes // limits.MIB
            if self._told:
                content["FailedInstances"] = list(self._told)
            return content

    def tell(self, name: str, value: type_json) -> None:
        """Add a member to the public content."""
        with self._lock:
            self._content = {**self._content, name: value}

    def report(self) -> None:
        """Show how far it is, if that was not done a moment ago: contents may be long."""
        now = clock.monotonic()
        with self._lock:
            due = now - self._reported_at >= limits.JOB_REPORT_S
            if due:
                self._reported_at = now
        if due:
            self._control.report(self.content(), self._share())

    def _take_up(self, checkpoint: dict[str, type_json]) -> None:
        if checkpoint.get("Instances") == self._digest:
            self._done = parse(checkpoint["Done"], self._count)
            self._failed = parse(checkpoint["Failed"], self._count)
            self._told = checkpoint["Told"]
            self._sent_bytes = checkpoint["SentBytes"]

    def _step(self) -> None:
        with self._lock:
            self._unsaved += 1
        if not self._due():
            self.report()
            return
        with self._saving:  # on a slow disk the others wait here, else more would be sent again
            if not self._due():
                return
            if self._behind is None:
                self._write_now()
            else:
                self._write_behind(self._behind)

    def _due(self) -> bool:
        with self._lock:
            return self._unsaved >= self._save_after

    def _share(self) -> float:
        with self._lock:
            return (len(self._done) + len(self._failed)) / self._count if self._count else 1.0
