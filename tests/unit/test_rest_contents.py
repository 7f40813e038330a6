"""What stands inside instances, over REST: values, header, modules, slices, frames, documents."""

from __future__ import annotations

import gzip
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_bytes import (
    BIG_ENDIAN,
    DEFLATED,
    JPEG,
    data_set,
    explicit,
    fragments,
    item,
    meta,
    pixels,
    raw_deflate,
)
from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import limits

INNER = explicit(0x00081140, "SQ", item(explicit(0x00081155, "UI", b"1.2\0")) + item())


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    with serving(tmp_path) as served:
        yield served


def path_of(face: Face, data: bytes) -> str:
    return str(face.upload(data)["Path"])


def failure(face: Face, target: str) -> tuple[int, int]:
    """Status and code of an error."""
    reply = face.get(target)
    return reply.status, reply.json()["OrthancStatus"]


def test_content(face: Face) -> None:
    one = path_of(face, meta() + data_set() + INNER + pixels() + explicit(0xFFFCFFFC, "OB", b"ab"))
    content = f"{one}/content"
    assert face.json(content)[-3:] == ["0008-1140", "7fe0-0010", "fffc-fffc"] or (
        sorted(face.json(content)) == face.json(content)
    )
    for name in ("PatientID", "0010-0020", "0010,0020", "00100020"):
        reply = face.get(f"{content}/{name}")
        assert (reply.body, reply.headers["content-type"]) == (b"P1", "application/octet-stream")
    assert face.json(f"{content}/0008-1140") == ["0", "1"]
    assert face.json(f"{content}/0008-1140/0") == ["0008-1155"]
    assert face.json(f"{content}/0008-1140/1") == []
    assert face.get(f"{content}/0008-1140/0/0008-1155").body == b"1.2\0"
    assert face.json(f"{content}/PixelData") == ["0"]
    assert face.get(f"{content}/PixelData/0").body == bytes(100)
    for absent in ("0010-9999", "0008-1140/2", "0008-1140/x", "PixelData/1", "PatientID/0"):
        reply = face.get(f"{content}/{absent}")
        assert (reply.status, reply.body) == (404, b""), absent
    assert failure(face, f"{content}/Nope") == (500, 27)
    assert failure(face, "/instances/nope/content/Nope") == (404, 17)


def test_fragments(face: Face) -> None:
    one = path_of(face, meta(JPEG) + data_set() + fragments(b"", b"abcd", b"ef"))
    assert face.json(f"{one}/content/PixelData") == ["0", "1", "2"]
    parts = [face.get(f"{one}/content/PixelData/{n}").body for n in range(3)]
    assert parts == [b"", b"abcd", b"ef"]


def test_a_large_value_is_streamed(face: Face) -> None:
    bulk = bytes(range(256)) * (limits.READ_CHUNK_BYTES // 256 * 3)
    one = path_of(face, meta() + data_set() + explicit(0x40010010, "OB", bulk) + pixels())
    assert face.get(f"{one}/content/4001-0010").body == bulk


def test_content_of_deflated_files(face: Face) -> None:
    one = path_of(face, meta(DEFLATED) + raw_deflate(data_set() + pixels()))
    assert face.get(f"{one}/content/PatientID").body == b"P1"
    assert face.get(f"{one}/content/PixelData/0").body == bytes(100)


def test_header(face: Face) -> None:
    one = path_of(face, meta() + data_set())
    assert face.json(f"{one}/header?short")["0002,0010"] == "1.2.840.10008.1.2.1"
    assert list(face.json(f"{one}/header?simplify")) == [
        "FileMetaInformationGroupLength",
        "MediaStorageSOPClassUID",
        "MediaStorageSOPInstanceUID",
        "TransferSyntaxUID",
    ]
    assert face.json(f"{one}/header")["0002,0003"]["Value"] == "1.2.3.3"
    bare = path_of(face, data_set((0x00080018, "UI", b"1.2.3.4\0")))
    assert face.json(f"{bare}/header") == {}


def test_tags_behind_the_pixels(face: Face) -> None:
    one = path_of(face, meta() + data_set() + pixels() + explicit(0xFFFCFFFC, "OB", b"ab"))
    assert "fffc,fffc" not in face.json(f"{one}/tags")
    assert "fffc,fffc" in face.json(f"{one}/tags?whole")
    assert "fffc,fffc" not in face.json(f"{one}/tags?whole=false")


def test_modules(face: Face) -> None:
    ids = face.upload(make_instance(StationName="x", PatientComments="y" * 300))
    patient = f"/patients/{ids['ParentPatient']}/module"
    assert face.json(f"{patient}?simplify") == {
        "PatientName": "Doe^Jane",
        "PatientID": "PATIENT1",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
        "PatientComments": None,
    }
    assert face.json(f"/studies/{ids['ParentStudy']}/module-patient") == face.json(patient)
    assert "0020,000d" in face.json(f"/studies/{ids['ParentStudy']}/module?short")
    assert "Modality" in face.json(f"/series/{ids['ParentSeries']}/module?simplify")
    assert "SOPClassUID" in face.json(f"{ids['Path']}/module?simplify")
    for level in ("patients", "studies", "series", "instances"):
        assert failure(face, f"/{level}/nope/module") == (404, 17)


def test_shared_tags(face: Face) -> None:
    for number in (1, 2):
        ids = face.upload(make_instance(number=number, ImageComments="x" * 300))
    shared = face.json(f"/series/{ids['ParentSeries']}/shared-tags")
    assert shared["0010,0020"] == {"Name": "PatientID", "Type": "String", "Value": "PATIENT1"}
    assert not shared.keys() & {"0020,0013", "0020,4000", "7fe0,0010", "0008,0018"}
    assert face.json(f"/series/{ids['ParentSeries']}/shared-tags?simplify")["Modality"] == "CT"
    assert face.json(f"/studies/{ids['ParentStudy']}/shared-tags?short")["0008,0060"] == "CT"
    assert failure(face, "/studies/nope/shared-tags") == (404, 17)


def test_tags_of_all_instances(face: Face) -> None:
    paths = [face.upload(make_instance(number=number))["Path"] for number in range(1, 90)]
    [patient] = face.json("/patients")
    shown = face.json(f"/patients/{patient}/instances-tags?simplify")
    assert {f"/instances/{one}" for one in shown} == set(paths)
    for path in paths[::20]:
        assert shown[path.removeprefix("/instances/")] == face.json(f"{path}/simplified-tags")
    assert failure(face, "/patients/nope/instances-tags") == (404, 17)


def test_an_instance_whose_tags_nobody_can_read(face: Face) -> None:
    inner = b""
    for _ in range(100):
        inner = explicit(0x40000010, "SQ", item(inner))
    one = path_of(face, meta() + data_set() + inner)
    [series] = face.json("/series")
    assert face.json(f"/series/{series}/instances-tags") == {one.removeprefix("/instances/"): {}}
    assert failure(face, f"{one}/tags") == (400, 15)
    assert face.json(f"{one}/module?simplify")["SOPInstanceUID"] == "1.2.3.3"


def test_a_file_that_is_gone_breaks_the_answer(face: Face) -> None:
    face.upload(make_instance())
    [series] = face.json("/series")
    next((face.folder / "storage").glob("??/*/*")).unlink()
    for what in ("instances-tags", "shared-tags", "module"):
        assert failure(face, f"/series/{series}/{what}") == (500, 2006)


def slices(face: Face, *parts: dict[str, Any]) -> Any:
    for number, part in enumerate(parts):
        uid = f"1.2.3.{number}"
        answer = face.upload(make_instance(SOPInstanceUID=uid, StudyInstanceUID="1.2.9", **part))
    return face.get(f"/series/{answer['ParentSeries']}/ordered-slices")


def test_ordered_slices(face: Face) -> None:
    plane = [1, 0, 0, 0, 1, 0]
    found = slices(
        face,
        *(
            {
                "ImageOrientationPatient": plane,
                "ImagePositionPatient": [0, 0, z],
                "NumberOfFrames": frames,
            }
            for z, frames in ((5, 1), (-5, 2))
        ),
    ).json()
    below, above = found["SlicesShort"]
    assert (found["Type"], below[1:], above[1:]) == ("Volume", [0, 2], [0, 1])
    assert found["Dicom"] == [f"/instances/{below[0]}/file", f"/instances/{above[0]}/file"]
    assert found["Slices"] == [
        f"/instances/{below[0]}/frames/0",
        f"/instances/{below[0]}/frames/1",
        f"/instances/{above[0]}/frames/0",
    ]
    assert failure(face, "/series/nope/ordered-slices") == (404, 17)


def test_slices_that_say_nothing_of_their_order(face: Face) -> None:
    reply = slices(face, {"InstanceNumber": None}, {"InstanceNumber": 1})
    assert (reply.status, reply.json()["OrthancStatus"]) == (500, 2040)


def test_more_frames_than_anybody_lists(face: Face) -> None:
    reply = slices(face, {"NumberOfFrames": 2_000_000_000})
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, 15)
    [one] = face.json("/instances")
    assert failure(face, f"/instances/{one}/frames") == (400, 15)
    assert failure(face, f"/instances/{one}/frames/0/raw") == (400, 15)


def test_frames(face: Face) -> None:
    one = path_of(face, make_instance(NumberOfFrames=4, Rows=2, Columns=128))
    assert face.json(f"{one}/frames") == [0, 1, 2, 3]
    assert "raw.gz" in face.json(f"{one}/frames/99")
    whole = face.get(f"{one}/content/PixelData/0").body
    assert face.get(f"{one}/frames/1/raw").body == whole[512:1024]
    reply = face.get(f"{one}/frames/1/raw.gz")
    assert reply.headers["content-type"] == "application/gzip"
    assert gzip.decompress(reply.body) == whole[512:1024]
    assert failure(face, f"{one}/frames/4/raw") == (400, 3)
    assert face.get(f"{one}/frames/x/raw").status == 404
    assert failure(face, "/instances/nope/frames/0/raw") == (404, 17)
    assert failure(face, "/instances/nope/frames") == (404, 17)


def test_frames_without_pixels(face: Face) -> None:
    one = path_of(face, meta() + data_set())
    assert face.json(f"{one}/frames") == [0]
    assert failure(face, f"{one}/frames/0/raw") == (404, 21)
    assert failure(face, f"{one}/frames/0/raw.gz") == (404, 21)


def test_a_jpeg_frame(face: Face) -> None:
    one = path_of(face, meta(JPEG) + data_set() + fragments(b"", b"abcd", b"ef"))
    reply = face.get(f"{one}/frames/0/raw")
    assert (reply.body, reply.headers["content-type"]) == (b"abcdef", "image/jpeg")


def test_big_endian_words(face: Face) -> None:
    body = data_set(
        (0x00280010, "US", b"\0\1"), (0x00280011, "US", b"\0\2"), (0x00280100, "US", b"\0\x10"),
        order=">",
    ) + explicit(0x7FE00010, "OW", b"\1\2\3\4", order=">")  # fmt: skip
    one = path_of(face, meta(BIG_ENDIAN) + body)
    assert face.get(f"{one}/frames/0/raw").body == b"\2\1\4\3"


@pytest.mark.parametrize(
    ("stored", "shown"), [(b"%PDF-1\0\0", b"%PDF-1\0"), (b"%PDF-1\n ", b"%PDF-1\n ")]
)
def test_pdf(face: Face, stored: bytes, shown: bytes) -> None:
    kind = (0x00420012, "LO", b"application/pdf ")
    one = path_of(face, meta() + data_set((0x00420011, "OB", stored), kind))
    reply = face.get(f"{one}/pdf")
    assert (reply.body, reply.headers["content-type"]) == (shown, "application/pdf")


def test_what_is_no_pdf(face: Face) -> None:
    document = (0x00420011, "OB", b"<html>")
    one = path_of(face, meta() + data_set(document, (0x00420012, "LO", b"text/html ")))
    assert (face.get(f"{one}/pdf").status, face.get(f"{one}/pdf").body) == (404, b"")


def test_files_in_the_languages_of_dicomweb(face: Face) -> None:
    one = path_of(face, meta() + data_set() + INNER + pixels())

    def asked(accept: str) -> Any:
        return face.request("GET", f"{one}/file", headers={"Accept": accept})

    shown = asked("application/dicom+json")
    assert shown.headers["content-type"] == "application/dicom+json"
    assert json.loads(shown.body)["00100020"] == {"vr": "LO", "Value": ["P1"]}
    shown = asked("application/dicom+xml")
    assert shown.headers["content-type"] == "application/dicom+xml"
    assert ET.fromstring(shown.body).tag.endswith("NativeDicomModel")
    for accept in ("*/*", "text/plain", "application/dicom, application/dicom+json"):
        assert asked(accept).headers["content-type"] == "application/dicom"
    assert face.get(f"{one}/file").body[128:132] == b"DICM"
    shown = asked("application/dicom+json")  # the file is held in memory by now
    assert shown.headers["content-type"] == "application/dicom+json"
