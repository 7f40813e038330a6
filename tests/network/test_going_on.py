"""A bucket that is cut off in the middle goes on where it stopped: a line that never lasts for the
length of a bucket brings it all the same, and carries little twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.network.journeys import Pair, pair
from tests.support.link import CutAfter, Turn, no_faults, type_fault

LASTS = 60_000
"""Bytes of a bucket after which the connection is cut."""


@pytest.fixture(scope="module")
def between(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The whole study fits in a few buckets."""
    with pair(tmp_path_factory.mktemp("going-on"), bucket_kib=256) as made:
        yield made


def short_lived(turn: Turn) -> Sequence[type_fault]:
    """Neither requests nor answers get further than so much, but for small ones."""
    if turn.request.startswith(("PUT ", "GET /transfers/chunks")):
        return [CutAfter(turn.head_bytes + LASTS)]
    return ()


@pytest.mark.parametrize("compression", ["none", "auto"])
@pytest.mark.parametrize("way", ["push", "pull"])
def test_no_connection_lasts(between: Pair, way: str, compression: str) -> None:
    line = between.line(way)
    line.applied.clear()
    line.choose = short_lived
    try:
        job = between.carry_right(way, compression)
    finally:
        line.choose = no_faults
    assert job["Content"]["RetriedHttpQueries"] >= len(line.applied) >= 2
