"""One instance, modified or anonymized over HTTP: answered, not stored."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLosslessSV1

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import limits
from wherry.config.settings import WherryConfig
from wherry.dicom.scan import scan

SECRET = "a secret of more than 24 characters"


@pytest.fixture
def face(tmp_path: Path) -> Any:
    with serving(tmp_path) as served:
        yield served


def edited(face: Face, operation: str, body: Any, data: bytes = b"") -> pydicom.FileDataset:
    one = face.upload(data or make_instance())["ID"]
    reply = face.post_json(f"/instances/{one}/{operation}", body)
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "application/dicom"
    assert int(reply.headers["content-length"]) == len(reply.body)
    return pydicom.dcmread(io.BytesIO(reply.body))


def test_modified(face: Face) -> None:
    found = edited(face, "modify", {"Replace": {"PatientName": "New^Name"}, "Remove": ["Modality"]})
    source = scan(make_instance())
    assert found.PatientName == "New^Name"
    assert "Modality" not in found
    assert found.SOPInstanceUID != source.sop_instance_uid
    assert face.json("/statistics")["CountInstances"] == 1


def test_transcoded(face: Face) -> None:
    def transcoded(name: str, syntax: str) -> str:
        data = Path(str(get_testdata_file(name))).read_bytes()
        return str(edited(face, "modify", {"Transcode": syntax}, data).file_meta.TransferSyntaxUID)

    assert transcoded("CT_small.dcm", JPEGLosslessSV1) == JPEGLosslessSV1
    assert transcoded("reportsi.dcm", JPEGLosslessSV1) == ExplicitVRLittleEndian
    one = face.upload(Path(str(get_testdata_file("MR_small.dcm"))).read_bytes())["ID"]
    refused = face.post_json(f"/instances/{one}/modify", {"Transcode": JPEGBaseline8Bit})
    assert refused.status == 415


def test_too_many_that_wait(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transcoding takes its turn with pictures; other edits need not wait for it."""
    monkeypatch.setattr(limits, "IMAGING_WAITING", 0)
    one = face.upload(make_instance())["ID"]
    body = {"Transcode": ExplicitVRLittleEndian}
    assert face.post_json(f"/instances/{one}/modify", body).status == 503
    assert face.post_json(f"/instances/{one}/modify", {}).status == 200


def test_two_modifications_are_two_instances(face: Face) -> None:
    one, other = (edited(face, "modify", {}) for _ in range(2))
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert one.StudyInstanceUID == other.StudyInstanceUID


def test_anonymized(face: Face) -> None:
    one, other = (edited(face, "anonymize", {}) for _ in range(2))
    assert one.PatientName == "Anonymized1"
    assert other.PatientName == "Anonymized2"
    assert one.PatientID != other.PatientID
    assert one.StudyInstanceUID != other.StudyInstanceUID
    named = edited(face, "anonymize", {"Replace": {"PatientName": "Anon"}})
    assert named.PatientName == "Anon"
    assert edited(face, "anonymize", {}).PatientName == "Anonymized3"


def test_a_secret_makes_the_same_of_the_same(tmp_path: Path) -> None:
    found = []
    for number in range(2):
        config = WherryConfig(anonymization_secret=SECRET)
        with serving(tmp_path / str(number), wherry=config) as face:
            found += [edited(face, "anonymize", {}) for _ in range(2)]
            modified = edited(face, "modify", {}).SOPInstanceUID
            assert modified != edited(face, "modify", {}).SOPInstanceUID
    for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert len({one[name].value for one in found}) == 1
    with serving(tmp_path / "other") as face:
        assert edited(face, "anonymize", {}).PatientID != found[0].PatientID


def test_long_and_compressed_files(tmp_path: Path) -> None:
    data = make_instance(pixel_bytes=3 * 1024 * 1024)
    with serving(tmp_path, storage_compression=True) as face:
        found = edited(face, "modify", {"Replace": {"PatientName": "x"}}, data)
    assert found.PixelData == pydicom.dcmread(io.BytesIO(data)).PixelData


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, 15),
        (b"{", 400, 15),
        (b"[]", 400, 15),
        (b'{"Replace": {"Nope": "x"}}', 500, 27),
        (b'{"Replace": {"StudyInstanceUID": "1.2"}}', 400, 8),
    ],
)
def test_refused(face: Face, body: bytes, status: int, code: int) -> None:
    one = face.upload(make_instance())["ID"]
    reply = face.request("POST", f"/instances/{one}/modify", body)
    assert (reply.status, reply.json()["OrthancStatus"]) == (status, code)


@pytest.mark.parametrize("operation", ["modify", "anonymize"])
def test_unknown(face: Face, operation: str) -> None:
    assert face.post_json(f"/instances/nope/{operation}", {}).status == 404
