"""A server that dies while files move between its stores, and who reads from it meanwhile.

The object store is a real one, behind a proxy: a request to it is a step too, that the server may
die before, and another one when the store has done it and the server has not heard.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import obstore

from tests.crash.killing import DEAD, copied, rows
from tests.crash.killpoints import KillPoints
from tests.support.jobs import eventually
from tests.support.limited import Limited
from tests.support.object_proxy import ObjectProxy, object_proxy
from tests.support.server import Server, running
from tests.support.swift import Swift

BUCKET = "moves"
HERE, THERE = "file-system", "object-storage"
LIMITS = {
    "MOVED_TOGETHER": 2,
    "MOVED_AT_ONCE": 2,
    "REMOVALS_AGAIN_S": 0.2,
    "HEARTBEAT_S": 1.0,  # the policy looks for the first time when the steps are counted
    "GIB": 1,  # what the policy keeps here is counted in it
}
WAIT_S = 60.0

type_kind = Literal["", "call", "before", "after"]
type_point = tuple[type_kind, int]
"""Durable calls of the process, requests to the object store, and answers of it."""


@dataclass
class Stored:
    """What all servers begin with."""

    folder: Path
    instances: dict[str, bytes] = field(default_factory=dict)
    """Orthanc identifier → file."""
    study: str = ""
    beside: bytes = b"beside the study" * 1000

    def fill(self, files: list[bytes]) -> Stored:
        with running(Server(self.folder)) as server:
            for data in files:
                status, answer = server.request("POST", "/instances", data)
                assert status == 200, answer
                stored = json.loads(answer)
                self.instances[stored["ID"]], self.study = data, stored["ParentStudy"]
            path = f"/studies/{self.study}/attachments/1025"
            assert server.request("PUT", path, self.beside)[0] == 200
            server.stop()
        return self


class Reader:
    """Reads everything, again and again; whatever is not a whole answer while the server lives is
    an error."""

    def __init__(self, server: Server, stored: Stored) -> None:
        self._server = server
        self._stored = stored
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(read,), daemon=True)
            for read in (self._read_files, self._read_archive)
        ]
        self.errors: list[str] = []
        self.reads = 0

    def __enter__(self) -> Reader:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, read: Any) -> None:
        while not self._stop.is_set() and not self.errors:
            process = self._server.process
            assert process is not None
            try:
                read()
            except ConnectionRefusedError:  # nobody listens: it is dead, or not up again yet
                self._stop.wait(0.02)
            except DEAD as error:
                with suppress(Exception):
                    process.wait(10)
                if process.poll() is None:
                    self.errors.append(f"the connection broke: {error!r}")
            except AssertionError as error:
                self.errors.append(str(error)[:500])

    def _read_files(self) -> None:
        for name, data in self._stored.instances.items():
            status, answer = self._server.get(f"/instances/{name}/file")
            assert (status, answer) == (200, data), (name, status, answer[:300])
            self.reads += 1
        status, answer = self._server.get(f"/studies/{self._stored.study}/attachments/1025/data")
        assert (status, answer) == (200, self._stored.beside), (status, answer[:300])

    def _read_archive(self) -> None:
        status, answer = self._server.get(f"/studies/{self._stored.study}/archive")
        assert status == 200, answer[:300]
        with zipfile.ZipFile(io.BytesIO(answer)) as archive:
            found = [hashlib.md5(archive.read(name)).digest() for name in archive.namelist()]
        wanted = [hashlib.md5(data).digest() for data in self._stored.instances.values()]
        assert sorted(found) == sorted(wanted), "the archive holds something else"
        self.reads += 1


class Life:
    """One server, from its start to the restart that ends its moves."""

    def __init__(
        self,
        server: Limited,
        stored: Stored,
        proxy: ObjectProxy,
        points: KillPoints,
        service: Swift,
    ) -> None:
        self.server = server
        self.stored = stored
        self.points = points
        self._proxy = proxy
        self._service = service
        self._lock = threading.Lock()
        self._kill_at: type_point = ("", 0)
        self.counts = {"call": 0, "before": 0, "after": 0}
        self.killed = ""
        """At what it died."""
        proxy.bend = lambda method, path: self._step("before", method)
        proxy.after = lambda method, path: self._step("after", method)

    def arm(self, point: type_point) -> None:
        """Begin to count; the server dies at this point."""
        kind, number = point
        with self._lock:
            self.counts = {"call": 0, "before": 0, "after": 0}
            self._kill_at = point
        self.points.arm(number if kind == "call" else 0)

    def _step(self, kind: type_kind, method: str) -> None:
        with self._lock:
            self.counts[kind] += 1
            if self._kill_at != (kind, self.counts[kind]) or self.killed:
                return
            self.killed = f"{kind} {method}"
        assert self.server.process is not None
        self.server.process.kill()

    def dies(self) -> bool:
        """Whether the server does, or has."""
        return bool(self.points.fatal or self.killed)

    def ended(self) -> bool:
        """From now on it cannot die; whether it did, and has been started again."""
        with self._lock:
            self._kill_at = ("", 0)
            self.counts["call"] = self.points.count
            self.killed = self.killed or self.points.fatal
        self.points.arm(0)
        with suppress(*DEAD):
            self.server.json("GET", "/system")
            return False
        assert self.server.process is not None
        self.server.process.wait(30)
        self.server.environ = {}
        self.server.start()
        return True

    # --- what must hold in the end -----------------------------------------------------------
    def places(self) -> dict[str, str]:
        """UUID → place, of all files that the index knows."""
        return dict(rows(self.server, "SELECT uuid, place FROM attachments"))

    def objects(self) -> set[str]:
        """UUIDs of the objects that are there."""
        root = str(self.server.config["AwsS3Storage"]["RootPath"])
        store = self._service.store(BUCKET)
        found = [one["path"] for page in obstore.list(store, root) for one in page]
        return {path.rpartition("/")[2].partition(".")[0] for path in found}

    def settled(self) -> bool:
        """Nothing moves, nothing waits to be removed."""
        return not self.unsettled()

    def unsettled(self) -> list[Any]:
        """What still moves or waits to be removed."""
        return [
            *rows(self.server, "SELECT * FROM moving_files"),
            *rows(self.server, "SELECT * FROM deleted_files"),
        ]

    def check(self, target: str | None) -> None:
        """Each file is in one place, the one that the index says; in ``target``, when the move was
        ordered."""
        try:
            eventually(self.settled, "the end of moves and removals")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.unsettled()}\n{self.server.log()}") from error
        places, here, there = self.places(), self.server.files(), self.objects()
        assert here | there == set(places), "a file is lost, or there are too many"
        assert not here & there, "a file is in two places"
        assert here == {uuid for uuid, place in places.items() if not place}
        if target is not None:
            assert not (there if target == HERE else here), "a file was left behind"


@contextmanager
def living(
    stored: Stored, folder: Path, shim: Path, service: Swift, **config: Any
) -> Iterator[Life]:
    """A server on a copy of what is stored."""
    folder.mkdir()
    points = KillPoints(folder, shim)
    with object_proxy(service.port) as proxy:
        section = service.section(service.make(BUCKET)) | {
            "Endpoint": f"http://127.0.0.1:{proxy.port}",
            "RootPath": f"lives/{uuid4()}",
            "HybridMode": "WriteToFileSystem",
        }
        settings = {"AwsS3Storage": section, "MaximumStorageCacheSize": 0, **config}
        server = Limited(
            copied(stored.folder, folder / "server"),
            settings,
            environ=points.environ,
            limits=LIMITS,
        )
        with running(server):
            yield Life(server, stored, proxy, points, service)
