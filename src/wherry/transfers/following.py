"""The digest of an instance that arrives in parts, taken while they come.

A digest needs the bytes in order. The part that begins where the digest stands is digested as it
passes; a part that came too early is read back once those before it are there. A sender that sends
the parts of an instance one after the other (ours does, when it can) costs no reading at all.

Each process has a file of its own for the parts of an instance that come to it, and so has each
bucket that is wanted again: nobody writes to a file of another (``assembling``). What came to
several files is read when the instance is complete; so is an instance of which a range came twice,
because then the file may hold other bytes than those that were digested.
"""

from __future__ import annotations

import threading
from functools import partial

from wherry import limits
from wherry.digests import Digest, digest_like, type_kind
from wherry.index.transfer_rows import InstanceRow
from wherry.ingest.names import name_in
from wherry.storage.base import StorageArea


class Follower:
    """The digest of one instance, as far as it lies in one file. From any thread."""

    def __init__(self, storage: StorageArea, uuid: str, kind: type_kind) -> None:
        self._storage = storage
        self.uuid = uuid
        """The file."""
        self._lock = threading.Lock()
        self._digest = kind()
        self._position = 0
        self._taken = False
        """Somebody is digesting."""
        self._ranges: dict[int, int] = {}
        """Every part that is in the file or on its way there: offset to size."""
        self._early: dict[int, int] = {}
        """Those that are in the file and not in the digest."""
        self._void = False

    def begin(self, offset: int, size: int) -> Digest | None:
        """A part is about to come: ``landed`` or ``drop`` follows. If it is the next one, its
        digest so far."""
        with self._lock:
            if any(a < offset + size and offset < a + b for a, b in self._ranges.items()):
                self._void = True
            self._ranges[offset] = size
            if self._void or self._taken or offset != self._position:
                return None
            self._taken = True
            return self._digest.copy()

    def drop(self, offset: int, digest: Digest | None) -> None:
        """A part did not come, and nothing more of it will."""
        with self._lock:
            self._ranges.pop(offset, None)
            if digest is not None:
                self._taken = False

    def landed(self, offset: int, size: int, digest: Digest | None) -> None:
        """A part is in the file, and in ``digest`` if there is one. Goes on as far as it can."""
        with self._lock:
            if digest is None:
                self._early[offset] = size
            else:
                self._digest, self._position, self._taken = digest, offset + size, False
            if self._void or self._taken or self._position not in self._early:
                return
            self._taken = True
        try:
            self._catch_up()
        finally:
            with self._lock:
                self._taken = False

    def digest(self, size: int) -> str | None:
        """The digest in hex when all ``size`` bytes are in it."""
        with self._lock:
            whole = self._position == size and not self._taken and not self._void
            return self._digest.hexdigest() if whole else None

    def _catch_up(self) -> None:
        reader = self._storage.open(self.uuid)
        try:
            while True:
                with self._lock:
                    size = self._early.pop(self._position, 0)
                    if not size:
                        return
                offset, end = self._position, self._position + size
                while offset < end:
                    piece = reader.read_at(offset, min(limits.FOLLOWED_PIECE_BYTES, end - offset))
                    if not piece:
                        return  # its file was removed: the transfer is over
                    self._digest.update(piece)
                    offset += len(piece)
                reader.forget(0, end)
                self._position = end
        finally:
            reader.close()


class Followers:
    """Those of one transfer in this process."""

    def __init__(self, storage: StorageArea, block: str) -> None:
        self._storage = storage
        self._block = block
        self._lock = threading.Lock()
        self._followers: dict[int, Follower] = {}

    def of(self, instance: InstanceRow) -> Follower:
        """The one of this instance."""
        with self._lock:
            found = self._followers.get(instance.position)
            if found is None:
                found = self._followers[instance.position] = self.another(instance)
            return found

    def another(self, instance: InstanceRow) -> Follower:
        """One that nobody shares."""
        kind = partial(digest_like, instance.digest)
        return Follower(self._storage, name_in(self._block), kind)

    def digest(self, instance: InstanceRow, uuid: str) -> str | None:
        """The digest of an instance if all of it was seen here, on its way to this file. It is
        forgotten then."""
        with self._lock:
            found = self._followers.pop(instance.position, None)
        return found.digest(instance.size) if found is not None and found.uuid == uuid else None
