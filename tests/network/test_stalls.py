"""A line that falls silent: requests and answers end by their timeout, and the transfer ends right.

A stall is longer than what the peer is given (``Timeout``); what comes after it comes too late, or
never. Shorter ones only cost time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import pytest

from tests.network.journeys import WAYS, Pair, pair, some, until
from tests.support.link import StallAfter, Turn, type_fault

STALLS = 12
"""For each way."""
_TIMEOUT_S = 1
_BUCKET_BYTES = 8192


@pytest.fixture(scope="module")
def between(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("stalls"), timeout_s=_TIMEOUT_S) as made:
        yield made


def stall(seconds: float, random: Random, turn: Turn) -> Sequence[type_fault]:
    length = turn.length or turn.head_bytes + _BUCKET_BYTES
    at = random.choice((0, turn.head_bytes, length - 1, random.randrange(length)))
    return [StallAfter(at, seconds, cut=random.random() < 0.5)]


@pytest.mark.parametrize(("way", "compression"), WAYS)
def test_long_stalls(between: Pair, way: str, compression: str) -> None:
    def make(random: Random, turn: Turn) -> Sequence[type_fault]:
        return stall(1.5 * _TIMEOUT_S, random, turn)

    until(between, way, compression, some(STALLS), f"stalls {way} {compression}", make, share=0.05)


@pytest.mark.parametrize(("way", "compression"), WAYS)
def test_short_stalls(between: Pair, way: str, compression: str) -> None:
    """Of the connections that are not cut, none is given up."""

    def make(random: Random, turn: Turn) -> Sequence[type_fault]:
        return [StallAfter(fault.at, 0.05, cut=False) for fault in stall(0, random, turn)]  # type: ignore[attr-defined]

    seed = f"hiccups {way} {compression}"
    until(between, way, compression, some(4 * STALLS), seed, make, share=0.3)
