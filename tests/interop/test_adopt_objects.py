"""An Orthanc whose files lie in a bucket, as its plugin names and encrypts them, is adopted.

Debian has no such plugin: the files of a plain Orthanc are put where the plugin would have put
them, one by one.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import obstore
import pytest

from tests.golden.compare import differences
from tests.interop.adopt_store import Question, answer, put, questions, upload
from tests.interop.test_adopt import wherry
from tests.support.dicom_files import make_instance, make_series
from tests.support.jobs import eventually
from tests.support.orthanc import Orthanc, needs_orthanc
from tests.support.sealed import MASTER, key_file
from tests.support.server import Server, running
from tests.support.swift import Swift
from wherry.storage.sealed import a1

pytestmark = needs_orthanc

FILES = [*make_series(4), make_instance(2, patient_id="B", pixel_bytes=100_096)]
EXTENSIONS = {1: ".dcm", 2: ".json", 3: ".dcm.head"}


@pytest.fixture
def original(tmp_path: Path) -> Orthanc:
    """Stopped, with files of all types: compressed ones come with a header apart."""
    server = Orthanc(tmp_path / "orthanc", {"StorageCompression": True, "StableAge": 1})
    with running(server):
        ids = [upload(server, data) for data in FILES]
        put(server, f"/instances/{ids[0]}/attachments/4400", b"beside" * 100)
        server.stop()
    return server


def encrypted(data: bytes) -> bytes:
    header, encryptor = a1.begin(MASTER, os.urandom(32), os.urandom(32))
    return header + encryptor.update(data) + encryptor.finalize() + encryptor.tag


def name_of(uuid: str, content_type: int, *, legacy: bool, sealed: bool) -> str:
    if legacy:
        return f"{uuid[:2]}/{uuid[2:4]}/{uuid}"
    return f"{uuid}{EXTENSIONS.get(content_type, '.unk')}{'.enc' if sealed else ''}"


@pytest.mark.parametrize(
    ("legacy", "sealed", "hybrid"),
    [
        (False, False, "Disabled"),
        (True, False, "Disabled"),
        (False, True, "Disabled"),
        (True, True, "Disabled"),
        (False, True, "WriteToFileSystem"),
        (False, False, "WriteToObjectStorage"),
    ],
)
def test_a_bucket(
    original: Orthanc, s3_service: Swift, tmp_path: Path, legacy: bool, sealed: bool, hybrid: str
) -> None:
    with running(original):
        answers = [(one, answer(original, one)) for one in asked(original)]
        original.stop()
    index = original.folder / "index" / "index"
    bucket = s3_service.make("adopted")
    root = f"root/{legacy}-{sealed}-{hybrid}"
    raw = sqlite3.connect(index)
    files = raw.execute("SELECT uuid, fileType FROM AttachedFiles").fetchall()
    raw.close()
    assert {content_type for _, content_type in files} == {1, 3, 4400}
    for position, (uuid, content_type) in enumerate(files):
        path = original.storage / uuid[:2] / uuid[2:4] / uuid
        data = path.read_bytes()
        name = name_of(uuid, content_type, legacy=legacy, sealed=sealed)
        body = encrypted(data) if sealed else data
        if hybrid != "Disabled" and position % 2:
            path.write_bytes(body)
            continue
        obstore.put(s3_service.store(bucket), f"{root}/{name}", body, use_multipart=False)
        path.unlink()
    section: dict[str, Any] = {
        **s3_service.section(bucket),
        "RootPath": root,
        "StorageStructure": "legacy" if legacy else "flat",
        "HybridMode": hybrid,
    }
    if sealed:
        section["StorageEncryption"] = {"Enable": True, "MasterKey": key_file(tmp_path, MASTER)}
    server = Server(
        original.folder, {**original.config, "AwsS3Storage": section}, port=original.port
    )
    server.write()
    done = wherry("--from", str(server.folder / "config.json"), "--check", "--verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(files)} files are as they should be" in done.stdout
    with running(server):
        for question, before in answers:
            found = list(differences(before, answer(server, question)))
            assert not found, (question, found)
        assert upload(server, make_instance(3, patient_id="NEW")) is not None
        for patient in server.json("GET", "/patients"):
            server.json("DELETE", f"/patients/{patient}")
        eventually(lambda: not stored(s3_service, bucket, root) and not server.files())


def stored(service: Swift, bucket: str, root: str) -> list[str]:
    """Names of what lies there, without the keys."""
    pages = obstore.list(service.store(bucket), prefix=root)
    names = [str(one["path"]) for page in pages for one in page]
    return [name for name in names if "wherry-keys" not in name]


def asked(server: Server) -> list[Question]:
    """What leads to files."""
    wanted = ("/file", "/tags", "data", "/info", "md5", "/statistics", "/{}")
    return [one for one in questions(server) if one.kind.endswith(wanted)]
