"""Connections that are cut at any byte, on three kinds of line: every transfer ends right.

A cut may fall before the first byte of a request, into its head or body, behind its last byte (the
peer acts, and nobody hears of it), or anywhere in the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from random import Random

import pytest

from bench.link import Line
from tests.network.journeys import WAYS, Pair, pair, some, until
from tests.support.link import CutAfter, Turn, type_fault

CUTS = 100
"""For each kind of line, over all ways."""

PROFILES = {
    "next door": Line,
    "another town": partial(Line, delay_s=0.025, rate_bytes_per_s=100e6 / 8),
    "mobile": partial(Line, delay_s=0.04, rate_bytes_per_s=8e6 / 8),
}
_BUCKET_BYTES = 8192


@pytest.fixture(scope="module", params=list(PROFILES))
def between(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("cuts"), PROFILES[request.param]) as made:
        yield made


def cut(random: Random, turn: Turn) -> Sequence[type_fault]:
    """Often at an edge, where parsers and states change."""
    length = turn.length or turn.head_bytes + _BUCKET_BYTES
    edges = (0, 1, turn.head_bytes, length - 1, length)
    return [CutAfter(random.choice(edges) if random.random() < 0.4 else random.randrange(length))]


@pytest.mark.parametrize(("way", "compression"), WAYS)
def test_cuts(between: Pair, way: str, compression: str) -> None:
    seed = f"cuts {way} {compression}"
    until(between, way, compression, some(CUTS // len(WAYS)), seed, cut, share=0.15, most=2)
