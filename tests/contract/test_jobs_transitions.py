"""The transition table (jobs.md §3): every state × every action, through the engine."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from tests.support.jobs import Steps
from wherry.index import job_rows, jobs, processes
from wherry.index.database import Index
from wherry.jobs.engine import JobEngine
from wherry.jobs.shop import Rules
from wherry.model import Job, JobState

P, R, S = JobState.PENDING, JobState.RUNNING, JobState.SUCCESS
F, W, T = JobState.FAILURE, JobState.PAUSED, JobState.RETRY
THEN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

# state, action → accepted, state afterwards, what is requested afterwards
TABLE: list[tuple[JobState, str, bool, JobState, str]] = [
    (P, "cancel", True, F, "settle"),
    (P, "pause", True, W, ""),
    (P, "resume", False, P, ""),
    (P, "resubmit", False, P, ""),
    (R, "cancel", True, R, "cancel"),
    (R, "pause", True, R, "pause"),
    (R, "resume", False, R, ""),
    (R, "resubmit", False, R, ""),
    (W, "cancel", True, F, "settle"),
    (W, "pause", True, W, ""),
    (W, "resume", True, P, ""),
    (W, "resubmit", False, W, ""),
    (T, "cancel", True, F, "settle"),
    (T, "pause", True, W, ""),
    (T, "resume", False, T, ""),
    (T, "resubmit", False, T, ""),
    (S, "cancel", True, S, ""),
    (S, "pause", True, S, ""),
    (S, "resume", False, S, ""),
    (S, "resubmit", False, S, ""),
    (F, "cancel", True, F, ""),
    (F, "pause", True, F, ""),
    (F, "resume", False, F, ""),
    (F, "resubmit", True, P, ""),
]


def engine_of(index: Index) -> JobEngine:
    """An engine that is never started: nothing moves but what the test moves."""
    return JobEngine(index, [Steps()], process_id="me", rules=Rules(concurrency=1, history_size=10))


def a_job(state: JobState) -> Job:
    ended = state in (S, F)
    return Job(
        id="11111111-2222-3333-4444-555555555555",
        type="Steps",
        state=state,
        priority=7,
        parameters={"steps": 3},
        content={"Done": 2},
        checkpoint={} if ended else {"done": 2},
        progress=0.5,
        created_at=THEN,
        changed_at=THEN,
        runtime_s=1.5,
        completed_at=THEN if ended else None,
        error_code=9 if state is F else 0,
        error_details="no answer" if state is F else "",
        owner="other" if state is R else "",
        username="alice",
    )


def listed(engine: JobEngine) -> list[Job]:
    return [job for page in engine.pages() for job in page]


def put(index: Index, job: Job) -> None:
    index.write(lambda tx: jobs.insert(tx, job))


def test_the_table_is_complete() -> None:
    actions = ["cancel", "pause", "resume", "resubmit"]
    assert [row[:2] for row in TABLE] == [(s, a) for s in (P, R, W, T, S, F) for a in actions]


@pytest.mark.parametrize(("state", "action", "accepted", "after", "requested"), TABLE)
def test_transition(
    index: Index, state: JobState, action: str, accepted: bool, after: JobState, requested: str
) -> None:
    before = a_job(state)
    put(index, before)
    engine = engine_of(index)

    assert getattr(engine, action)(before.id) is accepted

    job = engine.get(before.id)
    assert job is not None
    assert (job.state, job.requested) == (after, requested)
    if after is F:
        assert job.completed_at is not None
        assert (job.error_code, job.error_details) == ((9, "no answer") if state is F else (37, ""))
    elif after is not S:
        assert job.completed_at is None
    if not accepted or after is state:
        assert dataclasses.replace(job, requested="") == before


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "resubmit"])
def test_unknown_job(index: Index, action: str) -> None:
    assert getattr(engine_of(index), action)("no-such-job") is False


def test_all_columns_come_back(index: Index) -> None:
    for state in JobState:
        job = dataclasses.replace(a_job(state), id=state.value)
        put(index, job)
        assert engine_of(index).get(job.id) == job
    assert engine_of(index).get("unknown") is None


def test_cancel_beats_pause_in_either_order(index: Index) -> None:
    engine = engine_of(index)
    for n, actions in enumerate((["pause", "cancel"], ["cancel", "pause"])):
        job = dataclasses.replace(a_job(R), id=str(n))
        put(index, job)
        for action in actions:
            assert getattr(engine, action)(job.id)
        found = engine.get(job.id)
        assert found is not None
        assert (found.state, found.requested) == (R, "cancel")


def test_resubmit_starts_from_zero_and_keeps_what_identifies_the_job(index: Index) -> None:
    engine = engine_of(index)
    before = a_job(F)
    put(index, before)
    assert engine.resubmit(before.id)
    job = engine.get(before.id)
    assert job is not None
    assert (job.checkpoint, job.progress, job.runtime_s) == ({}, 0, 0)
    assert job.changed_at > THEN
    kept = (
        "id",
        "type",
        "priority",
        "parameters",
        "created_at",
        "username",
        "error_code",
        "content",
    )
    assert [getattr(job, name) for name in kept] == [getattr(before, name) for name in kept]


def test_a_claim_forgets_the_old_error(index: Index) -> None:
    put(index, dataclasses.replace(a_job(P), error_code=9, error_details="no answer"))
    job = index.write(lambda tx: jobs.claim(tx, "me", ["Steps"], [], THEN))
    assert job is not None
    assert (job.state, job.owner, job.error_code, job.error_details) == (R, "me", 0, "")
    assert index.write(lambda tx: jobs.claim(tx, "me", ["Steps"], [], THEN)) is None


def test_only_known_types_are_claimed_and_none_that_is_busy(index: Index) -> None:
    job = a_job(P)
    put(index, job)
    for types, busy in ([["Other"], []], [[], []], [["Steps"], [job.id]]):
        assert index.write(lambda tx, t=types, b=busy: jobs.claim(tx, "me", t, b, THEN)) is None


def test_who_is_not_the_owner_changes_nothing(index: Index) -> None:
    before = a_job(R)
    put(index, before)
    standing = jobs.Standing('{"Done": 3}', 1.0, 9.0)
    for job_id, owner in ((before.id, "me"), ("unknown", "other")):
        assert not index.write(
            lambda tx, i=job_id, o=owner: jobs.save(tx, i, o, standing, THEN, '{"done": 3}')
        )
        assert not index.write(
            lambda tx, i=job_id, o=owner: jobs.finish(tx, i, o, standing, jobs.Ending(S), THEN)
        )
        assert not index.write(lambda tx, i=job_id, o=owner: jobs.release(tx, i, o, standing, THEN))
    assert engine_of(index).get(before.id) == before


@pytest.mark.parametrize(
    ("requested", "after", "then"),
    [("", P, ""), ("pause", W, ""), ("cancel", F, "settle")],
)
@pytest.mark.parametrize("how", ["release", "adopt"])
def test_letting_go_obeys_what_was_requested(
    index: Index, requested: str, after: JobState, then: str, how: str
) -> None:
    before = dataclasses.replace(a_job(R), requested=requested)
    put(index, before)
    if how == "adopt":
        assert engine_of(index).adopt(["other"]) == 1
    else:
        standing = jobs.Standing('{"Done": 2}', 0.5, 2.5)
        assert index.write(lambda tx: jobs.release(tx, before.id, "other", standing, THEN))
    job = engine_of(index).get(before.id)
    assert job is not None
    assert (job.state, job.requested, job.owner) == (after, then, "")
    assert (job.checkpoint, job.content, job.progress) == ({"done": 2}, {"Done": 2}, 0.5)
    assert job.runtime_s == (1.5 if how == "adopt" else 2.5)
    assert job.error_code == (37 if after is F else 0)


def test_adopt_takes_from_the_dead_and_the_unregistered_only(index: Index) -> None:

    for owner in ("dead", "unregistered", "alive", "me"):
        put(index, dataclasses.replace(a_job(R), id=owner, owner=owner))
    for name in ("dead", "alive"):
        row = processes.ProcessRow(id=name, host="h", pid=1, started="s", heartbeat_at=0.0)
        index.write(lambda tx, row=row: processes.register(tx, row))
    engine = engine_of(index)
    assert engine.adopt(["dead"]) == 2
    assert {job.id: job.state for job in listed(engine)} == {
        "dead": P,
        "unregistered": P,
        "alive": R,
        "me": R,
    }


def test_lists_are_in_text_order_of_identifiers(index: Index) -> None:
    names = ["b-1", "a-2", "a1", "B", "c"]
    for name in names:
        put(index, dataclasses.replace(a_job(P), id=name))
    engine = engine_of(index)
    assert engine.ids() == sorted(names)
    assert [job.id for job in listed(engine)] == sorted(names)
    newest = [job.id for job in engine.newest(job_rows.ALL_JOBS, 3)]
    assert newest == [*reversed(names)][:3]
    assert engine.counts() == {state: len(names) if state is P else 0 for state in JobState}


def test_history_forgets_the_oldest_completions_that_are_settled(index: Index) -> None:
    for n in range(6):  # submitted in this order, completed in the reverse one
        ended = THEN.replace(minute=30 - n)
        job = dataclasses.replace(
            a_job(F if n % 2 else S),
            id=str(n),
            completed_at=ended,
            requested="settle" if n == 5 else "",
        )
        put(index, job)
    put(index, dataclasses.replace(a_job(P), id="waiting"))
    engine = engine_of(index)
    assert index.write(lambda tx: jobs.trim(tx, 2)) == 3
    assert engine.ids() == ["0", "1", "5", "waiting"]
    assert index.write(lambda tx: jobs.trim(tx, 0)) == 2
    assert engine.ids() == ["5", "waiting"]


@pytest.mark.parametrize("state", list(JobState))
def test_only_what_has_ended_can_be_removed(index: Index, state: JobState) -> None:
    job = a_job(state)
    put(index, job)
    engine = engine_of(index)
    assert engine.remove(job.id) is (state in (S, F))
    assert engine.ids() == ([] if state in (S, F) else [job.id])
    assert engine.remove("unknown") is False


def test_a_removed_job_that_is_not_settled_is_gone_for_everybody_but_the_settler(
    index: Index,
) -> None:
    job = a_job(P)
    put(index, job)
    engine = engine_of(index)
    assert engine.cancel(job.id)
    assert engine.remove(job.id)
    assert engine.get(job.id) is None
    assert (engine.ids(), listed(engine), engine.counts()[F]) == ([], [], 0)
    for action in ("cancel", "pause", "resume", "resubmit", "remove"):
        assert getattr(engine, action)(job.id) is False
    index.write(lambda tx: jobs.trim(tx, 0))
    taken = index.write(lambda tx: jobs.claim_unsettled(tx, "me", ["Steps"]))
    assert taken is not None
    assert taken.checkpoint == {"done": 2}
    index.write(lambda tx: jobs.settled(tx, job.id, "me"))
    with index.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM jobs") == (0,)
