"""Receipts of real transfers: signed at the receiver, kept at both ends, verified offline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.proxy import Message, proxied
from tests.support.server import Server, running
from tests.support.transfers import FILES, TRANSFERS, send, start
from wherry.cli.main import main

TOTAL = sum(map(len, FILES))


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Server]:
    config = {**TRANSFERS, "Name": "Berlin"}
    with running(Server(tmp_path / "receiver", config=config)) as server:
        yield server


@pytest.fixture
def sender(tmp_path: Path, receiver: Server) -> Iterator[Server]:
    config = {
        **TRANSFERS,
        "Name": "Amsterdam",
        "OrthancPeers": {"there": {"Url": f"{receiver.url}/"}},
    }
    with running(Server(tmp_path / "sender", config=config)) as server:
        for data in FILES:
            assert server.request("POST", "/instances", data)[0] == 200
        yield server


def verify(tmp_path: Path, document: Any, *options: str) -> int:
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(document))
    return main(["verify", str(path), *options])


def test_both_ends_have_the_receipt_of_a_push(
    sender: Server, receiver: Server, tmp_path: Path
) -> None:
    job = send(sender)
    name = job["Content"]["Receipt"]
    receipt = receiver.json("GET", f"/transfers/receipts/{name}")
    assert sender.json("GET", f"/transfers/receipts/{name}") == receipt
    body = receipt["Receipt"]
    assert (body["ID"], body["Direction"], body["Compression"]) == (name, "push", "auto")
    assert body["Sender"] == {"Name": "Amsterdam", "RemoteIP": "127.0.0.1"}
    assert body["Receiver"]["Name"] == "Berlin"
    assert (body["CountInstances"], body["TotalSize"]) == (len(FILES), str(TOTAL))
    assert (body["CountHeldBefore"], body["Opened"] <= body["Committed"]) == (0, True)
    key = receiver.json("GET", "/transfers/receipts/key")
    assert key["PublicKey"] == receipt["PublicKey"]
    listed = receiver.json("GET", "/transfers/receipts")
    assert listed == {"Receipts": [receipt], "Last": 1, "Done": True}
    assert receiver.json("GET", "/transfers/receipts?since=1")["Receipts"] == []
    assert receiver.get("/transfers/receipts/nope")[0] == 404

    files = tmp_path / "files"
    files.mkdir()
    for number, data in enumerate(FILES):
        (files / str(number)).write_bytes(data)
    assert verify(tmp_path, receipt) == 0
    assert verify(tmp_path, receipt, "--key", key["PublicKey"], "--files", str(files)) == 0
    sender_key = sender.json("GET", "/transfers/receipts/key")["PublicKey"]
    assert verify(tmp_path, receipt, "--key", sender_key) == 1
    (files / "0").write_bytes(FILES[0][:-1] + b"x")
    assert verify(tmp_path, receipt, "--files", str(files)) == 1
    (files / "0").unlink()
    assert verify(tmp_path, receipt, "--files", str(files)) == 1
    body["CountInstances"] = 1
    assert verify(tmp_path, receipt) == 1
    assert verify(tmp_path, {"Receipt": {}}) == 2


def test_a_receipt_tells_what_was_there_before(sender: Server, receiver: Server) -> None:
    changed = FILES[0][:-1] + bytes([FILES[0][-1] ^ 1])
    orthanc_id = json.loads(receiver.request("POST", "/instances", changed)[1])["ID"]
    receiver.request("POST", "/instances", FILES[1])
    job = send(sender)
    body = receiver.json("GET", f"/transfers/receipts/{job['Content']['Receipt']}")["Receipt"]
    assert body["CountHeldBefore"] == 1
    assert (body["CountKeptOther"], body["KeptOther"]) == (1, [orthanc_id])


def test_a_pull_has_its_receipt_at_the_receiver(sender: Server, receiver: Server) -> None:
    with proxied(sender.port) as source:
        body = json.dumps({"Url": source.url}).encode()
        assert receiver.request("PUT", "/peers/there", body)[0] == 200
        study = sender.json("GET", "/studies")[0]
        job = receiver.wait_for_job(start(receiver, "pull", study=study))
    body = receiver.json("GET", f"/transfers/receipts/{job['Content']['Receipt']}")["Receipt"]
    assert (body["Direction"], body["CountInstances"]) == ("pull", len(FILES))
    assert body["Sender"]["Name"] == "there"
    assert len(body["Sender"]["ID"]) == 36


def test_the_key_outlives_the_process(receiver: Server) -> None:
    key = receiver.json("GET", "/transfers/receipts/key")
    receiver.kill()
    receiver.start()
    assert receiver.json("GET", "/transfers/receipts/key") == key


@pytest.mark.parametrize("forgery", [b"", b"{}", "another"])
def test_a_receipt_that_does_not_fit_is_not_kept(
    sender: Server, receiver: Server, forgery: Any
) -> None:
    """... and the transfer is a success all the same: the commit was answered."""
    other = receiver.json("GET", f"/transfers/receipts/{send(sender)['Content']['Receipt']}")
    with proxied(receiver.port) as proxy:

        def rule(message: Message) -> None:
            if "/receipts/" in message.path:
                message.status = 200
                message.answer = json.dumps(other).encode() if forgery == "another" else forgery

        proxy.rule = rule
        body = json.dumps({"Url": proxy.url}).encode()
        assert sender.request("PUT", "/peers/there", body)[0] == 200
        job = send(sender)
    assert job["State"] == "Success"
    assert "Receipt" not in job["Content"]
