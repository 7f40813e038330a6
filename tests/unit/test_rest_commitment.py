"""/modalities/{}/storage-commitment and /storage-commitment/{}: bodies, answers and errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from tests.support.server import free_port
from wherry import limits
from wherry.config.dimse import DimseConfig
from wherry.index import commitments
from wherry.index.commitments import AskedInstance
from wherry.modalities.commitment import requesting as commitment
from wherry.model import Modality

CT = "1.2.840.10008.5.1.4.1.1.2"
ROOT = "1.2.826.0.1.3680043.10.1234.1.1"
ASK = "/modalities/m/storage-commitment"


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    nobody = Modality("m", "ARCHIVE", "127.0.0.1", free_port())
    with serving(tmp_path, dimse=DimseConfig(modalities={"m": nobody})) as face:
        yield face


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a modality would be asked; nobody is."""
    calls: list[dict[str, Any]] = []

    def ask(*given: Any) -> str:
        _, _, modality, goal, instances = given
        calls.append({"modality": modality.name, "asked": instances, "timeout_s": goal.timeout_s})
        return "2.25.1"

    monkeypatch.setattr(commitment, "ask", ask)
    return calls


def error_of(face: Face, target: str, value: Any) -> tuple[int, int, str]:
    """Status, code and details."""
    reply = face.post_json(target, value)
    body = reply.json()
    return reply.status, body["OrthancStatus"], body.get("Details", "")


NO_OBJECT = "Must provide a JSON object with a list of resources"
NO_ARRAY = 'The "Resources" field must provide an array of'
NO_PAIR = "An instance entry must provide an"


@pytest.mark.parametrize(
    ("body", "status", "code", "details"),
    [
        ([], 400, 15, NO_OBJECT),
        ("text", 400, 15, NO_OBJECT),
        ({}, 400, 15, "Empty storage commitment request, one of these fields is mandatory:"),
        ({"Resources": "x"}, 400, 15, NO_ARRAY),
        ({"Resources": [1]}, 400, 15, NO_ARRAY),
        ({"Resources": ["nope"]}, 404, 17, ""),
        ({"DicomInstances": "x"}, 400, 15, 'The "DicomInstances" field must provide an array'),
        ({"DicomInstances": [1]}, 400, 15, "JSON array or object is expected"),
        ({"DicomInstances": [{}]}, 400, 15, NO_PAIR),
        ({"DicomInstances": [{"SOPClassUID": CT}]}, 400, 15, NO_PAIR),
        ({"DicomInstances": [[CT]]}, 400, 15, NO_PAIR),
        ({"DicomInstances": [[CT, "1", "2"]]}, 400, 15, NO_PAIR),
        ({"DicomInstances": [[CT, 1]]}, 400, 15, NO_PAIR),
        ({"DicomInstances": [["", ""]]}, 400, 3, "The SOP class/instance UIDs cannot be empty"),
        ({"DicomInstances": [[CT, "1" * 65]]}, 400, 3, "The SOP class/instance UIDs cannot"),
        ({"Resources": [], "Timeout": "x"}, 400, 15, "Integer value expected in field: Timeout"),
        ({"Resources": [], "Timeout": True}, 400, 15, "Integer value expected in field: Timeout"),
        ({"Resources": [], "Timeout": -1}, 400, 15, "Unsigned integer value expected"),
        (
            {"DicomInstances": [[CT, str(n)] for n in range(limits.COMMITMENT_INSTANCES + 1)]},
            413,
            8,
            "At most 10000 instances",
        ),
    ],
)
def test_bodies_that_make_no_sense(
    face: Face, asked: list[Any], body: Any, status: int, code: int, details: str
) -> None:
    found = error_of(face, ASK, body)
    assert found[:2] == (status, code)
    assert found[2].startswith(details)
    assert not asked


def test_bodies_that_are_no_json(face: Face, asked: list[Any]) -> None:
    for body in (b"", b"nonsense"):
        reply = face.request("POST", ASK, body)
        assert (reply.status, reply.json()["Details"]) == (400, NO_OBJECT)
    assert not asked


def test_an_unknown_modality(face: Face, asked: list[Any]) -> None:
    target = "/modalities/nope/storage-commitment"
    assert error_of(face, target, {"Resources": []}) == (
        404,
        7,
        "No modality with symbolic name: nope",
    )
    assert error_of(face, target, {})[:2] == (400, 15), "the body comes first"


def test_instances_of_resources_and_by_name(face: Face, asked: list[dict[str, Any]]) -> None:
    stored = [face.upload(make_instance(number=number)) for number in (1, 2)]
    face.upload(make_instance(series=2))
    body = {
        "Resources": [stored[1]["ID"], stored[0]["ParentSeries"], stored[1]["ID"]],
        "DicomInstances": [
            [CT, f"{ROOT}.2"],
            {"SOPClassUID": CT, "SOPInstanceUID": "1.2.3"},
            [CT, "1.2.3"],
        ],
        "Timeout": 7,
    }
    reply = face.post_json(ASK, body)
    assert reply.json() == {"ID": "2.25.1", "Path": "/storage-commitment/2.25.1"}
    [call] = asked
    assert (call["modality"], call["timeout_s"]) == ("m", 7)
    named = [(one.sop_class, one.sop_instance) for one in call["asked"]]
    assert named == [(CT, f"{ROOT}.1"), (CT, f"{ROOT}.2"), (CT, "1.2.3")]
    files = [face.get(f"/instances/{one['ID']}/file").body for one in stored]
    assert [one.digests for one in call["asked"]] == [
        (blake3(files[0]).hexdigest(),),
        (blake3(files[1]).hexdigest(),),
        (),
    ]


def test_without_a_timeout_that_of_the_configuration_counts(
    face: Face, asked: list[dict[str, Any]]
) -> None:
    face.post_json(ASK, {"Resources": []})
    assert (asked[0]["asked"], asked[0]["timeout_s"]) == ([], 10)


def test_a_modality_that_is_not_there(face: Face) -> None:
    """The transaction is not kept: nobody knows its name."""
    found = error_of(face, ASK, {"DicomInstances": [[CT, "1.2.3"]]})
    assert found[:2] == (500, 9)
    assert "cannot be reached" in found[2]
    with face.rooms.index.read() as tx:
        assert tx.all("SELECT uid FROM commitments") == []


# --- reports and removal -----------------------------------------------------------------------
def keep(face: Face, *instances: AskedInstance, failures: dict[int, int] | None = None) -> None:
    index = face.rooms.index
    index.write(lambda tx: commitments.add(tx, "2.25.1", "ARCHIVE", instances, 10))
    if failures is not None:
        index.write(lambda tx: commitments.settle(tx, "2.25.1", failures))


def asked_for(face: Face, orthanc_id: str, number: int) -> AskedInstance:
    md5 = face.get(f"/instances/{orthanc_id}/attachments/dicom/md5").body.decode()
    return AskedInstance(CT, f"{ROOT}.{number}", (md5,))


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("POST", "/remove")])
def test_an_unknown_transaction(face: Face, method: str, end: str) -> None:
    reply = face.request(method, f"/storage-commitment/nope{end}")
    assert (reply.status, reply.json()["OrthancStatus"]) == (404, 7)
    assert reply.json()["Details"] == "No storage commitment transaction with UID: nope"


def test_methods(face: Face) -> None:
    assert face.request("PUT", "/storage-commitment/x").status == 405
    assert face.get("/storage-commitment/x/remove").status == 405
    assert face.get(ASK).status == 405


@pytest.mark.parametrize("failures", [None, {0: 0x0112}])
def test_nothing_is_removed_before_success(face: Face, failures: dict[int, int] | None) -> None:
    stored = face.upload(make_instance())["ID"]
    keep(face, asked_for(face, stored, 1), failures=failures)
    reply = face.request("POST", "/storage-commitment/2.25.1/remove")
    assert (reply.status, reply.json()["OrthancStatus"]) == (500, 6)
    assert reply.json()["Details"] == (
        "Cannot remove DICOM instances after failure in storage commitment transaction: 2.25.1"
    )
    assert face.json("/instances") == [stored]


def test_what_was_committed_is_removed_and_nothing_else(face: Face) -> None:
    stored = [face.upload(make_instance(number=number))["ID"] for number in (1, 2, 3)]
    keep(
        face,
        asked_for(face, stored[0], 1),
        asked_for(face, stored[1], 2),
        AskedInstance(CT, "1.2.3"),
        failures={},
    )
    for _ in range(2):
        reply = face.request("POST", "/storage-commitment/2.25.1/remove")
        assert (reply.status, reply.body) == (200, b"{}")
        assert reply.headers["content-type"] == "application/json"
        assert face.json("/instances") == [stored[2]]
    assert face.json("/storage-commitment/2.25.1")["Status"] == "Success"


def test_what_was_replaced_since_stays(tmp_path: Path) -> None:
    """The other system has the bytes of before."""
    archive = Modality("m", "ARCHIVE", "127.0.0.1", 1)
    dimse = DimseConfig(modalities={"m": archive})
    with serving(tmp_path, overwrite_instances=True, dimse=dimse) as face:
        stored = [face.upload(make_instance(number=number))["ID"] for number in (1, 2)]
        keep(face, *(asked_for(face, one, n) for n, one in enumerate(stored, 1)), failures={})
        face.upload(make_instance(number=2, StudyDescription="Another"))
        assert face.request("POST", "/storage-commitment/2.25.1/remove").status == 200
        assert face.json("/instances") == [stored[1]]


def test_one_of_two_of_the_same_name(face: Face) -> None:
    first = face.upload(make_instance(patient_id="ONE"))["ID"]
    second = face.upload(make_instance(patient_id="TWO"))["ID"]
    keep(face, asked_for(face, first, 1), failures={})
    assert face.request("POST", "/storage-commitment/2.25.1/remove").status == 200
    assert face.json("/instances") == [second]


def test_an_instance_of_another_class_stays(face: Face) -> None:
    stored = face.upload(make_instance())["ID"]
    asked = asked_for(face, stored, 1)
    keep(face, asked._replace(sop_class="1.2.3"), failures={})
    assert face.request("POST", "/storage-commitment/2.25.1/remove").status == 200
    assert face.json("/instances") == [stored]
