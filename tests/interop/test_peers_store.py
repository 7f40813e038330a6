"""``/peers/{}/store`` between Wherry and the real Orthanc, and through the death of the sender."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.dicom_files import make_instance
from tests.support.orthanc import ORTHANC, Orthanc
from tests.support.proxy import Message, proxied
from tests.support.server import Server, running
from wherry import limits

FILES = [
    *[make_instance(number=number) for number in range(1, 8)],
    make_instance(number=20, pixel_bytes=limits.BUCKET_BUFFER_BYTES + limits.MIB),
]
KINDS = {"wherry": Server, "orthanc": Orthanc}
PAIRS = [("wherry", "wherry"), ("orthanc", "wherry"), ("wherry", "orthanc")]


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """A filled sender that knows the receiver as "there"."""
    if "orthanc" in request.param and ORTHANC is None:
        pytest.skip("there is no Orthanc to speak with: apt-get install orthanc")
    sender_kind, receiver_kind = request.param
    with ExitStack() as stack:
        receiver = stack.enter_context(running(KINDS[receiver_kind](tmp_path / "receiver")))
        sender = stack.enter_context(running(KINDS[sender_kind](tmp_path / "sender")))
        for data in FILES:
            assert sender.request("POST", "/instances", data)[0] == 200
        entry = json.dumps({"Url": receiver.url}).encode()
        assert sender.request("PUT", "/peers/there", entry)[0] == 200
        yield sender, receiver


def content(server: Server) -> dict[str, str]:
    return {
        name: hashlib.sha256(server.get(f"/instances/{name}/file")[1]).hexdigest()
        for name in server.json("GET", "/instances")
    }


@pytest.mark.parametrize("compress", [False, True])
def test_a_study_is_stored_at_the_peer(pair: tuple[Server, Server], compress: bool) -> None:
    sender, receiver = pair
    study = sender.json("GET", "/studies")[0]
    order = {"Resources": [study], "Compress": compress}
    found = sender.json("POST", "/peers/there/store", order)
    assert content(receiver) == content(sender)
    size = int(found.pop("Size"))
    total = sum(map(len, FILES))
    assert size == total if not compress else size < total / 2
    assert found == {
        "Compress": compress,
        "Description": "REST API",
        "FailedInstancesCount": 0,
        "InstancesCount": len(FILES),
        "ParentResources": [study],
        "Peer": [f"{receiver.url}/"],
        "SizeMB": size // limits.MIB,
    }


def test_the_same_job_seen_from_outside(pair: tuple[Server, Server]) -> None:
    sender, receiver = pair
    patient = sender.json("GET", "/patients")[0]
    order = {"Resources": [patient], "Asynchronous": True, "Priority": 3, "Permissive": True}
    answer = sender.json("POST", "/peers/there/store", order)
    assert set(answer) == {"ID", "Path"}
    job = sender.wait_for_job(answer["ID"])
    assert (job["State"], job["Type"], job["Priority"]) == ("Success", "OrthancPeerStore", 3)
    assert (job["ErrorCode"], job["Progress"]) == (0, 100)
    assert len(receiver.json("GET", "/instances")) == job["Content"]["InstancesCount"]


def test_straight_and_system(pair: tuple[Server, Server]) -> None:
    sender, receiver = pair
    status, answer = sender.request("POST", "/peers/there/store-straight", FILES[0])
    assert status == 200
    assert json.loads(answer)["Status"] == "Success"
    assert receiver.json("GET", "/instances") == [json.loads(answer)["ID"]]
    status, answer = sender.request("POST", "/peers/there/store-straight", b"hello")
    assert (status, json.loads(answer)["OrthancStatus"]) == (500, 9)
    assert sender.json("GET", "/peers/there/system") == receiver.json("GET", "/system")


def test_a_killed_sender_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """Killed in the middle, started again: every instance arrives, and few are sent twice."""
    count = 3 * limits.STORE_SAVED + 10
    with ExitStack() as stack:
        receiver = stack.enter_context(running(Server(tmp_path / "receiver")))
        proxy = stack.enter_context(proxied(receiver.port))
        peers = {"OrthancPeers": {"there": [proxy.url]}}
        sender = stack.enter_context(running(Server(tmp_path / "sender", config=peers)))
        for number in range(count):
            sender.request("POST", "/instances", make_instance(number=number))
        reached, killed = threading.Event(), threading.Event()
        lock = threading.Lock()
        arrived: Counter[str] = Counter()

        def watch(message: Message) -> None:
            if message.method != "POST":
                return
            with lock:
                arrived[hashlib.sha256(message.body).hexdigest()] += 1
                late = sum(arrived.values()) > 2 * limits.STORE_SAVED + 20
            if late and not killed.is_set():
                reached.set()
                assert killed.wait(60)

        proxy.rule = watch
        study = sender.json("GET", "/studies")[0]
        order = {"Resources": [study], "Synchronous": False}
        job = sender.json("POST", "/peers/there/store", order)["ID"]
        assert reached.wait(60)
        sender.kill()
        killed.set()
        before = sum(arrived.values())
        sender.start()
        found = sender.wait_for_job(job)
        assert found["State"] == "Success", found
        assert found["Content"]["InstancesCount"] == count
        assert found["Content"]["FailedInstancesCount"] == 0
        assert content(receiver) == content(sender)
        again = sum(arrived.values()) - before
        late = limits.PEER_STORE_CONNECTIONS  # on their way when the sender was killed
        assert count - before <= again <= count - 2 * limits.STORE_SAVED + late
