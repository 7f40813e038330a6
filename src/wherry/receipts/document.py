"""The receipt of a committed transfer, as a document that anybody can check. Pure.

    { "Receipt": { … }, "PublicKey": base64, "Signature": base64 }

``Signature`` is Ed25519 (RFC 8032) over ``Receipt`` as JSON without spaces, members sorted, UTF-8.
``ManifestRoot`` stands for all instances: the Merkle tree hash of RFC 9162 §2.1 (SHA-256) over one
leaf each, ``identifier size digest`` with single spaces, in order of identifiers; the digest is the
MD5, or the BLAKE3 of those whose positions in that order ``BLAKE3`` tells (``0-4,7``; without it,
of none), in lower-case hex. Who has the files
can compute it again; who has a list can prove that an instance is in it.

Not here: keys (``signing``), where receipts are kept (``index.receipts``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from wherry.digests import is_md5
from wherry.errors import BadFileFormat
from wherry.jobs import ranges
from wherry.model import ManifestInstance

VERSION: Final = 2
"""1: all digests are MD5."""
_VERSIONS: Final = (1, VERSION)
_BODY, _KEY, _SIGNATURE = "Receipt", "PublicKey", "Signature"


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt with its signature, whether it holds or not."""

    body: Mapping[str, Any]
    public_key: str
    """Base64 of the 32 bytes."""
    signature: str
    """Base64 of the 64 bytes."""

    @property
    def signed_bytes(self) -> bytes:
        """What the signature is over."""
        return canonical(self.body)

    def document(self) -> dict[str, Any]:
        """As it is given out."""
        return {_BODY: self.body, _KEY: self.public_key, _SIGNATURE: self.signature}


def canonical(body: Mapping[str, Any]) -> bytes:
    """The one spelling of a receipt."""
    return orjson.dumps(dict(body), option=orjson.OPT_SORT_KEYS)


def parse(data: bytes) -> SignedReceipt:
    """Raises ``BadFileFormat`` when it is no receipt of a version known here."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise BadFileFormat("The receipt is no JSON document") from None
    if not isinstance(document, dict) or not isinstance(document.get(_BODY), dict):
        raise BadFileFormat("The document is no receipt")
    body = document[_BODY]
    if body.get("Version") not in _VERSIONS:
        raise BadFileFormat("The receipt is of another version")
    key, signature = document.get(_KEY), document.get(_SIGNATURE)
    if not (isinstance(key, str) and isinstance(signature, str)):
        raise BadFileFormat("The receipt is not signed")
    return SignedReceipt(body, key, signature)


def manifest_root(instances: Sequence[ManifestInstance]) -> str:
    """Lower-case hex of the Merkle tree hash over these instances, in whatever order they come."""
    leaves = [_leaf(one) for one in _in_order(instances)]
    if not leaves:
        return hashlib.sha256(b"").hexdigest()
    # Level by level from the left; the odd one out goes up as it is, which gives RFC 9162's tree.
    while len(leaves) > 1:
        pairs = zip(leaves[::2], leaves[1::2], strict=False)
        above = [hashlib.sha256(b"\1" + left + right).digest() for left, right in pairs]
        leaves = above + leaves[len(leaves) & ~1 :]
    return leaves[0].hex()


def blake3_positions(instances: Sequence[ManifestInstance]) -> str:
    """The member ``BLAKE3``: empty when all digests are MD5."""
    in_order = enumerate(_in_order(instances))
    return ranges.to_text(place for place, one in in_order if not is_md5(one.digest))


def _in_order(instances: Sequence[ManifestInstance]) -> list[ManifestInstance]:
    return sorted(instances, key=lambda one: one.orthanc_id)


def _leaf(one: ManifestInstance) -> bytes:
    return hashlib.sha256(b"\0" + f"{one.orthanc_id} {one.size} {one.digest}".encode()).digest()
