"""Protection and recycling, the log of exports, and stable resources, over REST."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import clock, housekeeping
from wherry.index import exports
from wherry.model import Level


def protect(face: Face, patient: str, body: bytes) -> int:
    return face.request("PUT", f"/patients/{patient}/protected", body).status


def test_protection(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        patient = face.upload(make_instance())["ParentPatient"]
        path = f"/patients/{patient}/protected"
        assert face.get(path).body == b"0"
        assert face.get(path).headers["content-type"] == "text/plain"
        for body, shown in ((b"1", b"1"), (b"false", b"0"), (b" true\n", b"1"), (b"0", b"0")):
            reply = face.request("PUT", path, body)
            assert (reply.status, reply.body) == (200, b"")
            assert face.get(path).body == shown
        assert face.json(f"/patients/{patient}")["IsProtected"] is False
        for body in (b"", b"maybe", b"True", b"2", b"\0", b"\xff"):
            reply = face.request("PUT", path, body)
            assert (reply.status, reply.json()["OrthancStatus"]) == (400, 15)
            assert reply.json()["Details"] == "Boolean value expected"
        assert face.request("PUT", path, b"0" * 5000).status == 413
        unknown = [face.get("/patients/nope/protected")]
        unknown.append(face.request("PUT", "/patients/nope/protected", b"1"))
        assert [(r.status, r.json()["OrthancStatus"]) for r in unknown] == [(404, 17)] * 2


def test_a_store_of_two_patients(tmp_path: Path) -> None:
    with serving(tmp_path, maximum_patient_count=2) as face:
        ids = [face.upload(make_instance(patient_id="1"))["ParentPatient"]]
        assert protect(face, ids[0], b"1") == 200
        ids += [face.upload(make_instance(patient_id=name))["ParentPatient"] for name in "23"]
        assert face.json("/patients") == [ids[0], ids[2]]
        assert protect(face, ids[2], b"1") == 200
        refused = face.request("POST", "/instances", make_instance(patient_id="4"))
        assert (refused.status, refused.json()["OrthancStatus"]) == (507, 19)
        assert face.json("/statistics")["CountPatients"] == 2
        assert protect(face, ids[0], b"0") == 200
        face.upload(make_instance(patient_id="4"))
        assert face.json("/statistics")["CountPatients"] == 2
        assert {one["ID"] for one in face.json("/patients?expand")} & set(ids) == {ids[2]}


def test_a_store_that_is_full_refuses(tmp_path: Path) -> None:
    settings = {"maximum_storage_bytes": 5000, "maximum_storage_mode": "Reject"}
    with serving(tmp_path, **settings) as face:
        face.upload(make_instance())
        for _ in range(2):
            refused = face.request("POST", "/instances", make_instance(number=2, pixel_bytes=3000))
            assert (refused.status, refused.json()["OrthancStatus"]) == (507, 19)
        assert face.json("/changes")["Last"] == 4
        assert len(face.files()) == 1


def test_what_users_attach_needs_room_too(tmp_path: Path) -> None:
    with serving(tmp_path, maximum_storage_bytes=8000) as face:
        ids = [face.upload(make_instance(patient_id=name))["ParentPatient"] for name in "12"]
        path = f"/patients/{ids[1]}/attachments/1024"
        assert face.request("PUT", path, b"x" * 4500).status == 200
        assert face.json("/patients") == [ids[1]]
        assert face.request("PUT", path, b"x" * 5000).status == 200
        refused = face.request("PUT", path, b"x" * 8000)
        assert (refused.status, refused.json()["OrthancStatus"]) == (507, 19)
        assert len(face.get(f"{path}/data").body) == 5000


def test_exports(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        assert face.json("/exports") == {"Exports": [], "Done": True, "Last": 0}
        stored = face.upload(make_instance())
        series = stored["ParentSeries"]
        for remote in ("b", "c"):
            face.rooms.index.write(lambda tx, to=remote: exports.add(tx, Level.SERIES, series, to))
        log = face.json("/exports?limit=1")
        assert (log["Done"], log["Last"]) == (False, 1)
        (line,) = log["Exports"]
        assert len(line.pop("Date")) == 15
        tags = face.json(f"/series/{series}")["MainDicomTags"]
        study = face.json(f"/series/{series}/study")["MainDicomTags"]
        assert line == {
            "Seq": 1,
            "ID": series,
            "Path": f"/series/{series}",
            "ResourceType": "Series",
            "RemoteModality": "b",
            "PatientID": "PATIENT1",
            "StudyInstanceUID": study["StudyInstanceUID"],
            "SeriesInstanceUID": tags["SeriesInstanceUID"],
        }
        assert [one["Seq"] for one in face.json("/exports?since=1")["Exports"]] == [2]
        assert [one["Seq"] for one in face.json("/exports?last")["Exports"]] == [2]
        assert face.json("/exports?limit=-1") == {"Exports": [], "Done": True, "Last": 2}
        assert face.request("DELETE", "/exports").status == 200
        assert face.json("/exports") == {"Exports": [], "Done": True, "Last": 0}


def test_what_was_unstable_at_a_stop_becomes_stable_after_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path) as face:
        study = face.upload(make_instance())["ParentStudy"]
        assert face.json(f"/studies/{study}")["IsStable"] is False
    later = clock.timestamp() + 3600
    monkeypatch.setattr(clock, "timestamp", lambda: later)

    def stable() -> list[str]:
        found = face.json("/changes?type=StableSeries;StableStudy;StablePatient")["Changes"]
        return [one["ChangeType"] for one in found]

    for _ in range(2):  # announced once, whatever the number of starts
        with serving(tmp_path) as face:
            housekeeping.mark_stable(face.rooms.index, 60)
            assert stable() == ["StableSeries", "StableStudy", "StablePatient"]
            assert face.json(f"/studies/{study}")["IsStable"] is True
    monkeypatch.undo()
    with serving(tmp_path) as face:
        face.upload(make_instance(number=2))
        assert face.json(f"/studies/{study}")["IsStable"] is False
        monkeypatch.setattr(clock, "timestamp", lambda: later)
        housekeeping.mark_stable(face.rooms.index, 60)
        assert stable() == ["StableSeries", "StableStudy", "StablePatient"] * 2
