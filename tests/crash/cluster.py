"""Three nodes on one PostgreSQL and one bucket behind a balancer, and those who work with them.

A node has no state: its folder is scratch, and another one for each of them. Everybody speaks to
the balancer, and each of his requests comes to another node.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.crash.killing import DEAD
from tests.support.balancer import Balancer, balanced
from tests.support.dicom_files import make_instance, make_series
from tests.support.proxy import Message
from tests.support.server import Server, free_port, running
from tests.support.swift import Swift
from wherry.dicom.scan import scan
from wherry.model import Manifest, ManifestInstance
from wherry.transfers import buckets, protocol

NODES = 3
UNIT_BYTES = 32 * 1024
PUSHED_SMALL = 40
_AGAIN_S = 0.2
_LONG_S = 120.0
_RETRIES = {"Attempts": 100, "FirstDelay": 1, "LongestDelay": 2}
_numbers = itertools.count(1)


def digest(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


class Study:
    """A new study: small instances, and some that travel in parts."""

    def __init__(self) -> None:
        number = next(_numbers)
        patient = f"P{number}"
        files = make_series(PUSHED_SMALL, study=number, patient_id=patient)
        files += [
            make_instance(number, 2, n, patient_id=patient, pixel_bytes=n * 90_000)
            for n in (1, 2, 3)
        ]
        found = {scan(data).identifiers: data for data in files}
        self.id = next(iter(found)).study
        self.files = {one.instance: data for one, data in found.items()}


class Caller:
    """A client of the balancer that asks until it is answered."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        assert address.port is not None
        self._server = Server(Path(), port=address.port)

    def once(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body; 0 when the connection broke."""
        with suppress(*DEAD):
            return self._server.request(method, path, body)
        return 0, b""

    def until(
        self, method: str, path: str, body: bytes | None = None, wanted: Sequence[int] = (200,)
    ) -> tuple[int, bytes]:
        """The answer, once it is one of those that are wanted. Only a node that dies, or the store
        behind it, may be why it was another one before."""
        end = time.monotonic() + _LONG_S
        while True:
            status, answer = self.once(method, path, body)
            if status in wanted:
                return status, answer
            assert status in (0, 502, 503), (method, path, status, answer)
            assert time.monotonic() < end, (method, path, status, answer)
            time.sleep(_AGAIN_S)  # as a client does


@dataclass
class Account:
    """What the cluster has said "yes" to."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    instances: dict[str, str] = field(default_factory=dict)
    """Acknowledged: identifier to MD5."""
    studies: dict[str, Study] = field(default_factory=dict)
    """That are, or were, pushed."""
    jobs: dict[str, int] = field(default_factory=dict)
    """Archives that were ordered: how many instances each has."""
    done: dict[str, int] = field(default_factory=dict)
    """Who has done how much."""

    def plan(self) -> Study:
        study = Study()
        with self.lock:
            self.studies[study.id] = study
        return study

    def acknowledged(self, who: str, files: dict[str, bytes]) -> None:
        with self.lock:
            self.instances.update({name: digest(data) for name, data in files.items()})
            self.done[who] = self.done.get(who, 0) + 1


class Cluster:
    """The nodes, what they share, and the balancers in front of them."""

    def __init__(self, folder: Path, conninfo: str, service: Swift, bucket: str) -> None:
        self.conninfo = conninfo
        self.store = service.store(bucket)
        config = {
            "PostgreSQL": {"EnableIndex": True, "ConnectionUri": conninfo},
            "AwsS3Storage": service.section(bucket),
            "StableAge": 3600,
            "JobsHistorySize": 10_000,
            "MediaArchiveSize": 10_000,
        }
        self.nodes = [Server(folder / f"node-{n}", config) for n in range(NODES)]
        self.ports = [node.port for node in self.nodes]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload]

    def objects(self) -> set[str]:
        """The files in the bucket."""
        return {str(one["path"]).partition(".")[0] for page in self.store.list() for one in page}


@contextmanager
def cluster(folder: Path, conninfo: str, service: Swift, bucket: str) -> Iterator[Cluster]:
    found = Cluster(folder, conninfo, service, service.make(bucket))
    with ExitStack() as stack:
        for node in found.nodes:
            stack.enter_context(running(node))
        yield found


# --- those who work ----------------------------------------------------------------------------
type_work = Callable[[], None]


def uploader(account: Account, caller: Caller) -> type_work:
    """Posts instances one by one."""
    number = 10_000 + next(_numbers)

    def work() -> None:
        for one in itertools.count(1):
            data = make_instance(number, 1, one, patient_id=f"U{number}", pixel_bytes=20_000)
            _, answer = caller.until("POST", "/instances", data)
            account.acknowledged("upload", {json.loads(answer)["ID"]: data})
            if one % 10 == 0:
                return

    return work


def stock_sender(account: Account, caller: Caller) -> type_work:
    """Pushes as a stock plugin does, which knows nothing but three routes."""

    def work() -> None:
        study = account.plan()
        instances = tuple(
            ManifestInstance(name, len(data), digest(data)) for name, data in study.files.items()
        )
        manifest = Manifest(instances, buckets.cut(instances, UNIT_BYTES), "none")
        while not _pushed(caller, study, manifest):
            pass
        account.acknowledged("stock", study.files)

    return work


def _pushed(caller: Caller, study: Study, manifest: Manifest) -> bool:
    """False when the answer to the commit was lost, and so is the transaction then."""
    _, answer = caller.until("POST", "/transfers/push", protocol.render_push(manifest))
    path = protocol.read_created(answer)
    for position, bucket in enumerate(manifest.buckets):
        parts = (study.files[c.orthanc_id][c.offset : c.offset + c.size] for c in bucket.chunks)
        caller.until("PUT", f"{path}/{position}", b"".join(parts))
    return caller.until("POST", f"{path}/commit", b"", (200, 404))[0] == 200


class WherrySender:
    """A Wherry that pushes studies which it has; with ``stock`` in the dialect of the plugin."""

    def __init__(self, folder: Path, url: str) -> None:
        retries = {"JobRetries": {"PushTransfer": _RETRIES}}
        config = {
            "OrthancPeers": {"cluster": [url]},
            "Transfers": {"BucketSize": UNIT_BYTES // 1024, "Threads": 4},
            "Wherry": retries,
            "JobsHistorySize": 10_000,
        }
        self.server = Server(folder, config, port=free_port())

    def work(self, account: Account, who: str) -> type_work:
        def push() -> None:
            study = account.plan()
            for data in study.files.values():
                assert self.server.request("POST", "/instances", data)[0] == 200
            order = {"Resources": [{"Level": "Study", "ID": study.id}], "Peer": "cluster"}
            job = self.server.json("POST", "/transfers/send", {**order, "Compression": "none"})
            ended = self.server.wait_for_job(job["ID"], _LONG_S)
            assert ended["State"] == "Success", ended
            account.acknowledged(who, study.files)

        return push


def hide(message: Message) -> None:
    """What a stock plugin does not know."""
    if message.path == "/transfers/inventory" or (
        message.method == "GET" and message.path.startswith("/transfers/")
    ):
        message.status = 404


@contextmanager
def hiding(ports: Sequence[int]) -> Iterator[Balancer]:
    """A balancer behind which everybody looks like a stock plugin."""
    with balanced(ports) as balancer:
        balancer.rule = hide
        yield balancer


def archivist(account: Account, caller: Caller) -> type_work:
    """Orders archives of what was pushed, and waits for each."""

    def work() -> None:
        with account.lock:
            whole = [s for s in account.studies.values() if account.instances.keys() >= {*s.files}]
        if not whole:
            time.sleep(_AGAIN_S)  # for the first of them
            return
        body = json.dumps({"Asynchronous": True}).encode()
        study = whole[-1]
        _, answer = caller.until("POST", f"/studies/{study.id}/archive", body)
        job = json.loads(answer)["ID"]
        with account.lock:
            account.jobs[job] = len(study.files)
        end = time.monotonic() + _LONG_S
        while (state := _state(caller, job)) in ("Pending", "Running"):
            assert time.monotonic() < end, state
            time.sleep(_AGAIN_S)  # polling other processes
        assert state == "Success"
        account.acknowledged("archive", {})

    return work


def _state(caller: Caller, job: str) -> str:
    return str(json.loads(caller.until("GET", f"/jobs/{job}")[1])["State"])


class Watcher:
    """Looks whether any study is there in part, or any instance is not what it should be."""

    def __init__(self, account: Account, caller: Caller) -> None:
        self._account = account
        self._caller = caller
        self.looks = 0
        self.wrong: list[str] = []

    def work(self) -> None:
        with self._account.lock:
            studies = list(self._account.studies.values())[-6:]
        for study in studies:
            status, answer = self._caller.once("GET", f"/studies/{study.id}/instances")
            if status == 200:
                seen = {one["ID"] for one in json.loads(answer)}
                if seen != {*study.files}:
                    self.wrong.append(f"{len(seen)} of {len(study.files)} instances of a study")
                self._look_at(*next(iter(study.files.items())))
            self.looks += 1

    def _look_at(self, name: str, data: bytes) -> None:
        status, answer = self._caller.once("GET", f"/instances/{name}/file")
        if (status == 200 and answer != data) or status not in (0, 200, 502, 503):
            self.wrong.append(f"a file is answered with {status} and {len(answer)} bytes")


class Follower:
    """Follows the log of changes: what it has not seen in passing, it will never see."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.seen: list[int] = []

    def work(self) -> None:
        since = self.seen[-1] if self.seen else 0
        status, answer = self._caller.once("GET", f"/changes?since={since}&limit=500")
        if status == 200:
            self.seen += [one["Seq"] for one in json.loads(answer)["Changes"]]
