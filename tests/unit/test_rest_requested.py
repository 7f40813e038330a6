"""What clients ask for beyond the usual: requested tags, and chosen parts of resources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import limits
from wherry.dicom.identifiers import identifiers
from wherry.model import Identifiers

ROOT = "1.2.826.0.1.3680043.10.1234"
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


def ids(study: int, series: int, number: int) -> Identifiers:
    uid = f"{ROOT}.{study}"
    return identifiers("PATIENT1", uid, f"{uid}.{series}", f"{uid}.{series}.{number}")


FIRST = ids(1, 1, 1)


def code() -> Dataset:
    item = Dataset()
    item.CodeValue = "IRM"
    return item


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    """One patient with two studies, of three series and one. Nobody changes it."""
    with serving(
        tmp_path_factory.mktemp("store"), stable_age_s=10_000, user_metadata={"Mine": 5000}
    ) as face:
        face.upload(make_instance(1, 1, 1, KVP="120", ProcedureCodeSequence=[code()]))
        face.upload(make_instance(1, 1, 2))
        face.upload(make_instance(1, 2, 1, Modality="MR", SOPClassUID=MR))
        face.upload(make_instance(1, 3, 1, Modality="MR", SOPClassUID=MR))
        face.upload(make_instance(2, 1, 1))
        yield face


def tags(store: Face, path: str, names: str, form: str = "") -> Any:
    return store.json(f"/{path}?requested-tags={names}{form}")["RequestedTags"]


def test_main_tags_of_the_level_and_of_those_above(store: Face) -> None:
    assert tags(
        store, f"instances/{FIRST.instance}", "0010,0020;Modality;StudyDate;InstanceNumber"
    ) == {
        "PatientID": "PATIENT1",
        "Modality": "CT",
        "StudyDate": "20260102",
        "InstanceNumber": "1",
    }
    old = store.json(f"/studies/{FIRST.study}?requestedTags=00100010&short")
    assert old["RequestedTags"] == {"0010,0010": "Doe^Jane"}
    full = tags(store, f"patients/{FIRST.patient}", "PatientID", "&full")
    assert full == {"0010,0020": {"Name": "PatientID", "Type": "String", "Value": "PATIENT1"}}


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        (f"studies/{FIRST.study}", "ModalitiesInStudy", "CT\\MR"),
        (f"series/{FIRST.series}", "ModalitiesInStudy", "CT\\MR"),
        (f"patients/{FIRST.patient}", "ModalitiesInStudy", None),
        (f"studies/{FIRST.study}", "SOPClassesInStudy", f"{CT}\\{MR}"),
        (f"patients/{FIRST.patient}", "NumberOfPatientRelatedStudies", "2"),
        (f"patients/{FIRST.patient}", "NumberOfPatientRelatedSeries", "4"),
        (f"patients/{FIRST.patient}", "NumberOfPatientRelatedInstances", "5"),
        (f"studies/{FIRST.study}", "NumberOfPatientRelatedInstances", "5"),
        (f"studies/{FIRST.study}", "NumberOfStudyRelatedSeries", "3"),
        (f"studies/{FIRST.study}", "NumberOfStudyRelatedInstances", "4"),
        (f"series/{FIRST.series}", "NumberOfSeriesRelatedInstances", "2"),
        (f"instances/{FIRST.instance}", "NumberOfSeriesRelatedInstances", "2"),
        (f"studies/{FIRST.study}", "NumberOfSeriesRelatedInstances", None),
        (f"series/{FIRST.series}", "InstanceAvailability", "ONLINE"),
        (f"instances/{FIRST.instance}", "QueryRetrieveLevel", "IMAGE"),
    ],
)
def test_computed_tags(store: Face, path: str, name: str, value: str | None) -> None:
    assert tags(store, path, name) == ({} if value is None else {name: value})


@pytest.mark.parametrize("path", [f"patients/{FIRST.patient}", f"instances/{FIRST.instance}"])
def test_tags_of_a_file(store: Face, path: str) -> None:
    assert tags(store, path, "KVP;PatientID;0009,1001") == {"KVP": "120", "PatientID": "PATIENT1"}


def test_sequences(store: Face) -> None:
    path = f"studies/{FIRST.study}"
    assert tags(store, path, "ProcedureCodeSequence") == {
        "ProcedureCodeSequence": [{"CodeValue": "IRM"}]
    }
    assert tags(store, path, "ProcedureCodeSequence", "&short") == {
        "0008,1032": [{"0008,0100": "IRM"}]
    }
    full = tags(store, path, "ProcedureCodeSequence", "&full")["0008,1032"]
    assert (full["Name"], full["Type"]) == ("ProcedureCodeSequence", "Sequence")
    assert full["Value"][0]["0008,0100"]["Value"] == "IRM"


def test_main_tags_that_a_file_lacks_need_no_file(
    store: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(type(store.rooms.storage), "open", refuse)
    assert tags(store, f"studies/{FIRST.study}", "InstitutionName;StudyDate") == {
        "StudyDate": "20260102"
    }


def test_lists_and_kin(store: Face) -> None:
    for target in (
        "/series?expand&requested-tags=PatientID;KVP",
        f"/studies/{FIRST.study}/series?requested-tags=PatientID;KVP",
    ):
        found = store.json(target)
        assert [one["RequestedTags"] for one in found[:2]] == [
            {"PatientID": "PATIENT1", "KVP": "120"},
            {"PatientID": "PATIENT1"},
        ]
    above = store.json(
        f"/instances/{FIRST.instance}/study?requested-tags=NumberOfStudyRelatedSeries"
    )
    assert above["RequestedTags"] == {"NumberOfStudyRelatedSeries": "3"}
    assert "RequestedTags" not in store.json(f"/studies/{FIRST.study}?requested-tags=;")


def test_no_file_is_read_when_the_operator_forbids_it(tmp_path: Path) -> None:
    for access, expected in (("Never", {}), ("Answers", {"KVP": "120"})):
        with serving(tmp_path / access, storage_access_on_find=access) as face:
            path = face.upload(make_instance(KVP="120"))["ParentStudy"]
            assert tags(face, f"studies/{path}", "KVP") == expected


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("requested-tags=Nope", 400, 8),
        (
            "requested-tags=" + ";".join(f"0009,{n:04x}" for n in range(limits.REQUESTED_TAGS + 1)),
            400,
            3,
        ),
        ("response-content=Nope", 400, 3),
        ("response-content=%00", 400, 3),
        ("requested-tags=%ff%00", 400, 8),
    ],
)
def test_what_is_refused(store: Face, query: str, status: int, code: int) -> None:
    for path in ("studies", f"studies/{FIRST.study}", f"series/{FIRST.series}/study"):
        reply = store.get(f"/{path}?expand&{query}")
        assert (reply.status, reply.json()["OrthancStatus"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "content", "members"),
    [
        ("studies", "", set()),
        ("studies", "MainDicomTags", {"MainDicomTags", "PatientMainDicomTags"}),
        ("studies", "Children;Parent", {"Series", "ParentPatient"}),
        ("patients", "IsProtected;IsStable;Labels", {"IsProtected", "IsStable", "Labels"}),
        ("series", "Status", {"Status", "ExpectedNumberOfInstances"}),
        ("instances", "Parent;RequestedTags", {"ParentSeries"}),
        ("instances", "Attachments", {"Attachments", "FileSize", "FileUuid"}),
        ("instances", "Metadata", {"Metadata", "IndexInSeries"}),
        ("studies", "Metadata", {"Metadata", "LastUpdate"}),
    ],
)
def test_parts(store: Face, path: str, content: str, members: set[str]) -> None:
    first = store.json(f"/{path}?limit=1&response-content={content}")[0]
    assert set(first) == {"ID", "Type"} | members
    alone = store.json(f"/{path}/{first['ID']}?response-content={content}")
    assert alone == first


def test_children_by_parts(store: Face) -> None:
    found = store.json(f"/studies/{FIRST.study}/series?expand=false&response-content=Parent")
    assert found[0] == {"ID": FIRST.series, "Type": "Series", "ParentStudy": FIRST.study}


def test_metadata_and_attachments(tmp_path: Path) -> None:
    with serving(tmp_path, user_metadata={"Mine": 5000}) as face:
        instance = face.upload(make_instance())["ID"]
        put = face.request("PUT", f"/instances/{instance}/metadata/Mine", b"a value")
        assert put.status == 200
        found = face.json(f"/instances/{instance}?response-content=Metadata;Attachments")
    assert found["Metadata"]["Mine"] == "a value"
    assert found["Metadata"]["SopClassUid"] == CT
    (file,) = found["Attachments"]
    assert (file["ContentType"], file["Uuid"]) == (1, found["FileUuid"])
    assert file["UncompressedSize"] == file["CompressedSize"] == found["FileSize"]
    assert len(file["UncompressedMD5"]) == 32
