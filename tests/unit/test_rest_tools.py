"""Tools: identifiers, log levels, metrics, what is received, the end of the server, exports."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from hashlib import md5
from pathlib import Path

import pytest

from tests.support.asgi import Reply
from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import clock, limits, logs
from wherry.config import Config
from wherry.dicom.scan import scan
from wherry.errors import ConfigurationError
from wherry.logs import CATEGORIES, Verbosity


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    with serving(tmp_path, stable_age_s=10_000) as found:
        yield found


@pytest.fixture
def quiet() -> Iterator[None]:
    """Log levels as they were."""
    names = [name for names in CATEGORIES.values() for name in names]
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def put(face: Face, target: str, body: str) -> Reply:
    return face.request("PUT", target, body.encode())


def code(reply: Reply) -> tuple[int, int]:
    return reply.status, reply.json()["OrthancStatus"]


def done(reply: Reply) -> bool:
    return (reply.status, reply.body, reply.headers["content-type"]) == (200, b"", "text/plain")


# --- small ones ----------------------------------------------------------------------------
def test_the_list_of_tools_is_that_of_the_routes(face: Face) -> None:
    names = face.json("/tools")
    assert names == sorted(names)
    assert {"find", "now", "log-level-http", "shutdown", "generate-uid"} <= set(names)
    for name in names:
        assert face.request("PUT", f"/tools/{name}", b"").status != 404


def test_new_identifiers(face: Face) -> None:
    for level in ("study", "series", "instance"):
        one, other = (face.get(f"/tools/generate-uid?level={level}").body for _ in range(2))
        assert re.fullmatch(rb"2\.25\.[1-9]\d{10,38}", one)
        assert one != other
    patient = face.get("/tools/generate-uid?level=patient")
    assert re.fullmatch(rb"[0-9a-f-]{36}", patient.body)
    assert patient.headers["content-type"] == "text/plain"
    for wrong in ("", "?level=nope", "?level="):
        reply = face.get(f"/tools/generate-uid{wrong}")
        assert (reply.status, reply.body) == (404, b"")


def test_default_encoding(face: Face) -> None:
    assert face.get("/tools/default-encoding").body == b"Latin1"
    try:
        assert put(face, "/tools/default-encoding", "Utf8").body == b"Utf8"
        assert face.get("/tools/default-encoding").body == b"Utf8"
        for wrong in ("Nope", "", "utf8", "\0"):
            assert code(put(face, "/tools/default-encoding", wrong)) == (400, 3)
        assert face.get("/tools/default-encoding").body == b"Utf8"
    finally:
        put(face, "/tools/default-encoding", "Latin1")


def test_conformance_says_what_is_true(face: Face) -> None:
    text = face.get("/tools/dicom-conformance").body.decode()
    assert "Wherry" in text.splitlines()[1]
    assert re.search(r"^  CTImageStorage +\| 1\.2\.840\.10008\.5\.1\.4\.1\.1\.2$", text, re.M)
    assert "0010,0020" in text
    assert "It accepts no associations" in text.replace("\n", " ")


def test_nothing_is_cached(face: Face) -> None:
    assert done(face.request("POST", "/tools/invalidate-tags"))


def test_scripts_are_never_run(face: Face, tmp_path: Path) -> None:
    script = f"io.open('{tmp_path}/here', 'w'):close()".encode()
    reply = face.request("POST", "/tools/execute-script", script)
    assert (reply.status, reply.body) == (403, b"")
    with serving(tmp_path / "lua", execute_lua_enabled=True) as enabled:
        assert done(enabled.request("POST", "/tools/execute-script", script))
    assert not (tmp_path / "here").exists()


# --- logs ----------------------------------------------------------------------------------
@pytest.mark.usefixtures("quiet")
def test_log_levels(face: Face) -> None:
    assert face.get("/tools/log-level").body == b"default"
    assert done(put(face, "/tools/log-level", "verbose"))
    for category in CATEGORIES:
        assert face.get(f"/tools/log-level-{category}").body == b"verbose"
    put(face, "/tools/log-level", "default")
    assert done(put(face, "/tools/log-level-http", "trace"))
    assert face.get("/tools/log-level-http").body == b"trace"
    assert face.get("/tools/log-level-jobs").body == b"default"
    assert face.get("/tools/log-level").body == b"trace"
    reply = put(face, "/tools/log-level", "nope")
    assert code(reply) == (400, 3)
    assert reply.json()["Details"] == 'Verbosity can be "default", "verbose" or "trace": nope'
    assert face.get("/tools/log-level-nope").status == 404


@pytest.mark.usefixtures("quiet")
def test_verbose_says_more_but_nothing_of_patients(
    face: Face, caplog: pytest.LogCaptureFixture
) -> None:
    logs.set_verbosity(Verbosity.DEFAULT)
    face.upload(make_instance())
    assert not caplog.records
    logs.set_verbosity(Verbosity.TRACE)
    face.upload(make_instance(number=2, PatientName="SECRET^NAME"))
    face.get("/patients?SECRET")
    face.get("/%0ASECRET" + "x" * 1000)
    said = caplog.text
    assert re.search(r"POST /instances: 200 in \d+\.\d ms", said)
    assert "GET /patients: 200" in said
    assert re.search(r"Committed a group of \d+ changes", said)
    assert "NAME" not in said
    assert "\nSECRET" not in said
    assert max(map(len, said.splitlines())) < 2 * limits.LOGGED_CHARACTERS


# --- metrics -------------------------------------------------------------------------------
def figures(face: Face) -> dict[str, float]:
    text = face.get("/tools/metrics-prometheus").body.decode()
    lines = [line for line in text.splitlines() if not line.startswith("wherry_transfers_")]
    assert lines == sorted(lines)
    assert all(re.fullmatch(r"[a-z_]+ \d+(\.\d+)? \d{13}", line) for line in lines)
    return {line.split()[0]: float(line.split()[1]) for line in lines}


def test_figures_are_true(face: Face) -> None:
    assert figures(face)["orthanc_last_change"] == 0
    data = make_instance()
    face.upload(data)
    path = face.upload(make_instance(number=2))["Path"]
    assert face.get(f"{path}/tags").status == 200
    found = figures(face)
    assert found["orthanc_count_instances"] == 2
    assert found["orthanc_last_change"] == 5
    assert found["orthanc_storage_written_bytes"] >= 2 * len(data)
    assert found["orthanc_storage_create_duration_ms"] > 0
    assert found["orthanc_available_http_threads_count"] >= 0
    assert found["orthanc_transfers_available_push_count"] == 4
    assert found["orthanc_logged_warnings_count"] == 0
    logging.getLogger("wherry.test").warning("once")
    assert face.request("DELETE", path).status == 200
    again = figures(face)
    assert again["orthanc_count_instances"] == 1
    assert again["orthanc_logged_warnings_count"] == 1


def test_pushes_are_counted(face: Face) -> None:
    """All figures of the original's plugin, but those of the cache that Wherry does not have."""
    assert {name for name in figures(face) if name.startswith("orthanc_transfers_")} == {
        f"orthanc_transfers_{name}"
        for name in (
            "used_cache_size",
            "cache_hit_count",
            "cache_miss_count",
            "available_push_count",
            "created_push_count",
            "committed_push_count",
            "aborted_push_count",
            "push_total_received_bytes_count",
            "push_total_time_spent_in_reception_ms",
            "push_total_time_spent_in_commit_ms",
        )
    }
    data = make_instance()
    name = scan(data).identifiers.instance
    manifest = {
        "Buckets": [[{"ID": name, "Offset": "0", "Size": str(len(data))}]],
        "Compression": "none",
        "Instances": [{"ID": name, "Size": str(len(data)), "MD5": md5(data).hexdigest()}],
    }
    push = face.post_json("/transfers/push", manifest).json()["Path"]
    found = figures(face)
    assert found["orthanc_transfers_created_push_count"] == 1
    assert found["orthanc_transfers_available_push_count"] == 3
    assert face.request("PUT", f"{push}/0", data[:-1]).status == 500
    assert figures(face)["orthanc_transfers_push_total_received_bytes_count"] == 0
    assert face.request("POST", f"{push}/commit").status == 500
    assert face.request("PUT", f"{push}/0", data).status == 200
    for _ in range(2):
        assert face.request("POST", f"{push}/commit").status == 200
    other = face.post_json("/transfers/push", manifest).json()["Path"]
    for status in (200, 404):
        assert face.request("DELETE", other).status == status
    found = figures(face)
    assert found["orthanc_transfers_created_push_count"] == 2
    assert found["orthanc_transfers_committed_push_count"] == 1
    assert found["orthanc_transfers_aborted_push_count"] == 1
    assert found["orthanc_transfers_available_push_count"] == 4
    assert found["orthanc_transfers_push_total_received_bytes_count"] == len(data)
    assert found["orthanc_transfers_push_total_time_spent_in_reception_ms"] > 0
    assert found["orthanc_transfers_push_total_time_spent_in_commit_ms"] > 0
    shown = face.get("/tools/metrics-prometheus").body.decode()
    for histogram in ("reception_s", "commit_s"):
        begin = f"wherry_transfers_push_{histogram}"
        assert re.search(rf'^{begin}_bucket{{le="\+Inf"}} 1 \d+$', shown, re.M)
        assert re.search(rf"^{begin}_count 1 \d+$", shown, re.M)
        assert re.search(rf"^{begin}_sum 0(\.\d+)? \d+$", shown, re.M)


def test_pushes_that_give_way_or_expire_are_counted_as_aborted(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = {"Buckets": [], "Compression": "none", "Instances": []}
    for _ in range(4):
        assert face.post_json("/transfers/push", manifest).status == 200
    assert face.post_json("/transfers/push", manifest).status == 503
    later = clock.timestamp() + limits.TRANSFER_SLOT_IDLE_S + 1
    monkeypatch.setattr(clock, "timestamp", lambda: later)
    assert face.post_json("/transfers/push", manifest).status == 200
    assert figures(face)["orthanc_transfers_aborted_push_count"] == 1
    much_later = later + limits.TRANSFER_IDLE_S + 1
    monkeypatch.setattr(clock, "timestamp", lambda: much_later)
    assert face.rooms.transfers.expire() == 4
    found = figures(face)
    assert found["orthanc_transfers_aborted_push_count"] == 5
    assert found["orthanc_transfers_available_push_count"] == 4


def test_metrics_are_switched(face: Face) -> None:
    assert face.get("/tools/metrics").body == b"1"
    assert done(put(face, "/tools/metrics", "0"))
    assert face.get("/tools/metrics").body == b"0"
    assert figures(face) == {}
    for on in ("1", " true\n"):
        assert done(put(face, "/tools/metrics", on))
        assert face.get("/tools/metrics").body == b"1"
    for wrong in ("x", "", "TRUE", "2"):
        reply = put(face, "/tools/metrics", wrong)
        assert code(reply) == (400, 15)
        assert reply.json()["Details"] == "Boolean value expected"


# --- what is received ----------------------------------------------------------------------
SYNTAXES = "/tools/accepted-transfer-syntaxes"


def test_accepted_transfer_syntaxes(face: Face) -> None:
    assert len(face.json(SYNTAXES)) == 42
    two = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]
    assert put(face, SYNTAXES, json.dumps(two[::-1])).json() == two
    assert face.json(SYNTAXES) == two
    assert put(face, SYNTAXES, "nope").json() == []
    assert put(face, SYNTAXES, "1.2.840.10008.1.2.4.*").json()[0] == "1.2.840.10008.1.2.4.50"
    assert len(put(face, SYNTAXES, '"*"').json()) == 42
    for wrong in ("[1]", "{}", "5", "null", '[["1.2"]]'):
        assert code(put(face, SYNTAXES, wrong)) == (400, 15)
    for much in (json.dumps(["1"] * 1001), json.dumps(["1" * 129])):
        assert put(face, SYNTAXES, much).status == 413
    assert len(face.json(SYNTAXES)) == 42


def test_accepted_sop_classes(face: Face) -> None:
    assert "1.2.840.10008.5.1.4.1.1.2" in face.json("/tools/accepted-sop-classes")
    path = "/tools/unknown-sop-class-accepted"
    assert face.get(path).body == b"0"
    assert done(put(face, path, "1"))
    assert face.get(path).body == b"1"
    assert code(put(face, path, "x")) == (400, 15)


# --- the end -------------------------------------------------------------------------------
def test_shutdown_answers_first(face: Face) -> None:
    lifecycle = face.rooms.lifecycle
    assert face.get("/tools/shutdown").status == 405
    assert not lifecycle.ending
    reply = face.request("POST", "/tools/shutdown")
    assert (reply.body, reply.headers["content-type"]) == (b"{}", "application/json")
    assert reply.ended
    assert lifecycle.ending
    assert lifecycle.next is None


def test_reset_reads_the_configuration_again(face: Face) -> None:
    lifecycle, config = face.rooms.lifecycle, face.rooms.config
    other = replace(config, name="Other")
    lifecycle.read_configuration = lambda: other
    assert face.request("POST", "/tools/reset").body == b"{}"
    assert lifecycle.ending
    assert lifecycle.next is other
    face.request("POST", "/tools/shutdown")
    assert lifecycle.next is None
    face.request("POST", "/tools/reset")
    assert lifecycle.next is None


def test_a_reset_into_a_broken_configuration_is_refused(face: Face) -> None:
    def broken() -> Config:
        raise ConfigurationError('c.json: "HttpPort" must be between 1 and 65535')

    lifecycle = face.rooms.lifecycle
    lifecycle.read_configuration = broken
    reply = face.request("POST", "/tools/reset")
    assert reply.status == 500
    assert "HttpPort" in reply.json()["Details"]
    assert not lifecycle.ending


# --- exports -------------------------------------------------------------------------------
def test_exports_are_off(face: Face, tmp_path: Path) -> None:
    path = face.upload(make_instance())["Path"]
    target = tmp_path / "out.dcm"
    reply = face.request("POST", f"{path}/export", str(target).encode())
    assert (reply.status, reply.body) == (403, b"")
    assert not target.exists()


def test_exports_when_they_are_allowed(tmp_path: Path) -> None:
    with serving(tmp_path, rest_api_write_to_file_system_enabled=True) as face:
        data = make_instance()
        path = face.upload(data)["Path"]
        target = tmp_path / "out.dcm"
        target.write_bytes(b"older")
        reply = face.request("POST", f"{path}/export", str(target).encode())
        assert (reply.status, reply.body) == (200, b"{}")
        assert target.read_bytes() == data
        missing = face.request("POST", "/instances/nope/export", str(target).encode())
        assert code(missing) == (404, 17)
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "storage")
        loop = tmp_path / "loop"
        loop.symlink_to(loop)
        refused = [f"{tmp_path}/storage/x", f"{link}/x", f"{tmp_path}/index/wherry.db"]
        for where in refused:
            assert code(face.request("POST", f"{path}/export", where.encode())) == (400, 3)
        for where in (
            "",
            "relative.dcm",
            f"{tmp_path}/none/x",
            f"{tmp_path}",
            "/a\0b",
            f"{loop}/x",
        ):
            assert code(face.request("POST", f"{path}/export", where.encode())) == (500, 14)
        assert sorted(os.listdir(tmp_path)) == ["index", "link", "loop", "out.dcm", "storage"]
