"""The root of a manifest is the Merkle tree hash of RFC 9162; signatures notice every change."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import BadFileFormat
from wherry.model import ManifestInstance
from wherry.receipts.document import canonical, manifest_root, parse
from wherry.receipts.signing import SigningKey, fingerprint, is_valid, new_secret

KEY = SigningKey(new_secret())
NAMES = st.text("0123456789abcdef-", min_size=1, max_size=44)
MANIFESTS = st.dictionaries(NAMES, st.tuples(st.integers(0, 2**60), NAMES), max_size=40)


def tree_hash(leaves: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


@given(MANIFESTS)
def test_the_root_is_that_of_the_rfc(manifest: dict[str, tuple[int, str]]) -> None:
    instances = [ManifestInstance(name, *rest) for name, rest in manifest.items()]
    lines = [f"{name} {size} {md5}".encode() for name, (size, md5) in sorted(manifest.items())]
    assert manifest_root(instances) == tree_hash(lines).hex()


BODIES = st.dictionaries(
    st.text(max_size=8), st.integers(-(2**53), 2**53) | st.text(max_size=8) | st.booleans()
)


@given(BODIES, st.data())
def test_a_signed_receipt_comes_back_and_no_bit_may_change(
    body: dict[str, Any], data: st.DataObject
) -> None:
    receipt = KEY.sign({**body, "Version": 1})
    document = canonical(receipt.document())
    assert parse(document) == receipt
    assert is_valid(parse(document))
    number = data.draw(st.integers(0, 8 * 64 - 1))
    signature = bytearray(base64.b64decode(receipt.signature))
    signature[number // 8] ^= 1 << number % 8
    forged = receipt.document() | {"Signature": base64.b64encode(signature).decode()}
    assert not is_valid(parse(canonical(forged)))
    other = receipt.document() | {"Receipt": {**receipt.body, "Added": 1}}
    assert not is_valid(parse(canonical(other)))
    stranger = receipt.document() | {"PublicKey": SigningKey(new_secret()).public}
    assert not is_valid(parse(canonical(stranger)))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"Receipt": 1}',
        b'{"Receipt": {"Version": 3}, "PublicKey": "", "Signature": ""}',
        b'{"Receipt": {"Version": 1}}',
        b'{"Receipt": {"Version": 1}, "PublicKey": 1, "Signature": ""}',
    ],
)
def test_what_is_no_receipt(document: bytes) -> None:
    with pytest.raises(BadFileFormat):
        parse(document)


@pytest.mark.parametrize("key", ["", "abc", "!", base64.b64encode(bytes(31)).decode()])
def test_what_is_no_key(key: str) -> None:
    document = KEY.sign({"Version": 1}).document() | {"PublicKey": key}
    with pytest.raises(BadFileFormat):
        is_valid(parse(canonical(document)))


def test_fingerprints_are_short_and_tell_keys_apart() -> None:
    mine, other = fingerprint(KEY.public), fingerprint(SigningKey(new_secret()).public)
    assert mine != other
    assert len(mine) == 39
