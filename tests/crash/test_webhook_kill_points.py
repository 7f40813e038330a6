"""A server dies at every durable call from an upload to the end of its delivery, and comes back.

What it had committed is told, in order, and a delivery that comes twice is the same both times.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tests.crash.killing import DEAD, end, everywhere, some
from tests.crash.killpoints import KillPoints
from tests.support.dicom_files import make_instance
from tests.support.jobs import eventually
from tests.support.listener import Listener, listening
from tests.support.server import Server, running

pytestmark = pytest.mark.crash

FIRST, SECOND = make_instance(number=1), make_instance(number=2)


def told(listener: Listener) -> list[int]:
    by_name = {call.id: call for call in listener.taken}
    return [event["Seq"] for call in by_name.values() for event in call.events]


def logged(server: Server) -> list[int]:
    return [change["Seq"] for change in server.json("GET", "/changes")["Changes"]]


def is_idle(server: Server) -> bool:
    return bool(server.json("GET", "/jobs") == [])


def live(folder: Path, shim: Path, number: int) -> tuple[str, int, int]:
    """A life that ends at durable call ``number`` (0 = it does not), and the one after it: what
    killed it, the calls, and how many deliveries came twice."""
    folder.mkdir(parents=True)
    points = KillPoints(folder, shim)
    with listening() as listener:
        config = {"Wherry": {"Webhooks": [listener.entry("*")]}}
        with running(Server(folder / "server", config, points.environ)) as server:
            points.arm(number)
            with suppress(*DEAD):
                server.request("POST", "/instances", FIRST)
                eventually(lambda: listener.taken or points.fatal, "the delivery")
                eventually(lambda: points.fatal or is_idle(server), "the end of the job")
            calls, fatal = points.count, points.fatal
            end(server, points)
            points.arm(0)
            server.start()
            assert server.request("POST", "/instances", SECOND)[0] == 200
            eventually(lambda: told(listener) == logged(server), "all changes")
            eventually(lambda: is_idle(server), "the end of the jobs")
        bodies = {call.id: call.body for call in listener.calls}
        assert all(bodies[call.id] == call.body for call in listener.calls)
        return fatal, calls, len(listener.taken) - len(bodies)


def test_killed_at_durable_calls(
    tmp_path: Path, shim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, count, twice = live(tmp_path / "count", shim, 0)
    assert twice == 0
    numbers = some(range(1, count + 1))
    lives = everywhere(lambda number: live(tmp_path / str(number), shim, number), numbers)
    kinds = Counter(fatal for fatal, _, _ in lives if fatal)
    with capsys.disabled():
        print(f"\nwebhook, {count} durable calls: killed at {kinds.total()} points ({dict(kinds)})")
    assert max(twice for _, _, twice in lives) <= 1
    assert kinds.total() >= len(lives) * 0.75, "most points must really kill"
