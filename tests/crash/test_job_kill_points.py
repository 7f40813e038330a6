"""The sender of a job dies, at every durable call and at every checkpoint, and comes back.

The job ends in Success by itself, everything arrives, and what the receiver had acknowledged
before the last checkpoint is not sent again.
"""

from __future__ import annotations

import http.client
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.crash.journeys import Journey, Push, Store, Template, travelling
from tests.crash.killing import DEAD, copied, end, everywhere, rows, some
from tests.support.dicom_files import make_series
from tests.support.jobs import eventually
from tests.support.proxy import Message
from tests.support.server import Server, running
from wherry import limits

pytestmark = pytest.mark.crash

STORED = 200
STEP = limits.STORE_SAVED + limits.PEER_STORE_CONNECTIONS
"""Instances that may be sent twice: those behind the last checkpoint, and those on their way."""
CHECKPOINT_CALLS = 6
"""Durable calls behind the answer that makes a checkpoint due: it is among the first of them."""
PUSHED = 80
PUSH_POINTS = 50


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(tmp_path_factory.mktemp("stored") / "sender", make_series(STORED)).fill()


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(tmp_path_factory.mktemp("pushed") / "sender", make_series(PUSHED)).fill()


def tell(capsys: pytest.CaptureFixture[str], what: str, fatal: list[str], *, repeated: int) -> None:
    """How many points really killed, and at what; the most work that was repeated."""
    kinds = Counter(kind for kind in fatal if kind)
    with capsys.disabled():
        print(
            f"\n{what}: killed at {kinds.total()} points "
            f"({', '.join(f'{kind} {number}' for kind, number in sorted(kinds.items()))}), "
            f"at most {repeated} pieces repeated"
        )
    assert kinds.total() >= len(fatal) * 0.75, "most points must really kill"


def calls_of(kind: type[Journey], template: Template, folder: Path, shim: Path) -> int:
    """Durable calls of the sender from the order to the end, when it does not die."""
    with travelling(kind, template, folder, shim) as journey:
        journey.points.arm(0)
        journey.go()
        count = journey.points.count
        journey.check()
        assert journey.repeated == 0
    return count


# --- /peers/{}/store -------------------------------------------------------------------------
def test_store_killed_at_durable_calls(
    tmp_path: Path, shim: Path, template: Template, capsys: pytest.CaptureFixture[str]
) -> None:
    def live(number: int) -> tuple[str, int]:
        with travelling(Store, template, tmp_path / str(number), shim) as journey:
            journey.points.arm(number)
            journey.go()
            end(journey.sender, journey.points)
            journey.restart()
            journey.check()
            assert journey.repeated <= STEP, f"killed at call {number}"
            return journey.points.fatal, journey.repeated

    count = calls_of(Store, template, tmp_path / "count", shim)
    lives = everywhere(live, some(range(1, count + 1)))
    tell(
        capsys,
        f"peers/store, {count} durable calls",
        [fatal for fatal, _ in lives],
        repeated=max(repeated for _, repeated in lives),
    )


def test_store_killed_at_each_checkpoint(
    tmp_path: Path, shim: Path, template: Template, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a disk that is slow and has something else to do just then, so that the connections have
    time to run ahead of the checkpoint."""

    def live(point: tuple[int, int]) -> tuple[str, int]:
        checkpoint, call = point
        with travelling(Store, template, tmp_path / f"{checkpoint}-{call}", shim) as journey:

            def due(answered: int) -> None:
                if answered == checkpoint * limits.STORE_SAVED - 20:
                    journey.points.slow_down(300_000)
                    threading.Thread(target=change_something, args=(journey.sender,)).start()
                if answered == checkpoint * limits.STORE_SAVED:
                    journey.points.arm(call)

            when_answered(journey, due)
            journey.go()
            end(journey.sender, journey.points)
            arrived = journey.arrived.total()
            journey.points.slow_down(0)
            journey.restart()
            journey.check()
            assert arrived >= checkpoint * limits.STORE_SAVED
            assert journey.repeated <= STEP, f"checkpoint {checkpoint}, call {call}"
            return journey.points.fatal, journey.repeated

    checkpoints = range(1, STORED // limits.STORE_SAVED + 1)
    calls = range(1, CHECKPOINT_CALLS + 1)
    points = [(one, call) for one in checkpoints for call in some([*calls[one:], *calls[:one]])]
    lives = everywhere(live, points)
    tell(
        capsys,
        "peers/store, at its checkpoints",
        [fatal for fatal, _ in lives],
        repeated=max(repeated for _, repeated in lives),
    )


@pytest.mark.parametrize("at", [1, 60, 110])
def test_store_stopped_cleanly_repeats_nothing(
    tmp_path: Path, shim: Path, template: Template, at: int
) -> None:
    """What is on its way when the stop begins is answered, and counts."""
    with travelling(Store, template, tmp_path / "life", shim) as journey:
        sender = journey.sender
        assert sender.process is not None
        process = sender.process

        def stop(answered: int) -> None:
            if answered == at:
                process.send_signal(signal.SIGTERM)
                eventually(lambda: not answers(sender), "the beginning of the stop")

        when_answered(journey, stop)
        journey.go()
        assert process.wait(60) == 0
        assert at <= journey.arrived.total() < STORED, "stopped too late to mean anything"
        journey.restart()
        journey.check()
        assert journey.repeated == 0


def change_something(server: Server) -> None:
    """Make the index write."""
    with suppress(*DEAD):
        server.request("PUT", "/peers/another", b'["http://127.0.0.1:1/"]')


def answers(server: Server) -> bool:
    """Whether it still takes requests. One that stops does not refuse connections, it is silent."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.5)
    try:
        connection.request("GET", "/system")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def when_answered(journey: Journey, call: Callable[[int], None]) -> None:
    """Call with the number of pieces that were answered so far, before each answer goes out."""
    answered = 0

    def after(message: Message) -> bool:
        nonlocal answered
        if journey.work(message) is not None:
            with journey.proxy.lock:
                answered += 1
                call(answered)
        return True

    journey.proxy.after = after


# --- /transfers/send -------------------------------------------------------------------------
def test_push_killed_at_random_durable_calls(
    tmp_path: Path, shim: Path, pushed: Template, capsys: pytest.CaptureFixture[str]
) -> None:
    def live(number: int) -> tuple[str, int]:
        with travelling(Push, pushed, tmp_path / str(number), shim) as journey:
            journey.points.arm(number)
            journey.go()
            end(journey.sender, journey.points)
            acknowledged = set(journey.proxy.acknowledged())
            journey.restart()
            journey.check()
            again = {path for path in acknowledged if journey.arrived[path] > 1}
            assert not again, f"killed at call {number}: sent again although acknowledged: {again}"
            assert journey.repeated <= Push.config["Transfers"]["Threads"]
            return journey.points.fatal, journey.repeated

    count = calls_of(Push, pushed, tmp_path / "count", shim)
    points = some(Random(20).sample(range(1, count + 1), PUSH_POINTS))
    lives = everywhere(live, points)
    tell(
        capsys,
        f"push, {count} durable calls",
        [fatal for fatal, _ in lives],
        repeated=max(repeated for _, repeated in lives),
    )


# --- Retry -----------------------------------------------------------------------------------
def test_a_job_in_retry_outlives_its_process(tmp_path: Path, pushed: Template) -> None:
    """Two jobs wait for a peer that is not there: one for seconds, the other for an hour."""
    receiver = Server(tmp_path / "receiver")
    policies = {
        "PushTransfer": {"FirstDelay": 6},
        "OrthancPeerStore": {"FirstDelay": 3600, "LongestDelay": 3600},
    }
    sender = Server(
        copied(pushed.folder, tmp_path / "sender"),
        {"Wherry": {"JobRetries": policies}, "OrthancPeers": {"there": [f"{receiver.url}/"]}},
    )

    def waiting() -> dict[str, tuple[Any, ...]]:
        query = "SELECT type, state, attempts, error_code, retry_at FROM jobs"
        return {row[0]: row[1:] for row in rows(sender, query)}

    with running(sender):
        what = [{"Level": "Study", "ID": pushed.study}]
        order = {"Resources": what, "Peer": "there", "Compression": "none"}
        push = sender.json("POST", "/transfers/send", order)["ID"]
        order = {"Resources": [pushed.study], "Asynchronous": True}
        store = sender.json("POST", "/peers/there/store", order)["ID"]
        eventually(lambda: {row[0] for row in waiting().values()} == {"Retry"}, "both in Retry")
        sender.kill()
        before = waiting()
        assert {row[:3] for row in before.values()} == {("Retry", 1, 9)}
        shown = sender.start().json("GET", f"/jobs/{store}")
        assert (shown["State"], shown["Attempts"]) == ("Retry", 1)
        assert waiting()["OrthancPeerStore"] == before["OrthancPeerStore"]
        with running(receiver):
            assert sender.wait_for_job(push)["State"] == "Success"
            stored = [path.read_bytes() for path in receiver.storage.glob("??/*/*")]
            assert sorted(stored) == sorted(pushed.instances)
        events = rows(sender, "SELECT job_id, state, happened_at FROM job_events ORDER BY seq")
        states = [state for job, state, _ in events if job == push]
        failed = ["Pending", "Running", "Retry"] * states.count("Retry")  # twice on a slow machine
        assert states == [*failed, "Pending", "Running", "Success"]
        [_, _, _, due, *_] = [at for job, _, at in events if job == push]
        assert due >= before["PushTransfer"][-1], "tried again before its time"
        assert [state for job, state, _ in events if job == store][-1] == "Retry"
        assert waiting()["OrthancPeerStore"] == before["OrthancPeerStore"]
