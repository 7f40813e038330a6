"""The ring: keys that wrap the keys of files, each wrapped itself by a master key.

A document of a few hundred bytes stands between the master key and any number of files: to change
the master key, the document is written anew and no file is touched. It is no secret, and lies in
the index and beside the data (``wherry.keyring``).

    {"Version": 1, "Keys": [{"ID": "5f0c…", "Created": "20261129T041500", "MasterKey": 1,
                             "Wrapped": "base64 of a nonce and AES-256-GCM of the key"}]}

New files take the last key. A key is wrapped under HKDF-SHA256 of the master key, never under the
master key itself: container ``A1`` gives away what GCM must keep secret of that one.
"""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field, replace
from typing import Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wherry import clock
from wherry.config.encryption import EncryptionConfig, MasterKey
from wherry.errors import ConfigurationError, CorruptedFile
from wherry.model import type_json

_VERSION: Final = 1
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_ID = re.compile(r"[0-9a-f]{16}")
_PURPOSE: Final = b"wherry: key ring, version 1"


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A key of the ring, as the document has it."""

    id: str
    """16 hexadecimal digits."""
    created: str
    master: int
    """Number of the master key that wraps it."""
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class RingKey:
    """A key of the ring that can be used."""

    id: str
    secret: bytes = field(repr=False)


type_ring = tuple[WrappedKey, ...]
"""Oldest first."""


def document(ring: type_ring) -> type_json:
    """The ring as JSON."""
    return {
        "Version": _VERSION,
        "Keys": [
            {
                "ID": key.id,
                "Created": key.created,
                "MasterKey": key.master,
                "Wrapped": base64.b64encode(key.wrapped).decode(),
            }
            for key in ring
        ],
    }


def dump(ring: type_ring) -> bytes:
    """The ring as a file."""
    return orjson.dumps(document(ring), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def load(data: bytes) -> type_ring:
    """The ring of a file. Raises ``CorruptedFile``."""
    try:
        return parse(orjson.loads(data))
    except orjson.JSONDecodeError:
        raise _not_a_ring() from None


def parse(value: type_json) -> type_ring:
    """The ring of a JSON document. Raises ``CorruptedFile``."""
    try:
        if not isinstance(value, dict) or value["Version"] != _VERSION:
            raise _not_a_ring()
        ring = tuple(
            WrappedKey(
                key["ID"],
                str(key["Created"]),
                int(key["MasterKey"]),
                base64.b64decode(key["Wrapped"], validate=True),
            )
            for key in value["Keys"]
        )
    except (KeyError, TypeError, ValueError):
        raise _not_a_ring() from None
    if not all(isinstance(key.id, str) and _ID.fullmatch(key.id) for key in ring):
        raise _not_a_ring()
    return ring


def with_new_key(ring: type_ring, master: MasterKey) -> type_ring:
    """The ring with one more key, for the files from now on."""
    key = WrappedKey(os.urandom(8).hex(), clock.orthanc_date(clock.now()), master.id, b"")
    return (*ring, _wrapped(key, os.urandom(_KEY_BYTES), master))


def rewrapped(ring: type_ring, config: EncryptionConfig) -> type_ring:
    """The same keys under the current master key. Raises ``ConfigurationError``."""
    return tuple(_wrapped(key, unwrap(key, config), config.master) for key in ring)


def merged(ring: type_ring, other: type_ring) -> type_ring:
    """``ring``, and before it the keys that only ``other`` has: new files take none of them."""
    known = {key.id for key in ring}
    return (*(key for key in other if key.id not in known), *ring)


def unwrap_all(ring: type_ring, config: EncryptionConfig) -> list[RingKey]:
    """Raises ``ConfigurationError``: a master key is missing, or is another one."""
    return [RingKey(key.id, unwrap(key, config)) for key in ring]


def unwrap(key: WrappedKey, config: EncryptionConfig) -> bytes:
    """The key itself. Raises ``ConfigurationError``."""
    master = config.find(key.master)
    if master is None:
        raise ConfigurationError(
            f"Stored files need the master key {key.master}, which is neither MasterKey nor among "
            "PreviousMasterKeys of StorageEncryption"
        )
    nonce, sealed = key.wrapped[:_NONCE_BYTES], key.wrapped[_NONCE_BYTES:]
    try:
        return _cipher(master).decrypt(nonce, sealed, _bound(key))
    except (InvalidTag, ValueError):
        raise ConfigurationError(
            f"The master key {key.master} is not the one that stored files were sealed with: its "
            "file holds another key"
        ) from None


def _wrapped(key: WrappedKey, secret: bytes, master: MasterKey) -> WrappedKey:
    named = replace(key, master=master.id)
    nonce = os.urandom(_NONCE_BYTES)
    return replace(named, wrapped=nonce + _cipher(master).encrypt(nonce, secret, _bound(named)))


def _bound(key: WrappedKey) -> bytes:
    """What stands beside a wrapped key, authenticated with it."""
    return f"{key.id} {key.created} {key.master}".encode()


def _cipher(master: MasterKey) -> AESGCM:
    derived = HKDF(SHA256(), _KEY_BYTES, salt=None, info=_PURPOSE).derive(master.secret)
    return AESGCM(derived)


def _not_a_ring() -> CorruptedFile:
    return CorruptedFile("The key ring is damaged, or was written by a newer Wherry")
