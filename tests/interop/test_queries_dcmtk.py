"""Wherry asks DCMTK's archive and worklist, and gets what they have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from tests.support.dcmtk import dcmqrscp, needs_dcmtk, storescp, wlmscpfs
from tests.support.dicom_files import make_instance
from tests.support.dimse import dicom_server
from tests.support.server import Server, free_port
from wherry import limits
from wherry.dicom.preamble import read_preamble

pytestmark = needs_dcmtk

ROOT = "1.2.826.0.1.3680043.10.1234"
FILES = [
    *(make_instance(1, 1, number) for number in range(1, 41)),
    *(make_instance(1, 2, number) for number in (1, 2)),
    make_instance(2, 1, 1, patient_id="OTHER", PatientName="Zoé^X", StudyDescription="Émile"),
    make_instance(2, 1, 2, patient_id="OTHER", PatientName="Zoé^X", pixel_bytes=3 * limits.MIB),
]


class World:
    """A Wherry, and what it knows."""

    def __init__(self, server: Server, received: Path) -> None:
        self.server = server
        self.received = received
        """Where the files of DEST lie."""

    def query(self, level: str, name: str = "qr", **query: str) -> list[dict[str, Any]]:
        found = self.server.json(
            "POST", f"/modalities/{name}/query", {"Level": level, "Query": query}
        )
        self.last: str = found["Path"]
        answers: list[dict[str, Any]] = self.server.json(
            "GET", f"{self.last}/answers?expand&simplify"
        )
        return answers

    def retrieve(self, path: str, **body: Any) -> tuple[int, Any]:
        status, answer = self.server.request(
            "POST", f"{self.last}{path}/retrieve", json.dumps(body).encode()
        )
        return status, json.loads(answer)

    def clear(self) -> None:
        for patient in self.server.json("GET", "/patients"):
            self.server.request("DELETE", f"/patients/{patient}")

    def stored(self) -> list[bytes]:
        """The data sets that are here."""
        files = [
            self.server.get(f"/instances/{one}/file")[1]
            for one in self.server.json("GET", "/instances")
        ]
        return data_sets(files)


def data_sets(files: list[bytes]) -> list[bytes]:
    return sorted(data[read_preamble(data)[3] :] for data in files)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with ExitStack() as stack:
        dest = stack.enter_context(storescp(folder / "dest"))
        port = free_port()
        hosts = {"WHERRY": port, "DEST": dest}
        archive = stack.enter_context(dcmqrscp(folder / "qr", FILES, hosts))
        worklist = stack.enter_context(wlmscpfs(folder / "wl", ENTRIES))
        config = {
            "DicomAet": "WHERRY",
            "DicomPort": port,
            "DicomModalities": {
                "qr": ["QRSCP", "127.0.0.1", archive],
                "wl": ["WORKLIST", "127.0.0.1", worklist],
            },
        }
        server, _ = stack.enter_context(dicom_server(folder / "wherry", **config))
        yield World(server, folder / "dest")


@pytest.fixture
def world(built: World) -> World:
    built.clear()
    return built


def entry(number: int, modality: str, **tags: Any) -> bytes:
    """A file of a worklist."""
    data, step = Dataset(), Dataset()
    data.SpecificCharacterSet = "ISO_IR 100"
    data.AccessionNumber = f"ACC{number}"
    data.PatientName = f"Müller^{number}"
    data.PatientID = f"P{number}"
    data.PatientBirthDate = ""
    data.PatientSex = ""
    data.StudyInstanceUID = f"{ROOT}.{number}"
    data.RequestedProcedureID = "R1"
    data.RequestedProcedureDescription = "Knie"
    step.Modality = modality
    step.ScheduledStationAETitle = "SCANNER"
    step.ScheduledProcedureStepStartDate = "20260102"
    step.ScheduledProcedureStepStartTime = "1000"
    step.ScheduledPerformingPhysicianName = ""
    step.ScheduledProcedureStepDescription = "Knie"
    step.ScheduledProcedureStepID = "S1"
    data.ScheduledProcedureStepSequence = [step]
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.31"
    data.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.99.{number}"
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


ENTRIES = [entry(1, "MR"), entry(2, "CT"), entry(3, "MR")]


# --- C-FIND ---------------------------------------------------------------------------------
def test_all_levels(world: World) -> None:
    patients = world.query("Patient", PatientName="")
    assert sorted((p["PatientID"], p["PatientName"]) for p in patients) == [
        ("OTHER", "Zoé^X"),
        ("PATIENT1", "Doe^Jane"),
    ]
    studies = world.query("Study", StudyDescription="")
    assert sorted(one["StudyDescription"] for one in studies) == ["A study", "Émile"]
    series = world.query("Series", StudyInstanceUID=f"{ROOT}.1", Modality="", SeriesNumber="")
    assert [one["SeriesNumber"] for one in series] == ["1", "2"]
    uids = {"StudyInstanceUID": f"{ROOT}.1", "SeriesInstanceUID": f"{ROOT}.1.1"}
    instances = world.query("Instance", InstanceNumber="", **uids)
    assert sorted(int(one["InstanceNumber"]) for one in instances) == list(range(1, 41))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"PatientName": "Doe*"}, 1),
        ({"PatientName": "*^?"}, 1),
        ({"PatientID": "NOBODY"}, 0),
        ({"StudyDate": "20260101-20260103"}, 2),
        ({"StudyDate": "-20251231"}, 0),
        ({"StudyInstanceUID": f"{ROOT}.1\\{ROOT}.2"}, 2),
    ],
)
def test_matching(world: World, query: dict[str, str], count: int) -> None:
    assert len(world.query("Study", **query)) == count


def test_asking_on(world: World) -> None:
    (study,) = world.query("Study", PatientID="PATIENT1")
    assert study["StudyInstanceUID"] == f"{ROOT}.1"
    found = world.server.json("POST", f"{world.last}/answers/0/query-series", {"Query": {}})
    answers = world.server.json("GET", f"{found['Path']}/answers?expand&simplify")
    assert sorted(one["SeriesInstanceUID"] for one in answers) == [f"{ROOT}.1.1", f"{ROOT}.1.2"]
    on = world.server.json("POST", f"{found['Path']}/answers/1/query-instances", {"Query": {}})
    assert len(world.server.json("GET", f"{on['Path']}/answers")) in (2, 40)


def test_an_archive_has_no_worklist(world: World) -> None:
    status, answer = world.server.request("POST", "/modalities/qr/find-worklist", b"{}")
    assert (status, json.loads(answer)["OrthancStatus"]) == (500, 2016)


def test_a_worklist(world: World) -> None:
    step = {"Modality": "MR", "ScheduledProcedureStepStartDate": "20260101-20260131"}
    query = {
        "PatientName": "",
        "PatientID": "",
        "AccessionNumber": "",
        "ScheduledProcedureStepSequence": [step],
    }
    found = world.server.json("POST", "/modalities/wl/find-worklist", query)
    assert sorted((one["AccessionNumber"], one["PatientName"]) for one in found) == [
        ("ACC1", "Müller^1"),
        ("ACC3", "Müller^3"),
    ]
    assert found[0]["ScheduledProcedureStepSequence"][0]["Modality"] == "MR"


# --- C-GET ----------------------------------------------------------------------------------
def test_everything_is_got_bit_by_bit(world: World) -> None:
    world.query("Study")
    status, content = world.retrieve("", RetrieveMethod="C-GET")
    assert status == 200, content
    assert [one["CompletedSuboperations"] for one in content["Details"]] in ([42, 2], [2, 42])
    received = [one for detail in content["Details"] for one in detail["ReceivedInstancesIds"]]
    assert sorted(received) == sorted(world.server.json("GET", "/instances"))
    assert world.stored() == data_sets(FILES)


@pytest.mark.parametrize(
    ("level", "query", "count"),
    [
        ("Patient", {"PatientID": "OTHER"}, 2),
        ("Series", {"StudyInstanceUID": f"{ROOT}.1", "SeriesInstanceUID": f"{ROOT}.1.2"}, 2),
        (
            "Instance",
            {
                "StudyInstanceUID": f"{ROOT}.1",
                "SeriesInstanceUID": f"{ROOT}.1.1",
                "SOPInstanceUID": f"{ROOT}.1.1.7",
            },
            1,
        ),
    ],
)
def test_levels_of_a_get(world: World, level: str, query: dict[str, str], count: int) -> None:
    assert len(world.query(level, **query)) == 1
    status, content = world.retrieve("/answers/0", RetrieveMethod="C-GET")
    assert status == 200, content
    assert len(world.server.json("GET", "/instances")) == count


def test_nothing_there(world: World) -> None:
    """dcmqrscp finds nothing to send, and calls that a success."""
    body = {"Level": "Study", "Resources": [{"StudyInstanceUID": "1.2.3"}]}
    content = world.server.json("POST", "/modalities/qr/get", body)
    assert content["Details"][0]["ReceivedInstancesIds"] == []


# --- C-MOVE ---------------------------------------------------------------------------------
def test_a_move_to_here(world: World) -> None:
    world.query("Study")
    status, content = world.retrieve("")
    assert status == 200, content
    assert content["TargetAet"] == "WHERRY"
    assert sum(one["CompletedSuboperations"] for one in content["Details"]) == len(FILES)
    assert world.stored() == data_sets(FILES)
    one = world.server.json("GET", "/instances")[0]
    found = world.server.json("GET", f"/instances/{one}/metadata?expand")
    assert (found["RemoteAET"], found["CalledAET"]) == ("QRSCP", "WHERRY")


def test_a_move_to_somebody_else(world: World) -> None:
    world.query("Series", StudyInstanceUID=f"{ROOT}.1", SeriesInstanceUID=f"{ROOT}.1.2")
    status, content = world.retrieve("/answers/0", TargetAet="DEST")
    assert (status, content["Details"][0]["CompletedSuboperations"]) == (200, 2)
    assert len(list(world.received.iterdir())) == 2
    assert world.server.json("GET", "/instances") == []


def test_a_move_to_nobody(world: World) -> None:
    world.query("Study")
    status, answer = world.retrieve("/answers/0", TargetAet="NOBODY")
    assert (status, answer["OrthancStatus"]) == (500, 9)
    assert answer["Details"].startswith(
        'C-MOVE SCU to AET "QRSCP" has failed with DIMSE status 0xA801'
    )
