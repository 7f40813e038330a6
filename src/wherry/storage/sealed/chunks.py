"""One chunk of a file, sealed by AES-256-GCM under the key of that file.

The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and
its Nonce-Reuse Misuse-Resistance, 2015): the nonce of a chunk is its number, and whether it is the
last one. So a chunk that is missing, repeated, moved, or cut off at the end does not open. The key
belongs to one file, hence no nonce comes twice under it.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wherry.errors import CorruptedFile
from wherry.storage.base import type_buffer

TAG_BYTES = 16
_NUMBER_BYTES = 11


class ChunkKey:
    """The key of one file. From any thread."""

    def __init__(self, key: bytes, chunk_bytes: int) -> None:
        """``key``: 32 bytes; ``chunk_bytes``: plain bytes of each chunk but the last."""
        self._cipher = AESGCM(key)
        self.chunk_bytes = chunk_bytes
        self.sealed_bytes = chunk_bytes + TAG_BYTES

    def seal(self, number: int, plain: type_buffer, *, last: bool) -> bytes:
        """The chunk with its tag."""
        return self._cipher.encrypt(_nonce(number, last=last), plain, None)

    def open(self, number: int, sealed: type_buffer, *, last: bool) -> bytes:
        """The plain bytes. Raises ``CorruptedFile``: it is not this chunk of this file."""
        try:
            return self._cipher.decrypt(_nonce(number, last=last), sealed, None)
        except InvalidTag:
            raise CorruptedFile from None


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big") + (b"\x01" if last else b"\x00")
