"""Keys for tests of sealed files."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from wherry.config.encryption import EncryptionConfig, MasterKey
from wherry.storage.sealed import ring
from wherry.storage.sealed.keys import Keys
from wherry.storage.sealed.ring import WrappedKey, type_ring, with_new_key

MASTER = MasterKey(1, bytes(range(32)))


def sealed_keys(
    container: str = "W1",
    master: MasterKey = MASTER,
    previous: tuple[MasterKey, ...] = (),
    known: type_ring | None = None,
) -> Keys:
    """Keys with a ring of one key, or with this ring."""
    found = with_new_key((), master) if known is None else known
    return Keys(EncryptionConfig(master, previous, container), lambda: found)


def new_master(number: int) -> MasterKey:
    """A random master key."""
    return MasterKey(number, os.urandom(32))


def wrapped_as(key: WrappedKey, name: str, master: MasterKey) -> WrappedKey:
    """A key of a ring under the name of another one."""
    secret = ring.unwrap(key, EncryptionConfig(master))
    return ring._wrapped(replace(key, id=name), secret, master)


def key_file(folder: Path, key: MasterKey) -> list[Any]:
    """What stands in the configuration for this key: its number, and a file that holds it."""
    path = folder / f"master-key-{key.id}"
    path.write_bytes(base64.b64encode(key.secret) + b"\n")
    return [key.id, str(path)]
