"""A transfer finds the settings that let most bytes arrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from wherry.transfers.tuning import Knob, Tuner

WORKERS = [1, 2, 4, 8, 16]
LADDER = ["none", "fast", "small", "smallest"]


def run(speed: Callable[[int, str], float], buckets: int = 4000, start: int = 2) -> tuple[int, str]:
    """Buckets of one byte, one after the other, at the speed of the settings; the settings that
    were used most in the last half."""
    tuner = Tuner([Knob(WORKERS, start), Knob(LADDER, 2)])
    used: Counter[tuple[int, str]] = Counter()
    now = 0.0
    for number in range(buckets):
        workers, packing = (knob.value for knob in tuner.knobs)
        assert isinstance(workers, int)
        if number > buckets // 2:
            used[workers, str(packing)] += 1
        now += 1 / speed(workers, str(packing))
        tuner.arrived(tuner.mark, 1, now, workers)
    return used.most_common(1)[0][0]


def test_a_slow_line_is_packed_for() -> None:
    ratio = {"none": 1.0, "fast": 0.5, "small": 0.4, "smallest": 0.3}
    assert (run(lambda _, packing: 100 / ratio[packing]))[1] == "smallest"


def test_a_fast_line_is_not() -> None:
    cost = {"none": 1.0, "fast": 2.0, "small": 3.0, "smallest": 9.0}
    assert (run(lambda _, packing: 100 / cost[packing]))[1] == "none"


def test_a_long_line_is_filled() -> None:
    assert (run(lambda workers, _: 10.0 * min(workers, 16)))[0] == 16
    assert (run(lambda workers, _: 10.0 * min(workers, 5)))[0] == 8


@pytest.mark.parametrize("start", [2, 4])
def test_what_makes_no_difference_is_left_alone(start: int) -> None:
    """Of equal settings the transfer keeps those that it has, but for a trial now and then."""
    used: Counter[tuple[int, str]] = Counter()

    def speed(workers: int, packing: str) -> float:
        used[workers, packing] += 1
        return 100.0

    run(speed, start=start)
    assert used[WORKERS[start], "small"] > 0.6 * used.total()


def test_too_many_requests_are_taken_back() -> None:
    assert (run(lambda workers, _: 100.0 / workers))[0] == 1


def test_what_was_begun_before_says_nothing() -> None:
    tuner = Tuner([Knob(WORKERS, 2), Knob(LADDER, 2)])
    for now in range(1000):
        tuner.arrived(-1, 1, float(now), 4)
    assert tuner.mark == 0


def test_it_follows_a_line_that_changes() -> None:
    ratio = {"none": 1.0, "fast": 0.5, "small": 0.4, "smallest": 0.3}
    cost = {"none": 1.0, "fast": 2.0, "small": 3.0, "smallest": 9.0}
    done = 0

    def speed(_: int, packing: str) -> float:
        nonlocal done
        done += 1
        return 100 / (ratio if done < 4000 else cost)[packing]

    assert (run(speed, 12_000))[1] == "none"
