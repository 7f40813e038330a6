"""Container ``W1``, ours: a header, then chunks.

    0   8   "WherryW1"
    8   4   plain bytes of a chunk, little-endian
    12  8   which key of the ring wraps the data key
    20  40  the data key, random, wrapped (RFC 3394)
    60  32  commitment
    92      chunks (``chunks``), the last one marked as such; there is always one

Out of the data key, HKDF-SHA256 (RFC 5869) makes the key of the chunks and the commitment; bytes
0…59 and the UUID of the file are its ``info``. So all of the header and the name of the file are
part of the key: a header of another file, another name, another key of the ring or a changed bit
gives another commitment, and no chunk is looked at.

The index remembers the first bytes of the commitment (``MARK_BYTES``): an older file of the same
name is not the one that it means.
"""

from __future__ import annotations

import hmac
import os
import struct
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from wherry.errors import CorruptedFile
from wherry.storage.sealed.chunks import TAG_BYTES, ChunkKey
from wherry.storage.sealed.keys import Keys

MAGIC: Final = b"WherryW1"
_FIXED = struct.Struct("<8sI8s40s")
_COMMITMENT_BYTES: Final = 32
HEADER_BYTES: Final = _FIXED.size + _COMMITMENT_BYTES
MARK_BYTES: Final = 8
_KEY_BYTES: Final = 32


class Opened(NamedTuple):
    """A header, and what it is the key to."""

    header: bytes
    key: ChunkKey
    mark: str
    """What the index remembers of it, in hexadecimal digits."""


def begin(keys: Keys, uuid: str, chunk_bytes: int) -> Opened:
    """The header of a new file, with a data key that no other file has."""
    ring_key = keys.current()
    data_key = os.urandom(_KEY_BYTES)
    wrapped = aes_key_wrap(ring_key.secret, data_key)
    fixed = _FIXED.pack(MAGIC, chunk_bytes, bytes.fromhex(ring_key.id), wrapped)
    key, commitment = _derive(data_key, fixed, uuid)
    return Opened(fixed + commitment, ChunkKey(key, chunk_bytes), _mark(commitment))


def open_header(keys: Keys, uuid: str, header: bytes) -> Opened:
    """Raises ``CorruptedFile``: this is not the header of a file of this name, or the key that it
    needs is not in the ring."""
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise CorruptedFile(f"The stored file {uuid} is no file in the container W1")
    fixed, commitment = header[: _FIXED.size], header[_FIXED.size : HEADER_BYTES]
    _, chunk_bytes, ring_key_id, wrapped = _FIXED.unpack(fixed)
    secret = keys.ring_key(ring_key_id.hex(), uuid)
    try:
        data_key = aes_key_unwrap(secret, wrapped)
    except InvalidUnwrap:
        raise _damaged(uuid) from None
    key, expected = _derive(data_key, fixed, uuid)
    if not hmac.compare_digest(commitment, expected):
        raise _damaged(uuid)
    return Opened(header[:HEADER_BYTES], ChunkKey(key, chunk_bytes), _mark(commitment))


def plain_size(sealed_size: int, key: ChunkKey, uuid: str) -> int:
    """Plain bytes of a file of this length. Raises ``CorruptedFile``: no file has it."""
    body = sealed_size - HEADER_BYTES
    chunks = -(-body // key.sealed_bytes)
    if chunks < 1 or body - (chunks - 1) * key.sealed_bytes < TAG_BYTES:
        raise _damaged(uuid)
    return body - chunks * TAG_BYTES


def _derive(data_key: bytes, fixed: bytes, uuid: str) -> tuple[bytes, bytes]:
    made = HKDF(
        SHA256(), _KEY_BYTES + _COMMITMENT_BYTES, salt=None, info=fixed + uuid.encode()
    ).derive(data_key)
    return made[:_KEY_BYTES], made[_KEY_BYTES:]


def _mark(commitment: bytes) -> str:
    return commitment[:MARK_BYTES].hex()


def _damaged(uuid: str) -> CorruptedFile:
    return CorruptedFile(f"The stored file {uuid} is damaged, or is not the one that was stored")
