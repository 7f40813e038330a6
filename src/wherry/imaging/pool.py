"""The worker processes: started when they are needed, replaced when they die, ended when idle.

``run`` blocks its thread. No more tasks wait than ``limits.IMAGING_WAITING``; then ``Unavailable``.
A task that dies or takes too long costs its caller an ``UndecodableImage``; nobody tries again, for
it would kill the next worker too.

Not here: what the tasks are (``work``), one process (``process``).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from wherry import clock, errors, limits
from wherry.errors import Unavailable, UndecodableImage, WherryError
from wherry.imaging.process import WorkerProcess
from wherry.imaging.work import TASKS
from wherry.metrics import Metrics

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """The input of a task: a range of an open file. A worker sees nothing before or behind it."""

    file: int
    """A descriptor; the caller closes it after ``run``."""
    offset: int
    size: int

    @classmethod
    def whole(cls, file: int) -> Source:
        """All bytes of a file."""
        return cls(file, 0, os.fstat(file).st_size)


class ImagingPool:
    """A bounded number of workers, shared by all threads."""

    def __init__(
        self,
        size: int,
        memory_bytes: int,
        metrics: Metrics,
        *,
        patience_s: float = limits.IMAGING_PATIENCE_S,
        idle_s: float = limits.IMAGING_IDLE_S,
    ) -> None:
        """``size`` workers at most, each with ``memory_bytes`` of address space beside its input;
        ``patience_s`` for a task, or for each part of one after which it says it is alive."""
        self.size = size
        self._memory_bytes = memory_bytes
        self._metrics = metrics
        self._patience_s = patience_s
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._free = threading.Condition(self._lock)
        self._closing = threading.Condition(self._lock)
        self._idle: list[WorkerProcess] = []  # the one used last is taken first: its pages are warm
        self._busy: set[WorkerProcess] = set()
        self._starting = 0
        self._waiting = 0
        self._keeper: threading.Thread | None = None
        self._closed = False

    def run(
        self,
        task: str,
        arguments: Mapping[str, Any],
        source: Source,
        sink: int,
        *,
        at: int = 0,
    ) -> dict[str, Any]:
        """Have ``task`` done; what it returned. Its output is in the file ``sink``, from the
        offset ``at``.

        Raises what the task raises, ``UndecodableImage``, ``Unavailable``.
        """
        order = {
            "function": TASKS[task],
            "arguments": arguments,
            "offset": source.offset,
            "size": source.size,
            "at": at,
            "most": limits.IMAGING_OUTPUT_BYTES,
        }
        worker = self._take()
        try:
            answer = worker.ask(order, [source.file, sink], self._patience_s)
        except UndecodableImage as error:
            if self._closed:
                raise Unavailable("The server is stopping") from error
            self._metrics.add("wherry_imaging_workers_lost")
            _log.warning("A worker of images was lost in %s: %s", task, error.details)
            raise
        finally:
            self._give_back(worker)
        if "error" in answer:
            raise _error(task, answer)
        result: dict[str, Any] = answer["result"]
        return result

    def pids(self) -> list[int]:
        """The processes there are."""
        with self._lock:
            return [worker.pid for worker in (*self._idle, *self._busy)]

    def close(self) -> None:
        """Kill all workers, and wait until they are gone. Their callers get ``Unavailable``."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for worker in self._busy:
                worker.kill()
            self._free.notify_all()
            self._closing.notify_all()
            keeper = self._keeper
        for worker in idle:
            worker.end()
        if keeper is not None:
            keeper.join()
        with self._lock:
            while self._busy or self._starting:
                self._free.wait()

    def _take(self) -> WorkerProcess:
        with self._lock:
            if self._waiting >= limits.IMAGING_WAITING:
                raise Unavailable("Too many images are waiting to be made")
            self._waiting += 1
            try:
                while not (self._closed or self._idle or self._may_start()):
                    self._free.wait()
            finally:
                self._waiting -= 1
            if self._closed:
                raise Unavailable("The server is stopping")
            worker = self._idle.pop() if self._idle else None
            if worker is not None and worker.is_alive():
                self._busy.add(worker)
                return worker
            self._starting += 1
        if worker is not None:
            worker.end()
        return self._start()

    def _may_start(self) -> bool:
        return len(self._busy) + self._starting < self.size

    def _start(self) -> WorkerProcess:
        worker = None
        try:
            worker = WorkerProcess(self._memory_bytes)
        finally:
            with self._lock:
                self._starting -= 1
                if worker is not None and not self._closed:
                    self._busy.add(worker)
                self._free.notify_all()
        if worker not in self._busy:
            worker.end()
            raise Unavailable("The server is stopping")
        self._metrics.add("wherry_imaging_workers_started")
        return worker

    def _give_back(self, worker: WorkerProcess) -> None:
        with self._lock:
            self._busy.discard(worker)
            keep = worker.reusable and not self._closed
            if keep:
                worker.idle_since = clock.monotonic()
                self._idle.append(worker)
                if self._keeper is None:
                    self._keeper = threading.Thread(
                        target=self._keep, name="imaging-idle", daemon=True
                    )
                    self._keeper.start()
            self._free.notify_all()
        if not keep:
            worker.end()

    def _keep(self) -> None:
        """End workers that have been idle for long; until there are none."""
        while True:
            with self._lock:
                now = clock.monotonic()
                old = [w for w in self._idle if now - w.idle_since >= self._idle_s]
                self._idle = [w for w in self._idle if w not in old]
                if not old:
                    if self._closed or not (self._idle or self._busy):
                        self._keeper = None
                        return
                    first = min((w.idle_since for w in self._idle), default=now)
                    self._closing.wait(max(0.0, first + self._idle_s - now))
            for worker in old:
                worker.end()


def _error(task: str, answer: Mapping[str, Any]) -> WherryError:
    """The error of a task, as it was raised in the worker."""
    if "defect" in answer:
        _log.warning("An image could not be made in %s: %s", task, answer["defect"])
    kind = None
    with suppress(AttributeError):
        kind = getattr(errors, answer["error"])
    if not (isinstance(kind, type) and issubclass(kind, WherryError)):
        kind = UndecodableImage
    return kind(str(answer["details"]))
