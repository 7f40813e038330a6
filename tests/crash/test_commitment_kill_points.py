"""A server that was asked for storage commitment dies at every durable call, and comes back.

Who got a yes to its request gets a report, and it is right: all instances but the one whose file
is damaged. A report may come twice, and says the same then.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from queue import Empty

import pytest

from tests.crash.killing import DEAD, copied, end, everywhere, rows, some
from tests.crash.killpoints import KillPoints
from tests.support.commitment import Reported, Requester
from tests.support.dicom_files import make_series
from tests.support.jobs import DEADLINE_S, eventually
from tests.support.server import Server, free_port, running
from wherry import limits

pytestmark = pytest.mark.crash

CT = "1.2.840.10008.5.1.4.1.1.2"
ROOT = "1.2.826.0.1.3680043.10.1234.1.1"
INSTANCES = 3 * limits.COMMITMENT_STEP_INSTANCES + 1
DAMAGED = 150
PAIRS = [(CT, f"{ROOT}.{number}") for number in range(1, INSTANCES + 1)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all servers begin with: the instances, one of them damaged."""
    folder = tmp_path_factory.mktemp("stored") / "server"
    with running(Server(folder)) as server:
        for data in make_series(INSTANCES):
            assert server.request("POST", "/instances", data)[0] == 200
        server.stop()
    query = (
        "SELECT uuid FROM attachments JOIN instances i ON i.id = resource"
        f" WHERE i.sop_instance_uid = '{ROOT}.{DAMAGED}'"
    )
    [[name]] = rows(server, query)
    path = server.storage / name[:2] / name[2:4] / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return folder


def states(server: Server) -> list[str]:
    return [row[0] for row in rows(server, "SELECT state FROM jobs")]


def server_on(template: Path, folder: Path, requester: Requester, points: KillPoints) -> Server:
    config = {
        "DicomServerEnabled": True,
        "DicomPort": free_port(),
        "DicomModalities": {"m": [requester.title, "127.0.0.1", requester.port]},
        "Wherry": {"JobRetries": {"Default": {"FirstDelay": 1, "LongestDelay": 1}}},
    }
    return Server(copied(template, folder / "server"), config, points.environ)


def heard(requester: Requester) -> list[Reported]:
    """All reports so far."""
    found = []
    with suppress(Empty):
        while True:
            found.append(requester.reports.get_nowait())
    return found


def check(reports: list[Reported]) -> None:
    """Each of them is right."""
    for report in reports:
        assert report.failed == [(*PAIRS[DAMAGED - 1], 0x0110)]
        assert report.committed == [pair for pair in PAIRS if pair != PAIRS[DAMAGED - 1]]


def live(template: Path, folder: Path, shim: Path, number: int) -> tuple[str, int, int]:
    """A life that ends at durable call ``number`` (0 = it does not), and the one after it: what
    killed it, the calls, and how many reports came."""
    folder.mkdir(parents=True)
    points = KillPoints(folder, shim)
    requester = Requester()
    with requester.listening():
        server = server_on(template, folder, requester, points)
        with running(server):
            points.arm(number)
            answer = requester.ask(server.config["DicomPort"], "2.25.1", PAIRS)
            assert answer in (0, None) if number else answer == 0
            with suppress(*DEAD):
                eventually(
                    lambda: points.fatal or "Success" in states(server), "the end of the job"
                )
            calls, fatal = points.count, points.fatal
            end(server, points)
            points.arm(0)
            server.environ = {}
            server.start()
            eventually(lambda: set(states(server)) <= {"Success"}, "the end of the job")
            found = states(server)
            assert len(found) == 1 if answer == 0 else len(found) <= 1
        reports = heard(requester)
        check(reports)
        assert bool(reports) == bool(found)
        assert len({report.transaction for report in reports}) <= 1
        return fatal, calls, len(reports)


def test_killed_at_durable_calls(
    tmp_path: Path, shim: Path, template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, count, reports = live(template, tmp_path / "count", shim, 0)
    assert reports == 1
    numbers = some(range(1, count + 1))
    lives = everywhere(lambda number: live(template, tmp_path / str(number), shim, number), numbers)
    kinds = Counter(fatal for fatal, _, _ in lives if fatal)
    twice = sum(reports > 1 for _, _, reports in lives)
    with capsys.disabled():
        print(
            f"\ncommitment, {count} durable calls: killed at {kinds.total()} points"
            f" ({dict(kinds)}), reported twice after {twice} of them"
        )
    assert max(reports for _, _, reports in lives) <= 2
    assert kinds.total() >= len(lives) * 0.75, "most points must really kill"


def test_a_report_that_waits_outlives_its_process(
    tmp_path: Path, shim: Path, template: Path
) -> None:
    requester = Requester()
    server = server_on(template, tmp_path, requester, KillPoints(tmp_path, shim))
    with running(server):
        assert requester.ask(server.config["DicomPort"], "2.25.1", PAIRS) == 0
        eventually(lambda: states(server) == ["Retry"], "the job waits")
        server.kill()
        server.environ = {}
        with requester.listening():
            server.start()
            check([requester.reports.get(timeout=DEADLINE_S)])
            eventually(lambda: states(server) == ["Success"], "the end of the job")
