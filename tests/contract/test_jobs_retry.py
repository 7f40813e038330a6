"""The state Retry: a temporary failure is waited out, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.support.jobs import Steps, engine_on, eventually, reaches
from wherry import clock
from wherry.config.retries import JobRetries, RetryPolicy
from wherry.errors import NetworkProtocol, PeerUnavailable
from wherry.index import job_events, job_rows, jobs
from wherry.index.database import Index
from wherry.jobs.engine import JobEngine
from wherry.jobs.handler import JobControl
from wherry.jobs.shop import Rules
from wherry.model import Job, JobState

P, R, S = JobState.PENDING, JobState.RUNNING, JobState.SUCCESS
F, W, T = JobState.FAILURE, JobState.PAUSED, JobState.RETRY
SOON = RetryPolicy(attempts=3, first_delay_s=1, longest_delay_s=1)
LATE = RetryPolicy(attempts=3, first_delay_s=3600, longest_delay_s=3600)


class Unreachable(Steps):
    """Fails ``times`` times, each time after ``steps`` saved steps more; then succeeds."""

    def __init__(self, times: int, *, progress: bool = False, after_s: float | None = None) -> None:
        super().__init__()
        self.times = times
        self.progress = progress
        self.after_s = after_s

    def run(self, control: JobControl) -> None:
        self.runs.append(control.job)
        if len(self.runs) > self.times:
            return
        if self.progress:
            done = len(self.runs)
            control.save({"done": done}, {"Done": done}, done / 100)
        error = PeerUnavailable(f"no answer {len(self.runs)}")
        error.retry_after_s = self.after_s
        raise error


def rules(policy: RetryPolicy) -> Rules:
    return Rules(concurrency=1, history_size=100, retries=JobRetries(default=policy))


def states_of(index: Index, job_id: str) -> list[JobState]:
    with index.read() as tx:
        return [e.state for e in job_events.after(tx, 0, 1000) if e.job_id == job_id]


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortest delay that chance allows."""
    monkeypatch.setattr(clock, "random_share", lambda: 0.0)


def test_it_waits_and_goes_on(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch)
    handler = Unreachable(2)
    with engine_on(index, handler, rules=rules(SOON)) as engine:
        job_id = engine.submit("Steps", {"steps": 1})
        waiting = reaches(engine, job_id, T)
        assert (waiting.error_code, waiting.attempts) == (9, len(handler.runs))
        assert waiting.error_details.startswith("no answer")
        assert waiting.retry_at is not None
        job = reaches(engine, job_id, S)
    assert (job.attempts, job.retry_at, job.error_code, job.error_details) == (0, None, 0, "")
    assert states_of(index, job_id) == [P, R, T, P, R, T, P, R, S]
    assert [run.attempts for run in handler.runs] == [0, 1, 2]


def test_it_gives_up_and_says_why(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch)
    handler = Unreachable(100)
    policy = RetryPolicy(attempts=1, first_delay_s=1)
    with engine_on(index, handler, rules=rules(policy)) as engine:
        job_id = engine.submit("Steps", {"steps": 1})
        job = reaches(engine, job_id, F)
        eventually(lambda: handler.settled, "settling")
    assert (job.error_code, job.error_details, len(handler.runs)) == (9, "no answer 2", 2)
    assert states_of(index, job_id) == [P, R, T, P, R, F]


def test_who_comes_further_has_all_attempts_again(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(monkeypatch)
    handler = Unreachable(3, progress=True)
    with engine_on(index, handler, rules=rules(RetryPolicy(1, 1, 1))) as engine:
        reaches(engine, engine.submit("Steps", {"steps": 1}), S)
    assert [run.attempts for run in handler.runs] == [0, 1, 1, 1]
    assert [run.checkpoint for run in handler.runs] == [{}, {"done": 1}, {"done": 2}, {"done": 3}]


@pytest.mark.parametrize(
    ("policy", "may_retry"), [(LATE, False), (RetryPolicy(attempts=0), True)], ids=["waited", "0"]
)
def test_a_job_that_may_not_be_put_off_fails_at_once(
    index: Index, policy: RetryPolicy, may_retry: bool
) -> None:
    handler = Unreachable(1)
    with engine_on(index, handler, rules=rules(policy)) as engine:
        job_id = engine.submit("Steps", {"steps": 1}, may_retry=may_retry)
        assert reaches(engine, job_id, F, T).state is F


def test_only_temporary_errors_are_waited_out(index: Index) -> None:
    handler = Steps(fail_at=0, error=NetworkProtocol("nonsense"))
    with engine_on(index, handler, rules=rules(SOON)) as engine:
        job_id = engine.submit("Steps", {"steps": 1})
        assert reaches(engine, job_id, F, T).state is F


def test_the_other_side_says_when(index: Index) -> None:
    with engine_on(index, Unreachable(1, after_s=5000), rules=rules(SOON)) as engine:
        before = clock.now()
        job = reaches(engine, engine.submit("Steps", {"steps": 1}), T)
    assert job.retry_at is not None
    assert job.retry_at - before >= timedelta(seconds=5000)


@pytest.mark.parametrize(("action", "after"), [("cancel", F), ("pause", W)])
def test_while_it_waits_it_obeys(index: Index, action: str, after: JobState) -> None:
    handler = Unreachable(1)
    with engine_on(index, handler, rules=rules(LATE)) as engine:
        job_id = engine.submit("Steps", {"steps": 1})
        reaches(engine, job_id, T)
        assert getattr(engine, action)(job_id)
        job = engine.get(job_id)
        assert job is not None
        assert (job.state, job.retry_at) == (after, None)
        if after is W:
            assert engine.resume(job_id)
            job = reaches(engine, job_id, S)
            assert (job.attempts, len(handler.runs)) == (0, 2)


@pytest.mark.parametrize(("action", "after"), [("cancel", F), ("pause", W)])
def test_what_was_asked_for_during_the_run_wins(index: Index, action: str, after: JobState) -> None:
    handler = Steps(gated=True, fail_at=0, error=PeerUnavailable("gone"))
    with engine_on(index, handler, rules=rules(LATE)) as engine:
        job_id = engine.submit("Steps", {"steps": 2})
        handler.wait_in_step()
        assert getattr(engine, action)(job_id)
        handler.allow()
        job = reaches(engine, job_id, after, T)
    assert job.state is after
    assert job.error_code == (37 if after is F else 0)


def test_another_process_goes_on_when_it_is_due(index: Index) -> None:
    then = clock.now() - timedelta(hours=1)
    job = Job("x", "Steps", T, 0, {"steps": 1}, {}, {}, 0.0, then, then, 0.0, retry_at=then)
    later = Job("y", "Steps", T, 0, {"steps": 1}, {}, {}, 0.0, then, then, 0.0)
    index.write(lambda tx: jobs.insert(tx, job))
    due_tomorrow = clock.now() + timedelta(days=1)
    index.write(lambda tx: jobs.insert(tx, _at(later, due_tomorrow)))
    handler = Steps()
    with engine_on(index, handler) as engine:
        reaches(engine, "x", S)
        assert engine.counts()[T] == 1
    assert [run.id for run in handler.runs] == ["x"]


def test_a_due_job_is_found_by_looking(index: Index) -> None:
    now = clock.now()
    job = Job("x", "Steps", T, 0, {}, {}, {}, 0.0, now, now, 0.0)
    index.write(lambda tx: jobs.insert(tx, _at(job, now)))
    with index.read() as tx:
        assert not jobs.claimable(tx, ["Steps"], now - timedelta(seconds=1))
        assert jobs.claimable(tx, ["Steps"], now)
        assert not jobs.claimable(tx, ["Other"], now)


def test_jobs_of_a_dead_process_keep_their_attempts(index: Index) -> None:
    now = clock.now()
    job = Job("x", "Steps", R, 0, {}, {}, {}, 0.0, now, now, 0.0, owner="dead", attempts=2)
    index.write(lambda tx: jobs.insert(tx, job))
    engine = JobEngine(index, [Steps()], process_id="a")
    assert engine.adopt(["dead"]) == 1
    with index.read() as tx:
        found = job_rows.get(tx, "x")
    assert found is not None
    assert (found.state, found.attempts) == (P, 2)


def _at(job: Job, moment: datetime) -> Job:
    return replace(job, retry_at=moment)
