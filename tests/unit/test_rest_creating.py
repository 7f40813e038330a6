from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from tests.support.creating import (
    CLEAR,
    COLOUR,
    GREY,
    PDF,
    data_uri,
    jpeg,
    mp4,
    mpeg2,
    pdf,
    picture,
    png,
    raw_png,
)
from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import limits
from wherry.http.spool import Spool
from wherry.rest import creating

EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    with serving(tmp_path_factory.mktemp("creating")) as found:
        yield found


def created(face: Face, body: Any) -> tuple[Dataset, str]:
    """The file, and the path of the instance."""
    reply = face.post_json("/tools/create-dicom", body)
    assert reply.status == 200, reply.body
    path = reply.json()["Path"]
    return dcmread(io.BytesIO(face.get(path + "/file").body)), path


def refused(face: Face, body: Any) -> tuple[int, int]:
    before = face.json("/statistics")["CountInstances"], face.files()
    reply = face.post_json("/tools/create-dicom", body)
    assert reply.status >= 400
    assert (face.json("/statistics")["CountInstances"], face.files()) == before
    return reply.status, reply.json()["OrthancStatus"]


def shown(face: Face, path: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(face.get(path).body)))


def test_a_file_that_others_read(face: Face) -> None:
    found, path = created(face, {"Tags": {"PatientName": "A"}, "Content": png(GREY)})
    assert found.file_meta.TransferSyntaxUID == EXPLICIT
    assert found.file_meta.SourceApplicationEntityTitle == "ORTHANC"
    assert (found.pixel_array == GREY).all()
    metadata = face.json(path + "/metadata?expand")
    assert metadata["Origin"] == "RestApi"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(Image.fromarray(COLOUR).quantize(8)), Image.fromarray(COLOUR).quantize(8)),
        (png(Image.fromarray(GREY > 100)), Image.fromarray(GREY > 100)),
        (png(Image.merge("LA", [Image.fromarray(GREY)] * 2)), Image.fromarray(GREY)),
        (png(CLEAR), Image.fromarray(CLEAR[:, :, :3])),
        (data_uri("image/png", raw_png(4, 1, 2, 0, b"\0\x1b")), [[0, 85, 170, 255]]),
    ],
)
def test_pictures_that_orthanc_refuses(face: Face, content: str, expected: Any) -> None:
    """... all but the transparent one."""
    found, path = created(face, {"Tags": {}, "Content": content})
    if isinstance(expected, Image.Image):
        expected = np.asarray(expected.convert("RGB" if found.SamplesPerPixel == 3 else "L"))
    assert (found.pixel_array == expected).all()
    view = "/preview" if found.SamplesPerPixel == 3 else "/image-uint8"
    assert (shown(face, path + view) == expected).all()


def test_colours_of_16_bits(face: Face) -> None:
    data = raw_png(2, 1, 16, 2, b"\0" + bytes(range(12)))
    found, path = created(face, {"Tags": {}, "Content": data_uri("image/png", data)})
    assert (found.BitsAllocated, found.HighBit) == (16, 15)
    assert found.pixel_array.tolist() == [[[0x1, 0x203, 0x405], [0x607, 0x809, 0xA0B]]]
    assert shown(face, path + "/preview").tolist() == [[[0, 2, 4], [6, 8, 10]]]


def test_a_jpeg_that_is_kept(face: Face) -> None:
    data = picture(COLOUR, "jpeg", quality=90)
    body = {"Tags": {}, "Content": data_uri("image/jpeg", data), "Encapsulate": True}
    found, path = created(face, body)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"
    assert face.get(path + "/frames/0/raw").body[: len(data)] == data
    decoded, _ = created(face, {**body, "Encapsulate": False})
    near = np.abs(shown(face, path + "/preview").astype(int) - decoded.pixel_array)
    assert near.max() <= 2
    assert refused(face, {**body, "Content": jpeg(GREY, progressive=True)}) == (400, 15)


@pytest.mark.parametrize("size", [8, 9, 1_500_000, 1_500_001])
def test_pdf(face: Face, size: int) -> None:
    document = (PDF * (size // len(PDF) + 1))[:size]
    found, path = created(face, {"Tags": {"PatientID": "x"}, "Content": pdf(document)})
    assert face.get(path + "/pdf").body == document
    content = face.get(path + "/content/0042-0011").body
    assert content == document + bytes(size % 2)
    assert found.SOPClassUID == "1.2.840.10008.5.1.4.1.1.104.1"
    assert found.get("EncapsulatedDocumentLength", size) == size


def test_pdf_in_a_deflated_file(face: Face) -> None:
    document = b"%PDF-1.4 " + bytes(range(256)) * 99
    for kept in (True, False):
        found, _ = created(face, {"Tags": {}, "Content": pdf(document)})
        found.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
        found.SOPInstanceUID += ".1"
        if not kept:
            del found.EncapsulatedDocumentLength
        buffer = io.BytesIO()
        found.save_as(buffer)
        path = face.upload(buffer.getvalue())["Path"]
        assert face.get(path + "/pdf").body == document


@pytest.mark.parametrize(
    ("mime", "sop_class"),
    [("model/stl", "104.3"), ("model/obj", "104.4"), ("model/mtl", "104.5")],
)
def test_models(face: Face, mime: str, sop_class: str) -> None:
    found, path = created(
        face, {"Tags": {"DocumentTitle": "x"}, "Content": data_uri(mime, b"solid")}
    )
    assert found.SOPClassUID == "1.2.840.10008.5.1.4.1.1." + sop_class
    assert (found.Modality, found.MIMETypeOfEncapsulatedDocument) == ("M3D", mime)
    assert (found.EncapsulatedDocumentLength, found.SeriesNumber) == (5, 1)
    assert found.FrameOfReferenceUID.startswith("2.25.")
    assert face.get(path + "/content/0042-0011").body == b"solid\0"
    assert face.get(path + "/pdf").status == 404


def test_documents_of_any_kind(face: Face) -> None:
    """What is asked for must be named: a CDA document (PS3.3 §A.45.2)."""
    body: Any = {"Tags": {}, "Content": data_uri("text/xml", b"<a/>")}
    assert refused(face, body) == (500, 2)
    assert refused(face, {**body, "Encapsulate": True}) == (500, 2)
    cda = "1.2.840.10008.5.1.4.1.1.104.2"
    found, path = created(face, {**body, "Tags": {"SOPClassUID": cda}, "Encapsulate": True})
    assert (found.SOPClassUID, found.MIMETypeOfEncapsulatedDocument) == (cda, "text/xml")
    assert face.get(path + "/content/0042-0011").body == b"<a/>"


@pytest.mark.parametrize(
    ("mime", "data", "syntax", "frames"),
    [
        ("video/mp4", mp4(pictures=b"odd"), "102", 50),
        ("video/mp4", mp4(times=((300_000, 1),)), "102", 300_000),
        ("video/mpeg", mpeg2(12), "100", 12),
    ],
)
def test_videos(face: Face, mime: str, data: bytes, syntax: str, frames: int) -> None:
    found, path = created(face, {"Tags": {"PatientID": "v"}, "Content": data_uri(mime, data)})
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4." + syntax
    assert found.SOPClassUID == "1.2.840.10008.5.1.4.1.1.77.1.4.1"
    assert (found.NumberOfFrames, found.FrameIncrementPointer) == (frames, 0x00181063)
    assert found.PhotometricInterpretation == "YBR_PARTIAL_420"
    assert face.get(path + "/content/7fe0-0010/1").body.rstrip(b"\0") == data.rstrip(b"\0")
    assert face.json(path + "/frames") == [0]
    assert face.get(path + "/frames/0/raw").body.rstrip(b"\0") == data.rstrip(b"\0")
    assert face.get(path + "/frames/1/raw").status == 400
    own = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.1.1", "Modality": "ES"}
    other, _ = created(face, {"Tags": own, "Content": data_uri(mime, data)})
    assert (other.SOPClassUID, other.Modality) == (own["SOPClassUID"], "ES")
    assert refused(face, {"Tags": {}, "Content": data_uri(mime, b"x" * 999)}) == (400, 15)


def test_what_orthanc_reads_otherwise(face: Face) -> None:
    tags = {
        "EncapsulatedDocument": data_uri("a/b", b"ABCD"),
        "ImageComments": data_uri("c/d", b"E"),
    }
    found, _ = created(face, {"Tags": tags})
    assert (found.EncapsulatedDocument, found.ImageComments) == (b"ABCD", "E")
    tags = {"SpecificCharacterSet": "\\ISO 2022 IR 149", "PatientName": "Hong^Gildong"}
    found, _ = created(face, {"Tags": tags})
    assert found.SpecificCharacterSet == ["", "ISO 2022 IR 149"]
    found, _ = created(face, {"Tags": {"0405,0010": "Own", "0405,1001": "x"}})
    assert found[0x04050010].VR == "LO"


def test_texts_that_the_character_set_does_not_know(face: Face) -> None:
    found, _ = created(face, {"Tags": {"PatientName": "Ωmega^É"}})
    assert (found.SpecificCharacterSet, str(found.PatientName)) == ("ISO_IR 192", "Ωmega^É")
    found, _ = created(face, {"PatientName": "Ω"})
    assert (found.SpecificCharacterSet, str(found.PatientName)) == ("ISO_IR 192", "Ω")


def test_a_series_is_there_as_a_whole_or_not_at_all(face: Face) -> None:
    last = {"Content": png(GREY), "Tags": {"Rows": "x", "PatientName": 5}}
    body = {"Tags": {}, "Content": [png(GREY), pdf(), last]}
    assert refused(face, body) == (400, 5)
    assert refused(face, {"Tags": {}, "Content": [png(GREY), data_uri("image/png", b"x")]}) == (
        400,
        15,
    )
    changes = face.json("/changes?last")["Last"]
    reply = face.post_json("/tools/create-dicom", {"Tags": {}, "Content": [png(GREY)] * 3}).json()
    assert reply["Status"] == "Success"
    assert len(face.json(reply["Path"])["Instances"]) == 3
    kinds = [one["ChangeType"] for one in face.json(f"/changes?since={changes}")["Changes"]]
    assert kinds.count("NewInstance") == 3


def test_a_series_of_two_patients(face: Face) -> None:
    other = {"Content": png(GREY), "Tags": {"PatientID": "b"}}
    body = {"Tags": {"PatientID": "a"}, "Content": [png(GREY), other]}
    assert refused(face, body) == (400, 2020)
    assert refused(face, {**body, "Force": True}) == (400, 8)


def test_long_values_of_tags(face: Face) -> None:
    value = bytes(range(256)) * 20
    uri = data_uri("application/octet-stream", value)
    tags = {"0407,1001": uri, "RequestAttributesSequence": [{"0407,1002": uri}]}
    found, _ = created(face, {"Tags": tags})
    assert found[0x04071001].value == value
    assert found.RequestAttributesSequence[0][0x04071002].value == value
    kept, _ = created(face, {"Tags": {"TextValue": uri}, "InterpretBinaryTags": False})
    assert kept.TextValue == uri


def test_elements_behind_the_content(face: Face) -> None:
    tags = {"7FE1,0010": "X", "7FE1,1001": "y", "DataSetTrailingPadding": ""}
    found, path = created(face, {"Tags": tags, "Content": png(GREY)})
    assert (found.pixel_array == GREY).all()
    assert found[0x7FE11001].value == b"y\0"
    assert face.get(path + "/content/7fe1-1001").status == 200


def test_a_gzip_body_in_pieces(face: Face) -> None:
    document = b"%PDF" * 500_000 + b"-"
    body = json.dumps({"Tags": {}, "Content": pdf(b"%PDF-" + document)}).encode()
    packed = gzip.compress(body, 1)
    pieces = (packed[start : start + 100] for start in range(0, len(packed), 100))
    reply = face.request("POST", "/tools/create-dicom", pieces, {"content-encoding": "gzip"})
    assert face.get(reply.json()["Path"] + "/pdf").body == b"%PDF-" + document


def test_parents(face: Face) -> None:
    ids = face.upload(make_instance(7, 1, 1, patient_id="P7", ReferringPhysicianName="R"))
    found, _ = created(face, {"Parent": ids["ParentStudy"], "Tags": {}, "Content": pdf()})
    assert (found.PatientID, found.ReferringPhysicianName) == ("P7", "R")
    assert refused(face, {"Parent": ids["ID"], "Tags": {}}) == (400, 2025)
    assert refused(face, {"Parent": "x", "Tags": {}}) == (400, 2024)


def test_too_many_that_wait(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has come is forgotten at once."""
    spools: list[Spool] = []
    monkeypatch.setattr(limits, "IMAGING_WAITING", 0)
    monkeypatch.setattr(creating, "Spool", lambda *how: spools.append(Spool(*how)) or spools[0])
    body = {"Tags": {}, "Content": png(GREY)}
    assert refused(face, body)[0] == 503
    with pytest.raises(ValueError, match="closed"):
        spools[0].fileno()
