"""pyorthanc, as its users call it, drives a running Wherry."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom
import pytest

from tests.support.dicom_files import make_instance
from tests.support.server import Server, running

with warnings.catch_warnings(action="ignore"):
    import pyorthanc

UID = "1.2.826.0.1.3680043.10.1234"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = {
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"alice": "wonder"},
        "UserMetadata": {"my-meta": 4321},
        "UserContentType": {"my-att": [4400, "text/plain"]},
    }
    with running(AuthorisedServer(tmp_path_factory.mktemp("wherry"), config)) as started:
        yield started


class AuthorisedServer(Server):
    """Answers its own readiness check with 401: that is ready enough."""

    def get(self, path: str) -> tuple[int, bytes]:
        status, body = super().get(path)
        return (200 if status == 401 else status), body


@pytest.fixture
def client(server: Server) -> Iterator[pyorthanc.Orthanc]:
    found = pyorthanc.Orthanc(server.url, "alice", "wonder")
    for patient in found.get_patients():
        found.delete_patients_id(patient)
    yield found
    found.close()


def fill(client: pyorthanc.Orthanc) -> None:
    for study, patient in ((1, "PATIENT1"), (2, "PATIENT2")):
        for number in (1, 2, 3):
            client.post_instances(make_instance(study, 1, number, patient_id=patient))


def test_upload_of_a_folder(client: pyorthanc.Orthanc, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.dcm").write_bytes(make_instance(1, 1, 1))
    (tmp_path / "deep" / "b.dcm").write_bytes(make_instance(1, 1, 2))
    uploaded = pyorthanc.upload(client, tmp_path, recursive=True, check_before_upload=True)
    assert {one.uid for one in uploaded} == {f"{UID}.1.1.1", f"{UID}.1.1.2"}
    again = pyorthanc.upload(client, tmp_path, recursive=True, check_before_upload=True)
    assert {one.id_ for one in again} == {one.id_ for one in uploaded}


def test_browsing(client: pyorthanc.Orthanc) -> None:
    fill(client)
    patients = {patient.patient_id: patient for patient in pyorthanc.find_patients(client)}
    assert set(patients) == {"PATIENT1", "PATIENT2"}
    patient = patients["PATIENT1"]
    assert (patient.name, patient.sex, patient.birth_date.year) == ("Doe^Jane", "F", 1970)
    assert patient.is_stable is False
    assert patient.get_patient_module(simplify=True)["PatientID"] == "PATIENT1"
    (study,) = patient.studies
    assert study.uid == f"{UID}.1"
    assert study.date.isoformat() == "2026-01-02T10:11:12"
    assert study.accession_number == "ACC1"
    assert study.patient_information["PatientID"] == "PATIENT1"
    assert study.shared_tags
    (series,) = study.series
    assert (series.modality, series.series_number) == ("CT", 1)
    assert series.parent_study.id_ == study.id_
    instances = sorted(series.instances, key=lambda one: one.instance_number)
    assert [one.instance_number for one in instances] == [1, 2, 3]
    one = instances[0]
    assert one.parent_series.id_ == series.id_
    assert one.parent_study.id_ == study.id_
    assert one.parent_patient.id_ == patient.id_
    assert one.simplified_tags["PatientName"] == "Doe^Jane"
    assert one.tags["0010,0010"]["Value"] == "Doe^Jane"
    assert one.get_content_by_tag("0010-0010").strip() == "Doe^Jane"
    assert one.file_size == len(make_instance(1, 1, 1))


def test_finding(client: pyorthanc.Orthanc) -> None:
    fill(client)
    (study,) = pyorthanc.find_studies(client, {"PatientID": "PATIENT2"})
    assert study.patient_information["PatientID"] == "PATIENT2"
    assert len(pyorthanc.find_series(client, {"Modality": "C*"})) == 2
    found = pyorthanc.find_instances(client, {"StudyDate": "20260101-20260131"})
    assert len(found) == 6
    assert not pyorthanc.find_instances(client, {"StudyDate": "-20250101", "PatientID": "P*"})


def test_labels_and_protection(client: pyorthanc.Orthanc) -> None:
    fill(client)
    (study,) = pyorthanc.find_studies(client, {"PatientID": "PATIENT1"})
    study.add_label("urgent")
    study.add_label("teaching")
    assert sorted(study.labels) == ["teaching", "urgent"]
    (found,) = pyorthanc.find_studies(client, labels=["urgent"])
    assert found.id_ == study.id_
    (other,) = pyorthanc.find_studies(client, labels=["urgent"], labels_constraint="None")
    assert other.id_ != study.id_
    study.remove_label("urgent")
    assert study.labels == ["teaching"]
    patient = study.parent_patient
    assert patient.protected is False
    patient.protected = True
    assert patient.protected is True
    patient.protected = False
    assert patient.protected is False


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pyorthanc towards httpx
def test_metadata_and_attachments(client: pyorthanc.Orthanc) -> None:
    fill(client)
    (study,) = pyorthanc.find_studies(client, {"PatientID": "PATIENT1"})
    client.put_studies_id_metadata_name(study.id_, "my-meta", data="à la carte".encode())
    assert client.get_studies_id_metadata_name(study.id_, "my-meta") == "à la carte"
    assert "my-meta" in client.get_studies_id_metadata(study.id_)
    client.delete_studies_id_metadata_name(study.id_, "my-meta")
    with pytest.raises(httpx.HTTPError):
        client.get_studies_id_metadata_name(study.id_, "my-meta")
    client.put_studies_id_attachments_name(study.id_, "my-att", content=b"a report")
    assert client.get_studies_id_attachments_name_data(study.id_, "my-att") == "a report"
    client.delete_studies_id_attachments_name(study.id_, "my-att")
    assert client.get_studies_id_attachments(study.id_) == []


def test_changes_and_statistics(client: pyorthanc.Orthanc) -> None:
    before = client.get_changes({"last": ""})["Last"]
    fill(client)
    changes = client.get_changes({"since": before, "limit": 1000})
    kinds = [change["ChangeType"] for change in changes["Changes"]]
    assert kinds.count("NewInstance") == 6
    assert kinds.count("NewStudy") == 2
    assert changes["Done"] is True
    assert client.get_statistics()["CountInstances"] == 6
    assert client.get_system()["ApiVersion"] == 31


def test_download_and_deletion(client: pyorthanc.Orthanc, tmp_path: Path) -> None:
    fill(client)
    (series,) = pyorthanc.find_series(client, {"PatientID": "PATIENT1"})
    one = min(series.instances, key=lambda each: each.instance_number)
    assert one.get_dicom_file_content() == make_instance(1, 1, 1)
    target = tmp_path / "one.dcm"
    one.download(str(target))
    assert target.read_bytes() == make_instance(1, 1, 1)
    ds: pydicom.Dataset = one.get_pydicom()
    assert ds.SOPInstanceUID == one.uid
    buffer = io.BytesIO()
    one.download(buffer)
    assert buffer.getvalue() == make_instance(1, 1, 1)
    client.delete_instances_id(one.id_)
    assert len(client.get_series_id(series.id_)["Instances"]) == 2
    client.delete_patients_id(series.parent_patient.id_)
    assert len(client.get_patients()) == 1
    with pytest.raises(httpx.HTTPError):
        client.get_series_id(series.id_)


def test_wrong_password(server: Server) -> None:
    with (
        pyorthanc.Orthanc(server.url, "alice", "wrong") as stranger,
        pytest.raises(httpx.HTTPError),
    ):
        stranger.get_patients()


def test_modify_and_anonymize(client: pyorthanc.Orthanc) -> None:
    fill(client)
    [study] = pyorthanc.find_studies(client, query={"PatientID": "PATIENT1"})
    modified = study.modify(
        replace={"StudyDescription": "new"}, remove=["AccessionNumber"], keep_source=True
    )
    assert modified.id_ != study.id_
    assert modified.description == "new"
    assert modified.get_main_information()["ModifiedFrom"] == study.id_
    assert sum(len(one.instances) for one in modified.series) == 3

    kept = study.modify(replace={"StudyInstanceUID": "1.2.3.4"}, force=True, keep_source=False)
    assert kept.uid == "1.2.3.4"
    assert study.id_ not in client.get_studies()

    anonymized = kept.anonymize(replace={"PatientName": "No^One"}, keep=["StudyDescription"])
    assert anonymized.get_main_information()["AnonymizedFrom"] == kept.id_
    assert anonymized.parent_patient.name == "No^One"
    assert anonymized.description == "A study"

    [series] = anonymized.series
    job = series.anonymize_as_job(keep_source=False)
    job.wait_until_completion()
    assert job.state.value == "Success"
    assert series.id_ not in client.get_series()


def test_modify_a_patient(client: pyorthanc.Orthanc) -> None:
    fill(client)
    [patient] = pyorthanc.find_patients(client, query={"PatientID": "PATIENT2"})
    modified = patient.modify(
        replace={"PatientID": "NEW", "PatientName": "New^Name"}, force=True, keep_source=False
    )
    assert (modified.patient_id, modified.name) == ("NEW", "New^Name")
    assert {one.patient_id for one in pyorthanc.find_patients(client)} == {"PATIENT1", "NEW"}


def test_split_and_merge(client: pyorthanc.Orthanc) -> None:
    fill(client)
    [study] = pyorthanc.find_studies(client, query={"PatientID": "PATIENT1"})
    [series] = study.series
    split = client.post_studies_id_split(
        study.id_, {"Instances": [series.instances[0].id_], "KeepSource": True}
    )
    target = split["TargetStudy"]
    merged = client.post_studies_id_merge(target, {"Resources": [series.id_]})
    assert (merged["TargetStudy"], merged["InstancesCount"]) == (target, 3)
    assert study.id_ not in client.get_studies()
    assert client.get_studies_id_statistics(target)["CountInstances"] == 4
