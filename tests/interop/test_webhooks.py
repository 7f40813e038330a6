"""Real servers tell a real program: over crashes, from two processes, and nothing secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyorthanc
import pytest
from orthanc_api_client import OrthancApiClient

from tests.support import postgres
from tests.support.dicom_files import make_instance
from tests.support.jobs import DEADLINE_S, eventually
from tests.support.listener import SECRET, Call, Listener, listening
from tests.support.server import Server, running
from tests.support.transfers import FILES, TRANSFERS, send, start

EVERYTHING = ["NewInstance", "NewSeries", "NewStudy", "NewPatient", "StudyReceived"]
STABLE = ["StableSeries", "StableStudy", "StablePatient"]
SOON = {"Webhook": {"Attempts": 1000, "FirstDelay": 1, "LongestDelay": 1}}


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


def server(folder: Path, *entries: dict[str, Any], **config: Any) -> Server:
    own = {"Webhooks": entries, "JobRetries": SOON} | config.pop("Wherry", {})
    return Server(folder, {**TRANSFERS, **config, "Wherry": own})


@pytest.fixture
def receiver(tmp_path: Path, listener: Listener) -> Iterator[Server]:
    entry = listener.entry("*")
    with running(server(tmp_path / "receiver", entry, Name="Berlin")) as receiver:
        yield receiver


@pytest.fixture
def sender(tmp_path: Path, receiver: Server) -> Iterator[Server]:
    peers = {"there": {"Url": f"{receiver.url}/"}}
    with running(Server(tmp_path / "sender", {**TRANSFERS, "OrthancPeers": peers})) as sender:
        for data in FILES:
            assert sender.request("POST", "/instances", data)[0] == 200
        yield sender


def changes(server: Server) -> list[int]:
    found: list[dict[str, Any]] = server.json("GET", "/changes?limit=10000")["Changes"]
    return [change["Seq"] for change in found]


def told(listener: Listener) -> list[int]:
    """Numbers of the changes that were told, each delivery counted once."""
    by_name = {call.id: call for call in listener.taken}
    events = [event for call in by_name.values() for event in call.events]
    return [event["Seq"] for event in events if event["ResourceType"] != "Job"]


def test_a_study_that_was_pushed_here_is_told_with_its_receipt(
    sender: Server, receiver: Server, listener: Listener
) -> None:
    receipt = send(sender)["Content"]["Receipt"]
    eventually(lambda: told(listener) == changes(receiver), "all changes")
    assert [kind for kind in listener.kinds() if kind != "NewInstance"] == [
        *EVERYTHING[1:],
        *STABLE,
    ]
    (event,) = [one for one in listener.heard if one["ChangeType"] == "StudyReceived"]
    study = receiver.json("GET", event["Path"])
    assert (study["ID"], study["IsStable"]) == (event["ID"], True)
    assert event["Transfer"] == receipt
    assert receiver.json("GET", f"/transfers/receipts/{event['Transfer']}")["Receipt"]["ID"]
    listed = receiver.json("GET", "/changes?type=StudyReceived")["Changes"]
    assert listed == [{name: event[name] for name in event if name != "Transfer"}]
    assert all(call.is_signed() for call in listener.calls)
    assert json.loads(listener.calls[0].body)["Server"] == {"Name": "Berlin"}


def test_a_study_that_was_pulled_is_told_before_the_end_of_its_job(
    sender: Server, receiver: Server, listener: Listener
) -> None:
    body = json.dumps({"Url": f"{sender.url}/"}).encode()
    assert receiver.request("PUT", "/peers/there", body)[0] == 200
    study = sender.json("GET", "/studies")[0]
    job = start(receiver, "pull", study=study)
    eventually(lambda: "JobSuccess" in listener.kinds(), "the end of the job")
    assert listener.kinds()[-5:] == ["StudyReceived", *STABLE, "JobSuccess"]
    assert listener.heard[-1]["ID"] == job
    assert listener.heard[-1]["JobType"] == "PullTransfer"
    eventually(lambda: receiver.json("GET", "/jobs") == [job], "no trace of the deliveries")


def test_as_orthanc_when_that_is_wanted(tmp_path: Path, listener: Listener) -> None:
    own = {"StudyReceivedChanges": False}
    with running(server(tmp_path / "b", listener.entry("*"), Wherry=own)) as receiver:
        peers = {"there": {"Url": f"{receiver.url}/"}}
        with running(Server(tmp_path / "a", {**TRANSFERS, "OrthancPeers": peers})) as sender:
            for data in FILES:
                sender.request("POST", "/instances", data)
            send(sender)
        eventually(lambda: told(listener) == changes(receiver), "all changes")
        assert {*listener.kinds()} == {*EVERYTHING[:4]}
        (study,) = receiver.json("GET", "/studies?expand")
        assert not study["IsStable"]


def test_clients_that_follow_the_changes_take_an_unknown_type(
    sender: Server, receiver: Server
) -> None:
    send(sender)
    with pyorthanc.Orthanc(receiver.url) as one:
        found = one.get_changes({"limit": 1000})["Changes"]
    assert "StudyReceived" in [change["ChangeType"] for change in found]
    client = OrthancApiClient(receiver.url)
    more, _, done = client.get_changes(since=0, limit=1000)
    client._http_session.close()
    assert done
    assert "StudyReceived" in [change.change_type for change in more]
    assert all(str(change) for change in more)


@pytest.mark.crash
def test_a_server_that_is_killed_behind_the_commit_tells_when_it_is_back(
    sender: Server, receiver: Server, listener: Listener
) -> None:
    """... whether or not an attempt was under way; and what came first comes first."""
    hanging = threading.Event()
    listener.rule = lambda _: 200 if hanging.wait(DEADLINE_S) else 500
    send(sender)
    eventually(lambda: listener.calls, "an attempt")
    receiver.kill()
    listener.rule = lambda _: 500
    hanging.set()
    receiver.start()
    eventually(lambda: len(listener.calls) > 2, "more attempts")
    assert len({(call.id, call.body) for call in listener.calls}) == 1
    receiver.kill()
    receiver.start()
    listener.rule = lambda _: 200
    eventually(lambda: told(listener) == changes(receiver), "all changes")
    assert listener.kinds()[-4:] == ["StudyReceived", *STABLE]


@pytest.mark.crash
def test_nothing_is_lost_or_out_of_order_over_many_crashes(
    tmp_path: Path, listener: Listener
) -> None:
    with running(server(tmp_path / "a", listener.entry(*EVERYTHING))) as one:
        for number in range(8):
            for instance in range(5):
                data = make_instance(number=10 * number + instance + 1)
                assert one.request("POST", "/instances", data)[0] == 200
            one.kill()  # at whatever it is doing
            one.start()
        eventually(lambda: told(listener) == changes(one), "all changes")
    by_name: dict[str, bytes] = {}
    assert all(by_name.setdefault(call.id, call.body) == call.body for call in listener.calls)


def test_two_servers_on_one_index_tell_everything_once(
    tmp_path: Path, postgresql_conninfo: str, listener: Listener
) -> None:
    with postgres.database(postgresql_conninfo) as conninfo:
        shared = {
            "PostgreSQL": {"EnableIndex": True, "ConnectionUri": conninfo},
            "StorageDirectory": str(tmp_path / "shared"),
        }
        a, b = (server(tmp_path / name, listener.entry("*"), **shared) for name in "ab")
        seen: set[str] = set()

        def rule(call: Call) -> int:
            """Every third delivery is refused once."""
            if len(seen) % 3 == 2 and call.id not in seen:
                seen.add(call.id)
                return 500
            seen.add(call.id)
            return 200

        listener.rule = rule
        with running(a), running(b):

            def upload(number: int) -> None:
                data = make_instance(number=number, patient_id=str(number % 7))
                assert (a, b)[number % 2].request("POST", "/instances", data)[0] == 200

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(upload, range(1, 200)))
            eventually(lambda: told(listener) == changes(a), "all changes")
            eventually(lambda: a.json("GET", "/jobs") == [], "the end of the jobs")
    assert len({call.id for call in listener.taken}) == len(listener.taken)
    assert len(listener.taken) > 2


@pytest.mark.crash
def test_the_other_server_goes_on_when_one_is_killed(
    tmp_path: Path, postgresql_conninfo: str, listener: Listener
) -> None:
    with postgres.database(postgresql_conninfo) as conninfo:
        shared = {
            "PostgreSQL": {"EnableIndex": True, "ConnectionUri": conninfo},
            "StorageDirectory": str(tmp_path / "shared"),
        }
        a, b = (server(tmp_path / name, listener.entry("*"), **shared) for name in "ab")
        hanging = threading.Event()
        listener.rule = lambda _: 200 if hanging.wait(DEADLINE_S) else 500
        with running(a):
            a.request("POST", "/instances", FILES[0])
            eventually(lambda: listener.calls, "an attempt")
            with running(b):
                a.kill()
                listener.rule = lambda _: 200
                eventually(lambda: told(listener) == changes(b), "all changes")
                hanging.set()


def test_nothing_secret_is_shown_or_logged(tmp_path: Path, listener: Listener) -> None:
    listener.rule = lambda _: 500
    entry = listener.entry("*", Headers={"Authorization": "Bearer hidden"})
    own = {"JobRetries": {"Webhook": {"Attempts": 0}}}
    with running(server(tmp_path / "a", entry, Wherry=own)) as one:
        one.request("PUT", "/tools/log-level", b"trace")
        one.request("POST", "/instances", FILES[0])
        eventually(lambda: one.json("GET", "/jobs?expand"), "the job")
        (job,) = one.json("GET", "/jobs")
        found = one.wait_for_job(job)
        assert found["ErrorDetails"] == "Webhook listener answered 500"
        pages = [one.get(path)[1].decode() for path in ("/system", "/jobs?expand", "/openapi.json")]
    text = "".join(pages) + one.log()
    assert listener.calls[0].headers["authorization"] == "Bearer hidden"
    for secret in (SECRET, SECRET.removeprefix("whsec_"), "hidden", "token=1"):
        assert secret not in text


def test_a_mistake_stops_the_start(tmp_path: Path, listener: Listener) -> None:
    one = server(tmp_path / "a", listener.entry("StudyRecieved"))
    with pytest.raises(AssertionError, match=r"Wherry\.Webhooks\.0\.Events.*StudyReceived"):
        one.start()
