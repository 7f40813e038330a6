"""Container ``A1`` of Orthanc's object-storage plugins.

    0   2   "A1"
    2   4   number of the master key, little-endian
    6   32  IV xor K
    38  32  data key xor K
    70      AES-256-GCM(data key, IV, plain bytes), with bytes 0…69 authenticated
    end 16  its tag

K is the first 32 bytes of AES-256-CTR(master key, zero block): the same for every file under one
master key, so whoever learns the data key or the IV of one file can read all of them; nor does a
file know its name. It is read for the files of others, and written only when that is configured.

The tag stands at the end: nothing is given out before all of it was seen.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import (
    AEADDecryptionContext,
    AEADEncryptionContext,
    Cipher,
)
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, GCM

from wherry import limits
from wherry.config.encryption import MasterKey
from wherry.errors import CorruptedFile

MAGIC: Final = b"A1"
HEADER_BYTES: Final = 70
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = HEADER_BYTES + TAG_BYTES
_ID = struct.Struct("<I")
_KEY_BYTES: Final = 32
_BLOCK_BYTES: Final = 16


def begin(master: MasterKey, iv: bytes, data_key: bytes) -> tuple[bytes, AEADEncryptionContext]:
    """The header of a new file, and what encrypts its bytes. ``iv`` and ``data_key``: 32 random
    bytes each."""
    stream = _keystream(master)
    header = MAGIC + _ID.pack(master.id) + _xor(iv, stream) + _xor(data_key, stream)
    encryptor = Cipher(AES(data_key), GCM(iv)).encryptor()
    encryptor.authenticate_additional_data(header)
    return header, encryptor


def key_id(header: bytes) -> int | None:
    """Which master key this header needs; None when it is no header of this container."""
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        return None
    return int(_ID.unpack_from(header, len(MAGIC))[0])


def plain(
    master: MasterKey, header: bytes, read: Callable[[int, int], bytes], size: int, uuid: str
) -> Iterator[bytes]:
    """The plain bytes, ``size`` of them, in pieces: they may be given out only when the last one
    has come. ``read``: offset and size to bytes of the file. Raises ``CorruptedFile``."""
    decryptor = decrypting(master, header)
    at, end = HEADER_BYTES, HEADER_BYTES + size
    while at < end:
        sealed = read(at, min(limits.READ_CHUNK_BYTES, end - at))
        if not sealed:
            raise _damaged(uuid)
        at += len(sealed)
        yield decryptor.update(sealed)
    try:
        decryptor.finalize_with_tag(read(end, TAG_BYTES))
    except (InvalidTag, ValueError):  # ... or it is shorter than a tag
        raise _damaged(uuid) from None


def decrypting(master: MasterKey, header: bytes) -> AEADDecryptionContext:
    """What decrypts the bytes behind this header."""
    stream = _keystream(master)
    iv, data_key = _xor(header[6:38], stream), _xor(header[38:HEADER_BYTES], stream)
    decryptor = Cipher(AES(data_key), GCM(iv)).decryptor()
    decryptor.authenticate_additional_data(header)
    return decryptor


def _keystream(master: MasterKey) -> bytes:
    return (
        Cipher(AES(master.secret), CTR(bytes(_BLOCK_BYTES))).encryptor().update(bytes(_KEY_BYTES))
    )


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _damaged(uuid: str) -> CorruptedFile:
    return CorruptedFile(f"The stored file {uuid} is damaged, or is not the one that was stored")
