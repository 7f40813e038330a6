"""The bytes of files that were read lately, in a bounded amount of memory (Orthanc's
``MaximumStorageCacheSize``).

The page cache of the system holds them too, but to ask it takes a thread, a path and a copy: more
than to send the bytes. A file is known by its UUID, whose bytes never change; who may see it is
for the index to say at each request, so what was deleted is not served from here.

Not here: large files, which are streamed in pieces.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from wherry import limits


class FileCache:
    """UUID → plain bytes; what was used longest ago goes first. From any thread."""

    def __init__(self, capacity_bytes: int) -> None:
        """``capacity_bytes`` 0 = nothing is kept."""
        self._capacity = capacity_bytes
        self._largest = min(capacity_bytes, limits.CACHED_FILE_BYTES)
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.held_bytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        """Number of files that are here."""
        return len(self._held)

    def get(self, uuid: str) -> bytes | None:
        """The bytes of a file, if they are here."""
        with self._lock:
            found = self._held.get(uuid)
            if found is None:
                self.misses += 1
            else:
                self.hits += 1
                self._held.move_to_end(uuid)
            return found

    def put(self, uuid: str, content: bytes) -> None:
        """Keep the bytes of a file, unless it is large."""
        if len(content) > self._largest:
            return
        with self._lock:
            known = self._held.pop(uuid, None)
            self._held[uuid] = content
            self.held_bytes += len(content) - (len(known) if known is not None else 0)
            while self.held_bytes > self._capacity:
                _, gone = self._held.popitem(last=False)
                self.held_bytes -= len(gone)

    def discard(self, uuid: str) -> None:
        """Forget a file."""
        with self._lock:
            gone = self._held.pop(uuid, None)
            if gone is not None:
                self.held_bytes -= len(gone)
