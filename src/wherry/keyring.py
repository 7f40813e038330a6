"""The key ring of an archive: one document in the index, and copies of it beside the data.

The index decides: of several servers that start on an empty archive, one makes the ring and all
take it. The copies are what is left when the index is lost; each is written before any file is
sealed with a key of it, and made right at every start.

Not here: what a ring is (``storage.sealed.ring``).
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.config.encryption import EncryptionConfig
from wherry.errors import ConfigurationError
from wherry.index import settings
from wherry.index.database import Index, Transaction
from wherry.storage.sealed import ring
from wherry.storage.sealed.keys import Keys
from wherry.storage.sealed.ring import type_ring
from wherry.storage.sealed.ringfile import RingFile


def open_keys(
    config: EncryptionConfig | None, index: Index, copies: Sequence[RingFile]
) -> Keys | None:
    """The keys of the archive; None when it has none. Raises ``ConfigurationError`` when it has a
    ring and they do not fit it, or are not told."""
    if config is None:
        with index.read() as tx:
            if _read(tx):
                raise ConfigurationError(
                    "This archive holds encrypted files, but there is no StorageEncryption. To "
                    'store new files in clear, keep its MasterKey and say "Enable": false'
                )
        return None
    beside = _copies(copies)
    known = index.write(lambda tx: _settle(tx, config, beside))
    keys = Keys(config, lambda: _now(index))
    _publish(index, copies, known)
    return keys


def rotate(config: EncryptionConfig, index: Index, copies: Sequence[RingFile]) -> type_ring:
    """Wrap all keys of the ring under the current master key, and add a key for new files; no file
    is touched. Raises ``ConfigurationError`` when a master key is missing."""
    beside = _copies(copies)

    def work(tx: Transaction) -> type_ring:
        known = ring.rewrapped(ring.merged(_read(tx), beside), config)
        return _write(tx, ring.with_new_key(known, config.master))

    known = index.write(work)
    _publish(index, copies, known)
    return known


def _settle(tx: Transaction, config: EncryptionConfig, beside: type_ring) -> type_ring:
    """The ring of the index, with what only the copies know; a new one if there is none at all."""
    here = _read(tx)
    known = ring.merged(here, beside)
    if not known and config.container == "W1":
        known = ring.with_new_key((), config.master)
    if known != here:
        ring.unwrap_all(known, config)  # nothing is kept that nobody could open
        _write(tx, known)
    return known


def _publish(index: Index, copies: Sequence[RingFile], known: type_ring) -> None:
    """Bring the copies to what the index says, also when that changes meanwhile."""
    while known:
        text = ring.dump(known)
        for copy in copies:
            if copy.read() != text:
                copy.write(text)
        now = _now(index)
        if now == known:
            return
        known = now


def _copies(copies: Sequence[RingFile]) -> type_ring:
    found: type_ring = ()
    for copy in copies:
        if (text := copy.read()) is not None:
            found = ring.merged(found, ring.load(text))
    return found


def _now(index: Index) -> type_ring:
    with index.read() as tx:
        return _read(tx)


def _read(tx: Transaction) -> type_ring:
    value = settings.get(tx, settings.KEY_RING)
    return () if value is None else ring.parse(value)


def _write(tx: Transaction, known: type_ring) -> type_ring:
    settings.put(tx, settings.KEY_RING, ring.document(known))
    return known
