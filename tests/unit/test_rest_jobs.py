"""Jobs over REST: the transition table, lists, events, the bound on those that wait, figures."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.asgi import Reply, http_scope
from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from tests.support.jobs import DEADLINE_S, eventually
from wherry import clock, limits
from wherry.index import jobs
from wherry.model import Job, JobState, Peer

THEN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
P, R, S = JobState.PENDING, JobState.RUNNING, JobState.SUCCESS
F, W, T = JobState.FAILURE, JobState.PAUSED, JobState.RETRY

# state, action → status, state afterwards (jobs.md §3); None = gone
TABLE: list[tuple[JobState, str, int, JobState | None]] = [
    (P, "cancel", 200, F),
    (P, "pause", 200, W),
    (P, "resume", 400, P),
    (P, "resubmit", 400, P),
    (P, "DELETE", 404, P),
    (R, "cancel", 200, R),  # obeys between two steps: see below
    (R, "pause", 200, R),
    (R, "resume", 400, R),
    (R, "resubmit", 400, R),
    (R, "DELETE", 404, R),
    (W, "cancel", 200, F),
    (W, "pause", 200, W),
    (W, "resume", 200, P),
    (W, "resubmit", 400, W),
    (W, "DELETE", 404, W),
    (T, "cancel", 200, F),
    (T, "pause", 200, W),
    (T, "resume", 400, T),
    (T, "resubmit", 400, T),
    (T, "DELETE", 404, T),
    (S, "cancel", 200, S),
    (S, "pause", 200, S),
    (S, "resume", 400, S),
    (S, "resubmit", 400, S),
    (S, "DELETE", 200, None),
    (F, "cancel", 200, F),
    (F, "pause", 200, F),
    (F, "resume", 400, F),
    (F, "resubmit", 200, P),
    (F, "DELETE", 200, None),
]


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    with serving(tmp_path, jobs_history_size=100) as found:
        yield found


def put(face: Face, state: JobState, name: str = "", kind: str = "Nobody", **more: Any) -> str:
    """A job of a type that no process runs: it stays as it is until somebody asks for more."""
    ended = state in (S, F)
    job = Job(
        name or clock.new_uuid(),
        kind,
        state,
        3,
        {},
        {"Description": "REST API"},
        {},
        0.5,
        THEN,
        THEN,
        1.5,
        completed_at=THEN if ended else None,
        error_code=9 if state in (F, T) else 0,
        error_details="no answer" if state in (F, T) else "",
        owner=face.rooms.process_id if state is R else "",
        attempts=2 if state is T else 0,
        retry_at=clock.now() + timedelta(days=1) if state is T else None,
    )
    job = replace(job, **more)
    face.rooms.index.write(lambda tx: jobs.insert(tx, job))
    return job.id


def act(face: Face, job_id: str, action: str) -> Reply:
    if action == "DELETE":
        return face.request("DELETE", f"/jobs/{job_id}")
    return face.request("POST", f"/jobs/{job_id}/{action}")


def test_the_table_is_complete() -> None:
    actions = ["cancel", "pause", "resume", "resubmit", "DELETE"]
    assert [row[:2] for row in TABLE] == [(s, a) for s in (P, R, W, T, S, F) for a in actions]


@pytest.mark.parametrize(("state", "action", "status", "after"), TABLE)
def test_transition(
    face: Face, state: JobState, action: str, status: int, after: JobState | None
) -> None:
    job_id = put(face, state)
    reply = act(face, job_id, action)
    assert reply.status == status
    match status, action:
        case 200, "DELETE":
            assert (reply.body, reply.headers["content-type"]) == (b"", "text/plain")
        case 200, _:
            assert (reply.body, reply.headers["content-type"]) == (b"{}", "application/json")
        case 400, _:
            assert reply.body == b""
        case _:
            assert reply.json()["OrthancStatus"] == 7
    shown = face.get(f"/jobs/{job_id}")
    if after is None:
        assert (shown.status, shown.body) == (404, b"")
        assert job_id not in face.json("/jobs")
        return
    job = shown.json()
    assert job["State"] == after.value
    assert ("CompletionTime" in job) is (after in (S, F))
    if after is F:
        assert job["ErrorCode"] == (9 if state is F else 37)
        assert job["ErrorDescription"] == (
            "Error in the network protocol" if state is F else "This job was canceled"
        )
    assert ("NextAttempt" in job) is ("Attempts" in job) is (after is T)


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "resubmit", "DELETE"])
def test_unknown_job(face: Face, action: str) -> None:
    reply = act(face, "nope", action)
    assert reply.status == (404 if action == "DELETE" else 400)
    assert (reply.body == b"") is (action != "DELETE")


def test_a_job_that_waits_for_another_attempt(face: Face) -> None:
    at = datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)
    job = face.json(f"/jobs/{put(face, T, retry_at=at)}")
    assert (job["Attempts"], job["NextAttempt"]) == (2, "20990102T030405")
    assert (job["ErrorCode"], job["ErrorDetails"]) == (9, "no answer")


class Held:
    """A handler whose one step lasts until it is let go."""

    type = "Held"

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()

    def run(self, control: Any) -> None:
        self.began.set()
        assert self.go_on.wait(DEADLINE_S)
        control.check()

    def settle(self, job: Job) -> None:
        pass


@pytest.mark.parametrize(
    ("actions", "after"),
    [(["cancel"], F), (["pause"], W), (["pause", "cancel"], F), (["cancel", "pause"], F)],
    ids="+".join,
)
def test_a_running_job_obeys_between_two_steps(
    face: Face, actions: list[str], after: JobState
) -> None:
    held = Held()
    face.rooms.jobs._shop.handlers["Held"] = held
    job_id = face.rooms.jobs.submit("Held", {})
    assert held.began.wait(DEADLINE_S)
    for action in actions:
        assert act(face, job_id, action).status == 200
    assert face.json(f"/jobs/{job_id}")["State"] == "Running"
    assert act(face, job_id, "resume").status == 400
    held.go_on.set()
    eventually(lambda: face.json(f"/jobs/{job_id}")["State"] == after.value, after.value)


def test_lists(face: Face) -> None:
    names = [
        put(face, state, name, kind)
        for name, state, kind in [("c", P, "One"), ("a", S, "Two"), ("d", F, "One"), ("b", W, "X")]
    ]
    assert face.json("/jobs") == sorted(names)
    assert [job["ID"] for job in face.json("/jobs?expand")] == sorted(names)
    assert face.json("/jobs?state=Pending,Failure") == ["c", "d"]
    assert face.json("/jobs?state=Pending&type=Two") == []
    assert face.json("/jobs?type=One,Two") == ["a", "c", "d"]
    assert face.json("/jobs?limit=2") == ["b", "d"]
    assert [job["ID"] for job in face.json("/jobs?expand&limit=9&type=One")] == ["d", "c"]
    assert face.json("/jobs?limit=0") == []
    assert face.get("/jobs?state=Sleeping").json()["OrthancStatus"] == 3
    assert face.get("/jobs?limit=-1").status == 400
    assert face.get("/jobs?expand=perhaps").status == 400


def test_a_long_list_comes_in_pages(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EXPANDED_PAGE", 3)
    names = [put(face, S) for _ in range(7)]
    assert [job["ID"] for job in face.json("/jobs?expand")] == sorted(names)


def test_a_list_shows_what_a_single_job_shows(face: Face) -> None:
    job_id = put(face, R, user_data={"who": [1, None]}, parameters={"Secret": 1})
    single, listed = face.json(f"/jobs/{job_id}"), face.json("/jobs?expand")[0]
    for volatile in ("Timestamp", "EffectiveRuntime", "EstimatedTimeOfArrival"):
        assert single.pop(volatile) and listed.pop(volatile)
    assert single == listed
    assert single["UserData"] == {"who": [1, None]}
    assert "Secret" not in json.dumps(listed)


# --- the bound on jobs that wait ------------------------------------------------------------


def order(face: Face) -> Reply:
    return face.post_json("/tools/create-archive", {"Resources": [], "Asynchronous": True})


def test_when_too_many_wait_a_submission_waits_and_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOB_SUBMIT_WAIT_S", 0.2)
    with serving(tmp_path, limit_jobs=2) as face:
        names = [put(face, P), put(face, P)]
        reply = order(face)
        assert (reply.status, reply.headers["retry-after"]) == (503, "5")
        assert reply.json()["Details"] == "Too many jobs are waiting"
        assert sorted(face.json("/jobs")) == sorted(names)


def test_a_submission_that_waits_gets_the_next_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOB_SUBMIT_WAIT_S", DEADLINE_S)
    with serving(tmp_path, limit_jobs=1) as face, ThreadPoolExecutor(1) as pool:
        waiting = put(face, P)
        refused = threading.Event()
        submit = face.rooms.jobs.submit

        def watched(*args: Any, **options: Any) -> str:
            try:
                return submit(*args, **options)
            except Exception:
                refused.set()
                raise

        monkeypatch.setattr(face.rooms.jobs, "submit", watched)
        answer = pool.submit(order, face)
        assert refused.wait(DEADLINE_S)
        assert act(face, waiting, "cancel").status == 200
        assert answer.result(DEADLINE_S).status == 200


def test_jobs_of_an_earlier_life(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        names = {state: put(face, state) for state in (P, W, T, S)}
    with serving(tmp_path, save_jobs=False) as face:
        shown = {state: face.json(f"/jobs/{name}") for state, name in names.items()}
    assert [shown[state]["State"] for state in (P, W, T, S)] == [*3 * ["Failure"], "Success"]
    assert shown[P]["ErrorCode"] == 37
    assert "started anew" in shown[P]["ErrorDetails"]


# --- events ---------------------------------------------------------------------------------


class Listener:
    """Reads ``/jobs/events`` in a thread, until the server ends."""

    def __init__(self, face: Face, query: str = "", headers: dict[str, str] | None = None) -> None:
        self.text = b""
        self.head: dict[str, Any] = {}
        self._scope = http_scope("GET", "/jobs/events" + query, headers)
        self._app = face.app
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()), daemon=True)
        self._thread.start()
        eventually(lambda: self.head, "an answer")

    async def _listen(self) -> None:
        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.head = dict(message)
            else:
                self.text += message.get("body", b"")

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        await self._app(self._scope, receive, send)

    @property
    def events(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Number, name and data of each."""
        found = []
        for block in self.text.decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "event" in lines:
                found.append((lines.get("id", ""), lines["event"], json.loads(lines["data"])))
        return found

    def states(self) -> list[str]:
        return [name for _, name, _ in self.events if name != "progress"]

    def joined(self) -> bool:
        self._thread.join(DEADLINE_S)
        return not self._thread.is_alive()


def test_events_of_a_job_from_its_submission_to_its_end(face: Face) -> None:
    put(face, S)  # before: not told
    face.upload(make_instance())
    listener = Listener(face)
    job_id = face.post_json(
        "/tools/create-archive", {"Resources": face.json("/studies"), "Asynchronous": True}
    ).json()["ID"]
    eventually(lambda: "success" in listener.states(), "success")
    assert listener.states() == ["pending", "running", "success"]
    head = {k.decode(): v.decode() for k, v in listener.head["headers"]}
    assert (listener.head["status"], head["content-type"]) == (200, "text/event-stream")
    number, _, told = next(event for event in listener.events if event[1] == "success")
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{1,6}", told.pop("Date"))
    assert told == {
        "ErrorCode": 0,
        "ErrorDetails": "",
        "ID": job_id,
        "Path": f"/jobs/{job_id}",
        "State": "Success",
        "Type": "Archive",
    }
    # Who was away sends the last number it saw.
    later = Listener(face, headers={"Last-Event-ID": str(int(number) - 1)})
    eventually(lambda: later.states() == ["success"], "what was missed")
    face.rooms.lifecycle.ending = True
    assert listener.joined()
    assert later.joined()


def test_events_of_one_job_and_its_progress(face: Face) -> None:
    listener = Listener(face, "?job=mine")
    put(face, P, "other")
    put(face, R, "mine", progress=0.25)
    eventually(lambda: len(listener.events) >= 2, "two events")
    face.rooms.lifecycle.ending = True
    assert listener.joined()
    assert {told["ID"] for _, _, told in listener.events} == {"mine"}
    progress = [(number, told) for number, name, told in listener.events if name == "progress"]
    assert len(progress) == 1  # said once while it stays the same
    assert (progress[0][0], progress[0][1]["Progress"]) == ("", 25)


def test_who_may_follow(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    from wherry.rest import jobevents

    for wrong in ("-1", "x", "1" * 30):
        assert face.get(f"/jobs/events?since={wrong}").status == 400
    monkeypatch.setattr(jobevents, "_STREAMS", asyncio.Semaphore(0))
    reply = face.get("/jobs/events")
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")


# --- figures --------------------------------------------------------------------------------


def test_runtime_by_type(face: Face) -> None:
    job_id = order(face).json()["ID"]
    eventually(lambda: face.json(f"/jobs/{job_id}")["State"] == "Success", "success")
    name = 'wherry_jobs_runtime_s_{}{{type="Archive",state="Success"{}}} 1 '

    def figures() -> str:
        return face.get("/tools/metrics-prometheus").body.decode()

    eventually(lambda: name.format("count", "") in figures(), "the figure")
    assert name.format("bucket", ',le="+Inf"') in figures()
    assert "\northanc_jobs_success 1 " in figures()
    assert "\northanc_jobs_total_success 1 " in figures()


def test_a_peer_that_is_out_of_reach_is_waited_for_only_when_nobody_waits(tmp_path: Path) -> None:
    peers = {"gone": Peer("gone", "http://127.0.0.1:1/")}
    with serving(tmp_path, orthanc_peers=peers) as face:
        path = face.upload(make_instance())["Path"]
        body = {"Resources": [path.rpartition("/")[2]]}
        refused = face.post_json("/peers/gone/store", body)
        assert (refused.status, refused.json()["OrthancStatus"]) == (500, 9)
        job_id = face.post_json("/peers/gone/store", {**body, "Asynchronous": True}).json()["ID"]
        eventually(lambda: face.json(f"/jobs/{job_id}")["State"] == "Retry", "Retry")
        job = face.json(f"/jobs/{job_id}")
    assert job["Attempts"] == 1
    assert job["NextAttempt"] > job["Timestamp"]
    assert "gone" in job["ErrorDetails"]
