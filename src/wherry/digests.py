"""Digests of small things: ``Content-Digest`` (RFC 9530), whether a body is what its sender meant
to say; MD5 of small files."""

from __future__ import annotations

import base64
import hashlib
import re

try:  # Giving the interpreter lock away and getting it back costs more than this digest.
    from _md5 import md5 as _md5  # type: ignore[import-not-found]
except ImportError:  # a Python that was built without
    from hashlib import md5 as _md5

_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):")


def small_md5(data: bytes | bytearray | memoryview) -> str:
    """MD5 of a few bytes, lower-case hex; no other thread gets its turn meanwhile."""
    return str(_md5(data).hexdigest())


def content_digest(body: bytes) -> str:
    """The value of the header for a body."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def is_intact(body: bytes, header: str) -> bool:
    """Whether a body has the digest that its header tells; True when that tells no SHA-256."""
    found = _SHA256.search(header)
    return found is None or f"sha-256=:{found[1]}:" == content_digest(body)
