"""``Content-Digest`` (RFC 9530): whether a small body is what its sender meant to say."""

from __future__ import annotations

import base64
import hashlib
import re

_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):")


def content_digest(body: bytes) -> str:
    """The value of the header for a body."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def is_intact(body: bytes, header: str) -> bool:
    """Whether a body has the digest that its header tells; True when that tells no SHA-256."""
    found = _SHA256.search(header)
    return found is None or f"sha-256=:{found[1]}:" == content_digest(body)
