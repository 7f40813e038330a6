"""Slots for pushes whose opening nobody heard of: they must not be lost with the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.network.journeys import Pair, pair
from tests.support.link import CutAfter, Flip, Turn, no_faults, type_fault

SLOTS = 1


@pytest.fixture
def between(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("slots"), slots=SLOTS) as made:
        yield made


def test_an_answer_to_the_opening_that_is_lost(between: Pair) -> None:
    """Three times in a row: the sender asks again, and is told the same."""
    left = iter([True] * 3)

    def cut(turn: Turn) -> Sequence[type_fault]:
        is_it = (turn.direction, turn.request) == ("down", "POST /transfers/push")
        return [CutAfter(0)] if is_it and next(left, False) else []

    between.push_line.choose = cut
    between.carry_right("push", "none")
    assert len(between.push_line.applied) == 3
    between.push_line.choose = no_faults
    between.carry_right("push", "gzip")


def flipped(between: Pair, request: str, at: Callable[[Turn], int]) -> dict[str, Any]:
    """The job of a push with one wrong bit in the first such request."""
    left = iter([True])

    def flip(turn: Turn) -> Sequence[type_fault]:
        is_it = turn.direction == "up" and turn.request.startswith(request)
        return [Flip(at(turn))] if is_it and next(left, False) else []

    between.push_line.choose = flip
    return between.ended("push", between.start("push", "none"), within_s=15)


def test_a_path_of_a_bucket_that_arrives_wrong(between: Pair) -> None:
    """The peer says 404, the sender begins anew, and is told the same again."""
    job = flipped(between, "PUT ", lambda turn: turn.start.index(b"/push/") + 7)
    assert job["State"] == "Success", job


def test_a_declaration_that_arrives_wrong(between: Pair) -> None:
    """With another instance than the buckets have: the peer says 404, the sender begins anew."""
    beginning = len('{"Instances":[{"ID":"')
    job = flipped(between, "POST /transfers/push", lambda turn: turn.head_bytes + beginning)
    assert job["State"] == "Success", job
