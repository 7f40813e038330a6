"""The sender of ``/modalities/{}/store`` dies, at every durable call and between two instances, and
comes back.

The job ends in Success by itself, every instance arrives, and what was acknowledged before the last
checkpoint is not sent again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.crash.journeys import Template
from tests.crash.killing import copied, end, everywhere, some, submit, until_its_end
from tests.crash.killpoints import KillPoints
from tests.support.dicom_files import make_series
from tests.support.scp import Caller, Received, Scp, taking
from tests.support.server import Server, running
from wherry import limits

pytestmark = pytest.mark.crash

STORED = 230
STEP = 2 * limits.STORE_SAVED + limits.MODALITY_STORE_ASSOCIATIONS
"""Instances that may be sent twice: those of a checkpoint that is being written, those behind it,
and those on their way."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(tmp_path_factory.mktemp("stored") / "sender", make_series(STORED)).fill()


@dataclass
class Life:
    """One job, from the order to the restart that lets it end."""

    template: Template
    sender: Server
    scp: Scp
    points: KillPoints
    job: str | None = field(default=None)

    def go(self) -> None:
        """Order the job; until it has ended or the sender has."""
        order = {"Resources": [self.template.study]}
        self.job = submit(self.sender, "/modalities/there/store", order)
        until_its_end(self.sender, self.job)

    def come_back(self) -> None:
        """The sender, which cannot die any more, ends the job well; an order that was never
        answered may be unknown."""
        self.scp.rule = Scp.rule
        self.sender.environ = {}
        self.sender.start()
        found = self.sender.json("GET", "/jobs")
        assert found == [self.job] if self.job else len(found) <= 1
        for job in found:
            ended = self.sender.wait_for_job(job)
            assert ended["State"] == "Success", ended
            assert ended["Content"]["FailedInstancesCount"] == 0
            assert len(self.arrived) == STORED

    @property
    def arrived(self) -> Counter[str]:
        """How often each instance came."""
        return Counter(self.scp.uids)

    @property
    def repeated(self) -> int:
        """Instances that came again."""
        return self.arrived.total() - len(self.arrived)


@contextmanager
def living(template: Template, folder: Path, shim: Path) -> Iterator[Life]:
    """A life that can begin."""
    folder.mkdir()
    points = KillPoints(folder, shim)
    with taking() as scp:
        modalities = {"there": ["THERE", "127.0.0.1", scp.port]}
        config = {"DicomModalities": modalities, "Wherry": {"JobRetries": {"Default": {}}}}
        sender = Server(copied(template.folder, folder / "sender"), config, environ=points.environ)
        with running(sender):
            yield Life(template, sender, scp, points)


def test_killed_at_durable_calls(
    tmp_path: Path, shim: Path, template: Template, capsys: pytest.CaptureFixture[str]
) -> None:
    with living(template, tmp_path / "count", shim) as life:
        life.points.arm(0)
        life.go()
        count = life.points.count
        assert life.arrived == dict.fromkeys(life.arrived, 1)
        assert len(life.arrived) == STORED

    def live(number: int) -> tuple[str, int]:
        with living(template, tmp_path / str(number), shim) as life:
            life.points.arm(number)
            life.go()
            end(life.sender, life.points)
            life.come_back()
            assert life.repeated <= STEP, f"killed at call {number}"
            return life.points.fatal, life.repeated

    lives = everywhere(live, some(range(1, count + 1)))
    killed = sum(bool(fatal) for fatal, _ in lives)
    with capsys.disabled():
        most = max(repeated for _, repeated in lives)
        print(f"\nmodalities/store, {count} calls: killed at {killed}, at most {most} repeated")
    assert killed >= len(lives) * 0.75, "most points must really kill"


@pytest.mark.parametrize("answered", [True, False], ids=["answered", "unanswered"])
def test_killed_between_two_instances(
    tmp_path: Path,
    shim: Path,
    template: Template,
    answered: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """When the n-th instance has come, before or after it is acknowledged."""

    def live(number: int) -> int:
        with living(template, tmp_path / str(number), shim) as life:
            process = life.sender.process
            assert process is not None

            def rule(caller: Caller, received: Received) -> None:
                is_last = len(life.scp.stored) >= number
                if not is_last or answered:
                    caller.respond(received)
                if is_last:
                    process.kill()

            life.scp.rule = rule
            life.go()
            process.wait(30)
            assert number <= life.arrived.total() < STORED
            life.come_back()
            assert life.repeated <= STEP, f"killed at instance {number}"
            return life.repeated

    points = some(range(1, STORED - 10, 3))
    repeated = everywhere(live, points)
    with capsys.disabled():
        print(
            f"\nmodalities/store: killed at {len(points)} instances, at most {max(repeated)} again"
        )
