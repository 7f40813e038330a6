"""Answers that are given again: only while the index is as it was."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_instance
from tests.support.server import Server, running
from wherry import limits
from wherry.http.remembered import Remembered


class Index:
    state: int | None = 1


@pytest.fixture
def memory() -> Remembered:
    return Remembered(lambda: Index.state)


@pytest.fixture(autouse=True)
def _state() -> Iterator[None]:
    yield
    Index.state = 1


def test_a_value_lives_as_long_as_its_state(memory: Remembered) -> None:
    state = memory.look()
    memory.put("key", "value", 5, state)
    assert memory.get("key") == "value"
    Index.state = 2
    memory.look()
    assert memory.get("key") is None


def test_what_was_found_out_before_a_change_is_not_kept(memory: Remembered) -> None:
    state = memory.look()
    Index.state = 2
    memory.look()
    memory.put("key", "value", 5, state)
    assert memory.get("key") is None


def test_nothing_is_kept_where_nobody_knows(memory: Remembered) -> None:
    Index.state = None
    memory.put("key", "value", 5, memory.look())
    assert memory.get("key") is None


def test_it_is_bounded(memory: Remembered) -> None:
    state = memory.look()
    memory.put("large", "value", limits.REMEMBERED_ANSWER_BYTES + 1, state)
    assert memory.get("large") is None
    size = limits.REMEMBERED_ANSWER_BYTES
    for number in range(limits.REMEMBERED_BYTES // size + 1):
        memory.put(number, "value", size, state)
    assert memory.get(0) is None
    for number in range(100_000):
        memory.put(number, "value", 0, state)
    held = sum(memory.get(number) is not None for number in range(100_000))
    assert held <= limits.REMEMBERED_BYTES // limits.REMEMBERED_OVERHEAD_BYTES


class Client:
    """One kept-alive connection: its answers come at once where they can."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def close(self) -> None:
        self._connection.close()

    def get(self, path: str) -> tuple[int, Any]:
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if body[:1] in (b"{", b"[") else body


def test_a_running_server_shows_each_change_at_once(tmp_path: Path) -> None:
    with running(Server(tmp_path)) as server, closing(Client(server)) as client:
        for number in range(1, 6):
            answer = server.request("POST", "/instances", make_instance(1, 1, number))[1]
            stored = json.loads(answer)
            for _ in range(3):
                assert client.get("/statistics")[1]["CountInstances"] == number
                assert (
                    len(client.get(f"/series/{stored['ParentSeries']}")[1]["Instances"]) == number
                )
                assert client.get("/changes?last")[1]["Changes"][0]["ID"]
                assert client.get(f"/instances/{stored['ID']}/file")[0] == 200
        study = stored["ParentStudy"]
        assert client.get(f"/studies/{study}")[1]["Labels"] == []
        assert server.request("PUT", f"/studies/{study}/labels/seen")[0] == 200
        assert client.get(f"/studies/{study}")[1]["Labels"] == ["seen"]
        assert server.request("DELETE", f"/studies/{study}")[0] == 200
        assert client.get(f"/studies/{study}")[0] == 404
        assert client.get(f"/instances/{stored['ID']}/file")[0] == 404
        assert client.get("/statistics")[1]["CountInstances"] == 0


def test_what_another_process_changes_is_seen_too(tmp_path: Path) -> None:
    with (
        running(Server(tmp_path)) as one,
        running(Server(tmp_path / "other", _same(one))) as two,
        closing(Client(one)) as client,
    ):
        for number in range(1, 4):
            assert client.get("/statistics")[1]["CountInstances"] == number - 1
            assert two.request("POST", "/instances", make_instance(1, 1, number))[0] == 200
            assert client.get("/statistics")[1]["CountInstances"] == number


def _same(server: Server) -> dict[str, Any]:
    """The folders of another server."""
    return {
        "StorageDirectory": str(server.storage),
        "IndexDirectory": str(server.folder / "index"),
    }


def test_a_password_is_asked_for_each_time(tmp_path: Path) -> None:
    config = {"AuthenticationEnabled": True, "RegisteredUsers": {"alice": "wonder"}}
    server = Server(tmp_path, config)
    server.get = lambda _path: (200, b"")  # type: ignore[method-assign]  # ready when it listens
    with running(server):
        known = {"Authorization": "Basic YWxpY2U6d29uZGVy"}
        for _ in range(3):
            assert server.request("GET", "/statistics", headers=known)[0] == 200
            assert server.request("GET", "/statistics")[0] == 401
