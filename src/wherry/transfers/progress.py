"""How far a transfer job has come: its public ``Content`` and its share of the whole."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterable, Sequence

from wherry import clock, limits
from wherry.jobs.ranges import to_text
from wherry.model import Bucket, ManifestInstance, type_json
from wherry.transfers.orders import TransferRequest
from wherry.transfers.protocol import rounded_mib
from wherry.transfers.stages import Stage

_SHORTEST_S = 0.01


class Retries:
    """How often requests of one run of a job were made again; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def more(self, count: int = 1) -> None:
        """So many requests are made again."""
        with self._lock:
            self.count += count


class Progress:
    """Counts buckets and bytes of one run of a job; safe from any thread."""

    def __init__(
        self,
        request: TransferRequest,
        instances: Collection[ManifestInstance],
        buckets: Sequence[Bucket],
        volume_name: str,
        skipped: Collection[ManifestInstance] = (),
        retries: Retries | None = None,
    ) -> None:
        """``volume_name``: ``UploadedSizeMB`` or ``DownloadedSizeMB``, as the original has it;
        ``skipped``: those of ``instances`` that lie in no bucket, because they are there."""
        self._request = request
        self._volume_name = volume_name
        self._retries = retries or Retries()
        self.receipt = ""
        """Identifier of the receipt, once there is one."""
        self.extras: type_json = None
        """What the receipt says of metadata, labels and attachments."""
        self.stage: Stage | None = None
        """What is going on behind the last byte."""
        self._lock = threading.Lock()
        self._sizes = [bucket.size for bucket in buckets]
        self._count = len(instances)
        self._total = sum(instance.size for instance in instances)
        self._done: set[int] = set()
        self._skipped_count = len(skipped)
        self._skipped_bytes = sum(instance.size for instance in skipped)
        self._bucket_bytes = sum(self._sizes)
        self._done_bytes = self._network_bytes = self._reused = self._reused_bytes = 0
        self._began = self._last = clock.monotonic()

    def start(self, done: Iterable[int]) -> None:
        """The run begins with these buckets done by an earlier one."""
        with self._lock:
            self._done = set(done)
            self._done_bytes = sum(self._sizes[position] for position in self._done)
            self._reused, self._reused_bytes = len(self._done), self._done_bytes
            self._network_bytes = 0
            self._began = self._last = clock.monotonic()

    def finished(self, position: int, network_bytes: int) -> None:
        """One more bucket is done."""
        with self._lock:
            if position not in self._done:
                self._done.add(position)
                self._done_bytes += self._sizes[position]
            self._network_bytes += network_bytes
            self._last = clock.monotonic()

    @property
    def done(self) -> set[int]:
        """The buckets that are done."""
        with self._lock:
            return set(self._done)

    def done_text(self) -> str:
        """The buckets that are done, as a checkpoint keeps them."""
        with self._lock:
            return to_text(self._done)

    @property
    def share(self) -> float:
        """0…1, by the original's formula."""
        with self._lock:
            return (1 + len(self._done)) / (2 + len(self._sizes))

    def content(self) -> dict[str, type_json]:
        """The members of the original, and bytes."""
        with self._lock:
            seconds = self._last - self._began
            speed = self._network_bytes / seconds if seconds >= _SHORTEST_S else 0.0
            content: dict[str, type_json] = {
                "Resources": self._request.resources,
                "Peer": self._request.peer,
                "Compression": self._request.compression,
                "TotalInstances": self._count,
                "TotalSizeMB": rounded_mib(self._total),
                self._volume_name: rounded_mib(self._network_bytes),
                "CompletedHttpQueries": len(self._done),
                "NetworkSpeedKBs": int(speed / limits.KIB),
                "TotalBytes": str(self._total),
                "CompletedBytes": str(self._done_bytes + self._skipped_bytes),
                "NetworkBytes": str(self._network_bytes),
                "TotalHttpQueries": len(self._sizes),
                "ResumedHttpQueries": self._reused,
                "SkippedInstances": self._skipped_count,
                "SkippedBytes": str(self._skipped_bytes),
                "RetriedHttpQueries": self._retries.count,
            }
            if (left_s := self._left_s(seconds)) is not None:
                content["TimeLeftS"] = left_s
        if self.stage is not None:
            content.update(self.stage.told())
        if self.receipt:
            content["Receipt"] = self.receipt
        if self._request.metadata:
            content["Metadata"] = True
        if self.extras is not None:
            content["Extras"] = self.extras
        if self._request.originator:
            content["Originator"] = self._request.originator
        return content

    def _left_s(self, seconds: float) -> int | None:
        """Time for the bytes that are left, at the rate of this run; None = nobody knows yet.
        What follows them, the commit, is not in it."""
        left_bytes = self._bucket_bytes - self._done_bytes
        if not left_bytes:
            return 0
        moved_bytes = self._done_bytes - self._reused_bytes
        if seconds < _SHORTEST_S or not moved_bytes:
            return None
        return math.ceil(left_bytes * seconds / moved_bytes)
