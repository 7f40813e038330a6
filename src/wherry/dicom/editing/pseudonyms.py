"""New identifiers for old ones, without a memory: each is made of the old one and a seed.

What: UIDs below 2.25 (PS3.5 §B.2) and patient identifiers, by HMAC-SHA256. Why: whoever has the
seed makes the same ones again: a job that was killed, another server with the same secret; whoever
has it not cannot go back. Not here: where a seed comes from.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from typing import Final

_REMEMBERED: Final = 4_096
"""UIDs that are kept: those of a study's series come again in each instance."""


class Pseudonyms:
    """The new identifiers of one job."""

    def __init__(self, seed: bytes, number: int = 1) -> None:
        """``seed``: at least 16 bytes nobody can guess; ``number``: of the patient's new name."""
        self._key = hmac.new(seed, None, hashlib.sha256)
        self._number = number
        self._uids: dict[str, str] = {}

    def uid(self, old: str) -> str:
        """The new UID of ``old``: ``2.25.`` and a UUID as a decimal number."""
        if (known := self._uids.get(old)) is not None:
            return known
        new = f"2.25.{self._uuid('uid', old).int}"
        if len(self._uids) < _REMEMBERED:
            self._uids[old] = new
        return new

    def patient_id(self, old: str) -> str:
        """The new Patient ID: a UUID."""
        return str(self._uuid("patient", old))

    def patient_name(self) -> str:
        """The new name of patients: ``AnonymizedN``."""
        return f"Anonymized{self._number}"

    def _uuid(self, kind: str, old: str) -> uuid.UUID:
        """Of 122 bits of the HMAC (RFC 9562 §5.8: version 8)."""
        code = self._key.copy()
        code.update(f"{kind}\0{old}".encode("utf-8", "surrogatepass"))
        number = int.from_bytes(code.digest()[:16], "big")
        number = number & ~(0xF << 76) | 8 << 76
        return uuid.UUID(int=number & ~(0b11 << 62) | 0b10 << 62)
