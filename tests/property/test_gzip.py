"""gzip as it is sent: any reader gets the bytes back, and what does not pack is stored."""

from __future__ import annotations

import gzip
import os
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.storage.outgoing import pack

NOISE = os.urandom(600_000)
PIECES = {
    "noise": NOISE,
    "zeros": bytes(600_000),
    "text": b"the quick brown fox %d " * 30_000,
    "more noise": NOISE[:100_000],
    "little": b"abc",
    "repeated noise": NOISE[:200_000],
}


@settings(max_examples=60, deadline=None)
@given(names=st.lists(st.sampled_from(sorted(PIECES)), max_size=8))
def test_any_order(names: list[str]) -> None:
    pieces = [PIECES[name] for name in names]
    packed = list(pack(iter(pieces)))
    assert all(packed)
    assert gzip.decompress(b"".join(packed)) == b"".join(pieces)


@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(st.binary(max_size=70_000), max_size=5))
def test_any_bytes(pieces: list[bytes]) -> None:
    assert gzip.decompress(b"".join(pack(iter(pieces)))) == b"".join(pieces)


def test_what_is_packed_already_costs_next_to_nothing() -> None:
    size = sum(map(len, pack([NOISE] * 5)))
    assert size < 5 * len(NOISE) * 1.0002 + 100


def test_what_packs_is_packed_beside_it() -> None:
    chance = random.Random(1)
    soft = bytes(chance.choices(range(16), k=500_000))
    size = sum(map(len, pack([NOISE, soft, NOISE, soft])))
    assert size < 2 * len(NOISE) + 2 * 0.7 * len(soft)
