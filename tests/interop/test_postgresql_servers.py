"""Whole servers on PostgreSQL: alone, as a receiver, and two of them on one index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.dicom_files import make_series
from tests.support.server import Server, running

INSTANCES = 60


@pytest.fixture
def config(postgresql_conninfo: str) -> Iterator[dict[str, object]]:
    """The configuration of a server whose index is an empty database."""
    with postgres.database(postgresql_conninfo) as conninfo:
        yield {"PostgreSQL": {"EnableIndex": True, "ConnectionUri": conninfo}}


def upload(server: Server, instances: list[bytes]) -> list[str]:
    """The statuses of the answers, from four clients at once."""

    def post(data: bytes) -> str:
        status, answer = server.request("POST", "/instances", data)
        assert status == 200, answer
        found: str = json.loads(answer)["Status"]
        return found

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(post, instances))


def test_two_servers_on_one_index_take_the_same_study_at_once(
    config: dict[str, object], tmp_path: Path
) -> None:
    instances = make_series(INSTANCES)
    shared = {**config, "StorageDirectory": str(tmp_path / "shared")}
    with running(Server(tmp_path / "a", shared)) as a, running(Server(tmp_path / "b", shared)) as b:
        with ThreadPoolExecutor(2) as pool:
            one, two = pool.map(lambda server: upload(server, instances), (a, b))
        assert sorted([*one, *two]) == ["AlreadyStored"] * INSTANCES + ["Success"] * INSTANCES
        for server in (a, b):
            statistics = server.json("GET", "/statistics")
            assert statistics["CountInstances"] == INSTANCES
            assert statistics["CountStudies"] == statistics["CountSeries"] == 1
        files = {entry["FileUuid"] for entry in a.json("GET", "/instances?expand")}
        assert {path.name for path in (tmp_path / "shared").glob("??/*/*")} == files
        a.kill()
        assert len(b.json("GET", "/instances")) == INSTANCES


def test_a_study_travels_to_a_server_on_postgresql_that_is_killed_afterwards(
    config: dict[str, object], tmp_path: Path
) -> None:
    instances = make_series(INSTANCES)
    with (
        running(Server(tmp_path / "sender")) as sender,
        running(Server(tmp_path / "receiver", config)) as receiver,
    ):
        upload(sender, instances)
        status, _ = sender.request(
            "PUT", "/peers/there", json.dumps({"Url": receiver.url + "/"}).encode()
        )
        assert status == 200
        study = sender.json("GET", "/studies")[0]
        job = sender.json(
            "POST",
            "/transfers/send",
            {
                "Resources": [{"Level": "Study", "ID": study}],
                "Peer": "there",
                "Compression": "gzip",
            },
        )
        assert sender.wait_for_job(job["ID"])["State"] == "Success"
        receiver.kill()
        receiver.start()
        for orthanc_id in sender.json("GET", "/instances"):
            path = f"/instances/{orthanc_id}/file"
            assert receiver.get(path) == sender.get(path)
        assert len(receiver.files()) == INSTANCES
