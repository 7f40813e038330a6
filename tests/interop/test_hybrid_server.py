"""A server with a file system and a real object store, in clear and sealed: new files go where the
mode says, all of them move there and back as they are, and are read wherever they are."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import obstore
import pytest

from tests.support.dicom_files import make_series
from tests.support.jobs import eventually
from tests.support.object_proxy import Answer, ObjectProxy, object_proxy
from tests.support.sealed import key_file, new_master
from tests.support.server import Server, running
from tests.support.swift import Swift
from wherry import limits

HERE, THERE = "file-system", "object-storage"
BUCKET = "hybrid"
LARGE = 3 * limits.MIB
FILES = [*make_series(4), *make_series(1, StudyInstanceUID="1.2.3", pixel_bytes=LARGE)]


class Both:
    """A running server, and a look at its objects."""

    def __init__(self, server: Server, service: Swift, proxy: ObjectProxy) -> None:
        self.server = server
        self.proxy = proxy
        self._root = str(server.config["AwsS3Storage"]["RootPath"])
        self._store = service.store(BUCKET)

    def names(self) -> list[str]:
        """Of the objects, without their folder."""
        pages = obstore.list(self._store, self._root)
        paths = [one["path"] for page in pages for one in page]
        return [path.rpartition("/")[2] for path in paths if "wherry-keys" not in path]

    def objects(self) -> list[bytes]:
        """Their bytes, while nothing moves."""
        return [
            bytes(obstore.get(self._store, f"{self._root}/{name}").bytes()) for name in self.names()
        ]

    def upload(self) -> dict[str, bytes]:
        """Instances by identifier."""
        stored = {}
        for data in FILES:
            status, answer = self.server.request("POST", "/instances", data)
            assert status == 200, answer
            stored[json.loads(answer)["ID"]] = data
        return stored

    def move(self, target: str) -> None:
        order = {"Resources": self.server.json("GET", "/patients"), "TargetStorage": target}
        self.server.json("POST", "/move-storage", order)
        eventually(lambda: self.counts() == self.expected(target), "the janitor")

    def counts(self) -> tuple[int, int]:
        return len(self.server.files()), len(self.names())

    def expected(self, target: str) -> tuple[int, int]:
        return (len(FILES), 0) if target == HERE else (0, len(FILES))


@pytest.fixture
def begin(tmp_path: Path, s3_service: Swift) -> Iterator[Callable[..., Both]]:
    """Starts a server in a mode, sealed or not."""
    opened = []

    def start(mode: str, *, sealed: bool = False) -> Both:
        line = object_proxy(s3_service.port)
        proxy = line.__enter__()
        opened.append(line)
        section: dict[str, Any] = s3_service.section(s3_service.make(BUCKET)) | {
            "Endpoint": f"http://127.0.0.1:{proxy.port}",
            "RootPath": f"servers/{uuid4()}",
            "HybridMode": mode,
            "MaxRetries": 0,
        }
        if sealed:
            section["StorageEncryption"] = {"MasterKey": key_file(tmp_path, new_master(1))}
        config = {"AwsS3Storage": section, "MaximumStorageCacheSize": 0}
        server = Server(tmp_path / "server", config)
        running_server = running(server)
        running_server.__enter__()
        opened.append(running_server)
        return Both(server, s3_service, proxy)

    yield start
    for context in reversed(opened):
        context.__exit__(None, None, None)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("mode", ["WriteToFileSystem", "WriteToObjectStorage"])
def test_there_and_back(begin: Callable[..., Both], mode: str, sealed: bool) -> None:
    both = begin(mode, sealed=sealed)
    stored = both.upload()
    first = HERE if mode == "WriteToFileSystem" else THERE
    assert both.counts() == both.expected(first)
    for target in (THERE, HERE, THERE) if first == HERE else (HERE, THERE):
        both.move(target)
        for name, data in stored.items():
            assert both.server.get(f"/instances/{name}/file") == (200, data)
            found = both.server.json("GET", f"/instances/{name}/storage")
            [form] = found["Stores"]
            container = "W1" if sealed else ""
            assert (form["Store"], form["Encryption"]) == (target, container)
    ending = ".dcm.enc" if sealed else ".dcm"
    assert all(name.removeprefix(name[:36]) == ending for name in both.names())
    in_clear = set(both.objects()) & set(stored.values())
    assert len(in_clear) == (0 if sealed else len(FILES))


def test_ranges_of_a_large_sealed_object(begin: Callable[..., Both]) -> None:
    both = begin("WriteToFileSystem", sealed=True)
    stored = both.upload()
    both.move(THERE)
    [(name, data)] = [(name, data) for name, data in stored.items() if len(data) > LARGE]
    headers = {"Range": f"bytes={LARGE - 10}-{LARGE + 9}"}
    path = f"/instances/{name}/attachments/dicom/data"
    assert both.server.request("GET", path, headers=headers) == (206, data[LARGE - 10 : LARGE + 10])


def test_without_the_object_store_what_is_here_is_served(begin: Callable[..., Both]) -> None:
    both = begin("WriteToFileSystem")
    server, stored = both.server, both.upload()
    small = [name for name, data in stored.items() if len(data) < LARGE]
    order = {"Resources": small[:1], "TargetStorage": THERE}
    server.json("POST", "/move-storage", order)
    eventually(lambda: both.counts() == (4, 1), "the janitor")
    both.proxy.bend = lambda method, path: Answer(503, "ServiceUnavailable")
    both.proxy.seen.clear()
    for name in small[1:]:
        assert server.get(f"/instances/{name}/file") == (200, stored[name])
    study = server.json("GET", f"/instances/{small[1]}/study")["ID"]
    newer = make_series(6)[5]
    assert server.request("POST", "/instances", newer)[0] == 200
    assert server.json("GET", f"/studies/{study}/storage")["Stores"][0]["Files"] == 4
    assert both.proxy.seen == [], "nobody needed the object store"
    assert server.get(f"/instances/{small[0]}/file")[0] == 503
    order = {"Resources": small[1:2], "TargetStorage": THERE}
    status, answer = server.request("POST", "/move-storage", json.dumps(order).encode())
    assert (status, json.loads(answer)["OrthancStatus"]) == (500, 1)
    assert server.stop() == 0
    server.start()  # also without it
    assert server.get(f"/instances/{small[1]}/file") == (200, stored[small[1]])
    both.proxy.bend = lambda method, path: None

    def back() -> bool:
        return server.get(f"/instances/{small[0]}/file") == (200, stored[small[0]])

    eventually(back, "the object store")
    status, answer = server.get(f"/studies/{study}/archive")
    assert status == 200
    assert len(zipfile.ZipFile(io.BytesIO(answer)).namelist()) == 5
    assert json.loads(server.get(f"/instances/{small[1]}/storage")[1])["Stores"][0]["Store"] == HERE
