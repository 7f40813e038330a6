"""Keys for tests of sealed files."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from wherry.config.encryption import EncryptionConfig, MasterKey
from wherry.storage.sealed.keys import Keys
from wherry.storage.sealed.ring import type_ring, with_new_key

MASTER = MasterKey(1, bytes(range(32)))


def sealed_keys(
    container: str = "W1",
    master: MasterKey = MASTER,
    previous: tuple[MasterKey, ...] = (),
    ring: type_ring | None = None,
) -> Keys:
    """Keys with a ring of one key, or with this ring."""
    known = with_new_key((), master) if ring is None else ring
    return Keys(EncryptionConfig(master, previous, container), lambda: known)


def new_master(number: int) -> MasterKey:
    """A random master key."""
    return MasterKey(number, os.urandom(32))


def key_file(folder: Path, key: MasterKey) -> list[Any]:
    """What stands in the configuration for this key: its number, and a file that holds it."""
    path = folder / f"master-key-{key.id}"
    path.write_bytes(base64.b64encode(key.secret) + b"\n")
    return [key.id, str(path)]
