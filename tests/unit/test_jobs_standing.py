"""How far a job is that sends instances: what is kept of it, and when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.support.jobs import DEADLINE_S, eventually
from wherry import limits
from wherry.errors import DatabaseUnavailable
from wherry.jobs.behind import Behind
from wherry.jobs.standing import Standing

NAMES = [f"{number:08x}" for number in range(200)]


class Job:
    """What ``JobControl`` shows of its job."""

    def __init__(self, checkpoint: dict[str, Any]) -> None:
        self.checkpoint = checkpoint


class Control:
    """Keeps what is saved; ``gate`` is waited for meanwhile."""

    def __init__(self, checkpoint: dict[str, Any] | None = None) -> None:
        self.job = Job(checkpoint or {})
        self.saved: list[dict[str, Any]] = []
        self.gate: Callable[[], object] = lambda: None

    def save(self, checkpoint: Mapping[str, Any], content: object, progress: object) -> None:
        self.gate()
        self.saved.append(dict(checkpoint))

    def report(self, content: object, progress: object) -> None:
        pass


def standing(control: Control, *, behind: bool, names: list[str] = NAMES) -> Standing:
    return Standing(names, {}, control, sizes=False, behind=behind)  # type: ignore[arg-type]


@pytest.mark.parametrize("behind", [False, True])
def test_a_checkpoint_now_and_then(behind: bool) -> None:
    control = Control()
    one = standing(control, behind=behind)
    for place in range(120):
        one.stored(place, 1)
    one.settle()
    assert len(control.saved) == 2
    assert control.saved[0]["Done"] == f"0-{limits.STORE_SAVED - 1}"
    one.save()
    assert control.saved[-1]["Done"] == "0-119"
    again = standing(Control(control.saved[-1]), behind=behind)
    assert again.left() == list(range(120, 200))
    assert again.done() == list(range(120))


def test_other_instances_begin_anew() -> None:
    control = Control()
    one = standing(control, behind=False)
    one.stored(3, 1)
    one.save()
    assert standing(Control(control.saved[-1]), behind=False, names=NAMES[1:]).done() == []


def test_the_work_goes_on_while_a_checkpoint_is_written_and_waits_for_it_at_the_next() -> None:
    control = Control()
    gate, entered = threading.Event(), threading.Semaphore(0)

    def wait() -> None:
        entered.release()
        assert gate.wait(DEADLINE_S)

    control.gate = wait
    one = standing(control, behind=True)
    reached: list[int] = []

    def work() -> None:
        for place in range(150):
            one.stored(place, 1)
            reached.append(place)

    thread = threading.Thread(target=work)
    thread.start()
    assert entered.acquire(timeout=DEADLINE_S)
    eventually(lambda: len(reached) == 2 * limits.STORE_SAVED - 1, "the next checkpoint")
    assert thread.is_alive()
    assert control.saved == []
    gate.set()
    thread.join(DEADLINE_S)
    one.settle()
    assert [saved["Done"] for saved in control.saved] == ["0-49", "0-99", "0-149"]


def test_without_that_nobody_runs_ahead_of_a_checkpoint() -> None:
    """Several threads; while one writes, the others come to their next step and wait."""
    control = Control()
    gate, entered = threading.Event(), threading.Semaphore(0)

    def wait() -> None:
        entered.release()
        assert gate.wait(DEADLINE_S)

    control.gate = wait
    one = standing(control, behind=False)
    places = iter(range(2 * limits.STORE_SAVED - 1))
    lock = threading.Lock()
    begun: list[int] = []

    def work() -> None:
        while True:
            with lock:
                place = next(places, None)
                if place is None:
                    return
                begun.append(place)
            one.stored(place, 1)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert entered.acquire(timeout=DEADLINE_S)
    eventually(lambda: len(begun) >= limits.STORE_SAVED + 2, "the others at their next step")
    assert len(begun) <= limits.STORE_SAVED + len(threads)
    gate.set()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(begun) == 2 * limits.STORE_SAVED - 1


def test_a_checkpoint_that_could_not_be_written_is_found_out() -> None:
    control = Control()

    def fail() -> None:
        raise DatabaseUnavailable

    control.gate = fail
    one = standing(control, behind=True)
    with pytest.raises(DatabaseUnavailable):
        for place in range(2 * limits.STORE_SAVED):
            one.stored(place, 1)
    one.settle()  # said once


def test_the_end_waits_for_what_goes_on_behind() -> None:
    done = []
    gate = threading.Event()
    behind = Behind()
    behind.begin(lambda: done.append(gate.wait(DEADLINE_S)))
    threading.Timer(0.01, gate.set).start()
    behind.wait()
    assert done == [True]
    behind.wait()
