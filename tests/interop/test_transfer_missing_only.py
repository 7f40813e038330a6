"""What is there already does not travel: pushes to a Wherry and to a stock peer, and pulls."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3 as digest

from tests.support.dicom_files import make_instance
from tests.support.proxy import Message, Proxy, proxied
from tests.support.server import Server
from tests.support.transfers import (
    BUCKET,
    FILES,
    content,
    send,
    start,
    wait_until,
)

TOTAL = sum(map(len, FILES))


def as_stock(proxy: Proxy) -> None:
    """The receiver behind the proxy does not know what only a Wherry knows."""

    def rule(message: Message) -> None:
        if message.path == "/transfers/inventory":
            message.status = 404
        elif message.method == "GET" and "/push/" in message.path:
            message.status = 405

    proxy.rule = rule


def orthanc_id(sender: Server, data: bytes) -> str:
    return str(json.loads(sender.request("POST", "/instances", data)[1])["ID"])


def skipped(job: dict[str, Any]) -> tuple[int, int]:
    assert job["State"] == "Success", job
    found = job["Content"]
    assert found["CompletedBytes"] == found["TotalBytes"] == str(TOTAL)
    assert job["Progress"] == 100
    return found["SkippedInstances"], int(found["SkippedBytes"])


@pytest.mark.parametrize("dialect", ["wherry", "stock"])
def test_a_second_push_moves_nothing(
    sender: Server, receiver: Server, proxy: Proxy, dialect: str
) -> None:
    if dialect == "stock":
        as_stock(proxy)
    assert skipped(send(sender)) == (0, 0)
    buckets, changes = len(proxy.sent("PUT")), receiver.json("GET", "/changes?last")["Last"]
    assert skipped(send(sender)) == (len(FILES), TOTAL)
    assert len(proxy.sent("PUT")) == buckets
    assert content(receiver) == content(sender)
    behind = receiver.json("GET", f"/changes?since={changes}")["Changes"]
    received = [] if dialect == "stock" else ["StudyReceived"]  # a transfer was opened, or none
    assert [change["ChangeType"] for change in behind] == received


def test_who_speaks_of_md5_only_hears_of_nothing_else(receiver: Server) -> None:
    data = FILES[-1]
    stored = json.loads(receiver.request("POST", "/instances", data)[1])
    question = [{"Level": "Instance", "ID": stored["ID"]}]
    told = {"ID": stored["ID"], "Size": str(len(data))}
    md5, blake3 = {"MD5": hashlib.md5(data).hexdigest()}, {"BLAKE3": digest(data).hexdigest()}
    for headers, known in (({"wherry-digests": "blake3"}, blake3), ({}, md5)):
        body = json.dumps(question).encode()
        answer = json.loads(receiver.request("POST", "/transfers/lookup", body, headers)[1])
        assert answer["Instances"] == [told | known]
    for known in (md5, blake3):
        held = receiver.json("POST", "/transfers/inventory", {"Instances": [told | known]})
        assert held == {"Missing": ""}
    other = {"MD5": hashlib.md5(data[1:]).hexdigest()}
    held = receiver.json("POST", "/transfers/inventory", {"Instances": [told | other]})
    assert held == {"Missing": "0"}


@pytest.mark.parametrize("dialect", ["wherry", "stock"])
def test_only_the_rest_is_pushed(
    sender: Server, receiver: Server, proxy: Proxy, dialect: str
) -> None:
    if dialect == "stock":
        as_stock(proxy)
    there = FILES[:4] + FILES[-1:]
    for data in there:
        receiver.request("POST", "/instances", data)
    assert skipped(send(sender)) == (len(there), sum(map(len, there)))
    assert content(receiver) == content(sender)
    assert len(receiver.files()) == len(FILES)


@pytest.mark.parametrize("dialect", ["wherry", "stock"])
def test_what_has_another_digest_travels(
    tmp_path: Path, sender: Server, receiver: Server, proxy: Proxy, dialect: str
) -> None:
    """The same instance, other bytes: it is sent, and what is stored stays (no overwriting)."""
    if dialect == "stock":
        as_stock(proxy)
    other = FILES[0][:-1] + bytes([FILES[0][-1] ^ 1])
    assert orthanc_id(receiver, other) == orthanc_id(sender, FILES[0])
    for data in FILES[1:]:
        receiver.request("POST", "/instances", data)
    assert skipped(send(sender)) == (len(FILES) - 1, TOTAL - len(FILES[0]))
    here, there = content(receiver), content(sender)
    assert [name for name in here if here[name] != there[name]] == [orthanc_id(sender, FILES[0])]


def test_a_second_pull_fetches_nothing(sender: Server, receiver: Server) -> None:
    with proxied(sender.port) as source:
        body = json.dumps({"Url": source.url}).encode()
        assert receiver.request("PUT", "/peers/there", body)[0] == 200
        study = sender.json("GET", "/studies")[0]
        receiver.request("POST", "/instances", FILES[-1])
        first = receiver.wait_for_job(start(receiver, "pull", study=study))
        assert skipped(first) == (1, len(FILES[-1]))
        fetched = len(source.sent("GET"))
        assert fetched
        again = receiver.wait_for_job(start(receiver, "pull", study=study))
        assert skipped(again) == (len(FILES), TOTAL)
        assert len(source.sent("GET")) == fetched
    assert content(receiver) == content(sender)


def test_what_was_there_and_goes_before_the_commit_is_sent_after_all(
    sender: Server, receiver: Server, proxy: Proxy
) -> None:
    receiver.request("POST", "/instances", FILES[0])
    gone = orthanc_id(sender, FILES[0])

    def rule(message: Message) -> None:
        if message.path.endswith("/commit"):
            receiver.request("DELETE", f"/instances/{gone}")

    proxy.rule = rule
    assert send(sender)["State"] == "Success"
    assert content(receiver) == content(sender)
    assert len([path for path in proxy.sent("POST") if path == "/transfers/push"]) == 2


def test_what_was_there_and_goes_before_the_commit_is_fetched_after_all(
    sender: Server, receiver: Server
) -> None:
    receiver.request("POST", "/instances", FILES[0])
    gone = orthanc_id(sender, FILES[0])

    def rule(message: Message) -> None:
        if message.method == "GET":
            receiver.request("DELETE", f"/instances/{gone}")

    with proxied(sender.port) as source:
        source.rule = rule
        receiver.request("PUT", "/peers/there", json.dumps({"Url": source.url}).encode())
        study = sender.json("GET", "/studies")[0]
        job = receiver.wait_for_job(start(receiver, "pull", study=study))
    assert job["State"] == "Success", job
    assert content(receiver) == content(sender)


@pytest.mark.parametrize("dialect", ["wherry", "stock"])
def test_a_killed_sender_keeps_to_its_plan(
    sender: Server, receiver: Server, proxy: Proxy, dialect: str
) -> None:
    """Although what the receiver holds has changed meanwhile, its transaction goes on."""
    for data in FILES[:3]:
        receiver.request("POST", "/instances", data)
    held = {"puts": 0}

    def rule(message: Message) -> None:
        if dialect == "stock":
            if message.path == "/transfers/inventory":
                message.status = 404
            elif message.method == "GET":
                message.status = 405
        if BUCKET.fullmatch(message.path):
            held["puts"] += 1
            if held["puts"] == 4:
                sender.kill()
                receiver.request("POST", "/instances", FILES[5])
                message.status = 502

    proxy.rule = rule
    job = start(sender)
    wait_until(lambda: sender.process is not None and sender.process.poll() is not None)
    sender.start()
    ended = sender.wait_for_job(job)
    assert skipped(ended) == (3, sum(map(len, FILES[:3])))
    assert ended["Content"]["ResumedHttpQueries"] >= 1
    assert content(receiver) == content(sender)
    assert len([path for path in proxy.sent("POST") if path == "/transfers/push"]) == 1


def test_inventory(receiver: Server) -> None:
    data = make_instance()
    stored = json.loads(receiver.request("POST", "/instances", data)[1])["ID"]
    info = receiver.json("GET", f"/instances/{stored}/attachments/dicom/info")
    known = {"ID": stored, "Size": str(info["UncompressedSize"]), "MD5": info["UncompressedMD5"]}
    asked = [{**known, "ID": "x"}, known, {**known, "Size": "1"}, {**known, "MD5": "0" * 32}]
    answer = receiver.json("POST", "/transfers/inventory", {"Instances": asked})
    assert answer == {"Missing": "0,2-3"}
    assert receiver.json("POST", "/transfers/inventory", {"Instances": []}) == {"Missing": ""}
    for wrong in (b"", b"[]", b"{}", b'{"Instances": [1]}', b'{"Instances": [{"ID": "x"}]}'):
        assert receiver.request("POST", "/transfers/inventory", wrong)[0] == 400
