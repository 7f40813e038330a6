"""Metadata, labels and attachments travel between two servers, when that is asked for."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.interop.test_transfer_missing_only import as_stock
from tests.support.proxy import Message, Proxy, proxied
from tests.support.server import Server, running
from tests.support.transfers import (
    FILES,
    TRANSFERS,
    content,
    send,
    start,
    wait_until,
)
from wherry.cli.main import main

LEVELS = ("patients", "studies", "series", "instances")
LARGE = bytes(range(256)) * (80 * 1024)
"""20 MB."""
EXTRAS = re.compile(r"/transfers/push/[^/]+/(extras|attachments/\d+)")
HERE = {
    **TRANSFERS,
    "UserMetadata": {"reader": 1100},
    "UserContentType": {"report": [1101, "application/pdf"]},
}
THERE = {
    **TRANSFERS,
    "UserMetadata": {"reader": 2100},
    "UserContentType": {"report": 2101, "other": 1101},
}
"""The same names stand for other numbers."""


@pytest.fixture
def configs() -> tuple[dict[str, Any], dict[str, Any]]:
    return HERE, THERE


@pytest.fixture
def sender(sender: Server) -> Server:
    for path in resources(sender):
        decorate(sender, path)
    return sender


def resources(server: Server) -> list[str]:
    """One of each level: the first instance and what is above it."""
    instance = sorted(server.json("GET", "/instances"))[0]
    series = server.json("GET", f"/instances/{instance}")["ParentSeries"]
    study = server.json("GET", f"/series/{series}")["ParentStudy"]
    patient = server.json("GET", f"/studies/{study}")["ParentPatient"]
    names = (patient, study, series, instance)
    return [f"/{level}/{name}" for level, name in zip(LEVELS, names, strict=True)]


def put(server: Server, path: str, data: bytes = b"") -> None:
    assert server.request("PUT", path, data)[0] == 200


def decorate(server: Server, path: str) -> None:
    level = path.split("/")[1]
    put(server, f"{path}/metadata/reader", f"Dr. Ä of {level}".encode())
    put(server, f"{path}/metadata/3000", b"")
    put(server, f"{path}/labels/of-{level}")
    put(server, f"{path}/labels/TODO")
    put(server, f"{path}/attachments/report", b"%PDF " + level.encode())


def extras(server: Server, path: str) -> dict[str, Any]:
    """What users put on a resource."""
    known = server.json("GET", f"{path}/metadata?expand")
    files = server.json("GET", f"{path}/attachments?full")
    return {
        "metadata": {name: known[name] for name in ("reader", "3000") if name in known},
        "labels": server.json("GET", f"{path}/labels"),
        "attachments": {
            name: hashlib.md5(server.get(f"{path}/attachments/{name}/data")[1]).hexdigest()
            for name, number in files.items()
            if number >= 1024
        },
    }


def all_extras(server: Server) -> list[dict[str, Any]]:
    return [extras(server, path) for path in resources(server)]


def changes(server: Server) -> list[str]:
    found = server.json("GET", "/changes?limit=1000")["Changes"]
    return [f"{one['ResourceType']} {one['ChangeType']}" for one in found]


def pull(receiver: Server, source: str, study: str, **more: Any) -> dict[str, Any]:
    put(receiver, "/peers/there", json.dumps({"Url": source}).encode())
    return receiver.wait_for_job(start(receiver, "pull", study=study, **more))


TOLD = {"Metadata": 8, "Labels": 8, "Attachments": 4, "KeptExtras": 0}
BARE: dict[str, Any] = {"metadata": {}, "labels": [], "attachments": {}}


def test_a_push_takes_all_of_it_along(
    sender: Server, receiver: Server, proxy: Proxy, tmp_path: Path
) -> None:
    put(sender, f"{resources(sender)[1]}/attachments/3001", LARGE)
    job = send(sender, Metadata=True)
    assert job["State"] == "Success", job
    assert all_extras(receiver) == all_extras(sender)
    assert content(receiver) == content(sender)
    assert job["Content"]["Metadata"] is True
    assert job["Content"]["Extras"] == {**TOLD, "Attachments": 5}
    study = resources(receiver)[1]
    info = receiver.json("GET", f"{study}/attachments/report/info")
    assert info["ContentType"] == 2101
    assert info["UncompressedMD5"] == hashlib.md5(b"%PDF studies").hexdigest()
    for level in ("Patient", "Study", "Series", "Instance"):
        assert changes(receiver).count(f"{level} UpdatedMetadata") == 1
        assert changes(receiver).count(f"{level} UpdatedAttachment") == 1
    stored = receiver.json("GET", "/statistics")["TotalUncompressedSize"]
    assert stored == sender.json("GET", "/statistics")["TotalUncompressedSize"]

    receipt = receiver.json("GET", f"/transfers/receipts/{job['Content']['Receipt']}")
    body = receipt["Receipt"]
    counts = (body["CountMetadata"], body["CountLabels"], body["CountAttachments"])
    assert counts == (8, 8, 5)
    assert "CountKeptExtras" not in body
    (tmp_path / "receipt").write_text(json.dumps(receipt))
    instances = sender.json("GET", "/instances")
    document = sender.json("POST", "/transfers/extras", {"Instances": instances})
    (tmp_path / "extras").write_text(json.dumps(document))
    options = [str(tmp_path / "receipt"), "--extras", str(tmp_path / "extras")]
    assert main(["verify", *options]) == 0
    document["Extras"][0]["Labels"].append("more")
    (tmp_path / "extras").write_text(json.dumps(document))
    assert main(["verify", *options]) == 1


def test_without_being_asked_to_nothing_travels(
    sender: Server, receiver: Server, proxy: Proxy
) -> None:
    for wanted in ({}, {"Metadata": False}):
        job = send(sender, **wanted)
        assert job["State"] == "Success"
        assert "Metadata" not in job["Content"]
        assert "Extras" not in job["Content"]
    job = pull(receiver, sender.url, sender.json("GET", "/studies")[0])
    assert job["State"] == "Success"
    assert all_extras(receiver) == [BARE] * 4
    assert not any(EXTRAS.fullmatch(path) for _, path in proxy.seen)


@pytest.mark.parametrize("wrong", [1, "true", None, []])
@pytest.mark.parametrize("route", ["send", "pull"])
def test_it_is_asked_for_with_a_boolean(sender: Server, route: str, wrong: Any) -> None:
    order = {"Resources": [], "Peer": "there", "Metadata": wrong}
    status, body = sender.request("POST", f"/transfers/{route}", json.dumps(order).encode())
    assert (status, json.loads(body)["OrthancStatus"]) == (400, 15)


def test_a_pull_fetches_all_of_it(sender: Server, receiver: Server) -> None:
    put(sender, f"{resources(sender)[3]}/attachments/3001", LARGE)
    study = sender.json("GET", "/studies")[0]
    with proxied(sender.port) as source:
        job = pull(receiver, source.url, study, Metadata=True)
        assert job["State"] == "Success", job
        assert all_extras(receiver) == all_extras(sender)
        assert content(receiver) == content(sender)
        assert job["Content"]["Extras"] == {**TOLD, "Attachments": 5}
        fetched = [path for path in source.sent("GET") if "/attachments/" in path]
        assert len(fetched) == 5
        put(sender, f"/studies/{study}/labels/later")
        job = pull(receiver, source.url, study, Metadata=True)
        assert job["Content"]["SkippedInstances"] == len(FILES)
        assert [path for path in source.sent("GET") if "/attachments/" in path] == fetched
    assert all_extras(receiver) == all_extras(sender)


def test_a_send_in_pull_mode_forwards_the_wish(
    sender: Server, receiver: Server, proxy: Proxy
) -> None:
    put(sender, "/peers/there", json.dumps({"Url": proxy.url, "RemoteSelf": "origin"}).encode())
    put(receiver, "/peers/origin", json.dumps({"Url": sender.url}).encode())
    order = {
        "Resources": [{"Level": "Study", "ID": sender.json("GET", "/studies")[0]}],
        "Peer": "there",
        "Metadata": True,
    }
    answer = sender.json("POST", "/transfers/send", order)
    assert receiver.wait_for_job(answer["RemoteJob"])["State"] == "Success"
    assert all_extras(receiver) == all_extras(sender)
    as_stock(proxy)
    status, body = sender.request("POST", "/transfers/send", json.dumps(order).encode())
    assert (status, "only a Wherry" in json.loads(body)["Details"]) == (500, True)
    assert proxy.sent("POST").count("/transfers/pull") == 1


def test_a_stock_peer_is_sent_nothing_rather_than_half(
    sender: Server, receiver: Server, proxy: Proxy
) -> None:
    as_stock(proxy)
    job = send(sender, Metadata=True)
    assert (job["State"], "only a Wherry" in job["ErrorDetails"]) == ("Failure", True)
    assert content(receiver) == {}
    assert send(sender)["State"] == "Success"


def test_a_wherry_that_does_not_know_of_it_is_sent_nothing_either(
    sender: Server, receiver: Server, proxy: Proxy
) -> None:
    def rule(message: Message) -> None:
        if message.path.endswith("/extras"):
            message.status = 405

    proxy.rule = rule
    job = send(sender, Metadata=True)
    assert (job["State"], "only a Wherry" in job["ErrorDetails"]) == ("Failure", True)
    assert proxy.sent("PUT") == []
    wait_until(lambda: len(proxy.sent("DELETE")) == 1)  # soon after the end
    assert content(receiver) == {}


def test_nothing_is_fetched_from_a_stock_peer(sender: Server, receiver: Server) -> None:
    with proxied(sender.port) as source:

        def after(message: Message) -> bool:
            message.told = {
                k: v for k, v in message.told.items() if not k.lower().startswith("wherry")
            }
            return True

        source.after = after
        study = sender.json("GET", "/studies")[0]
        job = pull(receiver, source.url, study, Metadata=True)
    assert (job["State"], "only a Wherry" in job["ErrorDetails"]) == ("Failure", True)
    assert content(receiver) == {}


@pytest.mark.parametrize("kind", ["metadata", "attachments"])
def test_a_name_that_the_receiver_does_not_know(
    tmp_path: Path, receiver: Server, kind: str
) -> None:
    config = {
        **TRANSFERS,
        "UserMetadata": {"mood": 1100},
        "UserContentType": {"mood": 1100},
        "OrthancPeers": {"there": {"Url": receiver.url + "/"}},
    }
    with running(Server(tmp_path / "sender", config=config)) as sender:
        sender.request("POST", "/instances", FILES[0])
        put(sender, f"{resources(sender)[2]}/{kind}/mood", b"x")
        study = sender.json("GET", "/studies")[0]
        job = send(sender, Metadata=True)
        assert job["State"] == "Failure"
        assert '"mood" is not known to the receiver' in job["ErrorDetails"]
        pulled = pull(receiver, sender.url, study, Metadata=True)
        assert '"mood" is not known to the receiver' in pulled["ErrorDetails"]
    assert content(receiver) == {}


def test_a_second_push_brings_what_is_new_and_nothing_twice(
    sender: Server, receiver: Server, proxy: Proxy
) -> None:
    send(sender, Metadata=True)
    before, log = proxy.sent("PUT"), changes(receiver)
    assert send(sender, Metadata=True)["State"] == "Success"
    assert proxy.sent("PUT") == before
    assert [one for one in changes(receiver)[len(log) :] if "Updated" in one] == []
    series = resources(sender)[2]
    put(sender, f"{series}/labels/later")
    put(sender, f"{series}/metadata/3002", b"later")
    put(sender, f"{series}/attachments/3003", b"later")
    job = send(sender, Metadata=True)
    assert job["Content"]["SkippedInstances"] == len(FILES)
    assert len(proxy.sent("PUT")) == len(before) + 1
    assert all_extras(receiver) == all_extras(sender)
    assert receiver.get(f"{series}/metadata/3002") == (200, b"later")


def test_what_is_there_stays_and_is_counted(sender: Server, receiver: Server) -> None:
    send(sender)
    study = resources(receiver)[1]
    put(receiver, f"{study}/metadata/reader", b"ours")
    put(receiver, f"{study}/attachments/report", b"ours")
    put(receiver, f"{study}/labels/ours")
    job = send(sender, Metadata=True)
    assert job["Content"]["Extras"] == {**TOLD, "KeptExtras": 2}
    found = extras(receiver, study)
    assert found["metadata"] == {"reader": "ours", "3000": ""}
    assert found["labels"] == ["TODO", "of-studies", "ours"]
    assert found["attachments"] == {"report": hashlib.md5(b"ours").hexdigest()}
    receipt = receiver.json("GET", f"/transfers/receipts/{job['Content']['Receipt']}")
    assert receipt["Receipt"]["CountKeptExtras"] == 2


def test_with_overwriting_the_sender_wins(tmp_path: Path, sender: Server) -> None:
    config = {**THERE, "OverwriteInstances": True}
    with running(Server(tmp_path / "other", config=config)) as receiver:
        put(sender, "/peers/there", json.dumps({"Url": f"{receiver.url}/"}).encode())
        other = FILES[0][:-1] + bytes([FILES[0][-1] ^ 1])
        for data in [other, *FILES[1:]]:
            receiver.request("POST", "/instances", data)
        for path in resources(receiver):
            put(receiver, f"{path}/metadata/reader", b"ours")
            put(receiver, f"{path}/attachments/report", b"ours")
            put(receiver, f"{path}/labels/ours")
        first = json.loads(sender.request("POST", "/instances", FILES[0])[1])["ID"]
        put(sender, f"/instances/{first}/attachments/report", b"same")
        put(receiver, f"/instances/{first}/attachments/report", b"same")
        for _ in range(2):
            job = send(sender, Metadata=True)
            assert job["State"] == "Success", job
            assert job["Content"]["Extras"]["KeptExtras"] == 0
        for path in resources(receiver):
            mine, theirs = extras(receiver, path), extras(sender, path)
            assert set(mine.pop("labels")) >= set(theirs.pop("labels"))
            assert mine == theirs
        assert extras(receiver, f"/instances/{first}") == extras(sender, f"/instances/{first}")


def test_a_receiver_that_dies_before_the_commit_shows_nothing_and_goes_on(
    sender: Server, receiver: Server, proxy: Proxy
) -> None:
    put(sender, f"{resources(sender)[1]}/attachments/3001", LARGE)
    died = []

    def rule(message: Message) -> None:
        if message.path.endswith("/commit") and not died:
            died.append(len(proxy.sent("PUT")))
            receiver.kill()
            message.status = 502
            receiver.start()
            assert content(receiver) == {}
            assert receiver.json("GET", "/tools/labels") == []

    proxy.rule = rule
    job = send(sender, Metadata=True)
    assert job["State"] == "Success", job
    assert died
    assert len(proxy.sent("PUT")) == died[0]
    assert all_extras(receiver) == all_extras(sender)


def test_a_sender_that_dies_sends_no_attachment_twice(
    sender: Server, receiver: Server, proxy: Proxy
) -> None:
    for number in range(6):
        put(sender, f"{resources(sender)[1]}/attachments/{4000 + number}", b"%d" % number)
    died = []

    def rule(message: Message) -> None:
        if "/attachments/" in message.path and not died and len(proxy.acknowledged()) >= 4:
            died.append(1)
            sender.kill()
            message.status = 502

    proxy.rule = rule
    job = start(sender, Metadata=True)
    assert sender.process is not None
    sender.process.wait(60)
    before = set(proxy.acknowledged())
    sender.start()
    proxy.seen.clear()
    assert sender.wait_for_job(job)["State"] == "Success"
    assert before.isdisjoint(proxy.sent("PUT"))
    assert all_extras(receiver) == all_extras(sender)


def test_a_discarded_push_leaves_no_file(sender: Server, receiver: Server, proxy: Proxy) -> None:
    def rule(message: Message) -> None:
        if message.path.endswith("/commit"):
            message.status = 400

    proxy.rule = rule
    assert send(sender, Metadata=True)["State"] == "Failure"
    wait_until(lambda: not receiver.files())  # the job settles what it failed with afterwards
    assert content(receiver) == {}
    assert receiver.json("GET", "/tools/labels") == []


def test_an_attachment_that_was_there_and_goes_is_sent_after_all(
    sender: Server, receiver: Server, proxy: Proxy
) -> None:
    send(sender, Metadata=True)
    study = resources(receiver)[1]
    gone = []

    def rule(message: Message) -> None:
        if message.path.endswith("/commit") and not gone:
            gone.append(receiver.request("DELETE", f"{study}/attachments/report")[0])

    proxy.rule = rule
    assert send(sender, Metadata=True)["State"] == "Success"
    assert gone == [200]
    assert all_extras(receiver) == all_extras(sender)


def test_an_attachment_that_changes_while_it_is_fetched(sender: Server, receiver: Server) -> None:
    study = resources(sender)[1]
    changed = []

    def rule(message: Message) -> None:
        if message.path.startswith(f"{study}/attachments/report") and not changed:
            changed.append(1)
            put(sender, f"{study}/attachments/report", b"another")

    with proxied(sender.port) as source:
        source.rule = rule
        job = pull(receiver, source.url, study.split("/")[2], Metadata=True)
    assert job["State"] == "Success", job
    assert changed
    assert all_extras(receiver) == all_extras(sender)


def test_what_the_wire_refuses(receiver: Server) -> None:
    """Somebody speaks the protocol badly."""
    data = FILES[0]
    name = json.loads(receiver.request("POST", "/instances", data)[1])["ID"]
    instance = {"ID": name, "Size": str(len(data)), "MD5": hashlib.md5(data).hexdigest()}
    push = {"Instances": [instance], "Buckets": [], "Compression": "auto"}
    path = receiver.json("POST", "/transfers/push", push)["Path"]
    item = {"Level": "Instance", "ID": name}
    file = {"Name": "2500", "Size": "3", "MD5": hashlib.md5(b"abc").hexdigest()}

    def declare(*items: Any) -> tuple[int, Any]:
        body = json.dumps({"Extras": items}).encode()
        status, answer = receiver.request("POST", f"{path}/extras", body)
        return status, json.loads(answer)

    for wrong in (
        1,
        {},
        {**item, "ID": "x"},
        {**item, "Metadata": []},
        {**item, "Metadata": {"1024": 1}},
        {**item, "Metadata": {"1024": "a\0"}},
        {**item, "Metadata": {"1023": "x"}},
        {**item, "Metadata": {"65536": "x"}},
        {**item, "Metadata": {"LastUpdate": "x"}},
        {**item, "Metadata": {"reader": "x", "2100": "x"}},
        {**item, "Labels": ["a b"]},
        {**item, "Labels": ["a", "a"]},
        {**item, "Labels": [1]},
        {**item, "Attachments": [{**file, "Size": 3}]},
        {**item, "Attachments": [{**file, "Size": "-3"}]},
        {**item, "Attachments": [{**file, "MD5": "x"}]},
        {**item, "Attachments": [{**file, "Name": "dicom"}]},
        {**item, "Attachments": [file, file]},
    ):
        assert declare(wrong)[0] == 400, wrong
    assert declare(item, item)[0] == 400
    huge = {**file, "Size": str(10**15)}
    assert declare({**item, "Attachments": [huge]})[0] == 413
    assert declare({**item, "Attachments": [{**file, "Size": str(2**35)}]})[0] in (200, 507)
    assert declare({**item, "Attachments": [file]}) == (200, {"Missing": "0"})
    for position in ("1", "99999999999", "x"):
        status, _ = receiver.request("PUT", f"{path}/attachments/{position}", b"abc")
        assert status in (400, 404)
    assert receiver.request("POST", f"{path}/commit")[0] == 500  # it is not here
    for body in (b"abcd", b"ab", b"abd"):
        assert receiver.request("PUT", f"{path}/attachments/0", body)[0] in (413, 500)
    assert receiver.request("PUT", f"{path}/attachments/0", b"abc")[0] == 200
    assert receiver.request("PUT", f"{path}/attachments/0", b"abc")[0] == 200
    assert declare({**item, "Attachments": [file]}) == (200, {"Missing": ""})
    stranger = {**item, "Level": "Study"}
    assert declare({**item, "Attachments": [file]}, {**stranger, "Labels": ["x"]})[0] == 200
    assert receiver.request("POST", f"{path}/commit")[0] == 400  # not of this transfer
    assert receiver.json("GET", "/tools/labels") == []
    assert declare({**item, "Attachments": [file]}) == (200, {"Missing": ""})
    assert receiver.request("POST", f"{path}/commit")[0] == 200
    assert receiver.get(f"/instances/{name}/attachments/2500/data") == (200, b"abc")
    assert declare()[0] == 404
    assert receiver.request("PUT", f"{path}/attachments/0", b"abc")[0] == 404
    for question in (b"", b"{}", b'{"Instances": [1]}', b'{"Instances": ["x"]}'):
        assert receiver.request("POST", "/transfers/extras", question)[0] == 400
