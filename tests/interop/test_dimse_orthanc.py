"""Debian's Orthanc as the one that calls: it echoes, stores and retrieves at Wherry.

Not here: its queries (``test_dimse_find``), storage commitment (``test_commitment_orthanc``), what
Wherry asks of it (``test_modalities_store``, ``test_queries_orthanc``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.dicom_files import make_series
from tests.support.dimse import travelling
from tests.support.orthanc import Orthanc, needs_orthanc
from tests.support.pydicom_files import FILES, ROOT
from tests.support.server import Server, free_port, running

pytestmark = needs_orthanc


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """A Wherry and an Orthanc that know each other."""
    folder = tmp_path_factory.mktemp("both")
    ports = {"wherry": free_port(), "orthanc": free_port()}

    def config(name: str, other: str) -> dict[str, Any]:
        return {
            "DicomServerEnabled": True,
            "DicomPort": ports[name],
            "DicomAet": name.upper(),
            "DicomModalities": {other: [other.upper(), "127.0.0.1", ports[other]]},
            "DicomAlwaysAllowMove": True,
        }

    with (
        running(Server(folder / "wherry", config("wherry", "orthanc"))) as wherry,
        running(Orthanc(folder / "orthanc", config("orthanc", "wherry"))) as orthanc,
    ):
        yield wherry, orthanc


def clear(server: Server) -> None:
    for patient in server.json("GET", "/patients"):
        server.request("DELETE", f"/patients/{patient}")


def test_echo(both: tuple[Server, Server]) -> None:
    wherry, orthanc = both
    assert orthanc.request("POST", "/modalities/wherry/echo", b"{}")[0] == 200
    assert wherry.request("POST", "/modalities/orthanc/echo", b"{}")[0] == 200


def test_what_orthanc_stores_is_what_it_has(both: tuple[Server, Server]) -> None:
    """Every instance of pydicom's files that Orthanc takes: same identifiers, same tags."""
    wherry, orthanc = both
    clear(wherry)
    clear(orthanc)
    for name in FILES:
        data = (ROOT / name).read_bytes()
        if travelling(data) is not None:
            orthanc.request("POST", "/instances", data)
    instances = orthanc.json("GET", "/instances")
    assert len(instances) > 60
    order = {"Resources": instances, "Synchronous": True, "Permissive": True}
    orthanc.json("POST", "/modalities/wherry/store", order)
    stored = wherry.json("GET", "/instances")
    assert set(stored) <= set(instances)
    assert len(instances) - len(stored) <= 1  # rtdose_rle_1frame.dcm, which it cannot send
    for orthanc_id in stored[:40]:
        ours = wherry.json("GET", f"/instances/{orthanc_id}/simplified-tags")
        theirs = orthanc.json("GET", f"/instances/{orthanc_id}/simplified-tags")
        assert ours.get("SOPInstanceUID") == theirs.get("SOPInstanceUID")
        assert ours.keys() == theirs.keys()


def test_orthanc_retrieves_from_wherry(both: tuple[Server, Server]) -> None:
    """Query, then C-MOVE: Wherry sends to Orthanc."""
    wherry, orthanc = both
    clear(wherry)
    clear(orthanc)
    for data in make_series(25):
        assert wherry.request("POST", "/instances", data)[0] == 200
    question = {"Level": "Study", "Query": {"PatientID": "PATIENT1"}}
    query = orthanc.json("POST", "/modalities/wherry/query", question)["ID"]
    assert orthanc.json("GET", f"/queries/{query}/answers") == ["0"]
    status, answer = orthanc.request("POST", f"/queries/{query}/answers/0/retrieve", b"ORTHANC")
    assert status == 200, answer
    assert len(orthanc.json("GET", "/instances")) == 25
    assert set(orthanc.json("GET", "/instances")) == set(wherry.json("GET", "/instances"))


def test_wherry_retrieves_from_orthanc(both: tuple[Server, Server]) -> None:
    """... and the other way round."""
    wherry, orthanc = both
    clear(wherry)
    clear(orthanc)
    for data in make_series(25):
        assert orthanc.request("POST", "/instances", data)[0] == 200
    question = {"Level": "Study", "Query": {"PatientID": "PATIENT1"}}
    query = wherry.json("POST", "/modalities/orthanc/query", question)["ID"]
    status, answer = wherry.request("POST", f"/queries/{query}/answers/0/retrieve", b"WHERRY")
    assert status == 200, answer
    assert set(orthanc.json("GET", "/instances")) == set(wherry.json("GET", "/instances"))
