"""Wherry as SCP of C-GET and C-MOVE, asked by DCMTK and pynetdicom."""

from __future__ import annotations

import io
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    PatientRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from tests.support.dicom_files import make_instance, make_series
from tests.support.dimse import dcmtk, dicom_server
from tests.support.pydicom_files import ROOT
from tests.support.server import Server, free_port
from wherry.dicom.codecs.image import Image
from wherry.dicom.codecs.syntaxes import J2K_LOSSY as JPEG_2000

UID = "1.2.826.0.1.3680043.10.1234"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
JPEG2000 = "1.2.840.10008.1.2.4.90"


@pytest.fixture(scope="module")
def port_of_destination() -> int:
    return free_port()


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, port_of_destination: int
) -> Iterator[tuple[Server, int]]:
    config: dict[str, Any] = {
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {
            "there": ["THERE", "127.0.0.1", port_of_destination],
            "nobody": ["NOBODY", "127.0.0.1", free_port()],
        },
        "DicomScuTimeout": 5,
        "DicomAssociationCloseDelay": 0,  # each test has a destination of its own
    }
    with dicom_server(tmp_path_factory.mktemp("scp"), **config) as (server, port):
        for data in [*make_series(12), make_instance(2, pixel_bytes=5_000_192)]:
            server.request("POST", "/instances", data)
        server.request("POST", "/instances", (ROOT / "test_files/JPEG2000.dcm").read_bytes())
        yield server, port


def study(number: int, level: str = "STUDY", **keys: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    query.StudyInstanceUID = f"{UID}.{number}"
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query


# --- C-GET ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [[], ["-pdu", 4096], ["-pdu", 131072]])
def test_getscu(served: tuple[Server, int], tmp_path: Path, options: list[Any]) -> None:
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={UID}.1"]
    dcmtk("getscu", "-S", *options, "-od", tmp_path, *keys, "127.0.0.1", served[1])
    assert len(list(tmp_path.iterdir())) == 12


def got(
    port: int,
    query: Dataset,
    *,
    stop_after: int = 0,
    syntaxes: tuple[str, ...] = (EXPLICIT,),
    status: int = 0,
) -> tuple[list[Any], list[bytes], list[Dataset | None]]:
    """Answers, data sets and identifiers of a C-GET."""
    given: list[bytes] = []
    entity = AE("GETTER")
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    entity.add_requested_context(PatientRootQueryRetrieveInformationModelGet)
    entity.add_requested_context(CTImageStorage, list(syntaxes))

    def handle(event: Any) -> int:
        given.append(event.request.DataSet.getvalue())
        if stop_after and len(given) == stop_after:
            event.assoc.send_c_cancel(1, None, StudyRootQueryRetrieveInformationModelGet)
        return status

    association = entity.associate(
        "127.0.0.1",
        port,
        ext_neg=[build_role(CTImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, handle)],
    )
    assert association.is_established
    answers, identifiers = [], []
    for answer, identifier in association.send_c_get(
        query, StudyRootQueryRetrieveInformationModelGet
    ):
        answers.append(answer)
        identifiers.append(identifier)
    association.release()
    return answers, given, identifiers


def test_counts_and_bytes_of_a_get(served: tuple[Server, int]) -> None:
    answers, given, _ = got(served[1], study(1))
    assert [one.Status for one in answers] == [0xFF00] * 11 + [0]
    assert [one.NumberOfRemainingSuboperations for one in answers[:-1]] == list(range(11, 0, -1))
    last = answers[-1]
    assert last.NumberOfCompletedSuboperations == 12
    assert last.NumberOfFailedSuboperations == last.NumberOfWarningSuboperations == 0
    assert {data[-2048:] for data in given} == {data[-2048:] for data in make_series(12)}


def test_a_large_instance_comes_whole(served: tuple[Server, int]) -> None:
    answers, given, _ = got(served[1], study(2))
    assert answers[-1].Status == 0
    assert given[0].endswith(dcmread(BytesIO(make_instance(2, pixel_bytes=5_000_192))).PixelData)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (study(1, "SERIES", SeriesInstanceUID=f"{UID}.1.1"), 12),
        (study(1, "SERIES", SeriesInstanceUID=f"{UID}.2.1"), 0),
        (study(1, "IMAGE", SOPInstanceUID=[f"{UID}.1.1.3", f"{UID}.1.1.5"]), 2),
        (study(9), 0),
        (study(1, PatientID="PATIENT1"), 12),
        (study(1, PatientID="SOMEBODY"), 0),
    ],
)
def test_levels_and_keys(served: tuple[Server, int], query: Dataset, count: int) -> None:
    answers, given, _ = got(served[1], query)
    assert answers[-1].Status == 0
    assert len(given) == answers[-1].NumberOfCompletedSuboperations == count


@pytest.mark.parametrize(
    "query", [study(1, "NOPE"), study(1, "IMAGE"), study(1, "PATIENT", PatientID="P*"), Dataset()]
)
def test_what_makes_no_sense(served: tuple[Server, int], query: Dataset) -> None:
    query.PatientName = ""
    answers, given, _ = got(served[1], query)
    assert [one.Status for one in answers] == [0xA900]
    assert not given


def test_cancelled_get(served: tuple[Server, int]) -> None:
    answers, given, _ = got(served[1], study(1), stop_after=3)
    last = answers[-1]
    assert last.Status == 0xFE00
    assert last.NumberOfCompletedSuboperations == len(given)
    assert last.NumberOfRemainingSuboperations == 12 - len(given) > 0


def test_what_the_caller_does_not_take(served: tuple[Server, int]) -> None:
    answers, _, identifiers = got(served[1], study(1), status=0xA700)
    assert answers[-1].Status == 0xA702
    assert answers[-1].NumberOfFailedSuboperations == 12
    assert identifiers[-1] is not None
    assert len(identifiers[-1].FailedSOPInstanceUIDList) == 12


def test_native_data_sets_are_written_anew(served: tuple[Server, int]) -> None:
    answers, given, _ = got(served[1], study(1), syntaxes=(IMPLICIT,))
    assert answers[-1].Status == 0
    assert given[0][4:8] != b"UI\x00\x00"
    assert given[0][:4] == b"\x08\x00\x16\x00"


@pytest.mark.parametrize(("option", "syntax"), [("+x=", EXPLICIT), ("+xw", JPEG_2000)])
def test_pixels_are_decompressed_for_who_needs_it(
    served: tuple[Server, int], tmp_path: Path, option: str, syntax: str
) -> None:
    stored = (ROOT / "test_files/JPEG2000.dcm").read_bytes()
    uid = dcmread(io.BytesIO(stored)).StudyInstanceUID
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={uid}"]
    dcmtk("getscu", "-S", option, "+B", "-od", tmp_path, *keys, "127.0.0.1", served[1])
    [found] = [one.read_bytes() for one in tmp_path.iterdir()]
    image = Image(found)
    assert image.syntax == syntax
    np.testing.assert_array_equal(image.frame(0), Image(stored).frame(0))


def test_without_a_context_for_it(served: tuple[Server, int], tmp_path: Path) -> None:
    uid = dcmread(ROOT / "test_files/JPEG2000.dcm").StudyInstanceUID
    query = study(1)
    query.StudyInstanceUID = uid
    answers, given, identifiers = got(served[1], query)
    assert answers[-1].Status == 0xA702
    assert not given
    assert identifiers[-1] is not None
    assert identifiers[-1].FailedSOPInstanceUIDList


# --- C-MOVE ---------------------------------------------------------------------------------------
def moved(
    port: int, query: Dataset, destination: str, stop_after: int = 0
) -> tuple[list[Any], Any]:
    entity = AE("MOVER")
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
    association = entity.associate("127.0.0.1", port)
    answers = []
    identifier = None
    for answer, found in association.send_c_move(
        query, destination, StudyRootQueryRetrieveInformationModelMove, msg_id=77
    ):
        answers.append(answer)
        identifier = found
        if stop_after and len(answers) == stop_after:
            association.send_c_cancel(77, None, StudyRootQueryRetrieveInformationModelMove)
    association.release()
    return answers, identifier


def receiving(port: int, handle: Any, *syntaxes: str) -> Any:
    entity = AE("THERE")
    entity.add_supported_context(CTImageStorage, list(syntaxes) or [EXPLICIT])
    return entity.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)]
    )


def test_movescu(served: tuple[Server, int], port_of_destination: int, tmp_path: Path) -> None:
    """The destination is the caller itself, as with DCMTK's own storage port."""
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={UID}.1"]
    dcmtk(
        "movescu",
        "-S",
        "-aem",
        "THERE",
        "--port",
        port_of_destination,
        "-od",
        tmp_path,
        *keys,
        "127.0.0.1",
        served[1],
    )
    assert len(list(tmp_path.iterdir())) == 12


def test_move_tells_whose_it_is(served: tuple[Server, int], port_of_destination: int) -> None:
    seen = []

    def handle(event: Any) -> int:
        request = event.request
        seen.append((request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID))
        return 0

    destination = receiving(port_of_destination, handle)
    try:
        answers, _ = moved(served[1], study(1), "THERE")
    finally:
        destination.shutdown()
    assert answers[-1].Status == 0
    assert answers[-1].NumberOfCompletedSuboperations == 12
    assert seen == [("MOVER", 77)] * 12
    assert served[0].json("GET", "/jobs") == []


def test_move_of_which_some_is_refused(
    served: tuple[Server, int], port_of_destination: int
) -> None:
    def handle(event: Any) -> int:
        return 0xC000 if event.request.AffectedSOPInstanceUID.endswith(".3") else 0

    destination = receiving(port_of_destination, handle)
    try:
        answers, identifier = moved(served[1], study(1), "THERE")
    finally:
        destination.shutdown()
    last = answers[-1]
    assert last.Status == 0xB000
    assert (last.NumberOfCompletedSuboperations, last.NumberOfFailedSuboperations) == (11, 1)
    assert identifier.FailedSOPInstanceUIDList == f"{UID}.1.1.3"


def test_move_to_nobody(served: tuple[Server, int]) -> None:
    answers, _ = moved(served[1], study(1), "STRANGER")
    assert [one.Status for one in answers] == [0xA801]
    answers, _ = moved(served[1], study(1), "NOBODY")
    assert answers[-1].Status == 0xA702
    assert answers[-1].NumberOfFailedSuboperations == 12
    assert "Connection refused" in answers[-1].ErrorComment or answers[-1].ErrorComment


def test_move_of_nothing(served: tuple[Server, int]) -> None:
    answers, _ = moved(served[1], study(9), "THERE")
    assert answers[-1].Status == 0
    assert answers[-1].NumberOfCompletedSuboperations == 0


def test_cancelled_move(served: tuple[Server, int], port_of_destination: int) -> None:
    from threading import Event

    go_on = Event()
    seen = []

    def handle(event: Any) -> int:
        seen.append(1)
        if len(seen) > 2:
            go_on.wait(20)
        return 0

    destination = receiving(port_of_destination, handle)
    try:
        answers, _ = moved(served[1], study(1), "THERE", stop_after=1)
    finally:
        go_on.set()
        destination.shutdown()
    last = answers[-1]
    assert last.Status == 0xFE00
    assert last.NumberOfRemainingSuboperations > 0


def test_asynchronous_move(tmp_path: Path) -> None:
    port_there = free_port()
    config: dict[str, Any] = {
        "DicomAlwaysAllowMove": True,
        "SynchronousCMove": False,
        "DicomModalities": {"there": ["THERE", "127.0.0.1", port_there]},
    }
    seen: list[int] = []
    with dicom_server(tmp_path, **config) as (server, port):
        for data in make_series(3):
            server.request("POST", "/instances", data)
        destination = receiving(port_there, lambda event: seen.append(1) or 0)
        try:
            answers, _ = moved(port, study(1), "there")
            assert [one.Status for one in answers] == [0]
            (job,) = server.json("GET", "/jobs")
            found = server.wait_for_job(job)
        finally:
            destination.shutdown()
        assert found["State"] == "Success"
        assert found["Type"] == "DicomModalityStore"
        assert found["Content"]["MoveOriginatorAET"] == "MOVER"
        assert len(seen) == 3
