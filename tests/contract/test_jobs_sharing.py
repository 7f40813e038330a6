"""Several processes on one index: claims, requests, lost leases, kill -9."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.jobs import DEADLINE_S, Steps, engine_on, eventually, reaches
from wherry.errors import NetworkProtocol
from wherry.index import jobs
from wherry.index.database import Index, Transaction
from wherry.index.opening import IndexSettings, open_index
from wherry.jobs.engine import JobEngine
from wherry.jobs.handler import Interrupted, JobControl
from wherry.jobs.shop import Rules
from wherry.model import Job, JobState

PENDING, RUNNING, SUCCESS = JobState.PENDING, JobState.RUNNING, JobState.SUCCESS
FAILURE, PAUSED = JobState.FAILURE, JobState.PAUSED


@pytest.fixture
def other_index(index: Index, index_settings: IndexSettings) -> Iterator[Index]:
    """The same database, opened as another process would."""
    other = open_index(index_settings)
    yield other
    other.close()


def test_two_engines_share_a_hundred_jobs(index: Index, other_index: Index) -> None:
    here, there = Steps(), Steps()
    with (
        engine_on(index, here, process_id="a", concurrency=2) as a,
        engine_on(other_index, there, process_id="b", concurrency=2) as b,
    ):
        names = [(a if n % 2 else b).submit("Steps", {"steps": 1}) for n in range(100)]
        eventually(lambda: a.counts()[SUCCESS] == 100, "100 successes")
    assert Counter(job.id for job in here.runs + there.runs) == Counter(names)
    assert {job.owner for job in here.runs} <= {"a"}
    assert {job.owner for job in there.runs} <= {"b"}


def test_a_submission_elsewhere_is_found(index: Index, other_index: Index) -> None:
    idle = JobEngine(
        other_index, [Steps()], process_id="b", rules=Rules(concurrency=1, history_size=10)
    )
    handler = Steps()
    with engine_on(index, handler, process_id="a"):
        job_id = idle.submit("Steps", {"steps": 1})
        reaches(idle, job_id, SUCCESS)
    assert handler.done == [(job_id, 0)]


@pytest.mark.parametrize(("action", "after"), [("cancel", FAILURE), ("pause", PAUSED)])
def test_a_request_from_elsewhere_reaches_the_run(
    index: Index, other_index: Index, action: str, after: JobState
) -> None:
    asleep = threading.Event()

    class Sleeper(Steps):
        def run(self, control: JobControl) -> None:
            asleep.set()
            control.wait(DEADLINE_S * 10)

    elsewhere = JobEngine(
        other_index, [Steps()], process_id="b", rules=Rules(concurrency=1, history_size=10)
    )
    with engine_on(index, Sleeper(), process_id="a") as engine:
        job_id = engine.submit("Steps", {"steps": 1})
        assert asleep.wait(DEADLINE_S)
        assert getattr(elsewhere, action)(job_id)
        reaches(elsewhere, job_id, after)


def test_who_lost_its_lease_writes_nothing_and_is_told(index: Index, other_index: Index) -> None:
    entered, go_on = threading.Event(), threading.Event()
    outcome: list[str] = []

    def also(tx: Transaction) -> None:
        outcome.append("also ran")

    class Loser(Steps):
        def run(self, control: JobControl) -> None:
            control.save({"done": 1})
            entered.set()
            assert go_on.wait(DEADLINE_S)
            for save in (
                lambda: control.save({"done": 9}, {"Done": 9}, also=also),
                lambda: index.write(lambda tx: control.save_within(tx, {"done": 9})),
            ):
                try:
                    save()
                except Interrupted as interrupted:
                    outcome.append(interrupted.reason)
            control.check()

    winner = Steps(gated=True)
    with engine_on(index, Loser(), process_id="a") as a:
        job_id = a.submit("Steps", {"steps": 3})
        assert entered.wait(DEADLINE_S)
        with engine_on(other_index, winner, process_id="b") as b:
            assert b.adopt(["a"]) == 1
            winner.wait_in_step()
            go_on.set()
            eventually(lambda: not a._shop.runs(), "the end of the lost run")
            job = reaches(b, job_id, RUNNING)
            assert (job.owner, job.checkpoint, job.content) == ("b", {"done": 1}, {})
            winner.allow(2)
            job = reaches(b, job_id, SUCCESS)
    assert outcome == ["lost", "lost"]
    assert winner.done == [(job_id, 1), (job_id, 2)]
    assert job.content == {"Done": 3}


def test_a_lost_run_is_told_by_the_poll(index: Index, other_index: Index) -> None:
    asleep = threading.Event()
    reasons: list[str] = []

    class Sleeper(Steps):
        def run(self, control: JobControl) -> None:
            asleep.set()
            try:
                control.wait(DEADLINE_S * 10)
            except Interrupted as interrupted:
                reasons.append(interrupted.reason)
                raise

    winner = Steps()
    with engine_on(index, Sleeper(), process_id="a") as a:
        job_id = a.submit("Steps", {"steps": 1})
        assert asleep.wait(DEADLINE_S)
        with engine_on(other_index, winner, process_id="b") as b:
            b.adopt(["a"])
            reaches(b, job_id, SUCCESS)
            eventually(lambda: reasons, "the news")
    assert reasons == ["lost"]


def test_a_process_does_not_run_beside_itself_what_it_lost(
    index: Index, other_index: Index
) -> None:
    """Thought dead, its job given back: the same process may take it again, but only once its
    first run has seen that it was lost."""
    handler = Steps(gated=True)
    elsewhere = JobEngine(
        other_index, [Steps()], process_id="b", rules=Rules(concurrency=1, history_size=10)
    )
    with engine_on(index, handler, process_id="a", concurrency=2) as engine:
        job_id = engine.submit("Steps", {"steps": 2})
        handler.allow()
        handler.wait_in_step()
        handler.wait_in_step()
        assert elsewhere.adopt(["a"]) == 1
        quick = engine.submit("Steps", {"steps": 1}, priority=-1)  # behind the lost one
        handler.wait_in_step()
        assert [run.id for run in handler.runs] == [job_id, quick]
        handler.allow(4)
        reaches(engine, quick, SUCCESS)
        reaches(engine, job_id, SUCCESS)
    assert handler.interruptions == ["lost"]
    assert [run.checkpoint for run in handler.runs if run.id == job_id] == [{}, {"done": 1}]


def test_what_a_dead_process_did_not_settle_is_settled_by_the_next(
    index: Index, other_index: Index
) -> None:
    failing = Steps(fail_at=1, error=NetworkProtocol("no"))
    with engine_on(index, failing, process_id="dead") as engine:
        job_id = engine.submit("Steps", {"steps": 2})
        eventually(lambda: failing.settled)

    def as_if_it_died(tx: Transaction) -> None:
        tx.run(
            "UPDATE jobs SET owner = 'dead', requested = 'settle', checkpoint = ? WHERE id = ?",
            ('{"done": 1}', job_id),
        )

    eventually(lambda: not engine._shop.runs())
    index.write(as_if_it_died)
    handler = Steps()
    with engine_on(other_index, handler, process_id="b") as engine:
        engine.adopt(["dead"])
        eventually(lambda: handler.settled, "settling")
        eventually(lambda: (job := engine.get(job_id)) is not None and job.checkpoint == {})
    assert [(job.id, job.checkpoint) for job in handler.settled] == [(job_id, {"done": 1})]


def test_settling_that_could_not_be_written_down_is_done_again(index: Index) -> None:
    def claim() -> Job | None:
        return index.write(lambda tx: jobs.claim_unsettled(tx, "a", ["Steps"]))

    engine = JobEngine(
        index, [Steps()], process_id="a", rules=Rules(concurrency=1, history_size=10)
    )
    job_id = engine.submit("Steps", {"steps": 1})
    engine.cancel(job_id)
    for _ in range(2):
        job = claim()
        assert job is not None
        assert job.id == job_id
        assert index.write(lambda tx: jobs.claim_unsettled(tx, "b", ["Steps"])) is None
    assert index.write(lambda tx: jobs.settled(tx, job_id, "a"))
    assert claim() is None


def test_kill_9_then_another_goes_on_from_the_checkpoint(
    index: Index, index_settings: IndexSettings
) -> None:
    steps = 500
    handler = Steps()
    engine = JobEngine(
        index, [handler], process_id="parent", rules=Rules(concurrency=1, history_size=10)
    )
    job_id = engine.submit("Steps", {"steps": steps})
    where = (
        ["sqlite", str(index_settings.sqlite_path)]
        if index_settings.sqlite_path
        else ["postgresql", str(index_settings.postgresql)]
    )
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.job_process", "child", *where],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as child:
        assert child.stdout is not None
        spoken = [int(child.stdout.readline()) for _ in range(5)]
        child.kill()
        spoken += [int(line) for line in child.stdout if line.endswith("\n")]
    assert spoken == list(range(len(spoken)))
    assert len(spoken) < steps, "killed too late to mean anything"

    dead = reaches(engine, job_id, RUNNING)
    assert dead.owner == "child"
    assert engine.adopt(["child"]) == 1
    engine.start()
    try:
        reaches(engine, job_id, SUCCESS)
    finally:
        engine.stop()
    continued = [step for _, step in handler.done]
    assert continued == list(range(dead.checkpoint["done"], steps))
    assert len(spoken) + len(continued) - steps in (0, 1), "at most one step was repeated"
