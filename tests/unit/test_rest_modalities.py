"""Modalities over REST, and what is stored at them: a whole server and a system that may
misbehave."""

from __future__ import annotations

import dataclasses
import gzip
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_instance, make_series
from tests.support.face import Face, serving
from tests.support.jobs import DEADLINE_S, eventually
from tests.support.scp import Caller, Received, Scp, taking
from wherry import limits
from wherry.config import Config
from wherry.config.dimse import DimseConfig
from wherry.config.retries import JobRetries, RetryPolicy
from wherry.dicom.preamble import EXPLICIT, IMPLICIT
from wherry.dicom.wire.commands import CommandField
from wherry.dicom.wire.pdu import AssociateReject, ProposedContext, ReleaseRequest
from wherry.model import Manufacturer, Modality

FILES = make_series(5)
UNKNOWN = "00000000" + 4 * "-00000000"
UIDS = sorted(f"1.2.826.0.1.3680043.10.1234.1.1.{number}" for number in range(1, 6))
QUICK = JobRetries(RetryPolicy(attempts=3, first_delay_s=1, longest_delay_s=1))
NONE = JobRetries(RetryPolicy(attempts=0))


@pytest.fixture
def scp() -> Iterator[Scp]:
    with taking() as found:
        yield found


@contextmanager
def server(
    folder: Path,
    scp: Scp,
    files: list[bytes] | None = None,
    *,
    dimse: dict[str, Any] | None = None,
    retries: JobRetries = NONE,
    modality: dict[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Face]:
    """A filled server that knows the system as "there"."""
    there = Modality("there", "THEM", "127.0.0.1", scp.port, timeout_s=20, **(modality or {}))
    wherry = dataclasses.replace(Config().wherry, job_retries=retries)
    made = DimseConfig(modalities={"there": there}, **(dimse or {}))
    with serving(folder, dimse=made, wherry=wherry, **settings) as face:
        for data in files or FILES:
            face.upload(data)
        yield face


@pytest.fixture
def face(tmp_path: Path, scp: Scp) -> Iterator[Face]:
    with server(tmp_path, scp) as face:
        yield face


def study(face: Face) -> str:
    found: str = face.json("/studies")[0]
    return found


def store(face: Face, **order: Any) -> Any:
    """A store that must succeed."""
    reply = face.post_json("/modalities/there/store", {"Resources": [study(face)], **order})
    assert reply.status == 200, reply.body
    return reply.json()


def refused(face: Face, **order: Any) -> tuple[int, int, str]:
    """HTTP status, code and details of a store that must not succeed."""
    reply = face.post_json("/modalities/there/store", {"Resources": [study(face)], **order})
    assert reply.status != 200, reply.body
    return reply.status, reply.json()["OrthancStatus"], reply.json().get("Details", "")


def start(face: Face, **order: Any) -> str:
    job: str = store(face, Synchronous=False, **order)["ID"]
    return job


def ended(face: Face, job: str) -> Any:
    eventually(lambda: face.json(f"/jobs/{job}")["State"] in ("Success", "Failure"))
    return face.json(f"/jobs/{job}")


# --- the book ------------------------------------------------------------------------------
CONFIGURATION = {
    "AET": "A",
    "AllowEcho": True,
    "AllowEventReport": True,
    "AllowFind": True,
    "AllowFindWorklist": True,
    "AllowGet": True,
    "AllowMove": True,
    "AllowNAction": True,
    "AllowStore": True,
    "AllowTranscoding": True,
    "Host": "h",
    "LocalAet": "",
    "Manufacturer": "Generic",
    "Port": 104,
    "RetrieveMethod": "SystemDefault",
    "Timeout": 0,
    "UseDicomTls": False,
}


@pytest.mark.parametrize(
    ("entry", "changed"),
    [
        (["A", "h", 104], {}),
        (["A", "h", "104", "GE"], {"Manufacturer": "GE"}),
        ({"AET": "A", "Host": "h", "Port": 104, "AllowFind": False}, {"AllowFind": False}),
        (
            {"AET": "A", "Host": "h", "Port": 104, "AllowStorageCommitment": False},
            {"AllowNAction": False, "AllowEventReport": False},
        ),
        ({"AET": "A", "Host": "h", "Port": 104, "Timeout": 7}, {"Timeout": 7}),
    ],
)
def test_a_modality_that_was_declared(face: Face, entry: Any, changed: dict[str, Any]) -> None:
    reply = face.request("PUT", "/modalities/new", json.dumps(entry).encode())
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"", "text/plain")
    assert face.json("/modalities/new/configuration") == CONFIGURATION | changed
    assert face.json("/modalities") == ["new", "there"]
    assert face.json("/modalities?expand")["new"] == CONFIGURATION | changed
    assert face.request("DELETE", "/modalities/new").status == 200
    assert face.json("/modalities") == ["there"]


@pytest.mark.parametrize(
    ("entry", "code", "details"),
    [
        ('{"AET": "A"}', 15, "Host"),
        ('{"AET": "A", "Host": "h", "Port": "x"}', 15, "Port"),
        ('{"AET": "A", "Host": "h", "Port": 65536}', 15, "Port"),
        ('["A", "h"]', 15, ""),
        ('"A"', 15, ""),
        ("{", 15, "JSON"),
        ("", 15, "JSON"),
        ('["A", "h", 104, "Nope"]', 3, 'Unknown modality manufacturer: "Nope"'),
        ('{"AET": "A", "Host": "h", "Port": 1, "Manufacturer": "Nope"}', 3, "Nope"),
    ],
)
def test_a_modality_that_makes_no_sense(face: Face, entry: str, code: int, details: str) -> None:
    reply = face.request("PUT", "/modalities/bad", entry.encode())
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, code)
    assert details in reply.json()["Details"]
    assert face.json("/modalities") == ["there"]


def test_one_that_nobody_knows(face: Face) -> None:
    reply = face.get("/modalities/nope")
    assert (reply.status, reply.body) == (404, b"")
    for method, path in (
        ("GET", "configuration"),
        ("POST", "echo"),
        ("POST", "store"),
        ("POST", "store-straight"),
    ):
        reply = face.request(method, f"/modalities/nope/{path}", b"")
        assert (reply.status, reply.json()["OrthancStatus"]) == (404, 7)
        assert reply.json()["Details"] == "No modality with symbolic name: nope"
    reply = face.request("DELETE", "/modalities/nope")
    assert reply.json()["Details"] == "Unknown DICOM modality with symbolic name: nope"


def test_the_operations(face: Face) -> None:
    found = face.json("/modalities/there")
    assert {"configuration", "echo", "store", "store-straight"} <= set(found)
    assert found == sorted(found)


# --- C-ECHO ----------------------------------------------------------------------------------
@pytest.mark.parametrize("body", ["", "{}", '{"Timeout": 5}', "[]", '{"CheckFind": false}'])
def test_echo(face: Face, scp: Scp, body: str) -> None:
    reply = face.request("POST", "/modalities/there/echo", body.encode())
    assert (reply.status, reply.body) == (200, b"{}")
    assert reply.headers["content-type"] == "application/json"
    [received] = scp.stored
    assert received.command.field is CommandField.C_ECHO_RQ
    assert (scp.requests[0].called, scp.requests[0].calling) == ("THEM", "ORTHANC")


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ("{", "Cannot parse the JSON body"),
        ('{"Timeout": "a"}', "Integer value expected in field: Timeout"),
        ('{"Timeout": -1}', "Unsigned integer value expected in field: Timeout"),
        ('{"CheckFind": 1}', "Boolean value expected in field: CheckFind"),
    ],
)
def test_an_echo_that_makes_no_sense(face: Face, scp: Scp, body: str, details: str) -> None:
    reply = face.request("POST", "/modalities/there/echo", body.encode())
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, 15)
    assert reply.json()["Details"] == details
    assert scp.requests == []


def test_the_status_of_an_echo_counts(face: Face, scp: Scp) -> None:
    scp.rule = lambda caller, received: caller.respond(received, 0x0122)
    reply = face.request("POST", "/modalities/there/echo")
    assert (reply.status, reply.json()["OrthancStatus"]) == (500, 9)
    assert "0x0122" in reply.json()["Details"]


@pytest.mark.parametrize("configured", [True, False])
def test_an_echo_that_asks_for_queries_too(tmp_path: Path, scp: Scp, configured: bool) -> None:
    statuses = {CommandField.C_FIND_RQ: [0xFF00, 0]}

    def rule(caller: Caller, received: Received) -> None:
        for status in statuses.get(received.command.field, [0]):
            caller.respond(received, status)

    scp.rule = rule
    body = b"" if configured else b'{"CheckFind": true}'
    with server(tmp_path, scp, dimse={"echo_checks_find": configured}) as face:
        assert face.request("POST", "/modalities/there/echo", body).status == 200
        assert [one.command.field for one in scp.stored] == [
            CommandField.C_ECHO_RQ,
            CommandField.C_FIND_RQ,
        ]
        assert b"STUDY" in scp.stored[1].data_set
        scp.stored.clear()
        assert face.request("POST", "/modalities/there/echo", b'{"CheckFind": false}').status == 200
        assert len(scp.stored) == 1
        statuses[CommandField.C_FIND_RQ] = [0xA700]
        reply = face.request("POST", "/modalities/there/echo", b'{"CheckFind": true}')
        assert (reply.status, reply.json()["OrthancStatus"]) == (500, 9)
        scp.syntax = lambda one: (
            None if one.abstract_syntax.startswith("1.2.840.10008.5") else EXPLICIT
        )
        reply = face.request("POST", "/modalities/there/echo", b'{"CheckFind": true}')
        assert (reply.status, reply.json()["OrthancStatus"]) == (500, 2016)


@pytest.mark.parametrize("form", ["object", "list", "text"])
def test_an_echo_to_what_the_body_describes(face: Face, scp: Scp, form: str) -> None:
    entry: Any = {"AET": "OTHER", "Host": "127.0.0.1", "Port": scp.port, "LocalAet": "ME"}
    if form == "list":
        entry = ["OTHER", "127.0.0.1", scp.port]
    elif form == "text":
        entry["Port"] = str(scp.port)
    reply = face.post_json("/tools/dicom-echo", entry)
    assert (reply.status, reply.body) == (200, b"{}")
    assert scp.requests[0].called == "OTHER"
    assert scp.requests[0].calling == ("ORTHANC" if form == "list" else "ME")


@pytest.mark.parametrize(
    ("body", "code"),
    [("", 15), ("{", 15), ("{}", 15), ('{"AET": "A"}', 15), ('["A", "h", 1, "Nope"]', 3)],
)
def test_an_echo_to_what_nobody_can_be(face: Face, body: str, code: int) -> None:
    reply = face.request("POST", "/tools/dicom-echo", body.encode())
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, code)


# --- the order -----------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["plain", "text", "list", "object"])
def test_the_forms_of_an_order(face: Face, scp: Scp, form: str) -> None:
    name = study(face)
    body = {
        "plain": f" {name}\n",
        "text": json.dumps(name),
        "list": json.dumps([name]),
        "object": json.dumps({"Resources": [name], "Synchronous": True}),
    }[form]
    reply = face.request("POST", "/modalities/there/store", body.encode())
    assert reply.status == 200, reply.body
    assert reply.json() == {
        "Description": "REST API",
        "FailedInstancesCount": 0,
        "InstancesCount": 5,
        "LocalAet": "ORTHANC",
        "ParentResources": [name],
        "RemoteAet": "THEM",
        "Resources": [{"ID": name, "Type": "Study"}],
    }
    assert sorted(scp.uids) == UIDS
    [request] = scp.requests
    assert (request.called, request.calling) == ("THEM", "ORTHANC")
    for one in scp.stored:
        assert one.transfer_syntax == EXPLICIT
        assert any(data.endswith(one.data_set) for data in FILES)
        command = one.command
        assert command.affected_sop_class == one.context.abstract_syntax
        assert (command.priority, command.originator) == (0, None)


def test_nothing_is_fine(face: Face, scp: Scp) -> None:
    reply = face.post_json("/modalities/there/store", [])
    assert reply.json() == {
        "Description": "REST API",
        "FailedInstancesCount": 0,
        "InstancesCount": 0,
        "LocalAet": "ORTHANC",
        "RemoteAet": "THEM",
    }
    assert scp.requests == []


def test_resources_of_all_levels_are_sent_once(face: Face, scp: Scp) -> None:
    names = [face.json(f"/{level}")[0] for level in ("instances", "series", "studies", "patients")]
    content = store(face, Resources=[*names, names[0]])
    assert content["InstancesCount"] == 5
    assert content["ParentResources"] == names
    assert [one["Type"] for one in content["Resources"]] == [
        "Instance",
        "Series",
        "Study",
        "Patient",
    ]
    assert sorted(scp.uids) == UIDS


def test_a_job_seen_from_outside(face: Face) -> None:
    answer = store(face, Asynchronous=True, Priority=3, UserData={"a": 1})
    assert set(answer) == {"ID", "Path"}
    job = ended(face, answer["ID"])
    assert (job["State"], job["Type"], job["Progress"]) == ("Success", "DicomModalityStore", 100)
    assert (job["Priority"], job["UserData"]) == (3, {"a": 1})


def test_what_an_order_may_say_of_the_target(tmp_path: Path, scp: Scp) -> None:
    with taking() as other, server(tmp_path, scp) as face:
        order = {
            "LocalAet": "ME",
            "CalledAet": "YOU",
            "Host": "localhost",
            "Port": other.port,
            "Timeout": 9,
            "MoveOriginatorAet": "MOVER",
            "MoveOriginatorID": 77,
        }
        content = store(face, **order)
        assert (content["LocalAet"], content["RemoteAet"]) == ("ME", "YOU")
        assert (content["MoveOriginatorAET"], content["MoveOriginatorID"]) == ("MOVER", 77)
        assert (other.requests[0].called, other.requests[0].calling) == ("YOU", "ME")
        for one in other.stored:
            assert (one.command.originator, one.command.originator_message_id) == ("MOVER", 77)
        content = store(face, MoveOriginatorID=5)
        assert (content["MoveOriginatorAET"], content["MoveOriginatorID"]) == ("ORTHANC", 5)
        assert "MoveOriginatorID" not in store(face, MoveOriginatorAet="MOVER")
        assert len(other.stored) == 5
        assert len(scp.stored) == 10


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"Resources": ["nope"]}, 400, 15),
        ({"Resources": [UNKNOWN]}, 404, 17),
        ({"Resources": 5}, 400, 15),
        ({"LocalAet": 5}, 400, 5),
        ({"LocalAet": "A" * 17}, 400, 3),
        ({"CalledAet": []}, 400, 5),
        ({"Host": 5}, 400, 5),
        ({"Port": "x"}, 400, 5),
        ({"Port": 0}, 400, 3),
        ({"Port": True}, 400, 5),
        ({"Timeout": "x"}, 400, 15),
        ({"Timeout": -1}, 400, 15),
        ({"Timeout": 10**9}, 400, 3),
        ({"MoveOriginatorAet": 5}, 400, 5),
        ({"MoveOriginatorID": "5"}, 400, 5),
        ({"MoveOriginatorID": 65536}, 400, 3),
        ({"MoveOriginatorID": -1}, 400, 3),
        ({"StorageCommitment": 1}, 400, 5),
        ({"Synchronous": 1}, 400, 15),
        ({"Permissive": "x"}, 400, 15),
        ({"Priority": "x"}, 400, 15),
    ],
)
def test_orders_that_make_no_sense(
    face: Face, scp: Scp, order: dict[str, Any], status: int, code: int
) -> None:
    assert refused(face, **order)[:2] == (status, code)
    assert scp.requests == []


def test_a_title_of_the_modality_that_is_too_long(face: Face) -> None:
    face.request("PUT", "/modalities/long", json.dumps(["A" * 17, "127.0.0.1", 1]).encode())
    for path in ("echo", "store", "store-straight"):
        body = study(face).encode() if path == "store" else b""
        reply = face.request("POST", f"/modalities/long/{path}", body)
        assert (reply.status, reply.json()["OrthancStatus"]) == (400, 3)


def test_what_is_given_away_is_logged(tmp_path: Path, scp: Scp) -> None:
    with server(tmp_path, scp, log_exported_resources=True) as face:
        store(face)
        [line] = face.json("/exports")["Exports"]
        assert (line["ID"], line["RemoteModality"]) == (study(face), "there")


def test_our_title_for_a_modality(tmp_path: Path, scp: Scp) -> None:
    with server(tmp_path, scp, modality={"local_aet": "OTHERSELF"}) as face:
        assert store(face)["LocalAet"] == "OTHERSELF"
        assert scp.requests[0].calling == "OTHERSELF"


# --- transfer syntaxes -------------------------------------------------------------------------
def only(*syntaxes: str) -> Any:
    """A system that takes these."""

    def choose(one: ProposedContext) -> str | None:
        return next((syntax for syntax in one.transfer_syntaxes if syntax in syntaxes), None)

    return choose


def test_an_instance_is_written_anew_for_who_does_not_take_it(tmp_path: Path, scp: Scp) -> None:
    scp.syntax = only(IMPLICIT)
    with server(tmp_path, scp) as face:
        store(face)
        assert {one.transfer_syntax for one in scp.stored} == {IMPLICIT}
        assert sorted(scp.uids) == UIDS


@pytest.mark.parametrize("who", ["server", "modality"])
def test_unless_it_must_not_be(tmp_path: Path, scp: Scp, who: str) -> None:
    scp.syntax = only(IMPLICIT)
    settings: dict[str, Any] = (
        {"dimse": {"transcode": False}}
        if who == "server"
        else {"modality": {"allow_transcoding": False}}
    )
    with server(tmp_path, scp, **settings) as face:
        assert refused(face)[:2] == (500, 2015)
    assert scp.stored == []
    [context] = scp.requests[0].contexts
    assert context.transfer_syntaxes == (EXPLICIT,)


def test_the_preferred_transfer_syntax(tmp_path: Path, scp: Scp) -> None:
    compressed = make_instance(9)
    with server(tmp_path, scp, [compressed], dimse={"preferred_transfer_syntax": IMPLICIT}) as face:
        store(face)
    proposed = [one.transfer_syntaxes for one in scp.requests[0].contexts]
    assert proposed == [(EXPLICIT,), (IMPLICIT,)]


def test_more_kinds_than_an_association_has_contexts(
    tmp_path: Path, scp: Scp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PRESENTATION_CONTEXTS", 4)
    files = [
        make_instance(number=number, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{number % 5 + 1}")
        for number in range(1, 21)
    ]
    with server(tmp_path, scp, files) as face:
        assert store(face)["InstancesCount"] == 20
    assert len(scp.uids) == len(set(scp.uids)) == 20
    assert [len(one.contexts) for one in scp.requests] == [4, 4, 2]


def test_a_class_that_is_not_taken(tmp_path: Path, scp: Scp) -> None:
    files = [*FILES, make_instance(number=6, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")]
    scp.syntax = lambda one: EXPLICIT if one.abstract_syntax.endswith(".2") else None
    with server(tmp_path, scp, files) as face:
        status, code, details = refused(face)
        assert (status, code) == (500, 2015)
        assert "1.2.840.10008.5.1.4.1.1.7 is not accepted" in details
        content = store(face, Permissive=True)
        assert content["FailedInstancesCount"] == 1
        [failed] = content["FailedInstances"]
        assert failed["ID"] in details
        assert set(UIDS) <= set(scp.uids)


def test_none_is_taken_and_nobody_asks_again(tmp_path: Path, scp: Scp) -> None:
    scp.syntax = lambda one: None
    with server(tmp_path, scp) as face:
        assert store(face, Permissive=True)["FailedInstancesCount"] == 5
    assert len(scp.requests) == 1


# --- statuses ----------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xB006, 0xB007, 0x0107, 0x0116])
def test_warnings_are_stored(face: Face, scp: Scp, status: int) -> None:
    scp.rule = lambda caller, received: caller.respond(received, status)
    assert store(face)["FailedInstancesCount"] == 0


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0xA900, "status 0xa900, the data set does not match its SOP class"),
        (0xC123, "status 0xc123, cannot understand it"),
        (0x0122, "status 0x0122, SOP class not supported"),
        (0x0124, "not authorized"),
        (0x0111, "unknown reason"),
        (0xFF00, "status 0xff00"),
    ],
)
def test_refusals(face: Face, scp: Scp, status: int, words: str) -> None:
    scp.rule = lambda caller, received: caller.respond(received, status, error_comment="because")
    code, error, details = refused(face)
    assert (code, error) == (500, 9)
    assert words in details
    assert "(because)" in details
    assert len(scp.stored) == 1, "tried again"


def test_a_permissive_job_goes_on(face: Face, scp: Scp) -> None:
    def rule(caller: Caller, received: Received) -> None:
        caller.respond(received, 0xC000 if received.uid == UIDS[2] else 0)

    scp.rule = rule
    content = store(face, Permissive=True)
    assert (content["InstancesCount"], content["FailedInstancesCount"]) == (5, 1)
    [failed] = content["FailedInstances"]
    assert "cannot understand" in failed["Details"]
    assert sorted(scp.uids) == UIDS
    assert len(scp.requests) == 1, "a refusal costs no association"


def test_out_of_resources_for_a_moment(face: Face, scp: Scp) -> None:
    seen: Counter[str] = Counter()

    def rule(caller: Caller, received: Received) -> None:
        seen[received.uid] += 1
        caller.respond(received, 0xA700 if seen[received.uid] == 1 else 0)

    scp.rule = rule
    assert store(face)["FailedInstancesCount"] == 0
    assert seen == dict.fromkeys(UIDS, 2)
    assert len(scp.requests) == 1


def test_out_of_resources_for_long(tmp_path: Path, scp: Scp) -> None:
    """The job waits in Retry, and goes on where it was."""
    seen: Counter[str] = Counter()
    full = True

    def rule(caller: Caller, received: Received) -> None:
        seen[received.uid] += 1
        caller.respond(received, 0xA701 if full and sum(seen.values()) > 2 else 0)

    scp.rule = rule
    with server(tmp_path, scp, retries=QUICK) as face:
        job = start(face)
        eventually(lambda: face.json(f"/jobs/{job}")["State"] == "Retry")
        shown = face.json(f"/jobs/{job}")
        assert (shown["ErrorCode"], shown["Progress"]) == (9, 40)
        assert "out of resources" in shown["ErrorDetails"]
        full = False
        assert ended(face, job)["State"] == "Success"
    assert sorted(seen) == UIDS
    assert sum(count == 1 for count in seen.values()) == 4, "what was stored is not sent again"


@pytest.mark.parametrize("wrong", ["field", "number", "instance", "none"])
def test_an_answer_to_something_else(face: Face, scp: Scp, wrong: str) -> None:
    def rule(caller: Caller, received: Received) -> None:
        if wrong == "field":
            received.command = dataclasses.replace(received.command, field=CommandField.C_ECHO_RQ)
            caller.respond(received)
        elif wrong == "number":
            caller.respond(received, responded_to=4711)
        elif wrong == "instance":
            caller.respond(received, affected_sop_instance="1.2.3")
        else:
            caller.respond(received, None)  # type: ignore[arg-type]

    scp.rule = rule
    code, error, details = refused(face)
    assert (code, error) == (500, 9)
    assert "answers something else" in details
    eventually(lambda: "abort" in scp.events)


def test_an_answer_need_not_name_the_instance(face: Face, scp: Scp) -> None:
    scp.rule = lambda caller, received: caller.respond(received, affected_sop_instance=None)
    assert store(face)["FailedInstancesCount"] == 0


# --- associations that break --------------------------------------------------------------------
@pytest.mark.parametrize("how", ["abort", "close", "release"])
def test_one_that_breaks_costs_nothing(face: Face, scp: Scp, how: str) -> None:
    broken = []

    def rule(caller: Caller, received: Received) -> None:
        if received.uid == UIDS[2] and not broken:
            broken.append(received)
            if how == "abort":
                caller.abort()
            elif how == "close":
                caller.close()
            else:
                caller.send(ReleaseRequest())
        else:
            caller.respond(received)

    scp.rule = rule
    assert store(face)["FailedInstancesCount"] == 0
    assert Counter(scp.uids) == {**dict.fromkeys(UIDS, 1), UIDS[2]: 2}
    assert len(scp.requests) == 2


def test_one_that_breaks_again_and_again(face: Face, scp: Scp) -> None:
    scp.rule = lambda caller, received: caller.abort()
    code, error, details = refused(face)
    assert (code, error) == (500, 9)
    assert "aborted" in details
    assert len(scp.requests) == 1 + limits.PEER_RETRIES


@pytest.mark.parametrize("how", ["abort", "close", "release"])
def test_an_idle_one_that_the_other_end_has_given_up(face: Face, scp: Scp, how: str) -> None:
    """Whether we notice it before we send or only then."""
    store(face)
    [caller] = scp.callers
    if how == "close":
        caller.close()
    elif how == "release":
        caller.send(ReleaseRequest())
    else:
        caller.abort()
    assert store(face)["FailedInstancesCount"] == 0
    assert Counter(scp.uids) == dict.fromkeys(UIDS, 2)
    assert len(scp.requests) == 2


def test_an_idle_one_that_is_given_up_when_the_next_instance_comes(
    face: Face, scp: Scp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs none of the attempts."""
    monkeypatch.setattr(limits, "PEER_RETRIES", 0)
    store(face)
    [first] = scp.callers

    def rule(caller: Caller, received: Received) -> None:
        if caller is first:
            caller.abort()
        else:
            caller.respond(received)

    scp.rule = rule
    scp.stored.clear()
    assert store(face)["FailedInstancesCount"] == 0
    assert len(scp.requests) == 2
    assert Counter(scp.uids).total() == 6


def test_one_association_serves_many_orders(face: Face, scp: Scp) -> None:
    for name in face.json("/instances"):
        store(face, Resources=[name])
    assert len(scp.requests) == 1
    assert sorted(scp.uids) == UIDS


def test_an_echo_does_not_wait_for_an_idle_one(face: Face, scp: Scp) -> None:
    """The other end takes one association at a time."""
    store(face)
    assert face.request("POST", "/modalities/there/echo").status == 200
    assert scp.events[:2] == ["release", "end"]


def test_none_is_kept_if_none_should_be(tmp_path: Path, scp: Scp) -> None:
    with server(tmp_path, scp, dimse={"association_close_delay_s": 0}) as face:
        store(face)
        store(face)
        assert len(scp.requests) == 2
        assert scp.events.count("release") == 2


# --- several associations ---------------------------------------------------------------------
MANY = [make_instance(number=number) for number in range(1, 101)]


def test_a_long_job_uses_several(tmp_path: Path, scp: Scp) -> None:
    together = threading.Barrier(limits.MODALITY_STORE_ASSOCIATIONS)

    def rule(caller: Caller, received: Received) -> None:
        if caller.stored == 1:
            together.wait(DEADLINE_S)
        caller.respond(received)

    scp.rule = rule
    with server(tmp_path, scp, MANY) as face:
        assert store(face)["FailedInstancesCount"] == 0
        assert len(scp.requests) == limits.MODALITY_STORE_ASSOCIATIONS
        scp.rule = Scp.rule
        assert store(face)["FailedInstancesCount"] == 0
        assert len(scp.requests) == limits.MODALITY_STORE_ASSOCIATIONS, "all are used again"
    assert Counter(scp.uids).most_common(1)[0][1] == 2
    assert len(set(scp.uids)) == 100


def test_a_short_one_does_not(face: Face, scp: Scp) -> None:
    store(face)
    assert len(scp.requests) == 1


@pytest.mark.parametrize("how", ["reject", "close", "wait"])
def test_the_other_end_takes_one_only(tmp_path: Path, scp: Scp, how: str) -> None:
    """Rejected, cut off or left waiting: the first one does the work, and nobody waits for the
    others."""
    admitted = threading.Lock()
    waiting: list[Caller] = []

    def admit(caller: Caller) -> AssociateReject | None:
        if admitted.acquire(blocking=False):
            return None
        if how == "reject":
            return AssociateReject(2, 3, 2)
        if how == "wait":
            waiting.append(caller)
            caller.connection.recv(1)  # until we give it up
        caller.close()
        raise OSError

    def rule(caller: Caller, received: Received) -> None:
        if how == "wait" and len(scp.stored) == 2:
            eventually(lambda: len(waiting) == limits.MODALITY_STORE_ASSOCIATIONS - 1)
        caller.respond(received)

    scp.admit, scp.rule = admit, rule
    with server(tmp_path, scp, MANY) as face:
        content = store(face, Timeout=0)
        assert (content["InstancesCount"], content["FailedInstancesCount"]) == (100, 0)
    assert len(scp.uids) == len(set(scp.uids)) == 100


def test_one_of_several_breaks(tmp_path: Path, scp: Scp) -> None:
    broken: list[Caller] = []

    def rule(caller: Caller, received: Received) -> None:
        if caller.stored == 3 and len(broken) < 6:
            broken.append(caller)
            caller.abort()
        else:
            caller.respond(received)

    scp.rule = rule
    with server(tmp_path, scp, MANY) as face:
        assert store(face)["FailedInstancesCount"] == 0
    assert len(set(scp.uids)) == 100
    assert len(scp.uids) == 100 + len(broken)


# --- out of reach -------------------------------------------------------------------------------
def test_nobody_is_there(face: Face) -> None:
    face.request("PUT", "/modalities/there", json.dumps(["THEM", "127.0.0.1", 1]).encode())
    code, error, details = refused(face)
    assert (code, error) == (500, 9)
    assert details == 'AET "THEM" at 127.0.0.1:1 cannot be reached: Connection refused'
    content = store(face, Permissive=True)
    assert content["FailedInstancesCount"] == 5
    reply = face.request("POST", "/modalities/there/echo")
    assert (reply.status, reply.json()["OrthancStatus"]) == (500, 9)


def test_silence_is_waited_for_once(face: Face, scp: Scp) -> None:
    scp.rule = lambda caller, received: None
    code, error, details = refused(face, Timeout=1)
    assert (code, error) == (500, 9)
    assert "it took too long" in details
    assert len(scp.requests) == 1


def test_a_permissive_job_gives_up_who_is_out_of_reach_for_long(
    tmp_path: Path, scp: Scp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MODALITY_UNREACHABLE_S", -1.0)
    scp.admit = lambda caller: AssociateReject(1, 1, 7)
    with server(tmp_path, scp) as face:
        content = store(face, Permissive=True)
    assert content["FailedInstancesCount"] == 5
    assert "called AE title not recognized" in content["FailedInstances"][4]["Details"]
    assert len(scp.requests) == 1


def test_a_job_waits_for_who_comes_back(tmp_path: Path, scp: Scp) -> None:
    away = True
    scp.admit = lambda caller: AssociateReject(2, 3, 1) if away else None
    with server(tmp_path, scp, retries=QUICK) as face:
        job = start(face)
        eventually(lambda: face.json(f"/jobs/{job}")["State"] == "Retry")
        away = False
        assert ended(face, job)["State"] == "Success"
    assert sorted(scp.uids) == UIDS


def test_a_modality_that_was_forgotten_meanwhile(tmp_path: Path, scp: Scp) -> None:
    away = True
    scp.admit = lambda caller: AssociateReject(2, 3, 1) if away else None
    with server(tmp_path, scp, retries=QUICK) as face:
        job = start(face)
        eventually(lambda: face.json(f"/jobs/{job}")["State"] == "Retry")
        face.request("DELETE", "/modalities/there")
        found = ended(face, job)
        assert (found["State"], found["ErrorCode"]) == ("Failure", 7)


# --- interruptions ------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["cancel", "pause"])
def test_a_job_that_is_stopped_in_the_middle(
    tmp_path: Path, scp: Scp, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other end never answers the third instance."""
    monkeypatch.setattr(limits, "JOB_UNDER_WAY_S", 0.1)
    reached = threading.Event()
    silent = True

    def rule(caller: Caller, received: Received) -> None:
        if silent and len(scp.stored) == 3:
            reached.set()
        else:
            caller.respond(received)

    scp.rule = rule
    with server(tmp_path, scp) as face:
        job = start(face, Timeout=0)
        assert reached.wait(DEADLINE_S)
        assert face.request("POST", f"/jobs/{job}/{how}").status == 200
        if how == "cancel":
            found = ended(face, job)
            assert (found["State"], found["ErrorCode"]) == ("Failure", 37)
        else:
            eventually(lambda: face.json(f"/jobs/{job}")["State"] == "Paused")
            silent = False
            assert face.request("POST", f"/jobs/{job}/resume").status == 200
            assert ended(face, job)["State"] == "Success"
            assert Counter(Counter(scp.uids).values()) == {1: 4, 2: 1}
        eventually(lambda: scp.events.count("end") >= 1)


def test_files_that_cannot_be_read(tmp_path: Path, scp: Scp) -> None:
    with server(tmp_path, scp) as face:
        [victim, *_] = (tmp_path / "storage").glob("??/*/*")
        victim.unlink()
        code, error, _ = refused(face)
        assert (code, error) == (500, 2006)
        content = store(face, Permissive=True)
        assert content["FailedInstancesCount"] == 1
        assert "missing" in content["FailedInstances"][0]["Details"]


def test_a_file_that_lost_bytes(tmp_path: Path, scp: Scp) -> None:
    with server(tmp_path, scp) as face:
        [victim, *_] = (tmp_path / "storage").glob("??/*/*")
        victim.write_bytes(victim.read_bytes()[:-100])
        assert refused(face)[:2] == (500, 20)


def test_the_index_is_wrong_about_a_file(tmp_path: Path, scp: Scp) -> None:
    """What is sent is what the file says."""
    with server(tmp_path, scp) as face:
        face.rooms.index.write(
            lambda tx: tx.run(
                "UPDATE instances SET sop_class_uid = '', transfer_syntax = ?",
                ("1.2.840.10008.1.2.4.90",),
            )
        )
        store(face)
    assert {one.transfer_syntax for one in scp.stored} == {EXPLICIT}
    assert sorted(scp.uids) == UIDS


@pytest.mark.parametrize("size", [2048, limits.UNPACKED_IN_MEMORY_BYTES + limits.MIB])
def test_compressed_storage(tmp_path: Path, scp: Scp, size: int) -> None:
    data = make_instance(pixel_bytes=size)
    with server(tmp_path, scp, [data], storage_compression=True) as face:
        store(face)
    assert data.endswith(scp.stored[0].data_set)
    assert len(scp.stored[0].data_set) > size


# --- storage commitment -------------------------------------------------------------------------
def test_the_hook_for_storage_commitment(tmp_path: Path, scp: Scp) -> None:
    from wherry.modalities.associations.connection import Target
    from wherry.modalities.sending.store import ModalityStore

    asked = []

    def commit(modality: Modality, target: Target, pairs: Any) -> str:
        asked.append((modality.name, target.called, list(pairs)))
        return "2.25.1"

    def rule(caller: Caller, received: Received) -> None:
        caller.respond(received, 0xC000 if received.uid == UIDS[0] else 0)

    scp.rule = rule
    with server(tmp_path, scp) as face:
        handler = face.rooms.jobs._shop.handlers["DicomModalityStore"]
        assert isinstance(handler, ModalityStore)
        handler._commit = commit
        content = store(face, StorageCommitment=True, Permissive=True)
        assert content["StorageCommitmentTransactionUID"] == "2.25.1"
        assert "StorageCommitmentTransactionUID" not in store(face, Permissive=True)
    [(name, called, pairs)] = asked
    assert (name, called) == ("there", "THEM")
    assert sorted(pairs) == [("1.2.840.10008.5.1.4.1.1.2", uid) for uid in UIDS[1:]]


def test_more_than_can_be_committed_are_not_sent(
    face: Face, scp: Scp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "COMMITMENT_INSTANCES", len(UIDS) - 1)
    assert refused(face, StorageCommitment=True)[:2] == (400, 8)
    assert scp.requests == []


# --- straight -----------------------------------------------------------------------------------
@pytest.mark.parametrize("packed", [False, True])
def test_straight(face: Face, scp: Scp, packed: bool) -> None:
    data = make_instance(7, pixel_bytes=limits.MIB)
    headers = {"Content-Encoding": "gzip"} if packed else {}
    body = gzip.compress(data) if packed else data
    reply = face.request("POST", "/modalities/there/store-straight", body, headers)
    assert reply.json() == {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "SOPInstanceUID": "1.2.826.0.1.3680043.10.1234.7.1.1",
    }
    assert data.endswith(scp.stored[0].data_set)
    assert len(face.json("/instances")) == 5, "it is not stored here"


@pytest.mark.parametrize("body", [b"", b"hello"])
def test_straight_needs_a_file(face: Face, scp: Scp, body: bytes) -> None:
    reply = face.request("POST", "/modalities/there/store-straight", body)
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, 15)
    details = f"Cannot parse an invalid DICOM file (size: {len(body)} bytes)"
    assert reply.json()["Details"] == details
    assert scp.requests == []


def test_straight_by_way_of_an_idle_association(face: Face, scp: Scp) -> None:
    path = "/modalities/there/store-straight"
    assert face.request("POST", path, FILES[0]).status == 200
    [first] = scp.callers

    def rule(caller: Caller, received: Received) -> None:
        if caller is first:
            caller.abort()
        else:
            caller.respond(received)

    scp.rule = rule
    assert face.request("POST", path, FILES[1]).status == 200
    assert len(scp.requests) == 2
    scp.rule = lambda caller, received: caller.respond(received, 0xC000)
    reply = face.request("POST", path, FILES[1])
    assert (reply.status, reply.json()["OrthancStatus"]) == (500, 9)


def test_manufacturers_are_shown_as_they_are_spelt() -> None:
    from wherry.rest.modalities import shown

    modality = Modality("m", "M", "h", 1, manufacturer=Manufacturer.NO_WILDCARD_IN_DATES)
    assert shown(modality)["Manufacturer"] == "GenericNoWildcardInDates"
