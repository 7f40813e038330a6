"""/worklists over REST."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from tests.support.worklists import worklist_file
from wherry import limits
from wherry.config.worklists import WorklistsConfig

STUDY = "1.2.826.0.1.3680043.10.1234.1"

TAGS = {
    "PatientName": "山田^太郎",
    "StudyInstanceUID": "1.2.3",
    "ScheduledProcedureStepSequence": [{"Modality": "CT", "ScheduledStationAETitle": "CT1"}],
}


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    folder = tmp_path / "worklists"
    folder.mkdir()
    (folder / "a.wl").write_bytes(worklist_file("A"))
    with serving(tmp_path, worklists=WorklistsConfig(enable=True, folder=folder)) as face:
        yield face


def create(face: Face, tags: dict[str, Any]) -> str:
    reply = face.post_json("/worklists/create", {"Tags": tags})
    assert reply.status == 200, reply.body
    made = reply.json()
    assert made == {"ID": made["ID"], "Path": f"/worklists/{made['ID']}"}
    return str(made["ID"])


def test_life_of_an_item(face: Face) -> None:
    made = create(face, TAGS)
    shown = {"SpecificCharacterSet": "ISO_IR 192", **TAGS}
    assert face.json(f"/worklists/{made}") == {
        "ID": made,
        "Path": f"/worklists/{made}",
        "Tags": shown,
    }
    listed = face.json("/worklists/?format=Simplify")
    assert [one["ID"] for one in listed] == [made, "a"]
    assert listed[0]["Tags"] == shown
    assert listed == face.json("/worklists")
    (first, _) = face.json("/worklists?format=Short")
    assert first["Tags"]["0040,0100"] == [{"0008,0060": "CT", "0040,0001": "CT1"}]
    (first, _) = face.json("/worklists?format=Full")
    assert first["Tags"]["0010,0010"] == {
        "Name": "PatientName",
        "Type": "String",
        "Value": "山田^太郎",
    }
    reply = face.request("PUT", f"/worklists/{made}", b'{"Tags": {"PatientID": "7"}}')
    assert (reply.status, reply.json()) == (200, {})
    assert face.json(f"/worklists/{made}")["Tags"] == {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientID": "7",
        "StudyInstanceUID": "1.2.3",
    }
    reply = face.request("DELETE", f"/worklists/{made}")
    assert (reply.status, reply.json()) == (200, {})
    assert face.get(f"/worklists/{made}").status == 404
    assert [one["ID"] for one in face.json("/worklists")] == ["a"]


def test_refusals(face: Face) -> None:
    made = create(face, TAGS)
    for method, path, body, status in (
        ("POST", "/worklists/create", b"{}", 400),
        ("POST", "/worklists/create", b'{"Tags": []}', 400),
        ("POST", "/worklists/create", b'{"Tags": {"NoSuchTag": "x"}}', 500),
        ("POST", "/worklists/create", b"[", 400),
        ("POST", "/worklists", b"{}", 405),
        ("GET", "/worklists?format=full", b"", 400),
        ("GET", f"/worklists/{made}?format=x", b"", 400),
        ("GET", "/worklists/nope", b"", 404),
        ("PUT", "/worklists/nope", b'{"Tags": {}}', 404),
        ("DELETE", "/worklists/nope", b"", 404),
        ("PUT", "/worklists/a", b'{"Tags": {}}', 403),
        ("DELETE", "/worklists/a", b"", 403),
    ):
        assert face.request(method, path, body).status == status, (method, path)


def test_the_plugin_is_announced_when_it_is_there(face: Face, tmp_path: Path) -> None:
    assert "worklists" in face.json("/plugins")
    assert face.json("/plugins/worklists")["ID"] == "worklists"
    with serving(tmp_path / "other") as other:
        assert "worklists" not in other.json("/plugins")
        assert other.get("/plugins/worklists").status == 404
        for path in ("/worklists", "/worklists/x"):
            assert other.get(path).status == 404
        assert other.post_json("/worklists/create", {"Tags": {}}).status == 404


def test_items_go_by_themselves_when_their_study_is_stable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HEARTBEAT_S", 0.02)
    config = WorklistsConfig(enable=True, housekeeping_s=0)
    with serving(tmp_path, worklists=config, stable_age_s=0) as face:
        kept = create(face, {"StudyInstanceUID": "1.2"})
        create(face, {"StudyInstanceUID": STUDY})
        face.upload(make_instance(1))
        end = time.monotonic() + 60
        while len(face.json("/worklists")) > 1:
            assert time.monotonic() < end
            time.sleep(0.02)  # a thread of the server looks at it
        assert [one["ID"] for one in face.json("/worklists")] == [kept]
