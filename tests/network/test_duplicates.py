"""Answers that come twice: at once, or in the place of the next one on the same connection.

A proxy that loses count of its connections does that. Who believes the second copy has an answer to
another question than it asked: that a bucket arrived which never did, or one bucket's bytes for
those of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import pytest

from tests.network.journeys import WAYS, Pair, pair, some, until
from tests.support.link import Repeat, RepeatLate, Turn, type_fault

DUPLICATES = 40
"""For each way and kind."""


@pytest.fixture(scope="module")
def between(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("duplicates"), timeout_s=1, slots=10_000) as made:
        yield made


@pytest.mark.parametrize(("way", "compression"), WAYS)
def test_an_answer_twice_at_once(between: Pair, way: str, compression: str) -> None:
    def make(_: Random, turn: Turn) -> Sequence[type_fault]:
        known = turn.direction == "down" and turn.length
        return [Repeat(known)] if known else []

    seed = f"twice {way} {compression}"
    until(between, way, compression, some(DUPLICATES), seed, make, share=0.4)


@pytest.mark.parametrize(("way", "compression"), WAYS)
def test_an_answer_once_more_before_the_next(between: Pair, way: str, compression: str) -> None:
    def make(_: Random, turn: Turn) -> Sequence[type_fault]:
        return [RepeatLate()] if turn.direction == "down" else []

    seed = f"late {way} {compression}"
    until(between, way, compression, DUPLICATES, seed, make, share=0.1)
