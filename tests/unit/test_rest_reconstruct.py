"""``ExtraMainDicomTags``, and describing anew what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry.dicom import extra, scan
from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.model import Level

EXTRA = {
    Level.PATIENT: ("0010,21b0",),  # AdditionalPatientHistory
    Level.STUDY: ("0008,1110", "0010,4000"),  # ReferencedStudySequence, PatientComments
    Level.SERIES: ("0008,1030",),  # StudyDescription, of the level above
    Level.INSTANCE: ("0008,0005", "0008,0016", "0028,0010"),  # …, SOPClassUID, Rows
}


@pytest.fixture(autouse=True)
def forgetful() -> Any:
    yield
    scan.look_for(extra.Extra())


def referenced(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPInstanceUID = uid
    return item


def instance(number: int = 1, **more: Any) -> bytes:
    return make_instance(
        number=number,
        AdditionalPatientHistory="a story",
        PatientComments="none",
        ReferencedStudySequence=[referenced("1.2.3")],
        Rows=16,
        **more,
    )


def shown(face: Face, level: Level, question: str = "") -> dict[str, Any]:
    (found,) = face.json(f"/{level.plural}?expand{question}")
    tags: dict[str, Any] = found["MainDicomTags"]
    return tags


def test_extra_tags_are_kept_and_shown_at_their_level(tmp_path: Path) -> None:
    with serving(tmp_path, extra_main_dicom_tags=EXTRA) as face:
        stored = face.upload(instance())
        assert shown(face, Level.PATIENT)["AdditionalPatientHistory"] == "a story"
        study = shown(face, Level.STUDY)
        assert study["PatientComments"] == "none"
        assert study["ReferencedStudySequence"] == [{"ReferencedSOPInstanceUID": "1.2.3"}]
        assert shown(face, Level.STUDY, "&short")["0008,1110"] == [{"0008,1155": "1.2.3"}]
        full = shown(face, Level.STUDY, "&full")["0008,1110"]
        assert full["Type"] == "Sequence"
        assert full["Value"][0]["0008,1155"]["Value"] == "1.2.3"
        assert shown(face, Level.SERIES)["StudyDescription"] == "A study"
        slice_ = shown(face, Level.INSTANCE)
        assert slice_["Rows"] == "16"
        assert slice_["SOPClassUID"] == "1.2.840.10008.5.1.4.1.1.2"
        system = face.json("/system")["MainDicomTags"]
        for level in Level:
            path = f"/{level.plural}/{stored['ID' if level == 4 else f'Parent{level.title}']}"
            signature = face.get(f"{path}/metadata/MainDicomTagsSignature").body.decode()
            assert signature == system[level.title]
            assert set(signature.split(";")) == {*MAIN_DICOM_TAGS[level], *EXTRA[level]}


def test_a_store_without_extra_tags_knows_only_the_main_ones(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        face.upload(instance())
        assert "PatientComments" not in shown(face, Level.STUDY)
        assert face.json("/system")["MainDicomTags"]["Patient"] == (
            "0010,0010;0010,0020;0010,0030;0010,0040;0010,1000"
        )


def test_a_long_extra_tag_is_left_out_and_the_file_is_kept(tmp_path: Path) -> None:
    tags = {Level.INSTANCE: ("0040,a160", "0042,0011")}  # TextValue, EncapsulatedDocument
    with serving(tmp_path, extra_main_dicom_tags=tags) as face:
        long = make_instance(TextValue="x" * 100_000, EncapsulatedDocument=b"1" * 70_000)
        face.upload(long)
        assert "TextValue" not in shown(face, Level.INSTANCE)
        assert "EncapsulatedDocument" not in shown(face, Level.INSTANCE)


def test_a_long_sequence_is_left_out(tmp_path: Path) -> None:
    tags = {Level.STUDY: ("0008,1110", "0008,1032")}
    with serving(tmp_path, extra_main_dicom_tags=tags) as face:
        many = [referenced(f"1.2.840.{number}") for number in range(5000)]
        face.upload(make_instance(ReferencedStudySequence=many, ProcedureCodeSequence=many[:3]))
        found = shown(face, Level.STUDY)
        assert "ReferencedStudySequence" not in found
        assert len(found["ProcedureCodeSequence"]) == 3


@pytest.mark.parametrize("way", ["everything", "Patient", "Study", "Series", "Instance"])
def test_reconstruction_finds_what_was_not_kept(tmp_path: Path, way: str) -> None:
    with serving(tmp_path) as face:
        stored = face.upload(instance())
        study = f"/studies/{stored['ParentStudy']}"
        face.request("PUT", f"{study}/metadata/1024", b"kept")
        face.request("PUT", f"{study}/labels/kept")
        before = face.json("/instances?expand"), face.json("/changes")
    with serving(tmp_path, extra_main_dicom_tags=EXTRA) as face:
        assert "PatientComments" not in shown(face, Level.STUDY)
        key = {"Instance": "ID"}.get(way, f"Parent{way}")
        level = {"Study": "studies", "everything": ""}.get(way, f"{way.lower()}s").replace(
            "ss", "s"
        )
        level = "series" if way == "Series" else level
        path = "/tools" if way == "everything" else f"/{level}/{stored[key]}"
        reply = face.request("POST", f"{path}/reconstruct")
        assert (reply.status, reply.body) == (200, b"")
        assert shown(face, Level.PATIENT)["AdditionalPatientHistory"] == "a story"
        assert shown(face, Level.STUDY)["PatientComments"] == "none"
        assert shown(face, Level.INSTANCE)["Rows"] == "16"
        assert face.get(f"{study}/metadata/1024").body == b"kept"
        assert face.json(f"{study}/labels") == ["kept"]
        assert b"0010,4000" in face.get(f"{study}/metadata/MainDicomTagsSignature").body
        after = face.json("/instances?expand")
        assert face.json("/changes") == before[1]
        assert [one["FileUuid"] for one in after] == [one["FileUuid"] for one in before[0]]
    with serving(tmp_path) as face:
        assert face.request("POST", "/tools/reconstruct", b"{}").status == 200
        assert "PatientComments" not in shown(face, Level.STUDY)
        assert face.get(f"{study}/metadata/MainDicomTagsSignature").status == 404


def test_the_resource_that_is_reconstructed_describes_its_parents(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        first = face.upload(make_instance(number=1, StudyDescription="first"))
        second = face.upload(make_instance(number=2, StudyDescription="second"))
        assert shown(face, Level.STUDY)["StudyDescription"] == "first"
        assert face.request("POST", f"/instances/{second['ID']}/reconstruct").status == 200
        assert shown(face, Level.STUDY)["StudyDescription"] == "second"
        query = {"Level": "Study", "Query": {"StudyDescription": "second"}}
        assert len(face.post_json("/tools/find", query).json()) == 1
        series = f"/series/{first['ParentSeries']}/reconstruct"
        only = face.post_json(series, {"LimitToThisLevelMainDicomTags": True})
        assert only.status == 200
        assert shown(face, Level.STUDY)["StudyDescription"] == "second"
        assert face.request("POST", series, b'{"ReconstructFiles": true}').status == 200
        assert shown(face, Level.STUDY)["StudyDescription"] == "first"


def test_portions_do_not_describe_a_parent_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.limits.RECONSTRUCTED_AT_ONCE", 2)
    with serving(tmp_path) as face:
        for number in range(1, 8):
            face.upload(make_instance(number=number, StudyDescription=str(number)))
        face.request("POST", "/tools/reconstruct")
        assert shown(face, Level.STUDY)["StudyDescription"] == "1"
        assert face.json("/statistics")["CountInstances"] == 7


def test_a_file_that_is_another_instance_changes_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        stored = face.upload(instance(StudyDescription="before"))
        (name,) = face.files()
        (file,) = (path for path in tmp_path.rglob(name) if path.is_file())
        file.write_bytes(instance(2, StudyDescription="after"))
        reply = face.request("POST", f"/studies/{stored['ParentStudy']}/reconstruct")
        assert (reply.status, reply.json()["OrthancStatus"]) == (500, 20)
        assert shown(face, Level.STUDY)["StudyDescription"] == "before"
        file.unlink()
        reply = face.request("POST", f"/studies/{stored['ParentStudy']}/reconstruct")
        assert (reply.status, reply.json()["OrthancStatus"]) == (500, 2006)


def test_what_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        study = face.upload(make_instance())["ParentStudy"]
        for level in Level:
            reply = face.request("POST", f"/{level.plural}/nope/reconstruct")
            assert (reply.status, reply.json()["OrthancStatus"]) == (404, 17)
        for body in (b"[]", b"1", b"{"):
            assert face.request("POST", f"/studies/{study}/reconstruct", body).status == 400
        wrong = face.post_json(f"/studies/{study}/reconstruct", {"ReconstructFiles": "yes"})
        assert wrong.status == 400
