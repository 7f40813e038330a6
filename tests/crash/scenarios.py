"""What is done to a server until it dies, and what must hold when it is back.

A scenario has a receiver that is killed and, for transfers, a sender that lives on. ``act`` is
run against a receiver that may die at any call; ``check`` against the restarted receiver.
"""

from __future__ import annotations

import io
import json
import sqlite3
import time
import zipfile
from contextlib import closing, suppress
from typing import Any, ClassVar, Protocol

from tests.crash.killing import DEAD
from tests.support.jobs import eventually
from tests.support.server import Server

INSTANCES = 20


class Scenario(Protocol):
    name: str

    def act(self, receiver: Server) -> None: ...
    def check(self, receiver: Server) -> None: ...


def visible(server: Server) -> dict[str, str]:
    """Orthanc identifier → name of the file, of every instance that a client can see."""
    return {
        instance["ID"]: instance["FileUuid"] for instance in server.json("GET", "/instances?expand")
    }


def check_files(server: Server) -> None:
    """Every file is an attachment, or announced in a block of a transfer that goes on."""
    with closing(sqlite3.connect(server.folder / "index" / "wherry.db")) as index:
        attached = {row[0] for row in index.execute("SELECT uuid FROM attachments")}
        blocks = [
            row[0]
            for row in index.execute(
                "SELECT prefix FROM staging_blocks WHERE owner LIKE 'transfer:%'"
            )
        ]
    orphans = {
        name for name in server.files() - attached if not name.startswith(tuple(blocks) or ("-",))
    }
    assert not orphans, f"orphan files: {orphans}"
    assert attached <= server.files(), "an instance has lost its file"
    assert set(visible(server).values()) <= attached


class SingleIngest:
    """Instances are posted one by one, some twice; one is deleted."""

    name = "single ingest"

    def __init__(self, instances: list[bytes]) -> None:
        self._instances = instances
        self._acknowledged: dict[str, bytes] = {}
        self._deleted: set[str] = set()
        self._gone: str | None = None
        """What the client was told is deleted."""

    def act(self, receiver: Server) -> None:
        self._acknowledged.clear()
        self._deleted.clear()
        self._gone = None
        with suppress(*DEAD):
            for number, data in enumerate([*self._instances, self._instances[0]]):
                status, answer = receiver.request("POST", "/instances", data)
                assert status == 200, answer
                orthanc_id = json.loads(answer)["ID"]
                self._acknowledged[orthanc_id] = data
                if number == 3:
                    self._deleted.add(orthanc_id)
                    receiver.json("DELETE", f"/instances/{orthanc_id}")
                    self._gone = orthanc_id
                    del self._acknowledged[orthanc_id]

    def check(self, receiver: Server) -> None:
        seen = visible(receiver)
        for orthanc_id, data in self._acknowledged.items():
            if orthanc_id not in self._deleted:
                assert orthanc_id in seen, "an acknowledged instance is lost"
                assert receiver.get(f"/instances/{orthanc_id}/file") == (200, data)
        if self._gone is not None:
            assert self._gone not in seen, "a deleted instance is there again"
        for orthanc_id in seen:
            assert receiver.get(f"/instances/{orthanc_id}/file")[1] in self._instances
        statistics = receiver.json("GET", "/statistics")
        assert statistics["CountInstances"] == len(seen)
        assert statistics["CountPatients"] == bool(seen)
        check_files(receiver)


class Attachments:
    """Files beside an instance are put, replaced and taken away; its own is packed and unpacked."""

    name = "attachments"

    def __init__(self, instance: bytes) -> None:
        self._instance = instance
        self._id = ""
        self._attached: dict[int, bytes] = {}
        """What the client was told is there."""
        self._begun: tuple[int, bytes | None] | None = None
        """What it has asked for and heard nothing of."""

    def act(self, receiver: Server) -> None:
        self._id, self._begun = "", None
        self._attached.clear()
        with suppress(*DEAD):
            status, answer = receiver.request("POST", "/instances", self._instance)
            assert status == 200, answer
            self._id = json.loads(answer)["ID"]
            for number in range(12):
                self._change(receiver, 1024 + number % 4, bytes([number]) * 5_000)
            for way in ("compress", "uncompress", "compress"):
                status, answer = receiver.request("POST", f"{self._path(1)}/{way}")
                assert status == 200, answer
            for number in range(2):
                self._change(receiver, 1024 + number, None)

    def _change(self, receiver: Server, number: int, data: bytes | None) -> None:
        self._begun = (number, data)
        if data is None:
            status, answer = receiver.request("DELETE", self._path(number))
        else:
            status, answer = receiver.request("PUT", self._path(number), data)
        assert status == 200, answer
        self._settle()

    def _settle(self) -> None:
        assert self._begun is not None
        (number, data), self._begun = self._begun, None
        if data is None:
            del self._attached[number]
        else:
            self._attached[number] = data

    def _path(self, number: int) -> str:
        return f"/instances/{self._id}/attachments/{number}"

    def check(self, receiver: Server) -> None:
        if self._id:
            self._check_content(receiver)
        check_files(receiver)

    def _check_content(self, receiver: Server) -> None:
        shown = receiver.json("GET", f"/instances/{self._id}/attachments?full")
        found = {n: receiver.get(f"{self._path(n)}/data")[1] for n in shown.values()}
        assert found.pop(1) == self._instance, "the instance has lost its bytes"
        if self._begun is not None and found != self._attached:
            self._settle()
        assert found == self._attached, "neither as before the last change nor as after it"
        for number in shown.values():
            assert receiver.request("POST", f"{self._path(number)}/verify-md5")[0] == 200
        sizes = sum(
            int(receiver.get(f"{self._path(n)}/compressed-size")[1]) for n in shown.values()
        )
        assert receiver.json("GET", "/statistics")["TotalDiskSize"] == str(sizes)


class Recycling:
    """Patients arrive in ZIP files at a store that holds one of them."""

    name = "recycling"
    config = {"MaximumPatientCount": 1}

    def __init__(self, patients: list[list[bytes]]) -> None:
        self._patients = patients
        self._acknowledged = 0

    def act(self, receiver: Server) -> None:
        with suppress(*DEAD):
            for number, instances in enumerate(self._patients, 1):
                status, answer = receiver.request("POST", "/instances", _zipped(instances))
                assert status == 200, answer
                self._acknowledged = number

    def check(self, receiver: Server) -> None:
        files = {receiver.get(f"/instances/{one}/file")[1] for one in visible(receiver)}
        wholly = [number for number, p in enumerate(self._patients, 1) if files == set(p)]
        assert wholly or not files, f"{len(files)} instances are visible: not one whole patient"
        held = wholly[0] if wholly else 0
        expected = (self._acknowledged, self._acknowledged + 1)
        assert held in expected, f"patient {held} is there, {self._acknowledged} was acknowledged"
        statistics = receiver.json("GET", "/statistics")
        assert statistics["CountInstances"] == len(files)
        assert statistics["TotalDiskSize"] == str(sum(map(len, files)))
        deadline = time.monotonic() + 20
        while receiver.files() - set(visible(receiver).values()) and time.monotonic() < deadline:
            time.sleep(0.05)  # what was recycled is removed after the start
        check_files(receiver)


def _zipped(instances: list[bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, data in enumerate(instances):
            archive.writestr(f"{number}.dcm", data)
    return packed.getvalue()


class Push:
    """A sender pushes a study of 20 instances; it lives on, and its job waits for the receiver."""

    name = "push"
    more: ClassVar[dict[str, Any]] = {}
    """Members of its order."""
    sender_config = {"Wherry": {"JobRetries": {"PushTransfer": {"FirstDelay": 1}}}}

    def __init__(self, sender: Server, study: str, sent: dict[str, bytes]) -> None:
        self._sender = sender
        self._study = study
        self._sent = sent
        self._job = ""

    def act(self, receiver: Server) -> None:
        peer = f"receiver-{receiver.port}"
        self._sender.request(
            "PUT", f"/peers/{peer}", json.dumps({"Url": f"{receiver.url}/"}).encode()
        )
        job = self._sender.json(
            "POST",
            "/transfers/send",
            {
                "Resources": [{"Level": "Study", "ID": self._study}],
                "Peer": peer,
                "Compression": "none",
                **self.more,
            },
        )
        self._job = job["ID"]
        eventually(lambda: self._ended(receiver), "the end of the job or of the receiver")

    def _ended(self, receiver: Server) -> bool:
        assert receiver.process is not None
        state = self._sender.json("GET", f"/jobs/{self._job}")["State"]
        return state in ("Success", "Failure") or receiver.process.poll() is not None

    def check(self, receiver: Server) -> None:
        first = len(visible(receiver))
        assert first in (0, INSTANCES), f"{first} of {INSTANCES} instances are visible"
        job = self._sender.wait_for_job(self._job)
        assert job["State"] == "Success", job
        receipt = f"/transfers/receipts/{job['Content']['Receipt']}"
        assert self._sender.json("GET", receipt) == receiver.json("GET", receipt)
        seen = visible(receiver)
        assert len(seen) == INSTANCES, "the sender was told that all is well"
        for orthanc_id in seen:
            assert receiver.get(f"/instances/{orthanc_id}/file") == (200, self._sent[orthanc_id])
        check_files(receiver)


class Pull:
    """The receiver fetches the study itself; its job must end well without help."""

    name = "pull"
    more: ClassVar[dict[str, Any]] = {}

    def __init__(self, sender: Server, study: str, sent: dict[str, bytes]) -> None:
        self._sender = sender
        self._study = study
        self._sent = sent
        self._job = ""

    def act(self, receiver: Server) -> None:
        self._job = ""
        with suppress(*DEAD):
            receiver.request(
                "PUT", "/peers/sender", json.dumps({"Url": f"{self._sender.url}/"}).encode()
            )
            self._job = receiver.json(
                "POST",
                "/transfers/pull",
                {
                    "Resources": [{"Level": "Study", "ID": self._study}],
                    "Peer": "sender",
                    "Compression": "none",
                    **self.more,
                },
            )["ID"]
            receiver.wait_for_job(self._job)

    def check(self, receiver: Server) -> None:
        first = len(visible(receiver))
        assert first in (0, INSTANCES), f"{first} of {INSTANCES} instances are visible"
        if self._job:
            job = receiver.wait_for_job(self._job)
            assert job["State"] == "Success", job
            receipt = receiver.json("GET", f"/transfers/receipts/{job['Content']['Receipt']}")
            assert receipt["Receipt"]["CountInstances"] == INSTANCES
            seen = visible(receiver)
            assert len(seen) == INSTANCES
            for orthanc_id in seen:
                file = receiver.get(f"/instances/{orthanc_id}/file")
                assert file == (200, self._sent[orthanc_id])
        check_files(receiver)
