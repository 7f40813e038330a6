from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import limits
from wherry.dicom.identifiers import identifiers
from wherry.model import Identifiers

ROOT = "1.2.826.0.1.3680043.10.1234"


def ids(study: int, series: int, number: int, patient: str = "PATIENT1") -> Identifiers:
    uid = f"{ROOT}.{study}"
    return identifiers(patient, uid, f"{uid}.{series}", f"{uid}.{series}.{number}")


FIRST = ids(1, 1, 1)
PLACES = [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    """One patient with two studies; another patient. Nobody changes it."""
    with serving(tmp_path_factory.mktemp("store"), stable_age_s=10_000) as face:
        for place in PLACES:
            face.upload(make_instance(*place))
        face.upload(make_instance(3, 1, 1, patient_id="OTHER", PatientName="Zoe"))
        yield face


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    with serving(tmp_path) as found:
        yield found


def test_lists_in_order_of_arrival(store: Face) -> None:
    expected = [ids(*place).instance for place in PLACES]
    assert store.json("/instances")[:4] == expected
    assert store.json("/instances?since=1&limit=2") == expected[1:3]
    assert store.json("/instances?since=3")[0] == expected[3]
    assert store.json("/instances?limit=1") == expected[:1]
    assert store.json("/instances?limit=0") == []
    assert store.json("/instances?since=1000&limit=3") == []
    assert len(store.json("/patients")) == 2
    assert len(store.json("/studies/")) == 3
    assert len(store.json("/series")) == 4


@pytest.mark.parametrize(
    "query", ["since=a", "limit=-1", "limit=", "since=1e3", "limit=" + "9" * 30]
)
def test_numbers_that_are_none(store: Face, query: str) -> None:
    reply = store.get(f"/studies?{query}")
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, 5)


def test_a_patient(store: Face) -> None:
    found = store.json(f"/patients/{FIRST.patient}")
    assert found.pop("LastUpdate").startswith("20")
    assert found == {
        "ID": FIRST.patient,
        "Type": "Patient",
        "IsProtected": False,
        "IsStable": False,
        "Labels": [],
        "MainDicomTags": {
            "PatientBirthDate": "19700101",
            "PatientID": "PATIENT1",
            "PatientName": "Doe^Jane",
            "PatientSex": "F",
        },
        "Studies": [FIRST.study, ids(2, 1, 1).study],
    }


def test_a_study(store: Face) -> None:
    found = store.json(f"/studies/{FIRST.study}")
    assert found.pop("LastUpdate")
    assert found == {
        "ID": FIRST.study,
        "Type": "Study",
        "IsStable": False,
        "Labels": [],
        "MainDicomTags": {
            "AccessionNumber": "ACC1",
            "StudyDate": "20260102",
            "StudyDescription": "A study",
            "StudyInstanceUID": f"{ROOT}.1",
            "StudyTime": "101112",
        },
        "ParentPatient": FIRST.patient,
        "PatientMainDicomTags": {
            "PatientBirthDate": "19700101",
            "PatientID": "PATIENT1",
            "PatientName": "Doe^Jane",
            "PatientSex": "F",
        },
        "Series": [FIRST.series, ids(1, 2, 1).series],
    }


def test_a_series(store: Face) -> None:
    found = store.json(f"/series/{FIRST.series}")
    assert found.pop("LastUpdate")
    assert found == {
        "ID": FIRST.series,
        "Type": "Series",
        "ExpectedNumberOfInstances": None,
        "Instances": [FIRST.instance, ids(1, 1, 2).instance],
        "IsStable": False,
        "Labels": [],
        "MainDicomTags": {
            "Modality": "CT",
            "SeriesDescription": "Series 1",
            "SeriesInstanceUID": f"{ROOT}.1.1",
            "SeriesNumber": "1",
        },
        "ParentStudy": FIRST.study,
        "Status": "Unknown",
    }


def test_an_instance(store: Face) -> None:
    found = store.json(f"/instances/{FIRST.instance}")
    assert found.pop("FileUuid") in store.files()
    assert found == {
        "ID": FIRST.instance,
        "Type": "Instance",
        "FileSize": len(make_instance()),
        "IndexInSeries": 1,
        "Labels": [],
        "MainDicomTags": {"InstanceNumber": "1", "SOPInstanceUID": f"{ROOT}.1.1.1"},
        "ParentSeries": FIRST.series,
    }


def test_forms_of_tags(store: Face) -> None:
    short = store.json(f"/series/{FIRST.series}?short")
    assert short["MainDicomTags"]["0008,0060"] == "CT"
    full = store.json(f"/series/{FIRST.series}?full")
    assert full["MainDicomTags"]["0008,0060"] == {
        "Name": "Modality",
        "Type": "String",
        "Value": "CT",
    }
    both = store.json(f"/studies/{FIRST.study}?short&full=false")
    assert both["PatientMainDicomTags"]["0010,0020"] == "PATIENT1"


def test_expanding_lists(store: Face) -> None:
    one = store.json(f"/studies/{FIRST.study}")
    assert store.json("/studies?expand")[0] == one
    assert store.json("/studies?expand=true&limit=1") == [one]
    assert store.json("/studies?expand=false&limit=1") == [FIRST.study]
    assert store.json("/studies?expand&limit=0") == []
    assert store.get("/studies?expand=perhaps").status == 400
    assert store.json("/studies?expand&short&limit=1")[0]["MainDicomTags"]["0008,0050"] == "ACC1"


def test_long_lists_are_made_in_pages(store: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = [
        "/instances?expand",
        "/instances?expand&since=1",
        "/instances?expand&since=1&limit=3",
        "/instances?expand&requested-tags=PatientID",
        f"/patients/{FIRST.patient}/instances",
        f"/studies/{FIRST.study}/series",
    ]
    whole = [store.json(target) for target in targets]
    monkeypatch.setattr(limits, "QUICK_RESOURCES", 1)
    for page in (1, 2, 3, 4, 5):
        monkeypatch.setattr(limits, "EXPANDED_PAGE", page)
        assert [store.json(target) for target in targets] == whole


@pytest.mark.parametrize("level", ["patients", "studies", "series", "instances"])
def test_unknown_resources(store: Face, level: str) -> None:
    for unknown in ("nope", FIRST.patient if level != "patients" else FIRST.study):
        bare = store.get(f"/{level}/{unknown}")
        assert (bare.status, bare.body) == (404, b"")
        bare = store.request("DELETE", f"/{level}/{unknown}")
        assert (bare.status, bare.body) == (404, b"")
        described = store.get(f"/{level}/{unknown}/statistics")
        assert (described.status, described.json()["OrthancStatus"]) == (404, 17)


def test_parents(store: Face) -> None:
    series = store.json(f"/series/{FIRST.series}")
    assert store.json(f"/instances/{FIRST.instance}/series") == series
    for level, of in (("instances", FIRST.instance), ("series", FIRST.series)):
        assert store.json(f"/{level}/{of}/study")["ID"] == FIRST.study
        assert store.json(f"/{level}/{of}/patient?short")["MainDicomTags"]["0010,0020"]
    assert store.json(f"/studies/{FIRST.study}/patient")["Type"] == "Patient"
    assert store.get(f"/patients/{FIRST.patient}/patient").json()["OrthancStatus"] == 17
    assert store.get("/series/nope/study").json()["OrthancStatus"] == 17


def test_children(store: Face) -> None:
    def found(path: str) -> list[Any]:
        return [one["ID"] for one in store.json(path)]

    instances = [ids(*place).instance for place in PLACES]
    assert found(f"/patients/{FIRST.patient}/instances") == instances
    assert store.json(f"/patients/{FIRST.patient}/instances?expand=false") == instances
    assert len(found(f"/patients/{FIRST.patient}/series")) == 3
    assert found(f"/patients/{FIRST.patient}/studies") == [FIRST.study, ids(2, 1, 1).study]
    assert found(f"/studies/{FIRST.study}/series") == [FIRST.series, ids(1, 2, 1).series]
    assert found(f"/studies/{FIRST.study}/instances") == instances[:3]
    assert found(f"/series/{FIRST.series}/instances?full") == instances[:2]
    assert store.get(f"/instances/{FIRST.instance}/instances").status == 404
    assert store.get("/studies/nope/series").json()["OrthancStatus"] == 17


def test_statistics(store: Face) -> None:
    size = sum(len(make_instance(*place)) for place in PLACES)
    sizes = {}
    for name in ("DiskSize", "DicomDiskSize", "UncompressedSize", "DicomUncompressedSize"):
        sizes |= {name: str(size), f"{name}MB": 0}
    counts = {"CountStudies": 2, "CountSeries": 3, "CountInstances": 4}
    assert store.json(f"/patients/{FIRST.patient}/statistics") == {**counts, **sizes}
    assert store.json(f"/series/{FIRST.series}/statistics")["CountInstances"] == 2
    assert "CountSeries" not in store.json(f"/series/{FIRST.series}/statistics")
    alone = store.json(f"/instances/{FIRST.instance}/statistics")
    assert not any(name.startswith("Count") for name in alone)
    total = store.json("/statistics")
    assert total["CountPatients"] == 2
    assert total["CountInstances"] == 5
    assert int(total["TotalDiskSize"]) > size
    assert total["TotalDiskSizeMB"] == 0


def test_deleting(face: Face) -> None:
    for place in PLACES:
        face.upload(make_instance(*place))

    def delete(path: str) -> Any:
        reply = face.request("DELETE", path)
        assert reply.status == 200
        return reply.json()["RemainingAncestor"]

    assert delete(f"/instances/{FIRST.instance}") == {
        "ID": FIRST.series,
        "Path": f"/series/{FIRST.series}",
        "Type": "Series",
    }
    assert delete(f"/instances/{ids(1, 1, 2).instance}")["Type"] == "Study"
    assert delete(f"/studies/{FIRST.study}")["Type"] == "Patient"
    assert delete(f"/patients/{FIRST.patient}") is None
    assert face.json("/instances") == []
    assert face.json("/changes")["Changes"] == []


def test_deleted_files_vanish(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        path = face.upload(make_instance())["Path"]
        assert face.request("DELETE", path).status == 200
    assert face.files() == []  # the janitor has done its work before the server has stopped
