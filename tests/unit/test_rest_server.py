"""Changes, jobs, peers, plugins, system and tools."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.asgi import Reply
from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import __version__, limits
from wherry.model import Level, Peer


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    peers = {
        "b": Peer("b", "http://127.0.0.1:1/", properties={"RemoteSelf": "me"}),
        "a": Peer("a", "http://127.0.0.1:1/", "alice", "secret", {"X-Token": "secret"}),
    }
    with serving(tmp_path, name="Test", stable_age_s=10_000, orthanc_peers=peers) as found:
        yield found


def bare(reply: Reply) -> int:
    """The status of an answer without a body."""
    assert reply.body == b""
    return reply.status


def test_changes(face: Face) -> None:
    assert face.json("/changes") == {"Changes": [], "Done": True, "Last": 0}
    assert face.json("/changes?last") == {"Changes": [], "Done": True, "Last": 0}
    path = face.upload(make_instance())["Path"]
    face.upload(make_instance(number=2))
    log = face.json("/changes")
    kinds = ["NewInstance", "NewSeries", "NewStudy", "NewPatient", "NewInstance"]
    assert [one["ChangeType"] for one in log["Changes"]] == kinds
    assert (log["Done"], log["Last"]) == (True, 5)
    first = log["Changes"][0]
    assert re.fullmatch(r"\d{8}T\d{6}", first.pop("Date"))
    assert first == {
        "ChangeType": "NewInstance",
        "ID": path.rpartition("/")[2],
        "Path": path,
        "ResourceType": "Instance",
        "Seq": 1,
    }
    page = face.json("/changes?since=1&limit=2")
    assert [one["Seq"] for one in page["Changes"]] == [2, 3]
    assert (page["Done"], page["Last"]) == (False, 3)
    assert face.json("/changes?since=5") == {"Changes": [], "Done": True, "Last": 5}
    assert face.json("/changes?last")["Changes"][0]["Seq"] == 5
    for ignored in ("since=abc", "since=-1", "limit=x", "limit=-", "since=" + "9" * 40):
        assert len(face.json(f"/changes?{ignored}")["Changes"]) == 5
    assert face.json("/changes?limit=0") == {"Changes": [], "Done": False, "Last": 5}
    for nothing in ("limit=-1", "limit=-5", "type=Deleted"):
        assert face.json(f"/changes?{nothing}") == {"Changes": [], "Done": True, "Last": 5}
    backwards = face.json("/changes?to=4&limit=2")
    assert [one["Seq"] for one in backwards["Changes"]] == [3, 4]
    assert (backwards["First"], backwards["Done"], backwards["Last"]) == (3, False, 4)
    chosen = face.json("/changes?type=NewStudy;NewInstance&since=1")
    assert [one["Seq"] for one in chosen["Changes"]] == [3, 5]
    assert face.json("/changes?type=NewStudy&limit=300")["First"] == 3
    refused = face.get("/changes?type=NewStudy;Nothing")
    assert (refused.status, refused.json()["OrthancStatus"]) == (400, 3)
    assert face.request("DELETE", "/changes").status == 200
    assert face.json("/changes") == {"Changes": [], "Done": True, "Last": 5}


def test_pages_of_changes_are_bounded(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHANGES_PAGE", 3)
    face.upload(make_instance())
    page = face.json("/changes?limit=1000")
    assert (len(page["Changes"]), page["Done"]) == (3, False)


def test_jobs_that_are_not_there(face: Face) -> None:
    assert face.json("/jobs") == []
    assert face.json("/jobs?expand") == []
    assert bare(face.get("/jobs/nope")) == 404
    for action in ("cancel", "pause", "resume", "resubmit"):
        assert bare(face.request("POST", f"/jobs/nope/{action}")) == 400
        assert face.get(f"/jobs/nope/{action}").json()["Details"] == (
            f"Job has no such output: {action}"
        )
    assert face.request("DELETE", "/jobs/nope").json()["OrthancStatus"] == 7
    assert face.get("/jobs/nope/archive").json()["OrthancStatus"] == 7


def test_a_job(face: Face) -> None:
    job = face.rooms.jobs.submit("PullTransfer", {}, username="alice")
    assert face.json("/jobs") == [job]
    [shown] = face.json("/jobs?expand")
    assert shown["ID"] == job
    assert shown["Type"] == face.json(f"/jobs/{job}")["Type"] == "PullTransfer"
    assert face.get("/jobs?expand=perhaps").status == 400
    reply = face.request("POST", f"/jobs/{job}/cancel")
    assert (reply.status, reply.body) == (200, b"{}")
    assert reply.headers["content-type"] == "application/json"
    assert bare(face.request("POST", f"/jobs/{job}/resume")) == 400


def test_peers_are_shown_without_secrets(face: Face) -> None:
    assert face.json("/peers") == ["a", "b"]
    alice = {
        "HttpHeaders": ["X-Token"],
        "Password": None,
        "Pkcs11": False,
        "Timeout": 0,
        "Url": "http://127.0.0.1:1/",
        "Username": "alice",
    }
    assert face.json("/peers/a/configuration") == alice
    everyone = face.json("/peers?expand")
    assert everyone["a"] == alice
    assert everyone["b"]["RemoteSelf"] == "me"
    assert {"configuration", "system"} <= set(face.json("/peers/a"))
    assert bare(face.get("/peers/nope")) == 404
    for route in ("configuration", "system"):
        error = face.get(f"/peers/nope/{route}").json()
        assert error["OrthancStatus"] == 17
        assert error["Details"] == "No peer with symbolic name: nope"


def test_peers_are_declared_and_forgotten(face: Face) -> None:
    def put(name: str, value: object) -> Reply:
        return face.request("PUT", f"/peers/{name}", json.dumps(value).encode())

    assert bare(put("new", {"URL": "http://127.0.0.1:2", "Username": "u", "Password": "p"})) == 200
    assert face.json("/peers/new/configuration")["Url"] == "http://127.0.0.1:2/"
    assert bare(put("new", ["http://127.0.0.1:3/", "alice", "secret"])) == 200
    assert face.json("/peers/new/configuration")["Username"] == "alice"
    for wrong in ({}, {"Url": "ftp://x/"}, [], 5, {"Url": 5}, None):
        assert put("bad", wrong).json()["OrthancStatus"] == 15
    assert face.request("PUT", "/peers/bad", b"{").json()["OrthancStatus"] == 15
    assert face.json("/peers") == ["a", "b", "new"]
    assert bare(face.request("DELETE", "/peers/new")) == 200
    assert bare(face.request("DELETE", "/peers/a")) == 200
    assert face.json("/peers") == ["b"]
    assert face.request("DELETE", "/peers/a").json()["OrthancStatus"] == 7


def test_a_peer_that_does_not_answer(face: Face) -> None:
    reply = face.get("/peers/b/system")
    assert (reply.status, reply.json()["OrthancStatus"]) == (500, 9)


def test_plugins(face: Face) -> None:
    assert face.json("/plugins") == ["explorer.js", "transfers"]
    assert face.json("/plugins/transfers")["ID"] == "transfers"
    assert face.get("/plugins/explorer.js").headers["content-type"] == "application/javascript"
    assert bare(face.get("/plugins/nope")) == 404


def test_system(face: Face) -> None:
    shown = face.json("/system")
    assert (shown["Name"], shown["Version"], shown["ApiVersion"]) == ("Test", "1.13.0", 31)
    assert shown["WherryVersion"] == __version__
    assert shown["IsHttpServerSecure"] is True
    assert "0010,0020" in shown["MainDicomTags"]["Patient"].split(";")
    assert re.fullmatch(r"([0-9a-f]{8}-){4}[0-9a-f]{8}", shown["DatabaseServerIdentifier"])
    assert shown["HasLabels"] is True
    assert shown["Capabilities"]["HasExtendedFind"] is True
    assert " ".join(sorted(shown)) == (
        "ApiVersion Capabilities CheckRevisions DatabaseBackendPlugin DatabaseServerIdentifier "
        "DatabaseVersion DicomAet DicomDefaultRetrieveMethod DicomPort HasLabels HttpPort "
        "IngestTranscoding IsHttpServerSecure MainDicomTags MaximumPatientCount "
        "MaximumStorageMode MaximumStorageSize Name OverwriteInstances PatientLevelEnabled "
        "PluginsEnabled ReadOnly StorageAreaPlugin StorageCompression UserMetadata Version "
        "WherryVersion"
    )


def test_system_shows_what_is_configured(tmp_path: Path) -> None:
    settings = {
        "check_revisions": True,
        "database_server_identifier": "mine",
        "dicom_default_retrieve_method": "C-GET",
        "extra_main_dicom_tags": {Level.STUDY: ("0008,0061",)},
        "maximum_patient_count": 3,
        "maximum_storage_bytes": 5 * limits.MIB,
        "maximum_storage_mode": "Reject",
        "storage_compression": True,
        "user_metadata": {"mine": 1024},
    }
    with serving(tmp_path, **settings) as face:
        shown = face.json("/system")
    assert shown["CheckRevisions"] is shown["StorageCompression"] is True
    assert shown["DatabaseServerIdentifier"] == "mine"
    assert shown["DicomDefaultRetrieveMethod"] == "C-GET"
    assert (shown["MaximumPatientCount"], shown["MaximumStorageSize"]) == (3, 5)
    assert shown["MaximumStorageMode"] == "Reject"
    assert shown["UserMetadata"] == {"mine": 1024}
    tags = shown["MainDicomTags"]["Study"].split(";")
    assert tags == sorted(tags)
    assert "0008,0061" in tags
    assert "0008,0061" not in shown["MainDicomTags"]["Series"]


def test_the_root_is_for_people(face: Face) -> None:
    reply = face.get("/")
    assert (reply.status, reply.headers["location"]) == (301, "app/explorer.html")
    reply = face.get("/app/explorer.html")
    assert reply.headers["content-type"] == "text/html"
    for link in re.findall(r'href="([^"]+)"', reply.body.decode()):
        assert face.get(f"/app/{link}").status == 200


def test_times(face: Face) -> None:
    for name in ("now", "now-local"):
        reply = face.get(f"/tools/{name}")
        assert re.fullmatch(rb"\d{8}T\d{6}", reply.body)
        assert reply.headers["content-type"] == "text/plain"


def test_metrics(face: Face, tmp_path_factory: pytest.TempPathFactory) -> None:
    face.upload(make_instance())
    reply = face.get("/tools/metrics-prometheus")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4"
    values = dict(line.split(" ")[:2] for line in reply.body.decode().splitlines())
    assert values["orthanc_count_instances"] == "1"
    assert values["orthanc_jobs_completed"] == "0"
    assert "orthanc_store_dicom_duration_ms" in values
    with serving(tmp_path_factory.mktemp("off"), metrics_enabled=False) as silent:
        assert silent.get("/tools/metrics-prometheus").body == b""
