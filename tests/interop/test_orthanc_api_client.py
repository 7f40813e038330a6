"""orthanc-api-client, as its users call it, drives a running Wherry."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from orthanc_api_client import LabelsConstraint, LogLevel, OrthancApiClient, exceptions

from tests.support.dicom_files import make_instance
from tests.support.server import Server, running

UID = "1.2.826.0.1.3680043.10.1234"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = {
        "UserMetadata": {"my-meta": 4321},
        "UserContentType": {"my-att": [4400, "text/plain"]},
        "CheckRevisions": True,
    }
    with running(Server(tmp_path_factory.mktemp("wherry"), config)) as started:
        yield started


@pytest.fixture
def client(server: Server) -> OrthancApiClient:
    found = OrthancApiClient(server.url)
    found.delete_all_content()
    return found


def fill(client: OrthancApiClient) -> list[str]:
    found = []
    for study, patient in ((1, "PATIENT1"), (2, "PATIENT2")):
        for number in (1, 2, 3):
            found += client.upload(make_instance(study, 1, number, patient_id=patient))
    return found


def test_upload(client: OrthancApiClient, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(make_instance(1, 1, 1))
    (tmp_path / "deep" / "b.dcm").write_bytes(make_instance(1, 1, 2))
    (tmp_path / "notes.txt").write_text("no DICOM here")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x/1.dcm", make_instance(2, 1, 1))
        archive.writestr("x/2.dcm", make_instance(2, 1, 2))
    (tmp_path / "study.zip").write_bytes(buffer.getvalue())
    assert len(client.upload_folder(str(tmp_path), ignore_errors=True)) == 4
    with pytest.raises(exceptions.BadFileFormat):
        client.upload(b"no DICOM here")
    studies, orthanc_ids, rejected = client.upload_folder_return_details(str(tmp_path))
    assert studies == {f"{UID}.1", f"{UID}.2"}
    assert orthanc_ids == set(client.studies.get_all_ids())
    assert [Path(name).name for name, _ in rejected] == ["notes.txt"]


def test_system(client: OrthancApiClient) -> None:
    assert client.is_alive()
    assert client.is_orthanc_version_at_least(1, 13, 0)
    assert client.has_loaded_plugin("transfers")
    assert client.capabilities.has_extended_find
    assert client.capabilities.has_extended_changes
    assert client.capabilities.has_label_support
    assert client.capabilities.has_revision_support
    fill(client)
    assert client.get_statistics().instances_count == 6
    assert client.get_metrics().get("orthanc_count_instances") == "6"
    assert client.set_log_level(LogLevel.VERBOSE) is LogLevel.VERBOSE
    assert client.set_log_level(LogLevel.DEFAULT) is LogLevel.DEFAULT


def test_browsing(client: OrthancApiClient) -> None:
    ids = fill(client)
    study_id = client.studies.lookup(f"{UID}.1")
    assert study_id
    study = client.studies.get(study_id)
    assert study.dicom_id == f"{UID}.1"
    assert study.main_dicom_tags.get("StudyDescription") == "A study"
    assert study.patient_main_dicom_tags.get("PatientID") == "PATIENT1"
    assert study.statistics.instances_count == 3
    assert study.last_update
    assert not study.is_stable
    (series,) = study.series
    assert series.main_dicom_tags.get("Modality") == "CT"
    assert client.studies.get_modalities(study_id) == {"CT"}
    assert sorted(client.studies.get_instances_ids(study_id)) == sorted(ids[:3])
    found = client.studies.get_instances(study_id)
    assert sorted(one.orthanc_id for one in found) == sorted(ids[:3])
    assert client.instances.get_parent_study_id(ids[0]) == study_id
    assert client.instances.get_tags(ids[0])["PatientName"] == "Doe^Jane"
    assert client.instances.get_metadata(ids[0])["Origin"] == "RestApi"
    assert client.instances.get_file(ids[0]) == make_instance(1, 1, 1)
    assert client.series.get_ordered_instances_ids(series.orthanc_id) == ids[:3]


def test_find(client: OrthancApiClient) -> None:
    fill(client)
    by_date = {"StudyDate": "20260101-20260131"}
    order = [{"Type": "DicomTag", "Key": "PatientID", "Direction": "DESC"}]
    found = client.studies.find(by_date, order_by=order, requested_tags=["ModalitiesInStudy"])
    patients = [study.patient_main_dicom_tags.get("PatientID") for study in found]
    assert patients == ["PATIENT2", "PATIENT1"]
    assert found[0].requested_tags.get("ModalitiesInStudy") == "CT"
    page = client.studies.find({"PatientID": "P*"}, limit=1, since=1, order_by=order)
    assert [study.patient_main_dicom_tags.get("PatientID") for study in page] == ["PATIENT1"]
    assert not client.studies.find({"PatientName": "doe*"}, case_sensitive=True)


def test_labels(client: OrthancApiClient) -> None:
    fill(client)
    first, second = (client.studies.lookup(f"{UID}.{number}") for number in (1, 2))
    client.studies.add_labels(first, ["urgent", "teaching"])
    client.studies.add_label(second, "urgent")
    assert sorted(client.studies.get_labels(first)) == ["teaching", "urgent"]
    assert sorted(client.get_all_labels()) == ["teaching", "urgent"]

    def found(constraint: LabelsConstraint) -> set[str]:
        labels = ["urgent", "teaching"]
        studies = client.studies.find({}, labels=labels, labels_constraint=constraint)
        return {study.orthanc_id for study in studies}

    assert found(LabelsConstraint.ALL) == {first}
    assert found(LabelsConstraint.ANY) == {first, second}
    assert found(LabelsConstraint.NONE) == set()
    client.studies.delete_label(first, "urgent")
    assert client.studies.get_labels(first) == ["teaching"]


def test_metadata_revisions(client: OrthancApiClient) -> None:
    ids = fill(client)
    client.instances.set_string_metadata(ids[0], "my-meta", "one")
    text, revision = client.instances.get_string_metadata_with_revision(ids[0], "my-meta")
    assert text == "one"
    client.instances.set_string_metadata(ids[0], "my-meta", "two", match_revision=revision)
    with pytest.raises(exceptions.Conflict):
        client.instances.set_string_metadata(ids[0], "my-meta", "three", match_revision=revision)
    assert client.instances.get_string_metadata(ids[0], "my-meta") == "two"
    assert client.instances.has_metadata(ids[0], "my-meta")
    assert client.instances.get_string_metadata(ids[1], "my-meta", "none") == "none"


def test_attachment_revisions(client: OrthancApiClient) -> None:
    ids = fill(client)
    client.instances.set_attachment(ids[0], "my-att", "one")
    content, revision = client.instances.get_attachment_with_revision(ids[0], "my-att")
    assert content == b"one"
    client.instances.set_attachment(ids[0], "my-att", "two", match_revision=revision)
    with pytest.raises(exceptions.Conflict):
        client.instances.set_attachment(ids[0], "my-att", "three", match_revision=revision)
    assert client.instances.get_attachment(ids[0], "my-att") == b"two"


def test_changes_and_deletion(client: OrthancApiClient) -> None:
    ids = fill(client)
    changes, last, _ = client.get_changes(since=0, limit=10_000)
    assert changes[-1].sequence_id == last
    assert {change.resource_id for change in changes} >= set(ids)
    client.instances.delete(ids[0])
    with pytest.raises(exceptions.ResourceNotFound):
        client.instances.delete(ids[0])
    client.instances.delete(ids[0], ignore_errors=True)
    assert len(client.patients.get_all_ids()) == 2
    client.delete_all_content()
    assert client.patients.get_all_ids() == []


def test_modify_and_anonymize(client: OrthancApiClient) -> None:
    fill(client)
    study = client.studies.lookup(f"{UID}.1")
    assert study is not None
    new = client.studies.modify(
        study, replace_tags={"StudyDescription": "new"}, delete_original=False
    )
    assert client.studies.get_tags(new)["StudyDescription"] == "new"
    assert set(client.studies.get_all_ids()) > {study, new}

    anonymized = client.studies.anonymize(
        study, replace_tags={"PatientName": "No^One"}, keep_tags=["StudyDescription"]
    )
    assert study not in client.studies.get_all_ids()
    tags = client.studies.get_tags(anonymized)
    assert (tags["PatientName"], tags["StudyDescription"]) == ("No^One", "A study")


def test_modify_in_place(client: OrthancApiClient) -> None:
    """Same identifiers, other values."""
    fill(client)
    study = client.studies.lookup(f"{UID}.1")
    assert study is not None
    instances = set(client.instances.get_all_ids())
    again = client.studies.modify(
        study,
        replace_tags={"StudyDescription": "new"},
        keep_tags=["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"],
        delete_original=False,
        force=True,
    )
    assert again == study
    assert set(client.instances.get_all_ids()) == instances
    assert client.studies.get_tags(study)["StudyDescription"] == "new"
    assert client.studies.get(study).main_dicom_tags["StudyDescription"] == "new"


def test_many_at_once(client: OrthancApiClient) -> None:
    fill(client)
    studies = client.studies.get_all_ids()
    modified = client.studies.modify_bulk(
        studies, replace_tags={"InstitutionName": "X"}, delete_original=True
    )
    assert [len(ids) for ids in modified] == [6, 2, 2, 2]
    assert set(client.instances.get_all_ids()) == set(modified[0])
    anonymized = client.studies.anonymize_bulk(client.studies.get_all_ids())
    assert len(anonymized[0]) == 6
    assert client.get_statistics().instances_count == 12


def test_merge(client: OrthancApiClient) -> None:
    fill(client)
    first, second = (client.studies.lookup(f"{UID}.{number}") for number in (1, 2))
    assert first is not None and second is not None
    series = client.studies.get_series_ids(second)
    client.studies.merge(first, source_series_id=series, keep_source=False)
    assert client.studies.get_all_ids() == [first]
    assert len(client.studies.get_series_ids(first)) == 2
