"""How far webhooks are, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.staged import study
from wherry import clock
from wherry.index import changes, job_events, job_rows, jobs, resources, totals, webhooks
from wherry.index.database import Index, Transaction
from wherry.index.webhooks import Delivery, Position
from wherry.model import ChangeType, Job, JobState, Level

FIRST, SECOND = Delivery("d-1", '{"a":1}', 3), Delivery("d-2", '{"b":2}', 1)


def job(name: str, state: JobState = JobState.PENDING, type: str = "Webhook") -> Job:
    now = clock.now()
    return Job(name, type, state, 0, {}, {}, {}, 0.0, now, now, 0.0)


def test_a_webhook_begins_at_the_end_and_stays_where_it_is(index: Index) -> None:
    index.write(lambda tx: resources.add_instances(tx, study(2), overwrite=False))
    index.write(lambda tx: jobs.insert(tx, job("j-0")))
    with index.read() as tx:
        assert webhooks.get(tx, "w") is None
    index.write(lambda tx: webhooks.begin(tx, "w"))
    index.write(lambda tx: resources.add_instances(tx, study(3), overwrite=False))
    index.write(lambda tx: webhooks.begin(tx, "w"))
    with index.read() as tx:
        row = webhooks.get(tx, "w")
        assert row is not None
        assert (row.position, row.delivery, row.job, row.rest_until) == (
            Position(5, 1),
            None,
            "",
            0,
        )
        assert webhooks.end(tx) == Position(6, 1)


def test_a_delivery_stays_until_it_has_arrived(index: Index) -> None:
    index.write(lambda tx: webhooks.begin(tx, "w"))
    index.write(lambda tx: webhooks.begin(tx, "other"))
    index.write(lambda tx: webhooks.prepare(tx, "w", FIRST, Position(7, 2)))
    index.write(lambda tx: webhooks.prepare(tx, "w", SECOND, Position(9, 3)))
    with index.read() as tx:
        row = webhooks.get(tx, "w")
        assert row is not None
        assert (row.position, row.delivery) == (Position(0, 0), FIRST)
    assert not index.write(lambda tx: webhooks.arrived(tx, "w", SECOND.id))
    assert index.write(lambda tx: webhooks.arrived(tx, "w", FIRST.id))
    assert not index.write(lambda tx: webhooks.arrived(tx, "w", FIRST.id))
    with index.read() as tx:
        row, other = webhooks.get(tx, "w"), webhooks.get(tx, "other")
        assert row is not None
        assert other is not None
        assert (row.position, row.delivery) == (Position(7, 2), None)
        assert other.position == Position(0, 0)


@pytest.mark.parametrize("state", list(JobState))
def test_one_living_job_has_a_webhook(index: Index, state: JobState) -> None:
    ended = state in (JobState.SUCCESS, JobState.FAILURE)
    index.write(lambda tx: jobs.insert(tx, job("j-1", state)))
    index.write(lambda tx: jobs.insert(tx, job("j-2")))
    assert index.write(lambda tx: webhooks.take(tx, "w", "j-1"))
    assert index.write(lambda tx: webhooks.take(tx, "w", "j-1"))
    assert index.write(lambda tx: webhooks.take(tx, "w", "j-2")) is ended
    with index.read() as tx:
        row = webhooks.get(tx, "w")
        assert row is not None
        assert row.job == ("j-2" if ended else "j-1")
        assert job_rows.alive(tx, "j-1") is not ended


def test_a_failed_job_lives_until_it_is_settled(index: Index) -> None:
    failed = replace(job("j-1", JobState.FAILURE), requested="settle")
    index.write(lambda tx: jobs.insert(tx, failed))
    with index.read() as tx:
        assert job_rows.alive(tx, "j-1")
        assert not job_rows.alive(tx, "")
        assert not job_rows.alive(tx, "j-9")


def test_only_the_job_that_delivers_makes_a_webhook_rest(index: Index) -> None:
    index.write(lambda tx: webhooks.take(tx, "w", "j-1"))
    for name, at in (("j-1", 50.5), ("j-2", 99.0)):
        index.write(lambda tx, name=name, at=at: webhooks.rest(tx, "w", name, at))
    with index.read() as tx:
        row = webhooks.get(tx, "w")
        assert row is not None
        assert row.rest_until == 50.5
    index.write(lambda tx: webhooks.prepare(tx, "w", FIRST, Position(7, 2)))
    index.write(lambda tx: webhooks.arrived(tx, "w", FIRST.id))
    with index.read() as tx:
        row = webhooks.get(tx, "w")
        assert row is not None
        assert row.rest_until == 0


def test_ends_of_jobs_by_state_and_type(index: Index) -> None:
    for number, (state, type) in enumerate(
        [
            (JobState.SUCCESS, "Archive"),
            (JobState.RUNNING, "Archive"),
            (JobState.FAILURE, "Archive"),
            (JobState.SUCCESS, "Webhook"),
            (JobState.SUCCESS, "PushTransfer"),
        ]
    ):
        index.write(lambda tx, n=number, s=state, t=type: jobs.insert(tx, job(f"j-{n}", s, t)))
    both = [JobState.SUCCESS, JobState.FAILURE]
    with index.read() as tx:

        def found(seq: int, limit: int, states: list[JobState]) -> list[str]:
            return [e.job_id for e in job_events.after_of(tx, seq, limit, states, "Webhook")]

        assert found(0, 9, both) == ["j-0", "j-2", "j-4"]
        assert found(1, 1, both) == ["j-2"]
        assert found(0, 9, [JobState.FAILURE]) == ["j-2"]


def test_a_change_may_have_a_cause(index: Index) -> None:
    index.write(lambda tx: resources.add_instances(tx, study(1), overwrite=False))

    def log(tx: Transaction, cause: str) -> None:
        counters = totals.load(tx)
        entry = (ChangeType.StudyReceived, Level.STUDY, 2)
        changes.log(tx, counters, [entry], "20260101T000000", cause)
        totals.save(tx, counters)

    index.write(lambda tx: log(tx, ""))
    index.write(lambda tx: log(tx, "t-1"))
    with index.read() as tx:
        assert changes.causes(tx, range(1, 7)) == {6: "t-1"}
        assert changes.causes(tx, []) == {}
