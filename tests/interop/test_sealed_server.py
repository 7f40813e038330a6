"""A running server whose files are sealed: whatever way they come in, nothing of them is readable
where they lie, and everything where they are asked for."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_instance
from tests.support.dimse import dcmtk, dicom_server, travelling
from tests.support.sealed import key_file, new_master
from tests.support.server import Server, running
from tests.support.swift import Swift
from tests.support.transfers import TRANSFERS, content, fill, send
from wherry import limits
from wherry.config.encryption import MasterKey

MASTER = new_master(1)
NAME, PATIENT = b"Doe^Jane", b"PATIENT1"
LARGE = 6 * limits.MIB


def encrypted(folder: Path, master: MasterKey = MASTER, **more: Any) -> dict[str, Any]:
    """The configuration. Nothing is kept in memory, so each read is one of a stored file."""
    folder.mkdir(exist_ok=True)
    section = {"MasterKey": key_file(folder, master), **more}
    return {"Wherry": {"StorageEncryption": section}, "MaximumStorageCacheSize": 0}


def upload(server: Server, data: bytes) -> str:
    status, answer = server.request("POST", "/instances", data)
    assert status == 200, answer
    return str(json.loads(answer)["ID"])


def everywhere(server: Server) -> bytes:
    """All that lies in the storage directory."""
    return b"".join(path.read_bytes() for path in server.storage.rglob("*") if path.is_file())


def zipped(files: list[bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, data in enumerate(files):
            archive.writestr(f"{number}.dcm", data)
    return buffer.getvalue()


def data_set(data: bytes) -> bytes:
    found = travelling(data)
    assert found is not None
    return found.data_set


def check(server: Server, sent: dict[str, bytes]) -> None:
    """Everything that was sent is read, as a whole, in part, and as tags."""
    assert set(server.json("GET", "/instances")) == set(sent)
    for instance, data in sent.items():
        path = f"/instances/{instance}"
        assert server.get(f"{path}/file") == (200, data)
        for first, last in ((0, 99), (131_070, 131_080), (len(data) - 50, len(data) + 50)):
            part = {"Range": f"bytes={first}-{last}"}
            if first < len(data):
                found = server.request("GET", f"{path}/attachments/dicom/data", headers=part)
                assert found == (206, data[first : last + 1])
        assert server.json("GET", f"{path}/simplified-tags")["PatientName"] == NAME.decode()
        assert server.request("POST", f"{path}/attachments/dicom/verify-md5", b"")[0] == 200
    (study,) = server.json("GET", "/studies")
    archive = zipfile.ZipFile(io.BytesIO(server.get(f"/studies/{study}/archive")[1]))
    assert sorted(map(archive.read, archive.namelist())) == sorted(sent.values())
    assert server.get(f"/studies/{study}/attachments/1024/data") == (200, NAME * 100_000)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("container", "magic"), [("W1", b"WherryW1"), ("A1", b"A1\1\0\0\0")])
def test_nothing_is_readable_where_it_lies(
    tmp_path: Path, container: str, magic: bytes, compressed: bool
) -> None:
    files = [
        make_instance(number=number + 1, pixel_bytes=size)
        for number, size in enumerate([512, 100_096, 300_032, LARGE, 512, 300_032, LARGE, 5120])
    ]
    config = encrypted(tmp_path / "keys", Container=container)
    with dicom_server(tmp_path, StorageCompression=compressed, **config) as (server, port):
        sent = {upload(server, data): data for data in files[:4]}
        status, answer = server.request("POST", "/instances", zipped(files[4:6]))
        assert status == 200
        for told, data in zip(json.loads(answer), files[4:6], strict=True):
            sent[told["ID"]] = data
        for number, data in enumerate(files[6:]):
            path = tmp_path / f"{number}.dcm"
            path.write_bytes(data)
            dcmtk("storescu", "127.0.0.1", port, path)
        for instance in set(server.json("GET", "/instances")) - set(sent):
            found = server.get(f"/instances/{instance}/file")[1]  # with a meta header of DCMTK
            assert data_set(found) in map(data_set, files[6:])
            sent[instance] = found
        (study,) = server.json("GET", "/studies")
        path = f"/studies/{study}/attachments/1024"
        assert server.request("PUT", path, NAME * 100_000)[0] == 200
        check(server, sent)
        stored = [path.read_bytes() for path in server.storage.glob("??/*/*")]
        assert len(stored) == len(files) + 1
        assert all(data.startswith(magic) for data in stored)
        log = list(server.storage.glob("small-files-log/*"))
        assert compressed or log
        assert NAME not in everywhere(server)
        assert PATIENT not in everywhere(server)
        server.stop()
        server.start()
        check(server, sent)
        server.json("DELETE", f"/studies/{study}")
        while server.files():
            server.get("/system")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("container", ["W1", "A1"])
def test_studies_travel(tmp_path: Path, container: str, compressed: bool) -> None:
    """From a server in clear to a sealed one and back to another, in buckets that hold several
    instances, one, and a part of one."""
    config = encrypted(tmp_path / "keys", Container=container)
    sealed = Server(tmp_path / "sealed", {**TRANSFERS, **config, "StorageCompression": compressed})
    other = Server(tmp_path / "other", TRANSFERS)
    with running(sealed), running(Server(tmp_path / "clear", TRANSFERS)) as clear, running(other):
        for server, peer in ((clear, sealed), (sealed, other)):
            there = json.dumps({"Url": f"{peer.url}/"}).encode()
            assert server.request("PUT", "/peers/there", there)[0] == 200
        fill(clear)
        for sender, compression in ((clear, "gzip"), (sealed, "none")):
            job = send(sender, Compression=compression)
            assert job["State"] == "Success", job
        assert content(sealed) == content(other) == content(clear)
        assert NAME not in everywhere(sealed)
        assert NAME in everywhere(clear)


def objects_of(service: Swift, bucket: str) -> dict[str, bytes]:
    """All that lies in a bucket."""
    store = service.store(bucket)
    names = [one["path"] for page in store.list() for one in page]
    return {name: bytes(store.get(name).bytes()) for name in names}


def test_sealed_files_move(tmp_path: Path, s3_service: Swift) -> None:
    """To the bucket and back, as they are: sealed, and the index goes on knowing which they are."""
    bucket = s3_service.make(f"moved-{uuid.uuid4()}")
    keys = encrypted(tmp_path / "keys")
    section = {
        **s3_service.section(bucket),
        **keys.pop("Wherry"),
        "HybridMode": "WriteToFileSystem",
    }
    server = Server(tmp_path / "server", {"AwsS3Storage": section, **keys})
    files = [make_instance(number=n, pixel_bytes=size) for n, size in enumerate((512, LARGE))]
    with running(server):
        sent = {upload(server, data): data for data in files}
        (study,) = server.json("GET", "/studies")
        before = {path.name: path.read_bytes() for path in server.storage.glob("??/*/*")}
        for target in ("object-storage", "file-system"):
            order = {"Resources": [study], "TargetStorage": target}
            server.json("POST", "/move-storage", order)
            for instance, data in sent.items():
                assert server.get(f"/instances/{instance}/file") == (200, data)
            if target == "object-storage":
                lying = objects_of(s3_service, bucket)
                ring = lying.pop("wherry-keys/ring.json")
                assert ring == (server.storage / "wherry-keys/ring.json").read_bytes()
                assert lying == {f"{name}.dcm.enc": data for name, data in before.items()}
        assert {path.name: path.read_bytes() for path in server.storage.glob("??/*/*")} == before


@pytest.mark.parametrize("container", ["W1", "A1"])
def test_objects(tmp_path: Path, s3_service: Swift, container: str) -> None:
    bucket = s3_service.make(f"sealed-{uuid.uuid4()}")
    keys = encrypted(tmp_path / "keys", Container=container)
    section = {**s3_service.section(bucket), **keys.pop("Wherry"), "RootPath": "root"}
    server = Server(tmp_path / "server", {"AwsS3Storage": section, **keys})
    files = [make_instance(number=n, pixel_bytes=size) for n, size in enumerate((512, LARGE))]

    with running(server):
        sent = {upload(server, data): data for data in files}
        for _ in range(2):
            for instance, data in sent.items():
                assert server.get(f"/instances/{instance}/file") == (200, data)
                part = {"Range": "bytes=400-499"}
                path = f"/instances/{instance}/attachments/dicom/data"
                assert server.request("GET", path, headers=part) == (206, data[400:500])
            server.stop()
            server.start()
        assert not server.files()
        lying = objects_of(s3_service, bucket)
        names = {name.removeprefix("root/")[36:] for name in lying if "wherry-keys" not in name}
        assert names == {".dcm.enc"}
        assert ("root/wherry-keys/ring.json" in lying) == (container == "W1")
        assert not any(NAME in data or PATIENT in data for data in lying.values())


def test_an_archive_is_made_by_a_job(tmp_path: Path) -> None:
    files = [make_instance(number=number, pixel_bytes=300_032) for number in range(3)]
    with running(Server(tmp_path / "server", encrypted(tmp_path / "keys"))) as server:
        for data in files:
            upload(server, data)
        (study,) = server.json("GET", "/studies")
        order = {"Asynchronous": True}
        job = server.json("POST", f"/studies/{study}/archive", order)["ID"]
        assert server.wait_for_job(job)["State"] == "Success"
        archive = zipfile.ZipFile(io.BytesIO(server.get(f"/jobs/{job}/archive")[1]))
        assert sorted(map(archive.read, archive.namelist())) == files
        assert NAME not in everywhere(server)


def test_files_in_clear_and_in_both_containers(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    server = Server(tmp_path, {"MaximumStorageCacheSize": 0})
    sent, forms = {}, []
    for number, config in enumerate(
        [
            {"MaximumStorageCacheSize": 0},
            encrypted(keys, Container="A1"),
            encrypted(keys),
            encrypted(keys, Enable=False),
        ]
    ):
        server.config = config
        with running(server):
            for small, size in enumerate((512, 300_032)):
                data = make_instance(number=2 * number + small, pixel_bytes=size)
                before = server.files()
                sent[upload(server, data)] = data
                (name,) = server.files() - before
                forms.append(next(server.storage.glob(f"??/*/{name}")).read_bytes()[:8])
            for instance, data in sent.items():
                assert server.get(f"/instances/{instance}/file") == (200, data)
            server.stop()
    assert forms == [bytes(8)] * 2 + [forms[2], forms[3]] + [b"WherryW1"] * 2 + [bytes(8)] * 2
    assert all(form.startswith(b"A1\1\0\0\0") for form in forms[2:4])


def refused(server: Server) -> str:
    """What a server says that does not start with this configuration."""
    path = server.folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "Wherry": {}, **server.config}))
    done = subprocess.run(server.command(path), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_a_server_that_must_not_start(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    server = Server(tmp_path / "server", encrypted(keys))
    with running(server):
        instance = upload(server, make_instance())
        server.stop()
    server.config = encrypted(tmp_path / "others", new_master(1))
    assert "its file holds another key" in refused(server)
    server.config = encrypted(tmp_path / "others", new_master(2))
    assert "Stored files need the master key 1" in refused(server)
    server.config = {}
    assert "there is no StorageEncryption" in refused(server)
    server.config = {"Wherry": {"StorageEncryption": {"MasterKey": "key"}}}
    assert '"Wherry.StorageEncryption.MasterKey" must be a pair' in refused(server)
    server.config = encrypted(keys)
    with running(server):
        assert server.get(f"/instances/{instance}/file") == (200, make_instance())


def test_the_master_key_is_changed_while_the_server_runs(tmp_path: Path) -> None:
    keys, new = tmp_path / "keys", new_master(2)
    server = Server(tmp_path / "server", encrypted(keys))
    with running(server):
        first = upload(server, make_instance())
        server.stop()
        server.config = encrypted(keys, new, PreviousMasterKeys=[key_file(keys, MASTER)])
        server.start()
        before = {path: path.read_bytes() for path in server.storage.glob("??/*/*")}
        told = subprocess.run(
            [sys.executable, "-m", "wherry", "rotate-keys", str(server.folder / "config.json")],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "wrapped under the master key 2" in told
        assert "No file needs PreviousMasterKeys any more." in told
        second = upload(server, make_instance(number=2))
        assert server.get(f"/instances/{first}/file") == (200, make_instance())
        server.stop()
        (keys / "master-key-1").unlink()
        server.config = encrypted(keys, new)
        server.start()
        third = upload(server, make_instance(number=3))
        for number, instance in enumerate((first, second, third)):
            found = server.get(f"/instances/{instance}/file")
            assert found == (200, make_instance(number=number + 1))
        for path, data in before.items():
            assert path.read_bytes() == data


def test_a_file_that_was_changed_is_not_served(tmp_path: Path) -> None:
    with running(Server(tmp_path / "server", encrypted(tmp_path / "keys"))) as server:
        for size in (512, 300_032):
            before = server.files()
            instance = upload(server, make_instance(number=size, pixel_bytes=size))
            (name,) = server.files() - before
            path = next(server.storage.glob(f"??/*/{name}"))
            data = bytearray(path.read_bytes())
            data[-100] ^= 1
            path.write_bytes(data)
            status, answer = server.get(f"/instances/{instance}/file")
            assert status == 500, answer
            assert json.loads(answer)["OrthancStatus"] == 20
