"""One engine: running, interrupting, failing, settling, stopping."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import pytest

from tests.support.jobs import DEADLINE_S, Steps, engine_on, eventually, reaches
from wherry import clock, limits
from wherry.errors import (
    DatabaseUnavailable,
    NetworkProtocol,
    ParameterOutOfRange,
    Unavailable,
)
from wherry.index import job_rows
from wherry.index.database import Index, Transaction
from wherry.jobs.engine import JobEngine
from wherry.jobs.handler import Interrupted, JobControl
from wherry.jobs.shop import Rules
from wherry.model import Job, JobState

PENDING, RUNNING, SUCCESS = JobState.PENDING, JobState.RUNNING, JobState.SUCCESS
FAILURE, PAUSED = JobState.FAILURE, JobState.PAUSED
T = TypeVar("T")


class Once:
    """Calls a function with its control; nothing to settle."""

    type = "Once"

    def __init__(self, function: Callable[[JobControl], None]) -> None:
        self._function = function

    def run(self, control: JobControl) -> None:
        self._function(control)

    def settle(self, job: Job) -> None:
        pass


def test_a_job_runs_to_success(index: Index) -> None:
    handler = Steps()
    with engine_on(index, handler) as engine:
        job_id = engine.submit("Steps", {"steps": 3}, priority=4, username="alice")
        job = reaches(engine, job_id, SUCCESS)
    assert handler.done == [(job_id, 0), (job_id, 1), (job_id, 2)]
    assert (job.content, job.progress, job.checkpoint) == ({"Done": 3}, 1.0, {})
    assert (job.priority, job.username, job.owner, job.error_code) == (4, "alice", "", 0)
    assert job.completed_at is not None
    assert job.created_at <= job.completed_at
    assert handler.runs[0].owner == "process-a"
    assert handler.settled == []


def test_the_handler_decides_content_and_success_means_all_of_it(index: Index) -> None:
    with engine_on(index, Once(lambda control: control.report({"Note": "é"}, 0.25))) as engine:
        job = reaches(engine, engine.submit("Once", {}), SUCCESS)
    assert (job.content, job.progress) == ({"Note": "é"}, 1.0)


def test_higher_priority_first_and_equal_ones_in_order(index: Index) -> None:
    handler = Steps()
    engine = JobEngine(
        index, [handler], process_id="a", rules=Rules(concurrency=1, history_size=100)
    )
    priorities = [0, 5, 0, -1, 5, 0]
    names = [engine.submit("Steps", {"steps": 1}, priority=p) for p in priorities]
    engine.start()
    try:
        for name in names:
            reaches(engine, name, SUCCESS)
    finally:
        engine.stop()
    assert [job_id for job_id, _ in handler.done] == [names[n] for n in (1, 4, 0, 2, 5, 3)]


def test_only_so_many_run_at_once(index: Index) -> None:
    handler = Steps(gated=True)
    with engine_on(index, handler, concurrency=2) as engine:
        names = [engine.submit("Steps", {"steps": 1}) for _ in range(3)]
        handler.wait_in_step()
        handler.wait_in_step()
        assert engine.counts()[RUNNING] == 2
        assert reaches(engine, names[2], PENDING).state is PENDING
        handler.allow(3)
        for name in names:
            reaches(engine, name, SUCCESS)


def test_cancel_takes_effect_between_steps_and_settles(index: Index) -> None:
    handler = Steps(gated=True)
    with engine_on(index, handler) as engine:
        job_id = engine.submit("Steps", {"steps": 3})
        handler.allow()
        handler.wait_in_step()
        handler.wait_in_step()  # in the second step
        assert engine.cancel(job_id)
        running = reaches(engine, job_id, RUNNING)
        assert running.requested == "cancel"
        assert engine.resubmit(job_id) is False
        handler.allow()
        job = reaches(engine, job_id, FAILURE)
        eventually(lambda: handler.settled, "settling")
    assert (job.error_code, job.error_details, job.content) == (37, "", {"Done": 2})
    assert handler.done == [(job_id, 0), (job_id, 1)]
    assert handler.interruptions == ["cancel"]
    assert [(s.id, s.checkpoint) for s in handler.settled] == [(job_id, {"done": 2})]


def test_a_job_that_ends_before_it_obeys_has_ended(index: Index) -> None:
    handler = Steps(gated=True)
    with engine_on(index, handler) as engine:
        job_id = engine.submit("Steps", {"steps": 1})
        handler.wait_in_step()
        assert engine.cancel(job_id)
        handler.allow()
        job = reaches(engine, job_id, SUCCESS, FAILURE)
    assert (job.state, job.requested) == (SUCCESS, "")


def test_cancel_of_a_waiting_job_settles_too(index: Index) -> None:
    handler = Steps(gated=True)
    with engine_on(index, handler) as engine:
        first = engine.submit("Steps", {"steps": 1})
        handler.wait_in_step()
        second = engine.submit("Steps", {"steps": 1})
        assert engine.cancel(second)
        assert reaches(engine, second, FAILURE).error_code == 37
        eventually(lambda: handler.settled, "settling")  # although the only worker is busy
        handler.allow()
        reaches(engine, first, SUCCESS)
    assert [job.id for job in handler.settled] == [second]
    assert handler.done == [(first, 0)]


def test_pause_keeps_the_position_and_frees_the_worker(index: Index) -> None:
    handler = Steps(gated=True)
    with engine_on(index, handler) as engine:
        job_id = engine.submit("Steps", {"steps": 4})
        handler.allow()
        handler.wait_in_step()
        handler.wait_in_step()
        assert engine.pause(job_id)
        assert engine.resume(job_id) is False  # it has not taken effect yet
        handler.allow()
        paused = reaches(engine, job_id, PAUSED)
        assert (paused.progress, paused.checkpoint, paused.owner) == (0.5, {"done": 2}, "")
        assert paused.completed_at is None
        handler.allow(3)
        other = engine.submit("Steps", {"steps": 1})
        reaches(engine, other, SUCCESS)
        assert engine.resume(job_id)
        job = reaches(engine, job_id, SUCCESS)
    assert handler.done == [(job_id, 0), (job_id, 1), (other, 0), (job_id, 2), (job_id, 3)]
    assert job.runtime_s >= paused.runtime_s > 0
    assert handler.interruptions == ["pause"]
    assert handler.settled == []


def test_cancel_beats_a_pause_that_is_under_way(index: Index) -> None:
    handler = Steps(gated=True)
    with engine_on(index, handler) as engine:
        job_id = engine.submit("Steps", {"steps": 2})
        handler.wait_in_step()
        assert engine.cancel(job_id)
        assert engine.pause(job_id)
        handler.allow()
        assert reaches(engine, job_id, FAILURE, PAUSED).error_code == 37


def test_failure_tells_its_cause_and_resubmit_starts_from_zero(index: Index) -> None:
    handler = Steps(fail_at=1, error=NetworkProtocol("Peer ward-7 answered\0 500"))
    with engine_on(index, handler) as engine:
        job_id = engine.submit("Steps", {"steps": 3})
        job = reaches(engine, job_id, FAILURE)
        assert (job.error_code, job.error_details) == (9, "Peer ward-7 answered 500")
        assert (job.content, job.progress) == ({"Done": 1}, 1 / 3)
        eventually(lambda: handler.settled, "settling")
        handler.error = None
        assert engine.resubmit(job_id)
        job = reaches(engine, job_id, SUCCESS)
    assert [run.checkpoint for run in handler.runs] == [{}, {}]
    assert [step for _, step in handler.done] == [0, 0, 1, 2]
    assert (job.error_code, job.error_details) == (0, "")
    assert [s.checkpoint for s in handler.settled] == [{"done": 1}]


def test_a_defect_is_minus_one_without_its_words(
    index: Index, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Steps(fail_at=0, error=KeyError("/srv/secret"))
    with caplog.at_level(logging.ERROR), engine_on(index, handler) as engine:
        job = reaches(engine, engine.submit("Steps", {"steps": 1}), FAILURE)
    assert job.error_code == -1
    assert "KeyError" in job.error_details
    assert "secret" not in job.error_details
    assert any(record.exc_info for record in caplog.records)


def test_details_are_bounded(index: Index) -> None:
    handler = Steps(fail_at=0, error=NetworkProtocol("x" * 10_000 + "\ud800"))
    with engine_on(index, handler) as engine:
        job = reaches(engine, engine.submit("Steps", {"steps": 1}), FAILURE)
    assert job.error_details == "x" * limits.JOB_ERROR_CHARACTERS


def test_a_resubmitted_job_waits_until_its_last_run_is_settled(index: Index) -> None:
    settling, settled = threading.Event(), threading.Event()

    class Slow(Steps):
        def settle(self, job: Job) -> None:
            settling.set()
            assert settled.wait(DEADLINE_S)
            super().settle(job)

    handler = Slow(fail_at=1, error=NetworkProtocol("no"))
    with engine_on(index, handler) as engine:
        job_id = engine.submit("Steps", {"steps": 2})
        assert settling.wait(DEADLINE_S)
        handler.error = None
        assert engine.resubmit(job_id)
        reaches(engine, engine.submit("Steps", {"steps": 1}), SUCCESS)  # the worker is free
        assert reaches(engine, job_id, PENDING).checkpoint == {"done": 1}
        settled.set()
        reaches(engine, job_id, SUCCESS)
    assert [s.checkpoint for s in handler.settled] == [{"done": 1}]
    assert [run.checkpoint for run in handler.runs if run.id == job_id] == [{}, {}]


def test_an_error_while_settling_is_logged_and_forgotten(
    index: Index, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Steps):
        def settle(self, job: Job) -> None:
            super().settle(job)
            raise RuntimeError("nobody there")

    handler = Broken(fail_at=0, error=NetworkProtocol("no"))
    with caplog.at_level(logging.ERROR), engine_on(index, handler) as engine:
        job_id = engine.submit("Steps", {"steps": 1})

        def forgotten() -> bool:
            job = engine.get(job_id)
            return job is not None and job.state is FAILURE and job.requested == ""

        eventually(forgotten, "settling")
    assert len(handler.settled) == 1
    assert "left something behind" in caplog.text


def test_stop_puts_jobs_back_and_the_next_engine_goes_on(index: Index) -> None:
    handler = Steps(gated=True)
    with engine_on(index, handler, process_id="first") as engine:
        job_id = engine.submit("Steps", {"steps": 4})
        handler.allow()
        handler.wait_in_step()
        handler.wait_in_step()
        stopper = threading.Thread(target=engine.stop)
        stopper.start()
        eventually(engine._shop.stopping.is_set)
        handler.allow()
        stopper.join(DEADLINE_S)
    job = engine.get(job_id)
    assert job is not None
    assert (job.state, job.checkpoint, job.owner) == (PENDING, {"done": 2}, "")
    assert handler.interruptions == ["stop"]
    handler.allow(2)
    with engine_on(index, handler, process_id="second") as engine:
        reaches(engine, job_id, SUCCESS)
    assert [step for _, step in handler.done] == [0, 1, 2, 3]
    assert handler.settled == []


def test_stop_does_not_wait_for_ever(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "JOB_STOP_S", 0.0)
    handler = Steps(gated=True)
    engine = JobEngine(
        index, [handler], process_id="a", rules=Rules(concurrency=1, history_size=10)
    )
    engine.start()
    job_id = engine.submit("Steps", {"steps": 2})
    handler.wait_in_step()
    engine.stop()
    assert reaches(engine, job_id, RUNNING).owner == "a"
    handler.allow()  # obeys at last
    assert reaches(engine, job_id, PENDING).checkpoint == {"done": 1}
    for thread in engine._threads:
        thread.join(DEADLINE_S)


def test_an_engine_that_was_never_started_can_be_asked_and_stopped(index: Index) -> None:
    engine = JobEngine(
        index, [Steps()], process_id="a", rules=Rules(concurrency=0, history_size=10)
    )
    job_id = engine.submit("Steps", {"steps": 1})
    assert engine.ids() == [job_id]
    engine.stop()


def test_history_keeps_the_latest_completions(index: Index) -> None:
    handler = Steps()
    with engine_on(index, handler, history_size=2) as engine:
        names = [engine.submit("Steps", {"steps": 1}) for _ in range(5)]
        eventually(lambda: engine.ids() == sorted(names[3:]), "trimming")
        failed = engine.submit("Steps", {"steps": 1})
        reaches(engine, failed, SUCCESS)
        assert engine.ids() == sorted([names[4], failed])


def test_a_history_of_none(index: Index) -> None:
    handler = Steps(fail_at=0, error=NetworkProtocol("no"))
    with engine_on(index, handler, history_size=0) as engine:
        engine.submit("Steps", {"steps": 1})
        eventually(lambda: handler.settled and engine.ids() == [], "trimming")


def test_submissions_out_of_bounds(index: Index) -> None:
    engine = JobEngine(index, [Steps()], process_id="a", rules=Rules(pending=2))
    with pytest.raises(ParameterOutOfRange):
        engine.submit("Nonsense", {})
    for priority in (2**31, -(2**31) - 1):
        with pytest.raises(ParameterOutOfRange):
            engine.submit("Steps", {}, priority=priority)
    names = [engine.submit("Steps", {}, priority=p) for p in (2**31 - 1, -(2**31))]
    with pytest.raises(Unavailable):
        engine.submit("Steps", {})
    assert engine.ids() == sorted(names)


def test_a_checkpoint_and_its_work_are_one_transaction(index: Index) -> None:
    seen: list[object] = []

    def count(tx: Transaction) -> int:
        row = tx.one("SELECT COUNT(*) FROM settings")
        assert row is not None
        return int(row[0])

    def put(tx: Transaction) -> None:
        tx.run("INSERT INTO settings (key, value) VALUES (?, ?)", (clock.new_uuid(), "1"))

    def fail(tx: Transaction) -> None:
        put(tx)
        raise NetworkProtocol("undo")

    def steps(control: JobControl) -> None:
        control.save({"done": 1}, also=put)
        seen.append(index.write(count))
        with pytest.raises(NetworkProtocol):
            control.save({"done": 2}, also=fail)
        seen.append(index.write(count))
        with index.read() as tx:
            job = job_rows.get(tx, control.job.id)
        seen.append(job.checkpoint if job else None)
        index.write(lambda tx: (control.save_within(tx, {"done": 3}), put(tx)))
        seen.append(index.write(count))

    with engine_on(index, Once(steps)) as engine:
        reaches(engine, engine.submit("Once", {}), SUCCESS)
    assert seen == [1, 1, {"done": 1}, 2]


def test_a_request_between_the_claim_and_the_run_is_heard(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOB_POLL_S", 3600.0)  # the watcher will not help
    handler = Steps()
    engine = JobEngine(
        index, [handler], process_id="a", rules=Rules(concurrency=1, history_size=10)
    )
    begin = engine._shop.begin

    def late(run: JobControl) -> None:
        assert engine.cancel(run.job.id)
        begin(run)

    monkeypatch.setattr(engine._shop, "begin", late)
    job_id = engine.submit("Steps", {"steps": 1})
    engine.start()
    try:
        job = reaches(engine, job_id, SUCCESS, FAILURE)
    finally:
        engine.stop()
    assert (job.error_code, handler.done) == (37, [])


class Outage:
    """An index that is out of reach while ``down`` is set."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.down = threading.Event()
        self.met = threading.Semaphore(0)

    def _check(self) -> None:
        if self.down.is_set():
            self.met.release()
            raise DatabaseUnavailable("gone")

    def read(self) -> AbstractContextManager[Transaction]:
        self._check()
        return self._index.read()

    def write(self, work: Callable[[Transaction], T]) -> T:
        self._check()
        return self._index.write(work)


def test_an_index_out_of_reach_is_not_the_jobs_fault(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOB_POLL_S", 0.01)
    outage: Any = Outage(index)
    handler = Steps(gated=True)
    with engine_on(outage, handler) as engine:
        job_id = engine.submit("Steps", {"steps": 2})
        handler.allow()
        handler.wait_in_step()
        handler.wait_in_step()
        outage.down.set()
        handler.allow()  # its save fails, and so does writing down that it failed
        for _ in range(20):
            assert outage.met.acquire(timeout=DEADLINE_S)
        outage.down.clear()
        handler.allow(2)
        reaches(engine, job_id, SUCCESS)
    assert [step for _, step in handler.done] == [0, 1, 1]
    assert handler.settled == []


def test_a_handler_may_sleep_until_it_is_interrupted(index: Index) -> None:
    asleep = threading.Event()
    reasons: list[str] = []

    def sleep(control: JobControl) -> None:
        control.wait(0.0)
        asleep.set()
        try:
            control.wait(DEADLINE_S * 10)
        except Interrupted as interrupted:
            reasons.append(interrupted.reason)
            raise

    with engine_on(index, Once(sleep)) as engine:
        job_id = engine.submit("Once", {})
        assert asleep.wait(DEADLINE_S)
        assert engine.cancel(job_id)
        reaches(engine, job_id, FAILURE)
    assert reasons == ["cancel"]
