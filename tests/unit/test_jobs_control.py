"""A run's control, the signal, the watcher's rhythm: without threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.support.jobs import DEADLINE_S, Steps
from wherry import clock, limits
from wherry.errors import DatabaseUnavailable
from wherry.index import job_rows, jobs
from wherry.index.database import Index, Transaction
from wherry.index.opening import IndexSettings, open_index
from wherry.jobs.handler import Interrupted, JobControl, type_reason
from wherry.jobs.shop import Rules, Shop
from wherry.jobs.signal import Signal
from wherry.jobs.watcher import Watcher
from wherry.metrics import Metrics
from wherry.model import Job, JobState

T = TypeVar("T")


class Counting:
    """An index that counts its transactions, and fails while ``down``."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.reads = self.writes = 0
        self.down = False

    def read(self) -> AbstractContextManager[Transaction]:
        self.reads += 1
        return self._index.read()

    def write(self, work: Callable[[Transaction], T]) -> T:
        self.writes += 1
        if self.down:
            raise DatabaseUnavailable("gone")
        return self._index.write(work)


@pytest.fixture
def counting(tmp_path: Path) -> Any:
    index = open_index(IndexSettings(sqlite_path=tmp_path / "index.db"))
    yield Counting(index)
    index.close()


def a_shop(index: Any) -> Shop:
    return Shop(index, [Steps()], "a", Rules(), lambda: None, Metrics())


def a_run(shop: Shop, name: str) -> JobControl:
    now = clock.now()
    job = Job(
        id=name,
        type="Steps",
        state=JobState.RUNNING,
        priority=0,
        parameters={},
        content={"Old": True},
        checkpoint={},
        progress=0.5,
        created_at=now,
        changed_at=now,
        runtime_s=10.0,
        owner="a",
    )
    shop.index.write(lambda tx: jobs.insert(tx, job))
    run = JobControl(shop.index, job, shop.reported)
    shop.begin(run)
    return run


def row(shop: Shop, name: str) -> Job:
    with shop.index.read() as tx:
        job = job_rows.get(tx, name)
    assert job is not None
    return job


def content(shop: Shop, name: str) -> dict[str, Any]:
    return row(shop, name).content


def test_the_gravest_reason_stays() -> None:
    index: Any = None
    order: list[type_reason] = ["stop", "pause", "stop", "cancel", "pause", "lost", "cancel"]
    gravest = ["stop", "pause", "pause", "cancel", "cancel", "lost", "lost"]
    now = clock.now()
    job = Job("1", "T", JobState.RUNNING, 0, {}, {}, {}, 0.0, now, now, 0.0)
    run = JobControl(index, job, lambda run: None)
    run.check()
    for reason, expected in zip(order, gravest, strict=True):
        run.interrupt(reason)
        with pytest.raises(Interrupted) as caught:
            run.check()
        assert caught.value.reason == expected
    run = JobControl(index, job, lambda run: None)
    for requested in ("", "settle"):
        run.obey(requested)
        run.check()


def test_reports_are_taken_as_they_were_and_progress_stays_in_range(counting: Any) -> None:
    shop = a_shop(counting)
    run = a_run(shop, "1")
    shown = {"n": 1}
    run.report(shown, 1.5)
    shown["n"] = 2
    assert (run.standing().content, run.standing().progress) == ('{"n":1}', 1.0)
    run.report(None, -1)
    assert (run.standing().content, run.standing().progress) == ('{"n":1}', 0.0)
    run.report({}, None)
    assert (run.standing().content, run.standing().progress) == ("{}", 0.0)
    with pytest.raises(TypeError):
        run.report({"n": object()}, None)


def test_runtime_goes_on_where_it_was(counting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "monotonic", lambda: 100.0)
    run = a_run(a_shop(counting), "1")
    monkeypatch.setattr(clock, "monotonic", lambda: 107.5)
    assert run.standing().runtime_s == 17.5


def test_reports_of_all_runs_share_few_transactions(counting: Any) -> None:
    shop = a_shop(counting)
    first, second = a_run(shop, "1"), a_run(shop, "2")
    watcher = Watcher(shop)
    watcher.step(0.0)
    counting.writes = 0

    first.report({"n": 0}, 0.1)
    assert watcher.step(0.0) == limits.JOB_POLL_S  # the first one at once
    assert (counting.writes, content(shop, "1")) == (1, {"n": 0})

    for n in range(1000):
        first.report({"n": n}, n / 1000)
        second.report({"m": n}, None)
        assert watcher.step(0.1) == pytest.approx(limits.JOB_REPORT_S - 0.1)
    assert (counting.writes, content(shop, "1")) == (1, {"n": 0})

    watcher.step(limits.JOB_REPORT_S)
    assert counting.writes == 2
    assert (content(shop, "1"), content(shop, "2")) == ({"n": 999}, {"m": 999})
    assert (row(shop, "1").progress, row(shop, "2").progress) == (0.999, 0.5)
    assert row(shop, "1").runtime_s > 10.0
    watcher.step(10 * limits.JOB_REPORT_S)
    assert counting.writes == 2


def test_reports_survive_an_outage(counting: Any) -> None:
    shop = a_shop(counting)
    run = a_run(shop, "1")
    watcher = Watcher(shop)
    run.report({"n": 1}, None)
    counting.down = True
    watcher.step(0.0)
    counting.down = False
    watcher.step(limits.JOB_REPORT_S)
    assert content(shop, "1") == {"n": 1}


def test_a_report_that_meets_no_row_tells_the_run(counting: Any) -> None:
    shop = a_shop(counting)
    run = a_run(shop, "1")
    counting.write(lambda tx: jobs.adopt(tx, ["a"], "b", clock.now()))
    run.report({"n": 1}, None)
    Watcher(shop).step(0.0)
    with pytest.raises(Interrupted, match="lost"):
        run.check()
    assert content(shop, "1") == {"Old": True}


def test_a_late_report_does_not_hide_a_newer_save(counting: Any) -> None:
    """The report is read when it is written, not when it was made."""
    shop = a_shop(counting)
    run = a_run(shop, "1")
    run.report({"n": 1}, 0.1)
    run.save({}, {"n": 2}, 0.2)
    Watcher(shop).step(0.0)
    assert content(shop, "1") == {"n": 2}


def test_the_index_is_polled_once_a_second_with_one_snapshot(counting: Any) -> None:
    shop = a_shop(counting)
    runs = [a_run(shop, str(n)) for n in range(5)]
    watcher = Watcher(shop)
    for tenth in range(25):
        watcher.step(tenth / 10)
    assert counting.reads == 3
    for run in runs:
        run.check()
    counting.write(lambda tx: jobs.pause(tx, "1", clock.now()))
    counting.write(lambda tx: jobs.cancel(tx, "2", clock.now()))
    watcher.step(10.0)
    reasons = {}
    for run in runs:
        try:
            run.check()
        except Interrupted as interrupted:
            reasons[run.job.id] = interrupted.reason
    assert reasons == {"1": "pause", "2": "cancel"}


def test_a_run_that_is_over_is_not_reported_any_more(counting: Any) -> None:
    shop = a_shop(counting)
    run = a_run(shop, "1")
    run.report({"n": 1}, None)
    shop.end(run)
    run.report({"n": 2}, None)
    assert not shop.any_reports()


def test_who_begins_after_the_stop_is_stopped(counting: Any) -> None:
    shop = a_shop(counting)
    shop.stop()
    with pytest.raises(Interrupted, match="stop"):
        a_run(shop, "1").check()


def test_a_signal_between_looking_and_sleeping_is_not_lost() -> None:
    signal = Signal()
    seen = signal.seen()
    signal.give()
    signal.wait(seen)  # returns at once
    woken = threading.Event()

    def sleep() -> None:
        signal.wait(signal.seen(), DEADLINE_S)
        woken.set()

    thread = threading.Thread(target=sleep)
    thread.start()
    while not woken.wait(0.001):
        signal.give()
    thread.join(DEADLINE_S)
    signal.wait(signal.seen(), 0.0)
