"""The key of a server, and signatures with it (Ed25519, RFC 8032). Importing this takes 15 ms."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from wherry.errors import BadFileFormat
from wherry.receipts.document import SignedReceipt, canonical


class SigningKey:
    """The private key of a server."""

    def __init__(self, secret: str) -> None:
        """``secret``: as ``new_secret`` gave it."""
        self._key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret))
        self.public = base64.b64encode(self._key.public_key().public_bytes_raw()).decode()
        """Base64 of the public key."""

    def sign(self, body: Mapping[str, Any]) -> SignedReceipt:
        """A receipt with this body."""
        signature = base64.b64encode(self._key.sign(canonical(body))).decode()
        return SignedReceipt(body, self.public, signature)


def new_secret() -> str:
    """A fresh private key, base64."""
    return base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


def is_valid(receipt: SignedReceipt) -> bool:
    """Whether the receipt is as the holder of ``public_key`` signed it. Raises ``BadFileFormat``
    when the key is none."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(receipt.public_key))
        signature = base64.b64decode(receipt.signature)
    except (ValueError, binascii.Error):
        raise BadFileFormat("The key or the signature of the receipt is malformed") from None
    try:
        key.verify(signature, receipt.signed_bytes)
    except InvalidSignature:
        return False
    return True


def fingerprint(public_key: str) -> str:
    """A public key in words that two people can compare: SHA-256, in groups of four digits."""
    digits = hashlib.sha256(base64.b64decode(public_key)).hexdigest()[:32]
    return " ".join(digits[start : start + 4] for start in range(0, 32, 4))
