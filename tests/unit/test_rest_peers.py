"""Peers over REST, and what is stored at them: a whole server and a peer that may misbehave."""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_instance, make_series
from tests.support.face import Face, serving
from tests.support.jobs import DEADLINE_S, eventually
from tests.support.receiver import Receiver, receiving
from wherry import limits
from wherry.dicom.scan import scan
from wherry.model import Peer

FILES = make_series(5)
UNKNOWN = "00000000" + 4 * "-00000000"


@pytest.fixture
def peer() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def face(tmp_path: Path, peer: Receiver) -> Iterator[Face]:
    with serving(tmp_path, orthanc_peers={"there": Peer("there", peer.url)}) as face:
        for data in FILES:
            face.upload(data)
        yield face


def study(face: Face) -> str:
    found: str = face.json("/studies")[0]
    return found


def store(face: Face, **order: Any) -> Any:
    """A store that must succeed."""
    reply = face.post_json("/peers/there/store", {"Resources": [study(face)], **order})
    assert reply.status == 200, reply.body
    return reply.json()


def start(face: Face, **order: Any) -> str:
    job: str = store(face, Synchronous=False, **order)["ID"]
    return job


def ended(face: Face, job: str) -> Any:
    eventually(lambda: face.json(f"/jobs/{job}")["State"] in ("Success", "Failure"))
    return face.json(f"/jobs/{job}")


# --- the book ------------------------------------------------------------------------------
def test_the_operations_of_a_peer(face: Face) -> None:
    assert face.json("/peers/there") == ["configuration", "store", "store-straight", "system"]
    assert face.get("/peers/nobody").status == 404
    assert face.get("/peers/there/system").json() == {"Name": "receiver"}


@pytest.mark.parametrize(
    ("entry", "details"),
    [
        ({}, "Empty URL"),
        ([], "Empty URL"),
        ({"URL": ""}, "Empty URL"),
        ({"URL": "ftp://x/"}, "Bad URL: ftp://x/"),
        (["gopher://x/"], "Bad URL: gopher://x/"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(face: Face, entry: Any, details: str) -> None:
    reply = face.request("PUT", "/peers/bad", json.dumps(entry).encode())
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, 15)
    assert reply.json()["Details"] == details
    assert face.json("/peers") == ["there"]


def test_peers_of_the_database_only(tmp_path: Path) -> None:
    peers = {"configured": Peer("configured", "http://a/")}
    for expected in ([], ["declared"]):
        with serving(tmp_path, orthanc_peers=peers, orthanc_peers_in_database=True) as face:
            assert face.json("/peers") == expected
            face.request("PUT", "/peers/declared", b'["http://b/"]')


@pytest.mark.parametrize(
    "entry",
    [
        {"Url": "http://a..b/"},
        {"Url": f"http://{'a' * 64}.example/"},
        {"Url": "{}ä/"},
        {"Url": "{}", "HttpHeaders": {"X": "\u2014"}},
        {"Url": "{}", "HttpHeaders": {"X y": "z"}},
        {"Url": "{}", "HttpHeaders": {"Ä": "z"}},
        {"Url": "{}", "HttpHeaders": {"X": "a\u0000b"}},
    ],
)
def test_a_peer_that_cannot_be_spoken_to(face: Face, peer: Receiver, entry: Any) -> None:
    """Refused when it is declared, or when it is used; never a defect of the server."""
    entry = entry | {"Url": entry["Url"].replace("{}", peer.url)}
    if face.request("PUT", "/peers/odd", json.dumps(entry).encode()).status == 200:
        reply = face.get("/peers/odd/system")
        assert (reply.status, reply.json()["OrthancStatus"]) == (500, 9)


# --- the order -----------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["plain", "text", "list", "object"])
def test_the_forms_of_an_order(face: Face, peer: Receiver, form: str) -> None:
    name = study(face)
    body = {
        "plain": f" {name}\n",
        "text": json.dumps(name),
        "list": json.dumps([name]),
        "object": json.dumps({"Resources": [name], "Synchronous": True}),
    }[form]
    reply = face.request("POST", "/peers/there/store", body.encode())
    assert reply.status == 200, reply.body
    assert reply.json() == {
        "Compress": False,
        "Description": "REST API",
        "FailedInstancesCount": 0,
        "InstancesCount": 5,
        "ParentResources": [name],
        "Peer": [peer.url],
        "Size": str(sum(map(len, FILES))),
        "SizeMB": 0,
    }
    assert sorted(peer.stored.values()) == sorted(FILES)
    assert {headers["content-type"] for headers in peer.headers} == {"application/dicom"}
    assert peer.body_bytes == sum(map(len, FILES))


def test_resources_of_all_levels_are_sent_once(face: Face, peer: Receiver) -> None:
    names = [face.json(f"/{level}")[0] for level in ("instances", "series", "studies", "patients")]
    content = store(face, Resources=[*names, names[0]])
    assert content["InstancesCount"] == 5
    assert content["ParentResources"] == names
    assert len(peer.uploads) == 5


def test_what_is_given_away_is_logged(tmp_path: Path, peer: Receiver) -> None:
    peers = {"there": Peer("there", peer.url)}
    with serving(tmp_path, orthanc_peers=peers, log_exported_resources=True) as face:
        face.upload(FILES[0])
        series, instance = face.json("/series")[0], face.json("/instances")[0]
        store(face, Resources=[series, instance])
        logged = face.json("/exports")["Exports"]
    assert [(one["ResourceType"], one["ID"], one["RemoteModality"]) for one in logged] == [
        ("Series", series, "there"),
        ("Instance", instance, "there"),
    ]


def test_what_is_not_wanted_is_not_logged(face: Face) -> None:
    store(face)
    assert face.json("/exports")["Exports"] == []


def test_nothing_is_a_success(face: Face, peer: Receiver) -> None:
    content = store(face, Resources=[])
    assert (content["InstancesCount"], content["Size"]) == (0, "0")
    assert "ParentResources" not in content
    assert peer.uploads == []


@pytest.mark.parametrize("buffer_bytes", [None, 0], ids=["made before", "made as it goes"])
def test_compressed(
    face: Face, peer: Receiver, monkeypatch: pytest.MonkeyPatch, buffer_bytes: int | None
) -> None:
    if buffer_bytes is not None:
        monkeypatch.setattr(limits, "BUCKET_BUFFER_BYTES", buffer_bytes)
    content = store(face, Compress=True)
    assert content["Compress"] is True
    assert sorted(peer.stored.values()) == sorted(FILES)
    assert {headers["content-encoding"] for headers in peer.headers} == {"gzip"}
    assert peer.body_bytes < sum(map(len, FILES)) / 2
    if buffer_bytes is None:
        assert content["Size"] == str(peer.body_bytes)


@pytest.mark.parametrize("compress", [False, True])
def test_files_that_are_stored_compressed_are_sent_plain(
    tmp_path: Path, peer: Receiver, compress: bool
) -> None:
    peers = {"there": Peer("there", peer.url)}
    with serving(tmp_path, orthanc_peers=peers, storage_compression=True) as face:
        for data in FILES:
            face.upload(data)
        store(face, Compress=compress)
    assert sorted(peer.stored.values()) == sorted(FILES)


BAD = [
    (b"", 400, 15, "Must provide a JSON value"),
    (b"nope", 400, 15, "Must provide a JSON value"),
    (b"12", 400, 15, "Must provide a JSON object, or a JSON array of strings"),
    (b"null", 400, 15, "Must provide a JSON object, or a JSON array of strings"),
    (b'"nope"', 400, 15, "This string is not a valid Orthanc identifier: nope"),
    (b'["nope"]', 400, 15, "This string is not a valid Orthanc identifier: nope"),
    (
        b"[12]",
        400,
        15,
        "Resources to be exported must be specified as a JSON array of strings",
    ),
    (b"{}", 400, 15, 'Missing field in JSON: "Resources"'),
    (b'{"Resources":"x"}', 400, 15, 'JSON field "Resources" must contain an array'),
    (b'{"Resources":[],"Compress":1}', 400, 15, "Boolean value expected in field: Compress"),
    (b'{"Resources":[],"Permissive":"a"}', 400, 15, "Boolean value expected in field: Permissive"),
    (b'{"Resources":[],"Synchronous":0}', 400, 15, "Boolean value expected in field: Synchronous"),
    (b'{"Resources":[],"Asynchronous":0}', 400, 15, None),
    (b'{"Resources":[],"Priority":1.5}', 400, 15, "Integer value expected in field: Priority"),
    (b'{"Resources":[],"Priority":99999999999}', 400, 3, None),
    (b'{"Resources":[],"Transcode":1}', 400, 15, "String value expected in field: Transcode"),
    (b'{"Resources":[],"Transcode":"x"}', 400, 15, "Unknown transfer syntax UID: x"),
    (b'["\\ud800"]', 400, 15, None),
    (b'["\\u0000"]', 400, 15, None),
    (b"\xff\xfe", 400, 15, None),
    (json.dumps([UNKNOWN]).encode(), 404, 17, None),
    (UNKNOWN.encode(), 404, 17, None),
]


@pytest.mark.parametrize(("body", "status", "code", "details"), BAD)
def test_orders_that_make_no_sense(
    face: Face, peer: Receiver, body: bytes, status: int, code: int, details: str | None
) -> None:
    reply = face.request("POST", "/peers/there/store", body)
    assert (reply.status, reply.json()["OrthancStatus"]) == (status, code)
    if details is not None:
        assert reply.json()["Details"] == details
    assert face.json("/jobs") == []
    assert peer.uploads == []


def test_an_unknown_peer(face: Face) -> None:
    for action in ("store", "store-straight"):
        reply = face.request("POST", f"/peers/nobody/{action}", study(face).encode())
        assert reply.status == 404
        assert reply.json()["Details"] == "No peer with symbolic name: nobody"


def test_transcoding_where_nothing_is_to_do(face: Face, peer: Receiver) -> None:
    syntax = "1.2.840.10008.1.2.1"
    assert store(face, Transcode=syntax)["Transcode"] == syntax
    assert len(peer.stored) == 5


# --- the job -------------------------------------------------------------------------------
def test_an_asynchronous_job(face: Face, peer: Receiver) -> None:
    reply = store(face, Asynchronous=True, Priority=7, UserData={"a": [1]})
    assert reply == {"ID": reply["ID"], "Path": f"/jobs/{reply['ID']}"}
    job = ended(face, reply["ID"])
    assert (job["State"], job["Type"], job["Priority"]) == ("Success", "OrthancPeerStore", 7)
    assert (job["Progress"], job["ErrorCode"], job["UserData"]) == (100, 0, {"a": [1]})
    assert job["Content"]["InstancesCount"] == len(peer.stored) == 5


def test_a_job_that_history_forgets_at_once_is_answered(tmp_path: Path, peer: Receiver) -> None:
    peers = {"there": Peer("there", peer.url)}
    with serving(tmp_path, orthanc_peers=peers, jobs_history_size=0) as face:
        face.upload(FILES[0])
        assert store(face)["InstancesCount"] == 1
        peer.rule = lambda _: (400, b'{"Details":"No"}')
        reply = face.post_json("/peers/there/store", [study(face)])
        assert reply.json()["OrthancStatus"] == 9


def test_a_refusal_is_told_with_the_instance_and_the_words_of_the_peer(
    face: Face, peer: Receiver
) -> None:
    bad = face.json("/instances")[2]
    no = (400, b'{"OrthancStatus":15,"Details":"I do not like it"}')
    peer.rule = lambda name: no if name == bad else None
    reply = face.post_json("/peers/there/store", [study(face)])
    assert (reply.status, reply.json()["OrthancStatus"]) == (500, 9)
    assert bad in reply.json()["Details"]
    assert "I do not like it" in reply.json()["Details"]
    content = store(face, Permissive=True)
    assert content["FailedInstancesCount"] == 1
    (failed,) = content["FailedInstances"]
    assert failed["ID"] == bad
    assert "I do not like it" in failed["Details"]
    assert len(peer.stored) == 4


@pytest.mark.parametrize(
    "answer",
    [
        b"thanks",
        b"[]",
        b"{}",
        json.dumps({"ID": UNKNOWN, "Status": "Success"}).encode(),
        b"FilteredOut",
    ],
)
def test_a_peer_that_did_not_store_it_is_not_believed(
    face: Face, peer: Receiver, answer: bytes
) -> None:
    def rule(name: str) -> tuple[int, bytes]:
        if answer != b"FilteredOut":
            return 200, answer
        return 200, json.dumps({"ID": name, "Status": "FilteredOut"}).encode()

    peer.rule = rule
    assert store(face, Permissive=True)["FailedInstancesCount"] == 5


def test_an_overloaded_peer_is_asked_again(
    face: Face, peer: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PEER_RETRY_S", 0.001)
    seen: Counter[str] = Counter()

    def rule(name: str) -> tuple[int, bytes] | None:
        seen[name] += 1
        return (500, b"") if seen[name] < 3 else None

    peer.rule = rule
    assert store(face)["FailedInstancesCount"] == 0
    assert set(seen.values()) == {3}


def test_a_peer_out_of_reach(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PEER_RETRY_S", 0.001)
    face.request("PUT", "/peers/there", b'["http://127.0.0.1:1/"]')
    reply = face.post_json("/peers/there/store", [study(face)])
    assert (reply.status, reply.json()["OrthancStatus"]) == (500, 9)
    assert store(face, Permissive=True)["FailedInstancesCount"] == 5


class Gate:
    """Lets a few instances pass and holds the others."""

    def __init__(self, passing: int) -> None:
        self._passing = passing
        self._count = 0
        self._lock = threading.Lock()
        self.held = threading.Semaphore(0)
        self.open = threading.Event()

    def __call__(self, name: str) -> None:
        with self._lock:
            self._count += 1
            held = self._count > self._passing
        if held:
            self.held.release()
            assert self.open.wait(DEADLINE_S)


def test_a_paused_job_sends_nothing_twice(
    face: Face, peer: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PEER_STORE_CONNECTIONS", 1)
    peer.rule = gate = Gate(passing=3)
    job = start(face)
    assert gate.held.acquire(timeout=DEADLINE_S)
    assert face.request("POST", f"/jobs/{job}/pause").status == 200
    eventually(lambda: face.json(f"/jobs/{job}")["State"] == "Paused")
    sent = list(peer.uploads)
    gate.open.set()
    assert face.request("POST", f"/jobs/{job}/resume").status == 200
    found = ended(face, job)
    assert found["State"] == "Success", found
    assert found["Content"]["Size"] == str(sum(map(len, FILES)))
    assert found["Content"]["InstancesCount"] == len(peer.stored) == 5
    assert Counter(peer.uploads)[sent[3]] == 2  # it was under way
    assert len(peer.uploads) == 6


def test_a_cancelled_job_ends_in_the_middle_of_a_request(face: Face, peer: Receiver) -> None:
    peer.rule = gate = Gate(passing=0)
    job = start(face)
    assert gate.held.acquire(timeout=DEADLINE_S)
    assert face.request("POST", f"/jobs/{job}/cancel").status == 200
    found = ended(face, job)
    assert (found["State"], found["ErrorCode"]) == ("Failure", 37)
    gate.open.set()


def test_resources_that_change_meanwhile_are_sent_whole(
    face: Face, peer: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PEER_STORE_CONNECTIONS", 1)
    peer.rule = gate = Gate(passing=3)
    job = start(face)
    assert gate.held.acquire(timeout=DEADLINE_S)
    face.request("POST", f"/jobs/{job}/pause")
    eventually(lambda: face.json(f"/jobs/{job}")["State"] == "Paused")
    first = min(face.json("/instances"))
    others = (make_instance(number=number) for number in range(50, 150))
    face.upload(next(data for data in others if scan(data).identifiers.instance < first))
    gate.open.set()
    face.request("POST", f"/jobs/{job}/resume")
    found = ended(face, job)
    assert found["State"] == "Success"
    assert found["Content"]["InstancesCount"] == len(peer.stored) == 6


# --- straight ------------------------------------------------------------------------------
@pytest.mark.parametrize("encoded", [False, True])
def test_a_body_goes_straight_to_the_peer(face: Face, peer: Receiver, encoded: bool) -> None:
    data = make_instance(number=90, pixel_bytes=3_000_000)
    body = gzip.compress(data) if encoded else data
    headers = {"Content-Encoding": "gzip"} if encoded else {}
    reply = face.request("POST", "/peers/there/store-straight", body, headers)
    assert reply.status == 200
    (name,) = peer.stored
    assert reply.json() == {"ID": name, "Status": "Success"}
    assert peer.stored[name] == data
    assert len(face.json("/instances")) == 5


def test_what_the_peer_refuses_straight(face: Face) -> None:
    reply = face.request("POST", "/peers/there/store-straight", b"hello")
    assert (reply.status, reply.json()["OrthancStatus"]) == (500, 9)
    assert "Cannot send DICOM to remote peer: there" in reply.json()["Details"]
    assert "Cannot parse an invalid DICOM file" in reply.json()["Details"]


def test_failures_outlive_a_pause(
    face: Face, peer: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What failed before is still told after, and is not tried again; only a few are named."""
    monkeypatch.setattr(limits, "PEER_STORE_CONNECTIONS", 1)
    monkeypatch.setattr(limits, "STORE_TOLD", 1)
    gate = Gate(passing=3)

    def rule(name: str) -> tuple[int, bytes]:
        gate(name)
        return 400, b'{"OrthancStatus": 15}'

    peer.rule = rule
    job = start(face, Permissive=True)
    assert gate.held.acquire(timeout=DEADLINE_S)
    face.request("POST", f"/jobs/{job}/pause")
    eventually(lambda: face.json(f"/jobs/{job}")["State"] == "Paused")
    peer.rule = lambda _: None
    gate.open.set()
    face.request("POST", f"/jobs/{job}/resume")
    content = ended(face, job)["Content"]
    assert content["FailedInstancesCount"] == 3
    assert [one["ID"] for one in content["FailedInstances"]] == peer.uploads[:1]
    assert len(peer.stored) == 2
