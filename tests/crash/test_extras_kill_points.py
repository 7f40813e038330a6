"""SIGKILL at every durable call of a receiver of metadata, labels and attachments: they are seen
with the instances that they came with, or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.crash.scenarios import Pull, Push, visible
from tests.crash.test_kill_points import CONFIG, kill_everywhere
from tests.support.dicom_files import make_series
from tests.support.server import Server, running

pytestmark = pytest.mark.crash

FILES = {"4000": b"small", "4001": bytes(range(256)) * 1000}


@pytest.fixture(scope="module")
def sender(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Server, str, dict[str, bytes]]]:
    """A server that lives on, the study it holds, and its files by identifier."""
    with running(Server(tmp_path_factory.mktemp("sender"), CONFIG | Push.sender_config)) as server:
        sent = {}
        for data in make_series(20):
            status, answer = server.request("POST", "/instances", data)
            assert status == 200, answer
            sent[json.loads(answer)["ID"]] = data
        study = server.json("GET", "/studies")[0]
        for path, body in {
            "labels/urgent": b"",
            "metadata/3000": b"note",
            **{f"attachments/{name}": body for name, body in FILES.items()},
        }.items():
            assert server.request("PUT", f"/studies/{study}/{path}", body)[0] == 200
        yield server, study, sent


def check_together(receiver: Server) -> None:
    """While the commit may happen at any moment."""
    before = receiver.json("GET", "/tools/labels")
    seen = visible(receiver)
    after = receiver.json("GET", "/tools/labels")
    assert seen or not before, "a label is seen without its study"
    assert after or not seen, "a study is seen without its label"


def check_all(receiver: Server, study: str) -> None:
    assert receiver.get(f"/studies/{study}/metadata/3000") == (200, b"note")
    assert receiver.json("GET", f"/studies/{study}/labels") == ["urgent"]
    for name, body in FILES.items():
        assert receiver.get(f"/studies/{study}/attachments/{name}/data") == (200, body)


class PushWithExtras(Push):
    name = "push with metadata"
    more: ClassVar[dict[str, Any]] = {"Metadata": True}

    def check(self, receiver: Server) -> None:
        check_together(receiver)
        super().check(receiver)
        check_all(receiver, self._study)


class PullWithExtras(Pull):
    name = "pull with metadata"
    more: ClassVar[dict[str, Any]] = {"Metadata": True}

    def check(self, receiver: Server) -> None:
        check_together(receiver)
        super().check(receiver)
        if self._job:
            check_all(receiver, self._study)


def test_push(
    tmp_path: Path,
    shim: Path,
    sender: tuple[Server, str, dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    kill_everywhere(tmp_path, shim, lambda: PushWithExtras(*sender), capsys)


def test_pull(
    tmp_path: Path,
    shim: Path,
    sender: tuple[Server, str, dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    kill_everywhere(tmp_path, shim, lambda: PullWithExtras(*sender), capsys)
