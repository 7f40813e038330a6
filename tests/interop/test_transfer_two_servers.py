"""Two real servers, and a proxy between them: studies travel whole or not at all."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.proxy import Message, Proxy, proxied
from tests.support.server import Server, running
from tests.support.transfers import BUCKET, FILES, content, send, start, wait_until


# --- the good way --------------------------------------------------------------------------
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_push(sender: Server, receiver: Server, proxy: Proxy, compression: str) -> None:
    job = send(sender, Compression=compression, SenderTransferID="me")
    assert job["State"] == "Success", (job["ErrorCode"], job["ErrorDetails"], job)
    assert content(receiver) == content(sender)
    assert len(receiver.files()) == len(FILES)
    found = job["Content"]
    buckets = found["TotalHttpQueries"]
    assert buckets > 10
    assert found["CompletedHttpQueries"] == buckets
    assert (found["RetriedHttpQueries"], found["TimeLeftS"]) == (0, 0)
    assert found["TotalInstances"] == len(FILES)
    assert found["TotalBytes"] == found["CompletedBytes"] == str(sum(map(len, FILES)))
    assert job["Progress"] == 100
    assert len(proxy.sent("PUT")) == len(set(proxy.sent("PUT"))) == buckets
    for headers in proxy.headers:
        assert "accept-encoding" not in {name.lower() for name in headers}
        assert headers["sender-transfer-id"] == "me"
    again = send(sender, Compression=compression)
    assert again["State"] == "Success"
    assert content(receiver) == content(sender)
    assert len(receiver.files()) == len(FILES)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_pull(sender: Server, receiver: Server, compression: str) -> None:
    status, _ = receiver.request(
        "PUT", "/peers/there", json.dumps({"Url": f"{sender.url}/"}).encode()
    )
    assert status == 200
    study = sender.json("GET", "/studies")[0]
    job = receiver.wait_for_job(start(receiver, "pull", study=study, Compression=compression))
    assert job["State"] == "Success", (job["ErrorCode"], job["ErrorDetails"], job)
    assert content(receiver) == content(sender)
    assert len(receiver.files()) == len(FILES)
    assert job["Content"]["TotalInstances"] == len(FILES)
    wrong = start(receiver, "pull", study=study, Originator="somebody else")
    failed = receiver.wait_for_job(wrong)
    assert failed["State"] == "Failure"
    assert "RemoteSelf" in failed["ErrorDetails"]


def test_who_waits_for_a_commit_sees_how_far_it_is(
    sender: Server, receiver: Server, proxy: Proxy
) -> None:
    """Somebody else is writing to the receiver's index just then."""
    index = sqlite3.connect(receiver.folder / "index" / "wherry.db", check_same_thread=False)

    def hold_up(message: Message) -> None:
        if message.path.endswith("/commit"):
            index.execute("BEGIN IMMEDIATE")

    proxy.rule = hold_up
    job = start(sender)
    shown: list[dict[str, Any]] = []

    def numbered() -> bool:
        shown.append(sender.json("GET", f"/jobs/{job}")["Content"])
        return "StageTotal" in shown[-1]

    with closing(index):
        wait_until(numbered)
        assert ("Committing", 0, len(FILES)) == tuple(
            shown[-1][member] for member in ("Stage", "StageDone", "StageTotal")
        )
        assert receiver.json("GET", "/instances") == []
    ended = sender.wait_for_job(job)
    assert ended["State"] == "Success"
    assert "Stage" not in ended["Content"]


def test_send_in_pull_mode(sender: Server, receiver: Server, proxy: Proxy) -> None:
    entry = {"Url": proxy.url, "RemoteSelf": "origin"}
    sender.request("PUT", "/peers/there", json.dumps(entry).encode())
    receiver.request("PUT", "/peers/origin", json.dumps({"Url": sender.url}).encode())
    study = sender.json("GET", "/studies")[0]
    answer = sender.json(
        "POST",
        "/transfers/send",
        {
            "Resources": [{"Level": "Study", "ID": study}],
            "Peer": "there",
            "Compression": "gzip",
        },
    )
    assert answer == {
        "Peer": "there",
        "RemoteJob": answer["RemoteJob"],
        "URL": f"{proxy.url}/jobs/{answer['RemoteJob']}",
    }
    assert receiver.wait_for_job(answer["RemoteJob"])["State"] == "Success"
    assert content(receiver) == content(sender)


def test_peers_are_seen_whatever_a_dead_one_does(sender: Server, proxy: Proxy) -> None:
    for name, entry in {
        "a-dead": {"Url": "http://127.0.0.1:1/"},
        "both": {"Url": proxy.url, "RemoteSelf": "us"},
        "nonsense": {"Url": f"{proxy.url}system/"},
    }.items():
        sender.request("PUT", f"/peers/{name}", json.dumps(entry).encode())
    assert sender.json("GET", "/transfers/peers") == {
        "a-dead": "disabled",
        "both": "bidirectional",
        "nonsense": "disabled",
        "there": "installed",
    }


def test_paths_with_repeated_slashes(sender: Server) -> None:
    for path in ("//transfers//lookup", "/transfers/lookup/"):
        assert sender.json("POST", path, [])["Instances"] == []
    assert sender.request("PUT", "//transfers/lookup")[0] == 405
    assert sender.request("GET", "/transfers/push")[0] == 405


def test_lookup_and_chunks(sender: Server) -> None:
    patient = sender.json("GET", "/patients")[0]
    found = sender.json("POST", "/transfers/lookup", [{"Level": "Patient", "ID": patient}])
    names = [item["ID"] for item in found["Instances"]]
    assert names == sorted(names)
    assert len(names) == len(FILES)
    whole = b"".join(sender.get(f"/instances/{name}/file")[1] for name in names)
    assert found["TotalSize"] == str(len(whole))
    ids = ".".join(names)
    assert sender.get(f"/transfers/chunks/{ids}") == (200, whole)
    for offset, size in ((0, 1), (10, 5000), (20_000, 0), (len(whole) - 1, 9), (2**40, 0)):
        expected = whole[offset : offset + size] if size else whole[offset:]
        assert sender.get(f"/transfers/chunks/{ids}?offset={offset}&size={size}") == (
            200,
            expected,
        )
    unknown = "0" * 8 + "-00000000" * 4
    assert sender.get(f"/transfers/chunks/{names[0]}.{unknown}?size=10") == (200, whole[:10])
    assert sender.get(f"/transfers/chunks/{names[0]}.{unknown}")[0] == 404
    wrong_level = [{"Level": "Study", "ID": patient}]
    assert sender.json("POST", "/transfers/lookup", wrong_level)["Instances"] == []
    for level in ("Study", "Instance"):
        body = json.dumps([{"Level": level, "ID": unknown}]).encode()
        assert sender.request("POST", "/transfers/lookup", body)[0] == 404
    assert sender.json("POST", "/transfers/lookup", [])["Originator"] == found["Originator"]
    sender.stop()
    sender.start()
    assert sender.json("POST", "/transfers/lookup", [])["Originator"] == found["Originator"]


# --- what must not pass --------------------------------------------------------------------
def failed(sender: Server, receiver: Server, **changes: Any) -> dict[str, Any]:
    job = send(sender, **changes)
    assert job["State"] == "Failure", job
    assert receiver.json("GET", "/instances") == []
    wait_until(lambda: receiver.files() == set())
    return job


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("position", [0, 8])
def test_a_bucket_corrupted_on_every_attempt(
    sender: Server, receiver: Server, proxy: Proxy, compression: str, position: int
) -> None:
    """Bucket 0 is a part of an instance, bucket 8 holds one instance whole."""

    def corrupt(message: Message) -> None:
        if BUCKET.fullmatch(message.path) and message.path.endswith(f"/{position}"):
            body = bytearray(message.body)
            body[len(body) // 2] ^= 4
            message.body = bytes(body)

    proxy.rule = corrupt
    job = failed(sender, receiver, Compression=compression)
    assert "bucket" in job["ErrorDetails"]
    assert any(name in job["ErrorDetails"] for name in sender.json("GET", "/instances"))
    if compression == "none":  # by its seal, or by the MD5 of a whole instance
        assert job["ErrorCode"] in (9, 20)


@pytest.mark.parametrize("position", [0, 8])
def test_a_corrupted_bucket_is_sent_again(
    sender: Server, receiver: Server, proxy: Proxy, position: int
) -> None:
    once = iter([True])

    def corrupt(message: Message) -> None:
        if message.path.endswith(f"/{position}") and next(once, False):
            message.body = message.body[:-1] + bytes([message.body[-1] ^ 1])

    proxy.rule = corrupt
    job = send(sender)
    assert job["State"] == "Success", (job["ErrorCode"], job["ErrorDetails"], job)
    assert job["Content"]["RetriedHttpQueries"] >= 1
    assert content(receiver) == content(sender)


def test_a_missing_bucket(sender: Server, receiver: Server, proxy: Proxy) -> None:
    def swallow(message: Message) -> None:
        if BUCKET.fullmatch(message.path) and message.path.endswith("/1"):
            message.status, message.answer = 200, b"{}"
            message.told = {"wherry-request": message.headers["wherry-request"]}

    proxy.rule = swallow
    job = failed(sender, receiver)
    assert job["ErrorCode"] == 20
    assert any(name in job["ErrorDetails"] for name in sender.json("GET", "/instances"))
    assert "commit" in job["ErrorDetails"]


def test_an_instance_with_another_identity(sender: Server, receiver: Server, proxy: Proxy) -> None:
    name = sorted(sender.json("GET", "/instances"))[4]
    wrong = name[:-1] + ("0" if name[-1] != "0" else "1")

    def rename(message: Message) -> None:
        if message.path.endswith("/transfers/push"):
            message.body = message.body.replace(name.encode(), wrong.encode())
            message.headers.pop("Content-Digest")  # the sender lies, the line does not

    proxy.rule = rename
    job = failed(sender, receiver)
    assert job["ErrorCode"] == 20
    assert wrong in job["ErrorDetails"]
    assert name in job["ErrorDetails"]


def test_a_source_that_lies_in_a_pull(sender: Server, receiver: Server) -> None:
    with proxied(sender.port) as proxy:
        receiver.request("PUT", "/peers/there", json.dumps({"Url": proxy.url}).encode())
        study = sender.json("GET", "/studies")[0]

        def shorten(message: Message) -> bool:
            if "/chunks/" in message.path:
                message.answer = message.answer[:-1]
            return True

        def corrupt(message: Message) -> bool:
            if "/chunks/" in message.path:
                message.answer = message.answer[:-1] + bytes([message.answer[-1] ^ 1])
            return True

        for lie in (shorten, corrupt):
            proxy.after = lie
            job = receiver.wait_for_job(start(receiver, "pull", study=study))
            assert job["State"] == "Failure"
            assert receiver.json("GET", "/instances") == []
            wait_until(lambda: receiver.files() == set())
        proxy.after = lambda _: True
        job = receiver.wait_for_job(start(receiver, "pull", study=study))
        assert job["State"] == "Success"
        assert content(receiver) == content(sender)


def test_a_resource_that_is_not_there(sender: Server) -> None:
    unknown = "0" * 8 + "-00000000" * 4
    for route in ("send", "pull"):
        job = sender.wait_for_job(start(sender, route, study=unknown))
        assert job["State"] == "Failure"
        assert unknown in job["ErrorDetails"] or "lookup" in job["ErrorDetails"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/transfers/push", b"", 400, 15),
        ("POST", "/transfers/push", b"{}", 400, 15),
        (
            "POST",
            "/transfers/push",
            b'{"Instances":[{"ID":"a","Size":"1000000000000000","MD5":"b"}],"Buckets":[],'
            b'"Compression":"none"}',
            413,
            8,
        ),
        (
            "POST",
            "/transfers/send",
            b'{"Resources":[],"Peer":"nobody","Compression":"none"}',
            404,
            17,
        ),
        (
            "POST",
            "/transfers/pull",
            b'{"Resources":[],"Peer":"nobody","Compression":"none"}',
            404,
            17,
        ),
        ("POST", "/transfers/pull", b'{"Resources":[],"Peer":"there","Compression":"x"}', 400, 3),
        ("POST", "/transfers/lookup", b"{}", 400, 15),
        ("PUT", "/transfers/push/x/0", b"", 404, 17),
        ("PUT", "/transfers/push/00000000-0000-4000-8000-000000000000/0", b"", 404, 17),
        ("PUT", "/transfers/push/00000000-0000-4000-8000-000000000000/x", b"", 404, 17),
        ("POST", "/transfers/push/x/commit", b"", 404, 17),
        ("DELETE", "/transfers/push/x", b"", 404, 17),
        ("GET", "/transfers/push/x", b"", 404, 17),
        ("GET", "/transfers/chunks/ABC", b"", 404, 17),
    ],
)
def test_refusals(
    receiver: Server, method: str, path: str, body: bytes, status: int, code: int
) -> None:
    receiver.request("PUT", "/peers/there", json.dumps({"Url": receiver.url}).encode())
    answer = receiver.request(method, path, body)
    assert answer[0] == status
    assert json.loads(answer[1])["OrthancStatus"] == code


def peak_mib(server: Server) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) // 1024


def declaration(count: int, size: int = 1) -> bytes:
    item = '{"ID":"%08x-00000000-00000000-00000000-00000000","Size":"%d","MD5":"%032x"}'
    items = ",".join(item % (n, size, n) for n in range(count))
    return f'{{"Instances":[{items}],"Buckets":[],"Compression":"none"}}'.encode()


@pytest.mark.parametrize(
    "body",
    [
        declaration(1, 10**15),
        declaration(1000, 10**12),
        declaration(250_000),
        b'{"Instances":[' + b"[]," * 5_000_000,
        b'{"Instances":[' + b"0," * 10_000_000,
        b"[" * 30_000_000,
        b'{"Instances":["' + b"x" * 30_000_000 + b'"]}',
        bytes(40_000_000),
    ],
)
def test_declarations_that_would_cost_memory(receiver: Server, body: bytes) -> None:
    """Refused before anything is made of them; the body itself is all that they cost."""
    before = peak_mib(receiver)
    status, answer = receiver.request("POST", "/transfers/push", body)
    assert 400 <= status < 500, answer
    assert peak_mib(receiver) < before + 150  # up to four copies of 32 MiB
    assert receiver.files() == set()
    assert receiver.get("/system")[0] == 200


# --- interruptions -------------------------------------------------------------------------
def restart(server: Server) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("end", ["kill", "stop"])
@pytest.mark.parametrize("dialect", ["wherry", "stock"])
@pytest.mark.parametrize("stop_at", [1, 4, 9])
def test_a_killed_sender_goes_on_and_sends_nothing_twice(
    tmp_path: Path, receiver: Server, proxy: Proxy, dialect: str, stop_at: int, end: str
) -> None:
    """A Wherry is asked what it has; of a stock peer, which answers 405, the checkpoint knows."""
    threads = 3 if dialect == "wherry" else 1
    config = {
        "Transfers": {"BucketSize": 4, "Threads": threads},
        "OrthancPeers": {"there": {"Url": proxy.url}},
    }
    with running(Server(tmp_path / "sender", config=config)) as sender:
        for data in FILES:
            sender.request("POST", "/instances", data)
        reached, go_on = threading.Event(), threading.Event()
        received: Counter[str] = Counter()

        def hold(message: Message) -> None:
            if BUCKET.fullmatch(message.path):
                if len(proxy.acknowledged()) >= stop_at and not go_on.is_set():
                    reached.set()
                    go_on.wait(60)
                    message.status = 502  # the sender that asked is dead
                else:
                    received[message.path] += 1
            elif message.method == "GET" and dialect == "stock":
                message.status = 405
            elif message.path == "/transfers/inventory" and dialect == "stock":
                message.status = 404

        proxy.rule = hold
        job = start(sender)
        assert reached.wait(60)
        before = set(proxy.acknowledged())
        assert sender.kill() is None if end == "kill" else sender.stop() == 0
        go_on.set()
        sender.start()
        ended = sender.wait_for_job(job)
        assert ended["State"] == "Success", ended
        assert content(receiver) == content(sender)
        assert before
        assert {received[path] for path in before} == {1}
        if threads == 1:  # else one may have arrived that nobody was told of
            assert set(received.values()) == {1}
        assert ended["Content"]["ResumedHttpQueries"] >= len(before)
        paths = [path for path in proxy.sent("POST") if "/push" in path]
        assert len(paths) == 2  # one transaction: create and commit


def test_a_killed_puller_goes_on_and_fetches_nothing_twice(
    sender: Server, receiver: Server
) -> None:
    with proxied(sender.port) as proxy:
        receiver.request("PUT", "/peers/there", json.dumps({"Url": proxy.url}).encode())
        reached, go_on = threading.Event(), threading.Event()

        def hold(message: Message) -> None:
            if "/chunks/" in message.path and len(proxy.sent("GET")) > 7 and not go_on.is_set():
                reached.set()
                go_on.wait(60)
                message.status = 502

        proxy.rule = hold
        job = start(receiver, "pull", study=sender.json("GET", "/studies")[0])
        assert reached.wait(60)
        wait_until(lambda: received_buckets(receiver) >= 5)
        receiver.kill()
        received = received_buckets(receiver)
        go_on.set()
        seen = len(proxy.sent("GET"))
        receiver.start()
        ended = receiver.wait_for_job(job)
        assert ended["State"] == "Success", ended
        assert content(receiver) == content(sender)
        total = ended["Content"]["TotalHttpQueries"]
        assert len(proxy.sent("GET")) - seen == total - received
        assert len(receiver.files()) == len(FILES)


def received_buckets(server: Server) -> int:
    with closing(sqlite3.connect(server.folder / "index" / "wherry.db")) as index:
        query = "SELECT COUNT(*) FROM transfer_buckets WHERE received = 1"
        return int(index.execute(query).fetchone()[0])


def test_a_receiver_that_restarts_in_the_middle(
    sender: Server, receiver: Server, proxy: Proxy
) -> None:
    """The sender's attempts outlast the restart; the receiver goes on where it was."""
    once = iter([True])

    def kill(message: Message) -> None:
        if message.path.endswith("/5") and BUCKET.fullmatch(message.path) and next(once, False):
            restart(receiver)
            message.status = 502

    proxy.rule = kill
    job = send(sender)
    assert job["State"] == "Success", (job["ErrorCode"], job["ErrorDetails"], job)
    assert content(receiver) == content(sender)


@pytest.mark.parametrize("dialect", ["wherry", "stock"])
def test_a_commit_whose_answer_is_lost(
    sender: Server, receiver: Server, proxy: Proxy, dialect: str
) -> None:
    commits = []

    def forget(message: Message) -> None:
        if message.path.endswith("/commit") and commits and dialect == "stock":
            message.status = 404

    def lose(message: Message) -> bool:
        if message.path.endswith("/commit"):
            commits.append(message.status)
            return len(commits) > 1
        return True

    proxy.rule, proxy.after = forget, lose
    job = send(sender)
    assert job["State"] == "Success", (job["ErrorCode"], job["ErrorDetails"], job)
    assert commits == [200, 200 if dialect == "wherry" else 404]
    assert content(receiver) == content(sender)


def test_a_peer_that_forgot_the_transaction_gets_a_new_one(
    sender: Server, receiver: Server, proxy: Proxy
) -> None:
    once = iter([True])

    def evict(message: Message) -> None:
        if message.path.endswith("/3") and next(once, False):
            transaction = message.path.rsplit("/", 1)[0]
            assert receiver.request("DELETE", transaction)[0] == 200

    proxy.rule = evict
    job = send(sender)
    assert job["State"] == "Success", (job["ErrorCode"], job["ErrorDetails"], job)
    assert content(receiver) == content(sender)
    assert len(receiver.files()) == len(FILES)


def test_a_cancelled_push_gives_back_slot_and_space(
    sender: Server, receiver: Server, proxy: Proxy
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(message: Message) -> None:
        if BUCKET.fullmatch(message.path) and message.path.endswith("/4"):
            reached.set()
            go_on.wait(60)

    proxy.rule = hold
    job = start(sender)
    assert reached.wait(60)
    sender.json("POST", f"/jobs/{job}/cancel")
    ended = sender.wait_for_job(job)
    go_on.set()
    assert (ended["State"], ended["ErrorCode"]) == ("Failure", 37)
    wait_until(lambda: len(proxy.sent("DELETE")) == 1 and receiver.files() == set())
    assert receiver.json("GET", "/instances") == []


def test_a_paused_push_goes_on(sender: Server, receiver: Server, proxy: Proxy) -> None:
    reached = threading.Event()

    def hold(message: Message) -> None:
        if BUCKET.fullmatch(message.path) and not reached.is_set() and proxy.acknowledged():
            sender.json("POST", f"/jobs/{job}/pause")
            reached.set()

    ready = threading.Event()

    def wait(message: Message) -> None:
        ready.wait(60)
        hold(message)

    proxy.rule = wait
    job = start(sender)
    ready.set()
    assert reached.wait(60)
    wait_until(lambda: sender.json("GET", f"/jobs/{job}")["State"] == "Paused")
    sender.json("POST", f"/jobs/{job}/resume")
    assert sender.wait_for_job(job)["State"] == "Success"
    assert content(receiver) == content(sender)
    assert len([path for path in proxy.sent("POST") if path.endswith("/push")]) == 1


def test_more_senders_than_slots(sender: Server, receiver: Server) -> None:
    """Four slots, eight pushes at once: nobody's transaction dies, all end well."""
    restart_config = {**sender.config, "ConcurrentJobs": 8}
    sender.stop()
    sender.config = restart_config
    sender.start()
    jobs = [start(sender) for _ in range(8)]
    assert [sender.wait_for_job(job)["State"] for job in jobs] == ["Success"] * 8
    assert content(receiver) == content(sender)
    assert len(receiver.files()) == len(FILES)
