"""Webhooks on both databases, with a real engine and a real program that listens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.jobs import DEADLINE_S, Steps, engine_on, eventually
from tests.support.listener import Call, Listener, listening
from tests.support.staged import study
from wherry import clock, limits
from wherry.config import Config, WherryConfig
from wherry.config.retries import JobRetries, RetryPolicy
from wherry.config.webhooks import Webhook
from wherry.index import jobs, received, resources, webhooks
from wherry.index.database import Index, Transaction
from wherry.index.job_rows import JobFilter
from wherry.jobs.engine import JobEngine
from wherry.jobs.shop import Rules
from wherry.model import ChangeType, Job, JobState, Level
from wherry.webhooks.events import JOB_TYPE
from wherry.webhooks.job import WebhookJobs
from wherry.webhooks.lookout import Lookout

AT_ONCE = RetryPolicy(attempts=20, first_delay_s=0, longest_delay_s=0)
ONCE = RetryPolicy(attempts=0)
ALL = frozenset(ChangeType)
ERRANDS = JobFilter(types=frozenset({JOB_TYPE}))
BOTH = frozenset({JobState.SUCCESS, JobState.FAILURE})


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WEBHOOK_POLL_S", 0.01)


def hook(
    listener: Listener,
    changes: frozenset[ChangeType] = ALL,
    job_states: frozenset[JobState] = frozenset(),
    **more: object,
) -> Webhook:
    url, secret = str(more.pop("url", listener.url)), bytes(range(32))
    name = str(more.pop("name", "w"))
    return Webhook(name, url, secret, changes, job_states, **more)  # type: ignore[arg-type]


@contextmanager
def server(
    index: Index,
    *hooks: Webhook,
    policy: RetryPolicy = AT_ONCE,
    handler: Steps | None = None,
    process_id: str = "process-a",
) -> Iterator[JobEngine]:
    """What delivers in one process."""
    config = Config(name="Berlin", wherry=WherryConfig(webhooks=hooks))
    rules = Rules(concurrency=1, history_size=10, retries=JobRetries(policy), errands={JOB_TYPE: 1})
    handlers = [WebhookJobs(config, index), handler or Steps()]
    with engine_on(index, *handlers, process_id=process_id, rules=rules) as engine:
        lookout = Lookout(index, engine, hooks)
        lookout.start()
        try:
            yield engine
        finally:
            lookout.close()


def add(index: Index, count: int, *, received_by: str = "") -> None:
    """A study of so many instances, in a transfer or by itself."""

    def work(tx: Transaction) -> None:
        stored = resources.add_instances(tx, study(count), overwrite=False)
        if received_by:
            received.announce(tx, {one.identifiers.series for one in stored}, received_by)

    index.write(work)


def log(index: Index) -> list[tuple[int, int]]:
    with index.read() as tx:
        return tx.all("SELECT seq, change_type FROM changes ORDER BY seq")


def told(listener: Listener) -> list[tuple[int, int]]:
    return [(one["Seq"], ChangeType[one["ChangeType"]]) for one in listener.heard]


def idle(engine: JobEngine) -> bool:
    return not [j for j in engine.newest(ERRANDS, 99) if j.state not in BOTH]


def test_everything_is_told_once_in_order_signed_and_in_portions(
    index: Index, listener: Listener
) -> None:
    add(index, 5)
    before = len(log(index))
    with server(index, hook(listener)) as engine:
        add(index, 250, received_by="t-1")
        eventually(lambda: told(listener) == log(index)[before:], "all events")
        eventually(lambda: idle(engine), "the end of the job")
        assert engine.ids() == []
    assert len({call.id for call in listener.calls}) == len(listener.calls)
    assert max(len(call.events) for call in listener.calls) == limits.WEBHOOK_EVENTS
    assert all(call.is_signed() for call in listener.calls)
    first = listener.calls[0]
    assert first.path == "/told?token=1"
    assert first.headers["content-type"] == "application/json"
    document = json.loads(first.body)
    assert document.keys() == {"Webhook", "Delivery", "Server", "Events"}
    assert (document["Webhook"], document["Server"]) == ("w", {"Name": "Berlin"})
    assert document["Delivery"] == first.id


def test_what_an_event_says(index: Index, listener: Listener) -> None:
    with server(index, hook(listener, frozenset({ChangeType.StudyReceived}))):
        add(index, 3, received_by="t-1")
        add(index, 4)
        eventually(lambda: listener.heard, "the event")
    with index.read() as tx:
        (name,) = resources.list_ids(tx, Level.STUDY)
        ((seq, date),) = tx.all("SELECT seq, date FROM changes WHERE change_type = 1024")
    assert listener.heard == [
        {
            "Seq": seq,
            "ChangeType": "StudyReceived",
            "ResourceType": "Study",
            "ID": name,
            "Path": f"/studies/{name}",
            "Date": date,
            "Transfer": "t-1",
        }
    ]


def test_a_failed_attempt_is_made_again_under_the_same_name(
    index: Index, listener: Listener
) -> None:
    """... with the same body, even if there is more to tell by then; what comes next waits."""
    refused = threading.Event()

    def rule(_: Call) -> int:
        if len(listener.calls) < 4:
            refused.set()
            return (500, 404, 302)[len(listener.calls) - 1]
        return 200

    listener.rule = rule
    with server(index, hook(listener)):
        add(index, 2)
        assert refused.wait(DEADLINE_S)
        add(index, 4)
        eventually(lambda: told(listener) == log(index), "all events")
    assert len({(call.id, call.body) for call in listener.calls[:4]}) == 1
    assert all(call.is_signed() for call in listener.calls)


def test_a_job_in_retry_says_what_is_the_matter(index: Index, listener: Listener) -> None:
    listener.rule = lambda _: 503
    listener.answer = lambda _: (b"PATIENT^NAME", {"Retry-After": "60"})
    with server(index, hook(listener)) as engine:
        add(index, 1)
        eventually(lambda: [j.state for j in engine.newest(ERRANDS, 9)] == [JobState.RETRY])
        (job,) = engine.newest(ERRANDS, 9)
        assert job.error_details == "Webhook w answered 503"
        assert job.content == {"Webhook": "w", "Deliveries": 0, "Events": 0}
        assert job.retry_at is not None
        assert (job.retry_at - clock.now()).total_seconds() > 30


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_2xx_is_a_yes(index: Index, listener: Listener, status: int) -> None:
    listener.rule = lambda _: status
    with server(index, hook(listener)) as engine:
        add(index, 1)
        eventually(lambda: told(listener) == log(index), "all events")
        eventually(lambda: idle(engine), "the end of the job")
    assert len(listener.calls) == 1


def test_a_long_answer_is_not_read(index: Index, listener: Listener) -> None:
    listener.answer = lambda _: (bytes(20 * limits.WEBHOOK_ANSWER_BYTES), {})
    with server(index, hook(listener)) as engine:
        add(index, 1)
        eventually(lambda: told(listener) == log(index), "all events")
        eventually(lambda: idle(engine), "the end of the job")
    assert len(listener.calls) == 1


def test_a_redirect_is_not_followed(index: Index, listener: Listener) -> None:
    with listening() as elsewhere:
        listener.rule = lambda _: 307
        listener.answer = lambda _: (b"", {"Location": elsewhere.url})
        with server(index, hook(listener), policy=ONCE) as engine:
            add(index, 1)
            eventually(lambda: [j.state for j in engine.newest(ERRANDS, 9)] == [JobState.FAILURE])
            (job,) = engine.newest(ERRANDS, 9)
        assert job.error_details == "Webhook w answered 307; redirects are not followed"
        assert elsewhere.calls == []


def test_who_gave_up_rests_and_goes_on_as_the_same_job(
    index: Index, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener.rule = lambda _: 500
    moment = clock.timestamp()
    monkeypatch.setattr(clock, "timestamp", lambda: moment)
    with server(index, hook(listener), policy=ONCE) as engine:

        def resting() -> bool:
            with index.read() as tx:
                row = webhooks.get(tx, "w")
            return row is not None and row.rest_until == moment + limits.WEBHOOK_REST_S

        add(index, 1)
        eventually(resting, "the rest")
        (job,) = engine.newest(ERRANDS, 9)
        assert job.state is JobState.FAILURE
        lookout = Lookout(index, engine, [hook(listener)])
        assert lookout.look() == 0
        listener.rule = lambda _: 200
        moment += limits.WEBHOOK_REST_S
        eventually(lambda: told(listener) == log(index), "all events")
        eventually(lambda: engine.ids() == [], "the end of the same job")
    with index.read() as tx:
        row = webhooks.get(tx, "w")
    assert row is not None
    assert (row.job, row.rest_until) == (job.id, 0)


def test_it_goes_on_when_history_has_forgotten_the_failed_job(
    index: Index, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WEBHOOK_REST_S", 0)
    listener.rule = lambda _: 200 if len({call.id for call in listener.calls}) > 9 else 500
    with server(index, hook(listener), policy=ONCE) as engine:
        add(index, 1)
        eventually(lambda: listener.calls, "the first attempt")
        eventually(lambda: [engine.remove(one) for one in engine.ids()], "a job to remove")
        listener.rule = lambda _: 200
        eventually(lambda: told(listener) == log(index), "all events")
    assert len({call.id for call in listener.calls}) == 1


def test_ends_of_jobs_are_told_behind_the_changes(index: Index, listener: Listener) -> None:
    listener.rule = lambda _: 500
    handler = Steps(fail_at=1, error=ValueError("PATIENT^NAME"))
    with server(index, hook(listener, ALL, BOTH), handler=handler) as engine:
        good, bad = engine.submit("Steps", {"steps": 1}), engine.submit("Steps", {"steps": 2})
        eventually(lambda: handler.settled, "the end of both")
        add(index, 150)
        eventually(lambda: listener.calls, "an attempt")
        listener.rule = lambda _: 200
        eventually(lambda: len(listener.heard) == len(log(index)) + 2, "all events")
        eventually(lambda: {j.id for j in engine.newest(ERRANDS, 9)} == set(), "the end")
    ends = [one for one in listener.heard if one["ResourceType"] == "Job"]
    assert [(one["ID"], one["ChangeType"]) for one in ends] == [
        (good, "JobSuccess"),
        (bad, "JobFailure"),
    ]
    assert ends[1] | {"Seq": 0, "Date": ""} == {
        "Seq": 0,
        "ChangeType": "JobFailure",
        "ResourceType": "Job",
        "ID": bad,
        "Path": f"/jobs/{bad}",
        "Date": "",
        "JobType": "Steps",
        "ErrorCode": -1,
    }


def test_only_what_is_wanted(index: Index, listener: Listener) -> None:
    with listening() as other:
        hooks = (
            hook(listener, frozenset({ChangeType.NewStudy, ChangeType.NewPatient})),
            hook(other, frozenset(), BOTH, name="jobs"),
        )
        with server(index, *hooks) as engine:
            add(index, 3)
            job = engine.submit("Steps", {"steps": 1})
            eventually(lambda: listener.heard and other.heard, "events")
        assert listener.kinds() == ["NewStudy", "NewPatient"]
        assert [one["ID"] for one in other.heard] == [job]


def test_a_busy_server_tells_all_the_same(index: Index, listener: Listener) -> None:
    """Nor does a program that hangs hold up people's jobs."""
    handler = Steps(gated=True)
    with server(index, hook(listener), handler=handler) as engine:
        engine.submit("Steps", {"steps": 1})
        handler.wait_in_step()
        hanging = threading.Event()
        listener.rule = lambda _: 200 if hanging.wait(DEADLINE_S) else 500
        add(index, 1)
        eventually(lambda: listener.calls, "a delivery")
        handler.allow()
        eventually(lambda: handler.done, "the job of somebody")
        hanging.set()
        eventually(lambda: told(listener) == log(index), "all events")


def test_a_dead_program_does_not_hold_up_others(index: Index, listener: Listener) -> None:
    listener.rule = lambda _: 500
    with listening() as other, server(index, hook(listener), hook(other, name="other")):
        add(index, 1)
        eventually(lambda: told(other) == log(index), "all events")
    assert listener.heard == []


def test_what_arrives_while_the_process_ends_does_not_come_twice(
    index: Index, listener: Listener
) -> None:
    opened = threading.Event()
    listener.rule = lambda _: 200 if opened.wait(DEADLINE_S) else 500
    with server(index, hook(listener)) as engine:
        add(index, 1)
        eventually(lambda: listener.calls, "a delivery")
        stop = threading.Thread(target=engine.stop)
        stop.start()
        eventually(engine._shop.stopping.is_set, "the stop")
        opened.set()
        stop.join()
    with server(index, hook(listener)):
        add(index, 2)
        eventually(lambda: told(listener) == log(index), "all events")
    assert len({call.id for call in listener.calls}) == len(listener.calls)


def test_a_delivery_that_is_cut_off_comes_again_as_it_was(index: Index, listener: Listener) -> None:
    """... even when what it tells of is gone by then."""
    opened = threading.Event()

    def rule(_: Call) -> int:
        opened.wait(DEADLINE_S)
        return 500

    listener.rule = rule
    with server(index, hook(listener)):
        add(index, 1)
        eventually(lambda: listener.calls, "a delivery")
    patient = study(1)[0].summary.identifiers.patient
    index.write(lambda tx: resources.delete(tx, Level.PATIENT, patient))
    opened.set()
    listener.rule = lambda _: 200
    with server(index, hook(listener), process_id="process-b"):
        eventually(lambda: listener.taken, "the delivery")
    assert len({(call.id, call.body) for call in listener.calls}) == 1
    assert listener.kinds() == ["NewInstance", "NewSeries", "NewStudy", "NewPatient"]


def test_two_processes_tell_everything_once(index: Index, listener: Listener) -> None:
    with (
        server(index, hook(listener)),
        server(index, hook(listener), process_id="process-b"),
    ):
        for count in range(1, 40):
            add(index, count)
        eventually(lambda: told(listener) == log(index), "all events")
    assert len({call.id for call in listener.calls}) == len(listener.calls)


def test_a_job_of_a_webhook_that_is_gone_says_so(index: Index, listener: Listener) -> None:
    with server(index, hook(listener)) as engine:
        job = engine.submit(JOB_TYPE, {"Webhook": "gone"})
        eventually(lambda: engine.get(job).state is JobState.FAILURE)  # type: ignore[union-attr]
        found = engine.get(job)
        assert found is not None
        assert found.error_details == "Webhook gone is not configured here any more"


def test_a_second_job_leaves_the_webhook_to_the_first(index: Index, listener: Listener) -> None:
    listener.rule = lambda _: 503
    listener.answer = lambda _: (b"", {"Retry-After": "60"})
    with server(index, hook(listener)) as engine:
        add(index, 1)
        eventually(lambda: [j.state for j in engine.newest(ERRANDS, 9)] == [JobState.RETRY])
        engine.submit(JOB_TYPE, {"Webhook": "w"})
        eventually(lambda: [j.state for j in engine.newest(ERRANDS, 9)] == [JobState.RETRY])
    assert len(listener.calls) == 1


def test_what_waits_from_before_is_given_up_but_not_the_errands(index: Index) -> None:
    now = clock.now()
    for name, type in (("j-1", JOB_TYPE), ("j-2", "Steps")):
        job = Job(name, type, JobState.PENDING, 0, {}, {}, {}, 0.0, now, now, 0.0)
        index.write(lambda tx, job=job: jobs.insert(tx, job))
    rules = Rules(errands={JOB_TYPE: 1})
    engine = JobEngine(index, [Steps()], rules, process_id="process-a")
    engine.give_up_waiting("anew")
    found = {job_id: engine.get(job_id) for job_id in ("j-1", "j-2")}
    assert {name: job.state for name, job in found.items() if job} == {
        "j-1": JobState.PENDING,
        "j-2": JobState.FAILURE,
    }
