"""A server whose files are objects of a real S3 service, and of a real Azure one."""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from obstore.store import ObjectStore

from tests.support.azurite import Azurite
from tests.support.dicom_files import make_instance, make_series
from tests.support.server import Server, running
from tests.support.swift import Swift

FILES = make_series(12)
LARGE = make_instance(series=2, pixel_bytes=12_000_000)
ROOT = "archive/of dicom"


@dataclass
class Node:
    """A server, and where its files are."""

    server: Server
    store: ObjectStore

    def names(self) -> set[str]:
        """Of all objects below the root path."""
        pages = self.store.list(ROOT)
        return {found["path"].removeprefix(f"{ROOT}/") for page in pages for found in page}

    def wait_until_gone(self) -> None:
        end = time.monotonic() + 30
        while self.names():
            assert time.monotonic() < end, self.names()
            time.sleep(0.05)  # the janitor of another process


@pytest.fixture(params=["s3", "azure"])
def section(request: pytest.FixtureRequest) -> tuple[str, dict[str, object], ObjectStore]:
    """Name and content of the section of the configuration, and a look into the bucket."""
    bucket = f"bucket-{uuid.uuid4()}"
    if request.param == "s3":
        swift: Swift = request.getfixturevalue("s3_service")
        swift.make(bucket)
        return "AwsS3Storage", swift.section(bucket), swift.store(bucket)
    azurite: Azurite = request.getfixturevalue("azure_service")
    return "AzureBlobStorage", azurite.section(bucket), azurite.store(bucket)


@contextmanager
def started(
    folder: Path, section: tuple[str, dict[str, object], ObjectStore], **more: object
) -> Iterator[Node]:
    name, content, store = section
    config = {
        name: content | {"RootPath": f"{ROOT}/"} | more,
        "MaximumStorageCacheSize": 0,
    }
    with running(Server(folder, config)) as server:
        yield Node(server, store)


@pytest.fixture
def node(tmp_path: Path, section: tuple[str, dict[str, object], ObjectStore]) -> Iterator[Node]:
    with started(tmp_path, section) as node:
        yield node


def upload(server: Server, data: bytes) -> str:
    """The path of the instance."""
    status, answer = server.request("POST", "/instances", data)
    assert status == 200, answer
    path: str = json.loads(answer)["Path"]
    return path


def test_what_is_stored_comes_back_bit_for_bit(node: Node) -> None:
    for data in (FILES[0], LARGE):
        path = upload(node.server, data)
        assert node.server.get(f"{path}/file") == (200, data)
        assert node.server.get(f"{path}/attachments/dicom/data") == (200, data)
        status, part = node.server.request(
            "GET", f"{path}/attachments/dicom/data", headers={"Range": "bytes=1000-1999"}
        )
        assert (status, part) == (206, data[1000:2000])
        assert node.server.request("POST", f"{path}/attachments/dicom/verify-md5", b"")[0] == 200
        assert node.server.json("GET", f"{path}/simplified-tags")["PatientName"] == "Doe^Jane"
        frame = node.server.get(f"{path}/frames/0/raw")
        assert frame[0] == 200
        assert frame[1] in data
    assert not node.server.files()
    (plugin,) = {"AWS S3 Storage", "Azure Blob Storage"} & {*node.server.json("GET", "/plugins")}
    assert node.server.json("GET", f"/plugins/{plugin.replace(' ', '%20')}")["ID"] == plugin


def test_objects_bear_the_names_of_orthancs_plugin(node: Node) -> None:
    path = upload(node.server, FILES[0])
    (name,) = node.names()
    assert name == node.server.json("GET", path)["FileUuid"] + ".dcm"
    (study,) = node.server.json("GET", "/studies")
    attachment = f"/studies/{study}/attachments/1024"
    assert node.server.request("PUT", attachment, b"a report")[0] == 200
    (other,) = node.names() - {name}
    assert re.fullmatch(r"[0-9a-f-]{36}\.unk", other)
    assert bytes(node.store.get(f"{ROOT}/{other}").bytes()) == b"a report"
    assert node.server.get(f"{attachment}/data") == (200, b"a report")


def test_both_structures_lie_side_by_side(
    tmp_path: Path, section: tuple[str, dict[str, object], ObjectStore]
) -> None:
    with started(tmp_path, section) as node:
        first = upload(node.server, FILES[0])
    with started(tmp_path, section, StorageStructure="legacy") as node:
        second = upload(node.server, FILES[1])
        file = node.server.json("GET", second)["FileUuid"]
        assert f"{file[:2]}/{file[2:4]}/{file}" in node.names()
        assert node.server.get(f"{first}/file") == (200, FILES[0])
        assert node.server.get(f"{second}/file") == (200, FILES[1])


def test_a_study_is_uploaded_archived_and_deleted(node: Node) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for number, data in enumerate([*FILES, LARGE]):
            archive.writestr(f"{number}.dcm", data)
    status, answer = node.server.request("POST", "/instances", whole.getvalue())
    assert status == 200, answer
    assert len(node.names()) == len(FILES) + 1
    (study,) = node.server.json("GET", "/studies")
    status, archive = node.server.get(f"/studies/{study}/archive")
    assert status == 200
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        found = {hashlib.md5(opened.read(name)).hexdigest() for name in opened.namelist()}
    assert found == {hashlib.md5(data).hexdigest() for data in [*FILES, LARGE]}
    assert node.server.request("DELETE", f"/studies/{study}")[0] == 200
    node.wait_until_gone()


def test_nothing_is_left_of_what_was_refused(node: Node) -> None:
    upload(node.server, FILES[0])
    before = node.names()
    assert node.server.request("POST", "/instances", FILES[0])[0] == 200  # it is stored already
    assert node.server.request("POST", "/instances", b"no DICOM" * 1000)[0] == 400
    assert node.server.request("POST", "/instances", LARGE[:128] + bytes(3_000_000))[0] == 400
    assert node.names() == before


@pytest.mark.parametrize("end", [Server.kill, Server.stop])
def test_after_a_restart_all_is_there(
    tmp_path: Path,
    section: tuple[str, dict[str, object], ObjectStore],
    end: Callable[[Server], object],
) -> None:
    with started(tmp_path, section) as node:
        paths = [upload(node.server, data) for data in FILES[:3]]
        end(node.server)
        node.server.start()
        for path, data in zip(paths, FILES, strict=False):
            assert node.server.get(f"{path}/file") == (200, data)
        assert len(node.names()) == 3


def test_compressed_files(
    tmp_path: Path, section: tuple[str, dict[str, object], ObjectStore]
) -> None:
    name, content, store = section
    config = {name: content, "StorageCompression": True, "MaximumStorageCacheSize": 0}
    with running(Server(tmp_path, config)) as server:
        for data in (FILES[0], LARGE):
            path = upload(server, data)
            assert server.get(f"{path}/file") == (200, data)
    stored = [found["size"] for page in store.list() for found in page]
    assert len(stored) == 2
    assert sum(stored) < len(FILES[0]) + len(LARGE)


def test_secrets_are_not_told(node: Node) -> None:
    upload(node.server, FILES[0])
    said = node.server.get("/system")[1].decode() + node.server.log()
    for name, section in node.server.config.items():
        if name in ("AwsS3Storage", "AzureBlobStorage"):
            for key in ("SecretKey", "ConnectionString"):
                assert str(section.get(key, "never")) not in said
