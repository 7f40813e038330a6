"""SIGKILL at random moments: of the sender, of the receiver, of both, while a study travels.

Where ``test_kill_points`` kills once at each durable call of a short transfer, this kills again and
again in longer ones, in whatever state a restart has left both ends. ``WHERRY_CRASH_STRIDE=n``
(``killing``) takes an n-th of the 200 kills.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.crash.journeys import Template
from tests.crash.killing import STRIDE
from tests.crash.meddling import World, world
from tests.crash.scenarios import check_files
from tests.support import postgres
from tests.support.dicom_files import make_instance, make_series

pytestmark = [pytest.mark.crash, pytest.mark.timeout(3600)]

PUSH_KILLS, PULL_KILLS, POSTGRESQL_KILLS = 92, 80, 28


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A study of 300 small instances and three that are cut."""
    large = [make_instance(number=1000 + n, pixel_bytes=n * 110_000) for n in (1, 2, 3)]
    folder = tmp_path_factory.mktemp("template")
    return Template(folder, [*make_series(300), *large]).fill()


def kill(found: World, kills: int, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The receiver is killed once more at the end, when everything was answered with success."""
    kills = max(4, kills // STRIDE)
    account = found.meddle(Random(seed), kills)
    found.receiver.kill()
    found.receiver.start()
    count = len(found.template.instances)
    assert len(found.receiver.json("GET", "/instances")) == count
    looks = found.watcher.looks
    with capsys.disabled():
        print(
            f"\n{found.direction}: {account.kills} kills ({dict(account.struck)}) in "
            f"{account.transfers} transfers, {account.resent_bytes / account.kills / 1024:.1f} KiB"
            f" sent again for each, {found.line.again_after_answer} buckets although answered;"
            f" looked {looks.total()} times ({dict(looks)})"
        )
    assert found.watcher.partial == []
    assert looks["nothing"] and looks["everything"]


@pytest.mark.parametrize(("direction", "kills"), [("push", PUSH_KILLS), ("pull", PULL_KILLS)])
def test_on_sqlite(
    direction: str,
    kills: int,
    template: Template,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with world(direction, template, tmp_path, {}) as found:
        kill(found, kills, 11, capsys)
        check_files(found.receiver)


def test_on_postgresql(
    template: Template,
    tmp_path: Path,
    postgresql_conninfo: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with postgres.database(postgresql_conninfo) as conninfo:
        section: dict[str, Any] = {"EnableIndex": True, "ConnectionUri": conninfo}
        with world("push", template, tmp_path, {"PostgreSQL": section}) as found:
            kill(found, POSTGRESQL_KILLS, 12, capsys)
