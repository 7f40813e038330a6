"""SIGKILL at every durable call of a receiver, then a restart and a look.

The number of calls is found by a first run that is not killed; which of them are taken:
``killing``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.killing import end, everywhere, some
from tests.crash.killpoints import KillPoints
from tests.crash.scenarios import (
    INSTANCES,
    Attachments,
    Pull,
    Push,
    Recycling,
    Scenario,
    SingleIngest,
)
from tests.support.dicom_files import make_instance, make_series
from tests.support.server import Server, running

pytestmark = pytest.mark.crash

power = pytest.mark.parametrize("with_power", [False, True], ids=["killed", "cut"])

CONFIG = {"Transfers": {"BucketSize": 8, "Threads": 2}, "StableAge": 3600}


@pytest.fixture(scope="module")
def instances() -> list[bytes]:
    return make_series(INSTANCES)


@pytest.fixture(scope="module")
def sender(
    instances: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str, dict[str, bytes]]]:
    """A server that lives on, the study it holds, and its files by identifier."""
    with running(Server(tmp_path_factory.mktemp("sender"), CONFIG | Push.sender_config)) as server:
        sent = {}
        for data in instances:
            status, answer = server.request("POST", "/instances", data)
            assert status == 200, answer
            sent[json.loads(answer)["ID"]] = data
        yield server, server.json("GET", "/studies")[0], sent


def run(
    folder: Path, shim: Path, scenario: Scenario, number: int, *, with_power: bool = False
) -> tuple[int, str]:
    """One life, death and return of a receiver: calls made, and the fatal one. ``with_power``: the
    power goes too."""
    folder.mkdir(parents=True)
    points = KillPoints(folder, shim)
    if with_power:
        points.watch_the_disk()
    config = CONFIG | getattr(scenario, "config", {})
    receiver = Server(folder, config, environ=points.environ)
    with running(receiver):
        points.arm(number)
        scenario.act(receiver)
        end(receiver, points)
        count = points.count
        receiver.environ = {}
        if with_power and points.fatal:
            points.cut_the_power(receiver.folder / "index", receiver.storage)
        try:
            receiver.start()
            scenario.check(receiver)
        except AssertionError as error:
            raise AssertionError(
                f"{scenario.name}, killed at call {number} ({points.fatal}): {error}\n"
                f"{receiver.log()}"
            ) from error
    return count, points.fatal


def kill_everywhere(
    tmp_path: Path,
    shim: Path,
    make: Callable[[], Scenario],
    capsys: pytest.CaptureFixture[str],
    *,
    with_power: bool = False,
) -> None:
    """Find the number of calls, then die at each of them. ``with_power``: see ``run``."""
    count, fatal = run(tmp_path / "count", shim, make(), 0)
    assert fatal == ""
    assert count > INSTANCES
    numbers = some(range(1, count + 1))
    results = everywhere(
        lambda number: run(tmp_path / str(number), shim, make(), number, with_power=with_power),
        numbers,
    )
    kinds = Counter(fatal for _, fatal in results if fatal)
    with capsys.disabled():
        print(
            f"\n{make().name}{', with the power' * with_power}: "
            f"{count} durable calls, killed at {kinds.total()} "
            f"({', '.join(f'{kind} {number}' for kind, number in sorted(kinds.items()))})"
        )
    assert kinds.total() >= len(numbers) * 0.9, "most points must really kill"


@power
def test_single_ingest(
    tmp_path: Path,
    shim: Path,
    instances: list[bytes],
    capsys: pytest.CaptureFixture[str],
    with_power: bool,
) -> None:
    kill_everywhere(
        tmp_path, shim, lambda: SingleIngest(instances[:6]), capsys, with_power=with_power
    )


@power
def test_attachments(
    tmp_path: Path,
    shim: Path,
    instances: list[bytes],
    capsys: pytest.CaptureFixture[str],
    with_power: bool,
) -> None:
    kill_everywhere(
        tmp_path, shim, lambda: Attachments(instances[0]), capsys, with_power=with_power
    )


@power
def test_recycling(
    tmp_path: Path, shim: Path, capsys: pytest.CaptureFixture[str], with_power: bool
) -> None:
    patients = [
        [make_instance(patient_id=name, number=number) for number in range(1, 4)] for name in "ABC"
    ]
    kill_everywhere(tmp_path, shim, lambda: Recycling(patients), capsys, with_power=with_power)


@power
def test_push(
    tmp_path: Path,
    shim: Path,
    sender: tuple[Server, str, dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
    with_power: bool,
) -> None:
    kill_everywhere(tmp_path, shim, lambda: Push(*sender), capsys, with_power=with_power)


@power
def test_pull(
    tmp_path: Path,
    shim: Path,
    sender: tuple[Server, str, dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
    with_power: bool,
) -> None:
    kill_everywhere(tmp_path, shim, lambda: Pull(*sender), capsys, with_power=with_power)
