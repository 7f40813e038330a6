"""Routes that modify, anonymize, split and merge: what needs no genuine Orthanc to be told right
(``tests/interop/test_editing_jobs_against_orthanc.py`` has the rest)."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from tests.support.jobs import eventually
from wherry.dicom.editing.rules import Rules, rules_of
from wherry.rest import editing, modification, regrouping


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    with serving(tmp_path_factory.mktemp("wherry")) as face:
        yield face


@pytest.fixture
def face(running: Face) -> Face:
    for patient in running.json("/patients"):
        running.request("DELETE", f"/patients/{patient}")
    return running


JPEG_BASELINE, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"


def sample(name: str) -> bytes:
    return Path(str(get_testdata_file(name))).read_bytes()


def post(face: Face, path: str, body: Any, status: int = 200) -> Any:
    reply = face.post_json(path, body)
    assert reply.status == status, reply.body
    return reply.json()


def file_of(face: Face, instance: str) -> Dataset:
    return pydicom.dcmread(io.BytesIO(face.get(f"/instances/{instance}/file").body))


def test_who_asked(face: Face) -> None:
    stored = face.upload(make_instance())
    post(face, f"/series/{stored['ParentSeries']}/modify", {})
    [instance] = set(face.json("/instances")) - {stored["ID"]}
    metadata = face.json(f"/instances/{instance}/metadata?expand")
    assert (metadata["Origin"], metadata["RemoteIP"]) == ("RestApi", "127.0.0.1")
    assert metadata["ModifiedFrom"] == stored["ID"]


def test_a_study_is_no_series(face: Face) -> None:
    stored = face.upload(make_instance())
    post(face, f"/series/{stored['ParentStudy']}/modify", {}, 404)


def transfer_syntaxes(face: Face, series: str) -> set[str]:
    ids = face.json(f"/series/{series}")["Instances"]
    return {face.get(f"/instances/{one}/metadata/TransferSyntax").body.decode() for one in ids}


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", JPEG_LOSSLESS, JPEG_BASELINE])
def test_transcoding(face: Face, syntax: str) -> None:
    stored = face.upload(sample("examples_rgb_color.dcm"))
    made = post(face, f"/series/{stored['ParentSeries']}/modify", {"Transcode": syntax})
    assert made["Transcode"] == syntax
    assert transfer_syntaxes(face, made["ID"]) == {syntax}
    [one] = face.json(f"/series/{made['ID']}")["Instances"]
    pixels = (face.get(f"/instances/{name}/preview").body for name in (stored["ID"], one))
    assert (len(set(pixels)) == 1) == (syntax != JPEG_BASELINE)


def test_references_to_what_is_transcoded(face: Face) -> None:
    """As in Orthanc, an image that loses something keeps the identifier of its modification, which
    is a new one already: others of the study refer to it."""
    image = pydicom.dcmread(io.BytesIO(sample("examples_rgb_color.dcm")))
    item = Dataset()
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    face.upload(sample("examples_rgb_color.dcm"))
    referring = make_instance(
        StudyInstanceUID=image.StudyInstanceUID,
        patient_id=image.PatientID,
        ReferencedImageSequence=[item],
    )
    study = face.upload(referring)["ParentStudy"]
    made = post(face, f"/studies/{study}/anonymize", {"Transcode": JPEG_BASELINE})
    ids = [one["ID"] for one in face.json(f"/studies/{made['ID']}/instances")]
    found = {one.file_meta.TransferSyntaxUID: one for one in (file_of(face, id) for id in ids)}
    made_image = found.pop(JPEG_BASELINE)
    assert "SourceImageSequence" not in made_image
    [other] = found.values()
    assert other.ReferencedImageSequence[0].ReferencedSOPInstanceUID == made_image.SOPInstanceUID


def test_what_cannot_be_transcoded_is_taken_as_it_is(face: Face) -> None:
    """16 bits do not fit into JPEG with loss; as Orthanc."""
    stored = face.upload(sample("CT_small.dcm"))
    made = post(face, f"/series/{stored['ParentSeries']}/modify", {"Transcode": JPEG_BASELINE})
    assert transfer_syntaxes(face, made["ID"]) == {"1.2.840.10008.1.2.1"}


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [("LossyQuality", "x", 15), ("LossyQuality", 101, 3), ("KeepLabels", 1, 15), ("Level", 1, 15)],
)
def test_fields_of_a_wrong_kind(face: Face, field: str, value: Any, code: int) -> None:
    stored = face.upload(make_instance())
    body = {"Resources": [stored["ID"]], field: value}
    assert post(face, "/tools/bulk-modify", body, 400)["OrthancStatus"] == code


def test_names_are_numbered(face: Face) -> None:
    stored = face.upload(make_instance())
    names = set()
    for _ in range(2):
        answer = post(face, f"/patients/{stored['ParentPatient']}/anonymize", {})
        patient = face.json(f"/patients/{answer['ID']}")
        names.add(patient["MainDicomTags"]["PatientName"])
        assert patient["AnonymizedFrom"] == stored["ParentPatient"]
    assert len(names) == 2
    assert all(name.startswith("Anonymized") for name in names)


def test_references_are_kept_within_a_job(face: Face) -> None:
    first = make_instance(number=1)
    item = Dataset()
    item.ReferencedSOPInstanceUID = pydicom.dcmread(io.BytesIO(first)).SOPInstanceUID
    stored = face.upload(first)
    face.upload(make_instance(number=2, ReferencedImageSequence=[item]))
    answer = post(face, f"/studies/{stored['ParentStudy']}/anonymize", {"KeepSource": False})
    found = {
        int(one.InstanceNumber): one
        for one in (file_of(face, each) for each in face.json("/instances"))
    }
    assert answer["InstancesCount"] == len(found) == 2
    [reference] = found[2].ReferencedImageSequence
    assert reference.ReferencedSOPInstanceUID == found[1].SOPInstanceUID


def test_a_merge_takes_over_sequences_and_texts(face: Face) -> None:
    def code(value: str) -> list[Dataset]:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "L", "é"
        return [item]

    target = face.upload(
        make_instance(
            1,
            SpecificCharacterSet="ISO_IR 192",
            PatientName="Ωmega^é",
            PatientComments="Ω" * 3000,
            ProcedureCodeSequence=code("1"),
        )
    )
    source = face.upload(
        make_instance(
            2,
            patient_id="OTHER",
            SpecificCharacterSet="ISO_IR 100",
            InstitutionName="Spä",
            StudyID="gone",
            ProcedureCodeSequence=code("2"),
        )
    )
    path = f"/studies/{target['ParentStudy']}/merge"
    answer = post(face, path, {"Resources": [source["ID"]]})
    assert answer["TargetStudy"] == target["ParentStudy"]
    assert face.json("/studies") == [target["ParentStudy"]]
    [instance] = set(face.json("/instances")) - {target["ID"]}
    merged = file_of(face, instance)
    assert (merged.PatientID, str(merged.PatientName)) == ("PATIENT1", "Ωmega^é")
    assert merged.PatientComments == "Ω" * 3000
    assert merged.ProcedureCodeSequence[0].CodeValue == "1"
    assert merged.InstitutionName == "Spä"  # of neither module
    assert "StudyID" not in merged


def test_a_split_without_an_identifier(face: Face) -> None:
    stored = face.upload(make_instance())
    path = f"/studies/{stored['ParentStudy']}/split"
    answer = post(face, path, {"Series": [stored["ParentSeries"]], "Remove": ["PatientID"]})
    study = face.json(f"/studies/{answer['TargetStudy']}")
    assert study["MainDicomTags"]["StudyInstanceUID"] == answer["TargetStudyUID"]
    assert study["PatientMainDicomTags"]["PatientID"] == ""
    assert face.json("/studies") == [answer["TargetStudy"]]


def test_a_job_that_is_told_later(face: Face) -> None:
    stored = face.upload(make_instance())
    path = f"/studies/{stored['ParentStudy']}/modify"
    answer = post(face, path, {"Asynchronous": True, "Priority": 4, "UserData": [1]})
    eventually(lambda: face.json(answer["Path"])["State"] == "Success", "the end of the job")
    job = face.json(answer["Path"])
    assert (job["Type"], job["Priority"], job["UserData"]) == ("ResourceModification", 4, [1])
    assert job["Content"]["ID"] in face.json("/studies")


def test_long_rules_hold_nobody_up(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of 4 MB has 190,000 values to be tried: a second, but not of the event loop."""
    stored = face.upload(make_instance())
    study, one = f"/studies/{stored['ParentStudy']}", [stored["ID"]]
    on_loop: list[bool] = []

    def watched(*args: Any, **options: Any) -> Rules:
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            on_loop.append(True)
        on_loop.append(False)
        return rules_of(*args, **options)

    for module in (modification, regrouping, editing):
        monkeypatch.setattr(module, "rules_of", watched)
    for path, body in (
        (f"{study}/modify", {}),
        (f"{study}/anonymize", {}),
        ("/tools/bulk-modify", {"Resources": one}),
        (f"{study}/split", {"Instances": one, "KeepSource": True}),
        (f"/instances/{one[0]}/modify", {}),
    ):
        assert face.post_json(path, body).status == 200
    assert on_loop == [False] * 5
