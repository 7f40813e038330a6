"""All keys of a storage area: the master keys, and the ring as it is now.

Another process may have added a key to the ring: who meets one that it does not know looks again,
and so does, now and then, who seals new files.

Not here: where the ring is kept.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from wherry import clock, limits
from wherry.config.encryption import EncryptionConfig, MasterKey
from wherry.errors import BadSequenceOfCalls, ConfigurationError, CorruptedFile
from wherry.storage.sealed.ring import RingKey, type_ring, unwrap

log = logging.getLogger(__name__)


class Keys:
    """From any thread."""

    def __init__(self, config: EncryptionConfig, read_ring: Callable[[], type_ring]) -> None:
        """Raises ``ConfigurationError`` when a key of the ring cannot be unwrapped."""
        self.container = config.container
        """Of new files; empty = in clear."""
        self.master = config.master
        self._config = config
        self._read_ring = read_ring
        self._lock = threading.Lock()
        self._ring: dict[str, RingKey] = {}
        self._current: RingKey | None = None
        self._looked = 0.0
        self._learn(strict=True)

    def current(self) -> RingKey:
        """The key of the ring for new files."""
        if clock.monotonic() - self._looked > limits.KEY_RING_LOOK_S:
            self._learn()
        if self._current is None:
            raise BadSequenceOfCalls("The key ring is empty")
        return self._current

    def ring_key(self, id: str, uuid: str) -> bytes:
        """The key with this name, which the file ``uuid`` needs. Raises ``CorruptedFile``: there
        is none."""
        found = self._ring.get(id)
        if found is None and clock.monotonic() - self._looked > limits.KEY_RING_MISS_S:
            self._learn()
            found = self._ring.get(id)
        if found is None:
            raise CorruptedFile(f"The stored file {uuid} needs a key that is not in the key ring")
        return found.secret

    def find_master(self, id: int, uuid: str) -> MasterKey:
        """The master key with this number, which the file ``uuid`` needs. Raises
        ``CorruptedFile``."""
        found = self._config.find(id)
        if found is None:
            raise CorruptedFile(
                f"The stored file {uuid} needs the master key {id}, which is not configured"
            )
        return found

    def has_master(self, id: int) -> bool:
        """Whether there is a master key with this number."""
        return self._config.find(id) is not None

    def _learn(self, *, strict: bool = False) -> None:
        """Take what is new in the ring. A server that was not told of a new master key goes on
        with the keys that it has, unless it starts (``strict``)."""
        with self._lock:
            self._looked = clock.monotonic()
            for wrapped in self._read_ring():
                if wrapped.id not in self._ring:
                    try:
                        self._ring[wrapped.id] = RingKey(wrapped.id, unwrap(wrapped, self._config))
                    except ConfigurationError as error:
                        if strict:
                            raise
                        log.warning("The key ring has a key that this server cannot use: %s", error)
                        continue
                self._current = self._ring[wrapped.id]
