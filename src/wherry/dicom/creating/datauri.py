"""Data URIs (RFC 2397), decoded in pieces: a document of 100 MB is never in memory as a whole.

Only base64 without parameters, as Orthanc has it; the padding at the end may be missing.
"""

from __future__ import annotations

import binascii
import re
from typing import Final, NamedTuple

from wherry.errors import BadFileFormat

_BEGIN: Final = re.compile(r"data:([^,;\s]{1,128});base64,", re.IGNORECASE)
LONGEST_BEGIN: Final = 160
"""Characters within which the data begin."""
_QUANTUM: Final = 4
"""Characters of base64 that are decoded together."""


class Blob(NamedTuple):
    """The data of such a URI, decoded: a range of the file of its request."""

    mime: str
    """Lower case."""
    offset: int
    size: int


def beginning(text: str) -> tuple[str, int] | None:
    """MIME type, and where the base64 begins; None when this is no such URI."""
    match = _BEGIN.match(text[:LONGEST_BEGIN])
    return (match[1].lower(), match.end()) if match else None


class Base64:
    """One stream of base64."""

    def __init__(self) -> None:
        self._held = b""
        self._padded = False

    def decode(self, piece: bytes) -> bytes:
        """What the next characters add. Raises ``BadFileFormat``."""
        if not piece:
            return b""
        if self._padded:
            raise BadFileFormat
        text = self._held + piece
        end = len(text) // _QUANTUM * _QUANTUM
        self._held = text[end:]
        return self._decoded(text[:end])

    def finish(self) -> bytes:
        """The last bytes. Raises ``BadFileFormat``."""
        rest, self._held = self._held, b""
        return self._decoded(rest + b"=" * (-len(rest) % _QUANTUM)) if rest else b""

    def _decoded(self, text: bytes) -> bytes:
        self._padded = text.endswith(b"=")
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            raise BadFileFormat from None
