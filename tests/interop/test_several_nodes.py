"""Two nodes on one PostgreSQL and one bucket: what one was told the other knows, at once.

Whose jobs run where: ``test_jobs_on_postgresql``. With nodes that die: ``tests/crash``.
"""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.support import postgres
from tests.support.dicom_files import make_instance, make_series
from tests.support.jobs import eventually
from tests.support.receiver import receiving
from tests.support.server import Server, running
from tests.support.swift import Swift


class Nodes:
    """Two of them, and what they share."""

    def __init__(self, folder: Path, conninfo: str, service: Swift, peer: str) -> None:
        self.conninfo = conninfo
        config = {
            "PostgreSQL": {"EnableIndex": True, "ConnectionUri": conninfo},
            "AwsS3Storage": service.section(service.make(f"nodes-{uuid4().hex[:8]}")),
            "ConcurrentJobs": 1,
            "OrthancPeers": {"gate": [peer]},
            "MaximumStorageCacheSize": 16,
        }
        self.a, self.b = (Server(folder / name, config) for name in "ab")

    def running_jobs(self) -> int:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            row = connection.execute("SELECT count(*) FROM jobs WHERE state = 'Running'").fetchone()
        return int(row[0]) if row else 0


@pytest.fixture(scope="module")
def nodes(
    tmp_path_factory: pytest.TempPathFactory, postgresql_conninfo: str, s3_service: Swift
) -> Iterator[Nodes]:
    with ExitStack() as stack:
        conninfo = stack.enter_context(postgres.database(postgresql_conninfo))
        peer = stack.enter_context(silent_peer())
        found = Nodes(tmp_path_factory.mktemp("nodes"), conninfo, s3_service, peer)
        stack.enter_context(running(found.a))
        stack.enter_context(running(found.b))
        yield found


@contextmanager
def silent_peer() -> Iterator[str]:
    """Takes the first bytes of an instance, and says nothing before the end of the tests."""
    over = threading.Event()

    def wait(_: str) -> None:
        over.wait(600)

    with receiving() as receiver:
        receiver.rule = wait
        try:
            yield receiver.url
        finally:
            over.set()


def post(server: Server, data: bytes) -> dict[str, str]:
    status, answer = server.request("POST", "/instances", data)
    assert status == 200, answer
    found: dict[str, str] = json.loads(answer)
    return found


def test_what_is_stored_at_one_is_read_and_deleted_at_the_other(nodes: Nodes) -> None:
    data = make_instance(1, 1, 1, pixel_bytes=30_000)
    found = post(nodes.a, data)
    path = f"/instances/{found['ID']}"
    for _ in range(2):  # the second time it is in memory
        assert nodes.b.get(f"{path}/file") == (200, data)
    assert nodes.a.request("DELETE", path)[0] == 200
    for node in (nodes.a, nodes.b):
        assert node.get(f"{path}/file")[0] == 404
        assert found["ID"] not in node.json("GET", "/instances")


def test_what_users_say_of_it_is_known_to_both(nodes: Nodes) -> None:
    found = post(nodes.a, make_instance(2, 1, 1))
    study = f"/studies/{found['ParentStudy']}"
    assert nodes.a.request("PUT", f"{study}/labels/seen")[0] == 200
    assert nodes.b.json("GET", f"{study}/labels") == ["seen"]
    assert nodes.b.request("PUT", f"{study}/metadata/1024", b"text")[0] == 200
    assert nodes.a.get(f"{study}/metadata/1024") == (200, b"text")
    assert nodes.b.request("PUT", f"{study}/attachments/1025", bytes(range(200)))[0] == 200
    content = f"{study}/attachments/1025/data"
    assert nodes.a.get(content) == (200, bytes(range(200)))
    assert nodes.a.request("DELETE", f"{study}/attachments/1025")[0] == 200
    assert nodes.b.get(content)[0] == 404


def test_who_is_declared_at_one_is_known_to_the_other(nodes: Nodes) -> None:
    for kind, entry in (
        ("peers", {"Url": "http://127.0.0.1:1/"}),
        ("modalities", {"AET": "ONE", "Host": "127.0.0.1", "Port": 104}),
    ):
        nodes.b.get(f"/{kind}")
        assert nodes.a.request("PUT", f"/{kind}/one", json.dumps(entry).encode())[0] == 200
        assert "one" in nodes.b.json("GET", f"/{kind}")
        assert nodes.b.request("DELETE", f"/{kind}/one")[0] == 200
        assert "one" not in nodes.a.json("GET", f"/{kind}")


def test_changes_and_keys_are_the_same(nodes: Nodes) -> None:
    post(nodes.b, make_instance(3, 1, 1))
    for path in ("/changes?limit=1000", "/transfers/receipts/key", "/statistics"):
        assert nodes.a.json("GET", path) == nodes.b.json("GET", path)


def test_a_zip_is_unpacked_into_the_bucket(nodes: Nodes) -> None:
    files = make_series(12, study=4)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, data in enumerate(files):
            archive.writestr(f"{number}.dcm", data)
    status, answer = nodes.a.request("POST", "/instances", packed.getvalue())
    assert status == 200
    stored = [nodes.b.get(f"/instances/{one['ID']}/file") for one in json.loads(answer)]
    assert stored == [(200, data) for data in files]


def hold(node: Server, nodes: Nodes, instance: str) -> str:
    """A job that waits for the silent peer, and occupies the worker of a node."""
    before = nodes.running_jobs()
    order: dict[str, Any] = {"Resources": [instance], "Asynchronous": True}
    job = node.json("POST", "/peers/gate/store", order)["ID"]
    eventually(lambda: nodes.running_jobs() == before + 1, "a job at the peer")
    return str(job)


def test_who_waits_for_a_job_is_answered_wherever_it_runs(nodes: Nodes) -> None:
    """One node is busy: all archives are made by the other, and each is answered where it was
    ordered."""
    data = make_instance(5, 1, 1)
    instance = post(nodes.a, data)["ID"]
    held = hold(nodes.a, nodes, instance)

    def archive(node: Server) -> list[bytes]:
        order = {"Resources": [instance], "Synchronous": True, "Asynchronous": False}
        status, body = node.request("POST", "/tools/create-archive", json.dumps(order).encode())
        assert status == 200
        with zipfile.ZipFile(io.BytesIO(body)) as opened:
            return [opened.read(name) for name in opened.namelist()]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(archive, [nodes.a, nodes.b] * 2))
    assert found == [[data]] * 4
    for node in (nodes.a, nodes.b):
        assert node.json("GET", f"/jobs/{held}")["State"] == "Running"
    assert nodes.b.request("POST", f"/jobs/{held}/cancel")[0] == 200
    assert nodes.a.wait_for_job(held)["ErrorCode"] == 37


def test_a_job_is_cancelled_at_either_node(nodes: Nodes) -> None:
    """Both are busy: one of the two jobs runs at the other node, whichever that is."""
    instance = post(nodes.a, make_instance(6, 1, 1))["ID"]
    held = [hold(nodes.a, nodes, instance) for _ in range(2)]
    assert nodes.running_jobs() == 2
    for job in held:
        assert nodes.a.request("POST", f"/jobs/{job}/cancel")[0] == 200
    for job in held:
        assert nodes.b.wait_for_job(job)["ErrorCode"] == 37
