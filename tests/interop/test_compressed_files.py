"""Files that Orthanc stores compressed, read by Wherry, and the other way round."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.dicom_files import make_series
from tests.support.orthanc import Orthanc, needs_orthanc
from tests.support.server import Server, running

FILES = [data + bytes(1000) for data in make_series(4)]
CONFIG = {"StorageCompression": True, "MaximumStorageCacheSize": 0}


def stored(server: Server, data: bytes) -> tuple[str, Path]:
    """Upload an instance; its path in the API, and its file."""
    status, answer = server.request("POST", "/instances", data)
    assert status == 200, answer
    path = json.loads(answer)["Path"]
    uuid = server.json("GET", path)["FileUuid"]
    (file,) = server.folder.rglob(uuid)
    return path, file


@needs_orthanc
def test_each_reads_the_files_of_the_other(tmp_path: Path) -> None:
    with (
        running(Server(tmp_path / "ours", CONFIG)) as ours,
        running(Orthanc(tmp_path / "theirs", CONFIG)) as theirs,
    ):
        for data in FILES:
            (our_path, our_file), (their_path, their_file) = (
                stored(ours, data),
                stored(theirs, data),
            )
            our_bytes, their_bytes = our_file.read_bytes(), their_file.read_bytes()
            assert our_bytes != data != their_bytes
            our_file.write_bytes(their_bytes)
            their_file.write_bytes(our_bytes)
            assert ours.get(f"{our_path}/attachments/dicom/data") == (200, data)
            assert theirs.get(f"{their_path}/attachments/dicom/data") == (200, data)
            assert ours.get(f"{our_path}/tags")[0] == 200


@needs_orthanc
@pytest.mark.parametrize("data", [b"", b"x", b"some text" * 10_000])
def test_attachments(tmp_path: Path, data: bytes) -> None:
    contents = []
    for server in (Server(tmp_path / "ours", CONFIG), Orthanc(tmp_path / "theirs", CONFIG)):
        with running(server):
            stored(server, FILES[0])
            (study,) = server.json("GET", "/studies")
            path = f"/studies/{study}/attachments/1024"
            assert server.request("PUT", path, data)[0] == 200
            content = server.get(f"{path}/compressed-data")[1]
            contents.append(content[:8])
            assert server.get(f"{path}/data") == (200, data)
    assert contents[0] == contents[1]
