"""An S3 service behind a bad line: slow, lost, full, answering 503, cutting bodies.

Whoever needs the storage hears so in clear words; who does not, notices nothing; when it is back,
all goes on and nothing is left over, without anybody's doing.
"""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from obstore.store import ObjectStore

from tests.support.dicom_files import make_instance
from tests.support.object_proxy import Answer, Cut, Drop, ObjectProxy, object_proxy
from tests.support.sealed import key_file, new_master
from tests.support.server import Server, running
from tests.support.swift import Swift

SMALL = [make_instance(number=number) for number in range(1, 6)]
LARGE = [make_instance(series=2, number=number, pixel_bytes=11_000_000) for number in (1, 2)]


@dataclass
class Node:
    server: Server
    line: ObjectProxy
    store: ObjectStore

    def upload(self, data: bytes) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            connection.request("POST", "/instances", data)
            answer = connection.getresponse()
            headers = {k.lower(): v for k, v in answer.getheaders()}
            return answer.status, headers, json.loads(answer.read())
        finally:
            connection.close()

    def stored(self, data: bytes) -> str:
        """Upload; the path of the instance. Again while the storage rests."""
        end = time.monotonic() + 30
        while True:
            status, _, answer = self.upload(data)
            if status == 200:
                path: str = answer["Path"]
                return path
            assert status == 503, answer
            assert time.monotonic() < end
            time.sleep(0.1)  # as a client would

    def objects(self) -> set[str]:
        return {found["path"] for page in self.store.list() for found in page}

    def wait_for_objects(self, paths: list[str]) -> None:
        """Until there are those of these instances and no others."""
        wanted = {self.server.json("GET", path)["FileUuid"] + ".dcm" for path in paths}
        end = time.monotonic() + 30
        while (found := self.objects()) != wanted:
            assert time.monotonic() < end, (found, wanted)
            time.sleep(0.1)  # the janitor of another process


@pytest.fixture
def node(tmp_path: Path, s3_service: Swift) -> Iterator[Node]:
    bucket = s3_service.make(f"bucket-{uuid.uuid4()}")
    with object_proxy(s3_service.port) as line:
        section = s3_service.section(bucket) | {
            "Endpoint": f"http://127.0.0.1:{line.port}",
            "ConnectTimeout": 1,
            "RequestTimeout": 2,
            "MaxRetries": 1,
        }
        config = {"AwsS3Storage": section}
        with running(Server(tmp_path, config)) as server:
            yield Node(server, line, s3_service.store(bucket))


def slow(line: ObjectProxy) -> None:
    line.delay_s = 10


def bent(outcome: Answer | Cut | Drop) -> Callable[[ObjectProxy], None]:
    def bend(line: ObjectProxy) -> None:
        line.bend = lambda _method, _path: outcome

    return bend


FAULTS = {
    "slow": slow,
    "down": bent(Drop(told=False)),
    "answers lost": bent(Drop(told=True)),
    "503": bent(Answer(503, "SlowDown")),
    "500": bent(Answer(500, "InternalError")),
    "key revoked": bent(Answer(403, "InvalidAccessKeyId")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_out_of_reach(node: Node, fault: str) -> None:
    server = node.server
    cached, far, gone = (node.stored(data) for data in (SMALL[0], LARGE[0], SMALL[1]))
    assert server.get(f"{cached}/file") == (200, SMALL[0])
    before = server.json("GET", "/instances")

    FAULTS[fault](node.line)
    for data in (SMALL[2], LARGE[1], SMALL[3]):
        status, headers, answer = node.upload(data)
        assert (status, answer["OrthancStatus"]) == (503, 36)
        assert int(headers["retry-after"]) > 0
        assert "object storage" in answer["Details"]
    status, text = server.get(f"{far}/file")
    assert (status, json.loads(text)["OrthancStatus"]) == (503, 36)
    assert sorted(server.json("GET", "/instances")) == sorted(before)
    assert server.get(f"{cached}/file") == (200, SMALL[0])
    assert server.json("GET", far)["ID"]
    assert server.request("DELETE", gone)[0] == 200

    node.line.bend = lambda _method, _path: None
    node.line.delay_s = 0
    new = node.stored(SMALL[4])
    assert server.get(f"{far}/file") == (200, LARGE[0])
    node.wait_for_objects([cached, far, new])


def test_full(node: Node) -> None:
    path = node.stored(SMALL[0])
    node.line.bend = lambda method, _path: (
        Answer(507, "InsufficientStorage") if method == "PUT" else None
    )
    for data in (SMALL[1], LARGE[0]):
        status, _, answer = node.upload(data)
        assert (status, answer["OrthancStatus"]) == (507, 19)
    assert node.server.get(f"{path}/file") == (200, SMALL[0])
    assert len(node.server.json("GET", "/instances")) == 1
    node.wait_for_objects([path])
    node.line.bend = lambda _method, _path: None
    assert node.upload(SMALL[1])[0] == 200


def test_bodies_are_cut(node: Node) -> None:
    path = node.stored(LARGE[0])
    seen: list[str] = []

    def cut_first(method: str, _path: str) -> Cut | None:
        seen.append(method)
        return Cut(100_000) if method == "GET" and len(seen) % 2 else None

    node.line.bend = cut_first
    assert node.server.get(f"{path}/file") == (200, LARGE[0])  # what was cut is asked for again
    node.line.bend = lambda method, _path: Cut(100_000) if method == "GET" else None
    status, text = node.server.get(f"{path}/file")
    assert (status, json.loads(text)["OrthancStatus"]) == (503, 36)
    assert node.upload(SMALL[0])[0] == 503  # it rests
    node.line.bend = lambda _method, _path: None
    other = node.stored(SMALL[0])
    assert node.server.get(f"{path}/file") == (200, LARGE[0])
    node.wait_for_objects([path, other])


def test_an_answer_that_was_lost_is_asked_for_again(node: Node) -> None:
    """The first attempt has made the object: the second one finds its own bytes there."""
    seen: list[str] = []

    def lose_first(method: str, _path: str) -> Answer | Drop | None:
        seen.append(method)
        return Drop(told=True) if len(seen) == 1 else None

    node.line.bend = lose_first
    status, _, answer = node.upload(SMALL[0])
    if status == 200:  # asked for again
        assert seen.count("PUT") > 1
        node.wait_for_objects([answer["Path"]])
    else:  # or given up; then nothing may be left
        assert status == 503
        node.wait_for_objects([])


def test_a_server_that_dies_while_the_storage_is_away(node: Node) -> None:
    path = node.stored(SMALL[0])
    node.line.bend = lambda _method, _path: Drop(told=True)
    assert node.upload(SMALL[1])[0] == 503
    assert node.upload(LARGE[0])[0] == 503
    node.server.kill()
    node.line.bend = lambda _method, _path: Answer(503, "SlowDown")
    node.server.start()  # before the storage is back
    assert node.server.json("GET", path)["ID"]
    node.line.bend = lambda _method, _path: None
    other = node.stored(SMALL[1])
    node.wait_for_objects([path, other])


def test_a_server_with_keys_starts_while_the_storage_is_away(node: Node, tmp_path: Path) -> None:
    keys = {"StorageEncryption": {"MasterKey": key_file(tmp_path, new_master(1))}}
    section = {**node.server.config["AwsS3Storage"], **keys}
    server = Server(tmp_path / "sealed", {"AwsS3Storage": section})
    with running(server):
        sealed = Node(server, node.line, node.store)
        path = sealed.stored(SMALL[0])
        server.stop()
        node.line.bend = lambda _method, _path: Answer(503, "SlowDown")
        server.start()
        assert server.json("GET", path)["ID"]
        node.line.bend = lambda _method, _path: None
        sealed.stored(SMALL[1])
        assert server.get(f"{path}/file") == (200, SMALL[0])
