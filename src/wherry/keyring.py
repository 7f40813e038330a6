"""The key ring of an archive: one document in the index, and copies of it beside the data.

The index decides: of several servers that start on an empty archive, one makes the ring and all
take it. The copies are what is left when the index is lost. They get each key before the index, and
so before any file is sealed with it; what is amiss with them is made right at every start, unless
their store is out of reach just then.

Not here: what a ring is (``storage.sealed.ring``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from wherry.config.encryption import EncryptionConfig
from wherry.errors import ConfigurationError, StorageUnavailable
from wherry.index import settings
from wherry.index.database import Index, Transaction
from wherry.storage.sealed import ring
from wherry.storage.sealed.keys import Keys
from wherry.storage.sealed.ring import type_ring
from wherry.storage.sealed.ringfile import RingFile

log = logging.getLogger(__name__)

type_change = Callable[[type_ring], type_ring]
"""What a ring becomes; it may be asked several times."""


def open_keys(
    config: EncryptionConfig | None, index: Index, copies: Sequence[RingFile]
) -> Keys | None:
    """The keys of the archive; None when it has none. Raises ``ConfigurationError`` when it has a
    ring and they do not fit it, or are not told; ``StorageUnavailable`` when a ring must be made or
    changed, and a copy cannot be written."""
    if config is None:
        with index.read() as tx:
            if _read(tx):
                raise ConfigurationError(
                    "This archive holds encrypted files, but there is no StorageEncryption. To "
                    'store new files in clear, keep its MasterKey and say "Enable": false'
                )
        return None
    known = _now(index)
    beside, within_reach = _read_copies(copies, must=not known)
    known = _change(index, copies, lambda here: _settled(here, config, beside))
    keys = Keys(config, lambda: _now(index))
    _publish(index, within_reach, known)
    return keys


def rotate(config: EncryptionConfig, index: Index, copies: Sequence[RingFile]) -> type_ring:
    """Wrap all keys of the ring under the current master key, and add a key for new files; no file
    is touched. Raises ``ConfigurationError`` when a master key is missing, ``StorageUnavailable``
    when a copy is out of reach; then new files take none of the new key."""
    beside, _ = _read_copies(copies, must=True)

    def change(here: type_ring) -> type_ring:
        known = ring.rewrapped(ring.merged(here, beside), config)
        return ring.with_new_key(known, config.master)

    known = _change(index, copies, change)
    _publish(index, copies, known)
    return known


def _settled(here: type_ring, config: EncryptionConfig, beside: type_ring) -> type_ring:
    """The ring of the index, with what only the copies know; a new one if there is none at all."""
    known = ring.merged(here, beside)
    if not known and config.container == "W1":
        known = ring.with_new_key((), config.master)
    if known != here:
        ring.unwrap_all(known, config)  # nothing is kept that nobody could open
    return known


def _change(index: Index, copies: Sequence[RingFile], change: type_change) -> type_ring:
    """Change the ring of the copies, then that of the index; all again when somebody else has
    changed it meanwhile."""
    while True:
        before = _now(index)
        after = change(before)
        if after == before:
            return after
        _write_copies(copies, after)
        if index.write(partial(_replace, before, after)):
            return after


def _replace(before: type_ring, after: type_ring, tx: Transaction) -> bool:
    if _read(tx) != before:
        return False
    settings.put(tx, settings.KEY_RING, ring.document(after))
    return True


def _publish(index: Index, copies: Sequence[RingFile], known: type_ring) -> None:
    """Bring the copies to what the index says, also when that changes meanwhile."""
    while known:
        _write_copies(copies, known)
        now = _now(index)
        if now == known:
            return
        known = now


def _write_copies(copies: Sequence[RingFile], known: type_ring) -> None:
    text = ring.dump(known)
    for copy in copies:
        if copy.read() != text:
            copy.write(text)


def _read_copies(copies: Sequence[RingFile], *, must: bool) -> tuple[type_ring, list[RingFile]]:
    """What the copies know, and those that are not out of reach, as they may be unless ``must``."""
    found: type_ring = ()
    within_reach = []
    for copy in copies:
        try:
            text = copy.read()
        except StorageUnavailable as error:
            if must:
                raise
            log.warning("A copy of the key ring is left as it is until the next start: %s", error)
            continue
        within_reach.append(copy)
        if text is not None:
            found = ring.merged(found, ring.load(text))
    return found, within_reach


def _now(index: Index) -> type_ring:
    with index.read() as tx:
        return _read(tx)


def _read(tx: Transaction) -> type_ring:
    value = settings.get(tx, settings.KEY_RING)
    return () if value is None else ring.parse(value)
