"""Digests: of files, and ``Content-Digest`` (RFC 9530) of small bodies.

Of a file one of two is known, in lower-case hex, and its length tells which: MD5 (32 digits), of
which Orthanc and its clients speak, or BLAKE3 (64 digits), which is eight times as fast and, unlike
MD5, cannot be forged. What arrives gets BLAKE3, unless its sender tells an MD5 to check it by; its
MD5 is taken when somebody asks for it (``ingest.digesting``, docs/decisions/digests.md).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Final, Protocol, Self

from blake3 import blake3

try:  # Giving the interpreter lock away and getting it back costs more than this digest.
    from _md5 import md5 as _md5  # type: ignore[import-not-found]
except ImportError:  # a Python that was built without
    from hashlib import md5 as _md5

_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):")
_DIGEST = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")
_MD5_DIGITS: Final = 32
type_bytes = bytes | bytearray | memoryview


class Digest(Protocol):
    """A digest that is being taken."""

    def update(self, data: type_bytes, /) -> object:
        """Take the next bytes; other threads run meanwhile, unless they are few."""

    def hexdigest(self) -> str:
        """Of all bytes so far, lower-case hex."""

    def copy(self) -> Self:
        """Another one that has seen the same bytes."""


def new_digest() -> Digest:
    """Of a file that arrives."""
    return blake3()


def new_md5() -> Digest:
    """For those who ask for it."""
    return hashlib.md5(usedforsecurity=False)


type_kind = Callable[[], Digest]
"""``new_digest`` or ``new_md5``."""


def digest_like(known: str) -> Digest:
    """Of the kind that ``known`` is."""
    return new_md5() if is_md5(known) else new_digest()


def digest_of(data: type_bytes, kind: type_kind = new_digest) -> str:
    """The digest of these bytes."""
    digest = kind()
    digest.update(data)
    return digest.hexdigest()


def small_md5(data: type_bytes) -> str:
    """MD5 of a few bytes, as stock peers tell it; no other thread gets its turn meanwhile."""
    return str(_md5(data).hexdigest())


def is_md5(digest: str) -> bool:
    """Whether a digest is an MD5."""
    return len(digest) == _MD5_DIGITS


def is_digest(text: str) -> bool:
    """Whether a text from outside may be a digest."""
    return _DIGEST.fullmatch(text) is not None


def split(digest: str) -> tuple[str, str]:
    """MD5 and BLAKE3, of which one is this digest and the other one empty."""
    return (digest, "") if is_md5(digest) else ("", digest)


def content_digest(body: bytes) -> str:
    """The value of the header for a body."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def is_intact(body: bytes, header: str) -> bool:
    """Whether a body has the digest that its header tells; True when that tells no SHA-256."""
    found = _SHA256.search(header)
    return found is None or f"sha-256=:{found[1]}:" == content_digest(body)
