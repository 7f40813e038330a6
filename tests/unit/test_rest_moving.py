"""``/move-storage`` and ``/{level}/{id}/storage``: the whole server, with two stores."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_series
from tests.support.face import Face, serving
from tests.support.hybrid import TwoStores, two_stores
from tests.support.jobs import DEADLINE_S, eventually
from tests.support.objects import out_of_reach
from wherry import limits
from wherry.config.objects import Hybrid

FILES = make_series(7)
UNKNOWN = "00000000" + 4 * "-00000000"
HERE, THERE = "file-system", "object-storage"


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOVED_AT_ONCE", 2)
    monkeypatch.setattr(limits, "MOVED_TOGETHER", 2)
    monkeypatch.setattr(limits, "REMOVALS_AGAIN_S", 0.05)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[TwoStores]:
    with two_stores(tmp_path, Hybrid.WRITE_TO_FILE_SYSTEM) as stores:
        for data in FILES:
            stores.face.upload(data)
        yield stores


def study(face: Face) -> str:
    return str(face.json("/studies")[0])


def move(stores: TwoStores, target: str, **order: Any) -> Any:
    """A move that must succeed."""
    wanted = {"Resources": [study(stores.face)], "TargetStorage": target, **order}
    reply = stores.face.post_json("/move-storage", wanted)
    assert reply.status == 200, reply.body
    return reply.json()


def ended(face: Face, job: str) -> Any:
    eventually(lambda: face.json(f"/jobs/{job}")["State"] in ("Success", "Failure"))
    return face.json(f"/jobs/{job}")


def read_all(face: Face) -> list[bytes]:
    names = face.json("/instances")
    return sorted(face.get(f"/instances/{name}/attachments/dicom/data").body for name in names)


def settled(stores: TwoStores, *, here: int, there: int) -> None:
    eventually(lambda: (len(stores.here()), len(stores.there())) == (here, there), "the janitor")


# --- the table of the specification ----------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, 15),
        (b"[]", 400, 15),
        (b'{"TargetStorage": "file-system"}', 400, 15),
        (b'{"Resources": "x", "TargetStorage": "file-system"}', 400, 15),
        (b'{"Resources": ["x"]}', 400, 15),
        (b'{"Resources": ["x"], "TargetStorage": "tape"}', 400, 15),
        (b'{"Resources": ["x"], "TargetStorage": 1}', 400, 15),
        (b'{"Resources": [1], "TargetStorage": "file-system"}', 400, 15),
        (b'{"Resources": [""], "TargetStorage": "file-system"}', 404, 17),
        (b'{"Resources": ["nothing"], "TargetStorage": "file-system"}', 404, 17),
        (b'{"Resources": [], "TargetStorage": "file-system"}', 400, 15),
        (b'{"Resources": ["x"], "TargetStorage": "file-system", "Synchronous": 1}', 400, 15),
        (b'{"Resources": ["x"], "TargetStorage": "file-system", "Asynchronous": "y"}', 400, 15),
        (b'{"Resources": ["x"], "TargetStorage": "file-system", "Priority": "y"}', 400, 15),
    ],
)
def test_what_is_refused(stores: TwoStores, body: bytes, status: int, code: int) -> None:
    reply = stores.face.request("POST", "/move-storage", body)
    assert (reply.status, reply.json()["OrthancStatus"]) == (status, code)
    assert reply.json()["Details"] or code == 17


def test_other_methods(stores: TwoStores) -> None:
    assert stores.face.get("/move-storage").status == 405


def test_without_hybrid_mode_there_is_no_such_route(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        reply = face.post_json("/move-storage", {"Resources": [], "TargetStorage": HERE})
        assert reply.status == 404


def test_the_content_of_the_job_is_the_answer(stores: TwoStores) -> None:
    face = stores.face
    names = {
        "Instances": [face.json("/instances")[2]],
        "Series": face.json("/series"),
        "Studies": [study(face), study(face)],
        "Patients": face.json("/patients"),
    }
    named = [name for group in names.values() for name in group]
    assert move(stores, THERE, Resources=named) == names
    assert move(stores, THERE, Resources=names["Instances"]) == {"Instances": names["Instances"]}


@pytest.mark.parametrize(
    ("flags", "waits"),
    [
        ({}, True),
        ({"Synchronous": False}, False),
        ({"Asynchronous": True}, False),
        ({"Synchronous": True, "Asynchronous": True}, False),
        ({"Synchronous": False, "Asynchronous": False}, True),
    ],
)
def test_waiting_or_not(stores: TwoStores, flags: dict[str, bool], waits: bool) -> None:
    answer = move(stores, THERE, Priority=5, **flags)
    if waits:
        assert answer == {"Studies": [study(stores.face)]}
        return
    assert answer == {"ID": answer["ID"], "Path": f"/jobs/{answer['ID']}"}
    job = ended(stores.face, answer["ID"])
    assert (job["Type"], job["Priority"], job["State"]) == ("MoveStorage", 5, "Success")
    assert (job["Content"], job["Progress"]) == ({"Studies": [study(stores.face)]}, 100)


def test_a_store_out_of_reach_fails_the_request(stores: TwoStores) -> None:
    stores.objects.down = out_of_reach()
    order = {"Resources": [study(stores.face)], "TargetStorage": THERE}
    reply = stores.face.post_json("/move-storage", order)
    assert (reply.status, reply.json()["OrthancStatus"]) == (500, 1)
    assert "cannot be reached" in reply.json()["Details"]
    assert len(read_all(stores.face)) == 7
    stores.objects.down = None
    move(stores, THERE)
    settled(stores, here=0, there=7)


# --- what is moved ---------------------------------------------------------------------------
def test_there_and_back(stores: TwoStores) -> None:
    for _ in range(2):
        move(stores, THERE)
        settled(stores, here=0, there=7)
        assert read_all(stores.face) == sorted(FILES)
        move(stores, HERE)
        settled(stores, here=7, there=0)
        assert read_all(stores.face) == sorted(FILES)


def test_a_move_back_does_not_wait_for_a_look(stores: TwoStores) -> None:
    """The name comes back while its removal is still to be done."""
    for target in (THERE, HERE, THERE, HERE):
        move(stores, target)
        assert read_all(stores.face) == sorted(FILES)
    settled(stores, here=7, there=0)


def test_what_is_beside_the_instances_moves_with_what_is_named(stores: TwoStores) -> None:
    face = stores.face
    series, instance = face.json("/series")[0], face.json("/instances")[0]
    for path in (f"/studies/{study(face)}", f"/series/{series}", f"/instances/{instance}"):
        assert face.request("PUT", f"{path}/attachments/1025", b"beside").status == 200
    move(stores, THERE, Resources=[series])
    settled(stores, here=1, there=9)
    move(stores, THERE)
    settled(stores, here=0, there=10)
    for path in (f"/studies/{study(face)}", f"/series/{series}", f"/instances/{instance}"):
        assert face.get(f"{path}/attachments/1025/data").body == b"beside"


def test_what_is_damaged_stays_and_does_not_keep_the_others(stores: TwoStores) -> None:
    names = stores.here()
    folder = stores.face.folder / "storage"
    damaged, lost = (folder / name[:2] / name[2:4] / name for name in names[:2])
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    lost.unlink()
    order = {"Resources": [study(stores.face)], "TargetStorage": THERE}
    reply = stores.face.post_json("/move-storage", order)
    assert (reply.status, reply.json()["OrthancStatus"]) == (500, 1)
    assert "2 files were not moved" in reply.json()["Details"]
    assert names[0] in reply.json()["Details"]
    settled(stores, here=1, there=5)
    assert damaged.exists()


def test_what_cannot_be_read_does_not_keep_the_others(
    stores: TwoStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = stores.here()[0]
    unreadable = stores.face.folder / "storage" / name[:2] / name[2:4] / name
    inode = unreadable.stat().st_ino
    pread = os.pread

    def failing(fd: int, size: int, offset: int) -> bytes:
        if os.fstat(fd).st_ino == inode:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", failing)
    order = {"Resources": [study(stores.face)], "TargetStorage": THERE}
    reply = stores.face.post_json("/move-storage", order)
    assert "1 files were not moved" in reply.json()["Details"]
    assert f"{name}: The file cannot be read (Input/output error)" in reply.json()["Details"]
    settled(stores, here=1, there=6)


def test_a_resource_that_is_deleted_while_it_moves(stores: TwoStores) -> None:
    def delete(method: str, uuid: str) -> None:
        if method == "create":
            stores.objects.before = lambda method, uuid: None
            stores.face.request("DELETE", f"/studies/{study(stores.face)}")

    stores.objects.before = delete
    move(stores, THERE)
    settled(stores, here=0, there=0)


def test_paused_cancelled_and_done_again(stores: TwoStores) -> None:
    face, gate, reached = stores.face, threading.Semaphore(0), threading.Semaphore(0)

    def wait(method: str, uuid: str) -> None:
        if method == "create":
            reached.release()
            assert gate.acquire(timeout=DEADLINE_S)

    stores.objects.before = wait
    job = move(stores, THERE, Asynchronous=True)["ID"]
    for _ in range(2):
        assert reached.acquire(timeout=DEADLINE_S)
    face.request("POST", f"/jobs/{job}/pause")
    gate.release(100)
    eventually(lambda: face.json(f"/jobs/{job}")["State"] == "Paused")
    settled(stores, here=7, there=0)
    face.request("POST", f"/jobs/{job}/resume")
    assert ended(face, job)["State"] == "Success"
    settled(stores, here=0, there=7)

    back = move(stores, HERE, Asynchronous=True)["ID"]
    assert ended(face, back)["State"] == "Success"
    settled(stores, here=7, there=0)

    while gate.acquire(blocking=False):
        pass
    while reached.acquire(blocking=False):
        pass
    job = move(stores, THERE, Asynchronous=True)["ID"]
    gate.release(3)
    for _ in range(5):
        assert reached.acquire(timeout=DEADLINE_S)
    face.request("POST", f"/jobs/{job}/cancel")
    gate.release(100)
    assert ended(face, job)["ErrorCode"] == 37
    eventually(lambda: len(stores.here()) + len(stores.there()) == 7, "the janitor")
    assert stores.there(), "cancel keeps what was moved"
    assert read_all(face) == sorted(FILES)


# --- where it is -----------------------------------------------------------------------------
def test_where_the_files_of_a_resource_are(stores: TwoStores) -> None:
    face = stores.face
    names = face.json("/instances")
    assert face.request("PUT", f"/instances/{names[0]}/attachments/1025", b"x").status == 200
    move(stores, THERE, Resources=names[:2])
    sizes = {name: face.json(f"/instances/{name}")["FileSize"] for name in names}
    there = sum(sizes[name] for name in names[:2]) + 1
    here = sum(sizes[name] for name in names[2:])
    clear = {"Encryption": "", "Compression": "none"}
    for level, path in (("Study", "studies"), ("Patient", "patients"), ("Series", "series")):
        found = face.json(f"/{path}")[0]
        assert face.json(f"/{path}/{found}/storage") == {
            "ID": found,
            "Type": level,
            "Stores": [
                {"Store": HERE, **clear, "Files": 5, "Bytes": here, "UncompressedBytes": here},
                {"Store": THERE, **clear, "Files": 3, "Bytes": there, "UncompressedBytes": there},
            ],
        }
    found = face.json(f"/instances/{names[0]}/storage")
    assert [(one["Name"], one["Store"], one["Bytes"]) for one in found["Attachments"]] == [
        ("dicom", THERE, sizes[names[0]]),
        ("1025", THERE, 1),
    ]
    assert face.get(f"/studies/{UNKNOWN}/storage").status == 404
