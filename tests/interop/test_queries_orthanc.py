"""Wherry asks a genuine Orthanc what it has, and gets it; clients of Orthanc drive it to do so; and
what becomes of a retrieval whose server is killed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from orthanc_api_client import OrthancApiClient
from pyorthanc import Modality
from pyorthanc import Orthanc as PyOrthanc

from tests.support.dcmtk import needs_dcmtk, storescp
from tests.support.dicom_files import make_instance
from tests.support.dimse import dicom_server
from tests.support.modality import PENDING, Player, answer, playing
from tests.support.orthanc import Orthanc, needs_orthanc
from tests.support.pydicom_files import FILES, ROOT
from tests.support.rawscp import Line, raw
from tests.support.server import Server, free_port, running
from wherry.dicom.wire.commands import CommandField

UID = "1.2.826.0.1.3680043.10.1234"
MADE = [
    *(make_instance(1, 1, number) for number in (1, 2, 3)),
    make_instance(1, 2, 1),
    make_instance(2, 1, 1, patient_id="OTHER", PatientName="Zoé^X"),
]
OPEN = {
    "DicomServerEnabled": True,
    "DicomAlwaysAllowFind": True,
    "DicomAlwaysAllowGet": True,
    "DicomAlwaysAllowMove": True,
    "DicomAet": "ORTHANC",
    "DicomCheckModalityHost": False,
}


class Pair:
    """A Wherry that knows a genuine Orthanc as "there"."""

    def __init__(self, wherry: Server, orthanc: Server) -> None:
        self.wherry = wherry
        self.orthanc = orthanc

    def query(self, level: str, **query: str) -> str:
        body = {"Level": level, "Query": query}
        path: str = self.wherry.json("POST", "/modalities/there/query", body)["Path"]
        return path

    def retrieve(self, path: str, **body: Any) -> tuple[int, Any]:
        status, answered = self.wherry.request(
            "POST", f"{path}/retrieve", json.dumps(body).encode()
        )
        return status, json.loads(answered)

    def clear(self) -> None:
        for server in (self.wherry, self.orthanc):
            for patient in server.json("GET", "/patients"):
                server.request("DELETE", f"/patients/{patient}")

    def fill(self, files: list[bytes]) -> None:
        for data in files:
            self.orthanc.request("POST", "/instances", data)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pair, Path]]:
    folder = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        dest = stack.enter_context(storescp(folder / "dest"))
        port, theirs = free_port(), free_port()
        known = {
            "wherry": ["WHERRY", "127.0.0.1", port],
            "dest": ["DEST", "127.0.0.1", dest],
        }
        orthanc = Orthanc(
            folder / "orthanc", {**OPEN, "DicomPort": theirs, "DicomModalities": known}
        )
        stack.enter_context(running(orthanc))
        config = {
            "DicomAet": "WHERRY",
            "DicomPort": port,
            "DicomModalities": {"there": ["ORTHANC", "127.0.0.1", theirs]},
        }
        wherry, _ = stack.enter_context(dicom_server(folder / "wherry", **config))
        yield Pair(wherry, orthanc), folder / "dest"


@pytest.fixture
def pair(built: tuple[Pair, Path]) -> Pair:
    built[0].clear()
    built[0].fill(MADE)
    return built[0]


def tags(server: Server) -> dict[str, Any]:
    return {
        one: server.json("GET", f"/instances/{one}/tags?short")
        for one in server.json("GET", "/instances")
    }


# --- a genuine Orthanc ----------------------------------------------------------------------
@needs_orthanc
@needs_dcmtk
def test_all_levels(pair: Pair) -> None:
    counts = {"Patient": 2, "Study": 2, "Series": 3, "Instance": 5}
    for level, count in counts.items():
        path = pair.query(level)
        answers = pair.wherry.json("GET", f"{path}/answers?expand&simplify")
        assert len(answers) == count
        assert {one["RetrieveAETitle"] for one in answers} == {"ORTHANC"}


@needs_orthanc
@needs_dcmtk
@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"PatientName": "Zoé*"}, 1),
        ({"PatientName": "ZOÉ^X"}, 1),
        ({"PatientName": "D?e*"}, 1),
        ({"ModalitiesInStudy": "CT"}, 2),
        ({"ModalitiesInStudy": "MR"}, 0),
        ({"StudyDate": "20260101-"}, 2),
    ],
)
def test_matching(pair: Pair, query: dict[str, str], count: int) -> None:
    path = pair.query("Study", **query)
    assert len(pair.wherry.json("GET", f"{path}/answers")) == count


@needs_orthanc
@needs_dcmtk
@pytest.mark.parametrize("method", ["C-GET", "C-MOVE"])
@pytest.mark.parametrize("level", ["Patient", "Study", "Series", "Instance"])
def test_everything_is_retrieved(pair: Pair, method: str, level: str) -> None:
    path = pair.query(level)
    status, content = pair.retrieve(path, RetrieveMethod=method)
    assert status == 200, content
    assert all(one["DimseErrorStatus"] == 0 for one in content["Details"])
    if method == "C-GET":
        received = [one for each in content["Details"] for one in each["ReceivedInstancesIds"]]
        assert sorted(received) == sorted(pair.orthanc.json("GET", "/instances"))
    assert tags(pair.wherry) == tags(pair.orthanc)


@needs_orthanc
@needs_dcmtk
def test_a_move_to_somebody_else(pair: Pair, built: tuple[Pair, Path]) -> None:
    path = pair.query("Study", PatientID="OTHER")
    status, content = pair.retrieve(f"{path}/answers/0", TargetAet="DEST")
    assert status == 200, content
    assert len(list(built[1].iterdir())) == 1
    status, answered = pair.retrieve(f"{path}/answers/0", TargetAet="NOBODY")
    assert (status, answered["OrthancStatus"]) == (500, 9)
    assert "0xC000 (unable to process - resource not found ?)" in answered["Details"]


@needs_orthanc
@needs_dcmtk
def test_transfer_syntaxes_survive_a_get(pair: Pair) -> None:
    """Whatever pydicom's test files have: the modality says which classes there are."""
    pair.clear()
    pair.fill([(ROOT / name).read_bytes() for name in FILES])
    path = pair.query("Study")
    status, content = pair.retrieve(path, RetrieveMethod="C-GET", Permissive=True)
    assert status == 200, content
    theirs, mine = syntaxes(pair.orthanc), syntaxes(pair.wherry)
    assert set(mine) <= set(theirs)
    assert {one: mine[one] for one in mine if mine[one] != theirs[one]} == {}
    failed = [one for one in content["Details"] if "Error" in one]
    # what Orthanc itself cannot send: it takes the class of a dose in RLE for another
    assert len(set(theirs) - set(mine)) <= 2, failed
    assert len({*mine.values()}) >= 8


def syntaxes(server: Server) -> dict[str, str]:
    return {
        one: server.get(f"/instances/{one}/metadata/TransferSyntax")[1].decode()
        for one in server.json("GET", "/instances")
    }


@needs_orthanc
def test_a_get_that_fails_there(tmp_path: Path) -> None:
    """Orthanc tells of it in a command that is none by the Standard."""
    port = free_port()
    with (
        running(Orthanc(tmp_path / "orthanc", {**OPEN, "DicomPort": port})) as orthanc,
        running(
            Server(
                tmp_path / "wherry",
                {
                    "DicomModalities": {"there": ["ORTHANC", "127.0.0.1", port]},
                    "RejectedSopClasses": ["1.2.840.10008.5.1.4.1.1.2"],
                },
            )
        ) as wherry,
    ):
        orthanc.request("POST", "/instances", MADE[0])
        body = {"Level": "Study", "Resources": [{"StudyInstanceUID": f"{UID}.1"}]}
        status, answered = wherry.request(
            "POST", "/modalities/there/get", json.dumps(body).encode()
        )
        found = json.loads(answered)
        assert (status, found["OrthancStatus"]) == (500, 9)
        assert found["Details"].startswith(
            'C-GET SCU to AET "ORTHANC" has failed with DIMSE status 0xC000'
        )


# --- clients of Orthanc ---------------------------------------------------------------------
@needs_orthanc
@needs_dcmtk
def test_orthanc_api_client(pair: Pair) -> None:
    client = OrthancApiClient(pair.wherry.url)
    studies = client.modalities.query_studies("there", {"PatientName": "", "StudyDate": ""})
    assert sorted(one.dicom_id for one in studies) == [f"{UID}.1", f"{UID}.2"]
    assert {one.tags.get("PatientName") for one in studies} == {"Doe^Jane", "Zoé^X"}
    series = client.modalities.query_series("there", {"StudyInstanceUID": f"{UID}.1"})
    assert sorted(one.dicom_id for one in series) == [f"{UID}.1.1", f"{UID}.1.2"]
    instances = client.modalities.query_instances("there", {"SeriesInstanceUID": f"{UID}.1.2"})
    assert [one.dicom_id for one in instances] == [f"{UID}.1.2.1"]
    client.modalities.get_study("there", f"{UID}.1")
    assert len(client.instances.get_all_ids()) == 4
    client.modalities.move_study("there", f"{UID}.2")
    assert len(client.instances.get_all_ids()) == 5
    job = client.modalities.get_study_async("there", f"{UID}.1")
    job.wait_completed(timeout=60)
    assert job.info.status == "Success"
    assert client.modalities.retrieve_study("there", f"{UID}.2") == client.studies.lookup(
        f"{UID}.2"
    )


@needs_orthanc
@needs_dcmtk
def test_pyorthanc(pair: Pair) -> None:
    with PyOrthanc(pair.wherry.url) as client:
        modality = Modality(client, "there")
        found = modality.query({"Level": "Study", "Query": {"PatientName": "Doe*"}})
        assert [one["StudyInstanceUID"] for one in found["answers"]] == [f"{UID}.1"]
        content = modality.move(found["ID"], {"TargetAet": "WHERRY"})
        assert content["RemoteAet"] == "ORTHANC"
        assert len(client.get_instances()) == 4
        modality.get("Study", {"StudyInstanceUID": f"{UID}.2"})
        assert len(client.get_instances()) == 5
        assert found["ID"] in client.get_queries()
        with pytest.raises(httpx.HTTPError):
            modality.query({"Level": "Study", "Query": {"Nope": ""}})
        client.delete_queries_id(found["ID"])
        assert found["ID"] not in client.get_queries()


# --- a server that dies ---------------------------------------------------------------------
def test_a_killed_server_goes_on_with_the_next_resource(tmp_path: Path) -> None:
    """Killed in the middle of the second of three; a query survives with it."""
    moved: list[bytes] = []
    in_the_second = threading.Event()
    dead = threading.Event()

    def script(line: Line) -> None:
        while (head := line.hear()) is not None:
            if head.command.field is not CommandField.C_MOVE_RQ:
                continue
            moved.append(line.data_set[-6:].rstrip(b"\0"))
            if len(moved) == 2:
                in_the_second.set()
                assert dead.wait(60)
            line.say(0, completed=1, failed=0, warning=0)

    with raw(script) as scp:
        config = {"DicomModalities": {"there": ["RAW", "127.0.0.1", scp.port]}}
        with running(Server(tmp_path, config)) as server:
            body = {
                "Level": "Study",
                "Resources": [{"StudyInstanceUID": f"1.2.{n}"} for n in range(3)],
                "Synchronous": False,
            }
            job = server.json("POST", "/modalities/there/move", body)["ID"]
            assert in_the_second.wait(60)
            server.kill()
            dead.set()
            server.start()
            found = server.wait_for_job(job)
        assert found["State"] == "Success"
        assert [one["DimseErrorStatus"] for one in found["Content"]["Details"]] == [0, 0, 0]
    assert moved == [b"1.2.0", b"1.2.1", b"1.2.1", b"1.2.2"]


def test_a_query_survives_sudden_death(tmp_path: Path) -> None:
    player = Player()
    player.find = lambda event: [(PENDING, answer(PatientID=str(n))) for n in range(3)]
    with playing(player):
        config = {"DicomModalities": {"there": ["PLAYER", "127.0.0.1", player.port]}}
        with running(Server(tmp_path, config)) as server:
            path = server.json("POST", "/modalities/there/query", {"Level": "Patient"})["Path"]
            server.kill()
            server.start()
            assert server.json("GET", f"{path}/answers") == ["0", "1", "2"]
