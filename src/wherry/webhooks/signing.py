"""The signature of a delivery, as the Standard Webhooks specification has it. Pure.

HMAC-SHA256 over ``id.timestamp.body``, in base64, behind ``v1,``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac


def signed_headers(secret: bytes, delivery_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers; ``timestamp``: of this attempt, seconds since 1970."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode("ascii")
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
