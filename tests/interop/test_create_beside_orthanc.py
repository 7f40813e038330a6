"""The same requests to create instances to a real Orthanc and to Wherry: the same files, pictures
and errors. Only what ``docs/differences.md`` explains may differ.
"""

from __future__ import annotations

import io
import json
import re
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
    GREY16,
    ask,
    create,
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
from tests.support.orthanc import Orthanc, needs_orthanc
from tests.support.server import Server, running

pytestmark = needs_orthanc

OWN = {
    "Dictionary": {
        "0405,0010": ["LO", "PrivateCreatorForMyCompany", 1, 1, "My Company"],
        "0405,1001": ["ST", "MyPrivateXMLTag", 1, 1, "My Company"],
    }
}
PARENT = make_instance(
    SpecificCharacterSet="ISO_IR 192",
    PatientName="Ñame^X",
    PatientBirthDate="20000101",
    PatientComments="comments",
    StudyDate="20010101",
    StudyDescription="É",
    AccessionNumber="A",
    InstitutionName="I",
    Modality="CT",
    SeriesNumber=4,
    SeriesDescription="series",
    SeriesDate="20020202",
    ProtocolName="protocol",
    OperatorsName="op",
)
SERIES = "1.2.826.0.1.3680043.10.1234.1.1"
PNG = "/image-uint16"
STAMPS = re.compile(r"20\d{6}|\d{6}\.0{6}")
UID = re.compile(r"(2\.25|1\.2\.276\.0\.7230010\.3\.1\.[234])\.[0-9.]+")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Orthanc and Wherry, and in both the same parent."""
    folder = tmp_path_factory.mktemp("create")
    with (
        running(Orthanc(folder / "orthanc", OWN)) as theirs,
        running(Server(folder / "wherry", OWN)) as ours,
    ):
        for server in (theirs, ours):
            assert ask(server.url, "POST", "/instances", PARENT)[0] == 200
        yield theirs.url, ours.url


def shown(content: bytes) -> dict[str, Any]:
    """Every element, but for what differs from one request to the next."""
    found = dcmread(io.BytesIO(content))
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID
    meta = found.file_meta
    kept = {"syntax": meta.TransferSyntaxUID, "class": meta.MediaStorageSOPClassUID}
    return kept | elements(found)


def elements(data: Dataset) -> dict[str, Any]:
    return {str(one.tag): (one.VR, plain(one.value)) for one in data}


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value
    if hasattr(value, "__iter__") and not isinstance(value, str):
        return [elements(one) if isinstance(one, Dataset) else str(one) for one in value]
    text = UUID.sub("<uuid>", UID.sub("<uid>", str(value)))
    return STAMPS.sub("<stamp>", text)


OCTETS = "application/octet-stream"

SAME: dict[str, Any] = {
    "nothing": {"Tags": {}},
    "texts": {"Tags": {"PatientName": "A^B", "PatientID": "P", "Modality": "CT"}},
    "null": {"Tags": {"PatientID": "", "PatientName": None}},
    "dates": {"Tags": {"StudyDate": "19990101", "SeriesTime": "10", "InstanceCreationDate": ""}},
    "SOP class": {"Tags": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}},
    "spellings of tags": {"Tags": {"0010,0010": "x", "00100020": "y", "0028-0010": "5"}},
    "numbers": {"Tags": {"Rows": "5", "DiffusionBValue": "1.5", "SelectorAttribute": "PatientID"}},
    "an empty number": {"Tags": {"Rows": ""}},
    "sequences": {
        "Tags": {
            "RequestAttributesSequence": [
                {"ScheduledProcedureStepID": "1", "RequestAttributesSequence": [{}]},
                {"PatientName": "É"},
            ],
            "ProcedureCodeSequence": [],
        }
    },
    "Latin 1": {"Tags": {"PatientName": "Éa"}},
    "UTF-8": {"Tags": {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Ωmega^É"}},
    "Greek": {"Tags": {"SpecificCharacterSet": "ISO_IR 126", "PatientName": "Ωmega"}},
    "Kanji": {"Tags": {"SpecificCharacterSet": "ISO 2022 IR 87", "PatientName": "山田"}},
    "identifiers": {
        "Tags": {
            "StudyInstanceUID": "1.2.3",
            "SeriesInstanceUID": "1.2.4",
            "SOPInstanceUID": "1.2",
        },
        "Force": True,
    },
    "bytes": {"Tags": {"ImageComments": data_uri(OCTETS, b"ABC")}},
    "bytes that are text": {
        "Tags": {"ImageComments": data_uri(OCTETS, b"ABC")},
        "InterpretBinaryTags": False,
    },
    "private": {
        "Tags": {"PrivateCreatorForMyCompany": "My Company", "MyPrivateXMLTag": "<xml/>"},
        "PrivateCreator": "My Company",
    },
    "private bytes": {"Tags": {"0407,1001": data_uri(OCTETS, b"\0\1\2")}},
    "group lengths and meta": {"Tags": {"0002,0010": "1.2", "0008,0000": "5", "PatientID": "x"}},
    "a content that is empty": {"Tags": {}, "Content": []},
    "the old form": {"PatientID": "X", "PatientName": "É"},
    "the old form, identifier": {"StudyInstanceUID": "1.2.3.9"},
    "the old form, picture": {"PatientID": "X", "PixelData": png(GREY)},
    "grey": {"Tags": {}, "Content": png(GREY)},
    "grey of 16 bits": {"Tags": {}, "Content": png(GREY16)},
    "colours": {"Tags": {}, "Content": png(COLOUR)},
    "transparent": {"Tags": {}, "Content": png(CLEAR)},
    "a transparent grey": {"Tags": {}, "Content": png(GREY, transparency=5)},
    "interlaced": {"Tags": {}, "Content": png(Image.fromarray(COLOUR), interlace=1)},
    "JPEG, grey": {"Tags": {}, "Content": jpeg(GREY)},
    "JPEG": {"Tags": {}, "Content": jpeg(COLOUR)},
    "JPEG, progressive": {"Tags": {}, "Content": jpeg(COLOUR, progressive=True)},
    "JPEG, 4:4:4": {"Tags": {}, "Content": jpeg(COLOUR, subsampling=0, quality=95)},
    "PAM": {
        "Tags": {},
        "Content": data_uri(
            "image/x-portable-arbitrarymap",
            b"P7\nWIDTH 3\nHEIGHT 1\nDEPTH 1\nMAXVAL 65535\nTUPLTYPE GRAYSCALE\nENDHDR\nabcdef",
        ),
    },
    "raw pixels": {
        "Tags": {"Rows": "1", "Columns": "3", "BitsAllocated": "8"},
        "Content": data_uri("application/octet-stream", b"abc"),
    },
    "a picture with tags": {
        "Tags": {"Rows": "9", "BitsAllocated": "12", "Modality": "XC"},
        "Content": png(GREY),
    },
    "another case": {"Tags": {}, "Content": png(GREY).replace("image/png", "IMAGE/PNG")},
    "PDF": {"Tags": {}, "Content": pdf(b"%PDF-1.4")},
    "PDF with tags": {
        "Tags": {
            "Modality": "DOC",
            "SOPClassUID": "1.2",
            "MIMETypeOfEncapsulatedDocument": "x",
            "ConversionType": "DV",
            "DocumentTitle": "t",
        },
        "Content": pdf(b"%PDF-1.4"),
    },
    "base64 without padding": {"Tags": {}, "Content": "data:application/pdf;base64,JVBERi0xLjQ"},
    "in a patient": {"Parent": "PATIENT", "Tags": {"StudyDescription": "other"}},
    "in a study": {"Parent": "STUDY", "Tags": {"Modality": "OT", "SeriesDate": "19990101"}},
    "in a series": {"Parent": "SERIES", "Tags": {"InstanceNumber": "9"}},
    "PDF in a study": {"Parent": "STUDY", "Tags": {}, "Content": pdf(b"%PDF-1.4")},
    "the character set of the parent": {
        "Parent": "STUDY",
        "Tags": {"SpecificCharacterSet": "ISO_IR 100", "ImageComments": "日本"},
    },
    "overriding by force": {
        "Parent": "STUDY",
        "Tags": {"PatientName": "new", "StudyDescription": "other"},
        "Force": True,
    },
    "a date of the parent": {"Parent": "STUDY", "Tags": {"StudyDate": "19990101"}},
}


ERRORS: dict[str, Any] = {
    "no body": b"",
    "garbage": b"xx",
    "a text": "x",
    "a number": 5,
    "null": b"null",
    "a list": [],
    "tags that are a list": {"Tags": []},
    "tags that are a text": {"Tags": "x"},
    "an unknown tag": {"Tags": {"Nope": "x"}},
    "a tag without a name": {"Tags": {"": "x"}},
    "a path": {"Tags": {"RequestAttributesSequence[0].PatientID": "b"}},
    "pixels as a tag": {"Tags": {"PixelData": "x"}},
    "pixels as a tag, by force": {"Tags": {"PixelData": "x"}, "Force": True},
    "a number as a value": {"Tags": {"PatientName": 5}},
    "a truth as a value": {"Tags": {"PatientName": True}},
    "an object as a value": {"Tags": {"PatientName": {"a": 1}}},
    "a sequence as a text": {"Tags": {"PatientName": [{"PatientID": "x"}]}},
    "a text as a sequence": {"Tags": {"RequestAttributesSequence": "x"}},
    "items that are texts": {"Tags": {"RequestAttributesSequence": ["x"]}},
    "a number in a sequence": {"Tags": {"RequestAttributesSequence": [{"PatientName": 5}]}},
    "an unknown tag in a sequence": {"Tags": {"RequestAttributesSequence": [{"Nope": "5"}]}},
    "no number": {"Tags": {"Columns": "abc"}},
    "a number too large": {"Tags": {"Columns": "70000"}},
    "base64 in a tag": {"Tags": {"ImageComments": "data:application/octet-stream;base64,!!"}},
    "an unknown character set": {"Tags": {"SpecificCharacterSet": "NOPE"}},
    "no character set": {"Tags": {"SpecificCharacterSet": ""}},
    "an identifier": {"Tags": {"StudyInstanceUID": "1.2.3"}},
    "an empty identifier": {"Tags": {"SOPInstanceUID": ""}},
    "empty identifiers, by force": {
        "Tags": {"SOPInstanceUID": "", "StudyInstanceUID": "", "SeriesInstanceUID": ""},
        "Force": True,
    },
    "force of another type": {"Tags": {}, "Force": "x"},
    "a creator of another type": {"Tags": {}, "PrivateCreator": 5},
    "a flag of another type": {"Tags": {}, "InterpretBinaryTags": "x"},
    "an unknown parent": {"Parent": "nope", "Tags": {}},
    "an empty parent": {"Parent": "", "Tags": {}},
    "a parent of another type": {"Parent": 5, "Tags": {}},
    "a parent that is null": {"Parent": None, "Tags": {}},
    "an instance as the parent": {"Parent": "INSTANCE", "Tags": {}},
    "a tag of the parent": {"Parent": "STUDY", "Tags": {"PatientName": "x"}},
    "the same tag of the parent": {"Parent": "STUDY", "Tags": {"PatientName": "Ñame^X"}},
    "a tag of the series": {"Parent": "SERIES", "Tags": {"Modality": "MR"}},
    "the study of the parent": {"Parent": "STUDY", "Tags": {"StudyInstanceUID": "1.2"}},
    "a content that is a number": {"Tags": {}, "Content": 5},
    "a content that is null": {"Tags": {}, "Content": None},
    "a content that is an object": {"Tags": {}, "Content": {}},
    "a content that is empty": {"Tags": {}, "Content": ""},
    "a content that is no URI": {"Tags": {}, "Content": "hello"},
    "a URI without base64": {"Tags": {}, "Content": "data:application/pdf,%PDF-1.4"},
    "a URI with a parameter": {"Tags": {}, "Content": "data:a/b;charset=x;base64,JVBERi0xLjQg"},
    "a URI without a type": {"Tags": {}, "Content": "data:;base64,JVBERi0xLjQg"},
    "a URI behind a space": {"Tags": {}, "Content": " " + pdf()},
    "base64 that is none": {"Tags": {}, "Content": "data:application/pdf;base64,JVBERi0xLjQg!!"},
    "base64 of URLs": {"Tags": {}, "Content": "data:application/pdf;base64,JVBERi0xLj-_"},
    "base64 in lines": {"Tags": {}, "Content": "data:application/pdf;base64,JVBE\nRi0xLjQg"},
    "no PDF": {"Tags": {}, "Content": pdf(b"hello")},
    "an empty PDF": {"Tags": {}, "Content": pdf(b"")},
    "a PDF behind lines": {"Tags": {}, "Content": pdf(b"\r\n%PDF-1.4")},
    "a text as content": {"Tags": {}, "Content": data_uri("text/plain", b"hello")},
    "an unknown type": {"Tags": {}, "Content": data_uri("application/x-foo", b"hello")},
    "no PNG": {"Tags": {}, "Content": data_uri("image/png", b"abc")},
    "an empty PNG": {"Tags": {}, "Content": data_uri("image/png", b"")},
    "a JPEG called PNG": {"Tags": {}, "Content": data_uri("image/png", picture(GREY, "jpeg"))},
    "a PNG that is cut off": {"Tags": {}, "Content": data_uri("image/png", picture(GREY)[:-30])},
    "a PNG of no width": {
        "Tags": {},
        "Content": data_uri("image/png", raw_png(0, 1, 8, 0, b"\0")),
    },
    "a JPEG of four colours": {"Tags": {}, "Content": jpeg(Image.fromarray(CLEAR, "CMYK"))},
    "the old form, a number": {"PatientName": 5},
    "the old form, a sequence": {"RequestAttributesSequence": [{"PatientID": "1"}]},
    "the old form, a parent": {"PatientName": "x", "Parent": "x"},
    "the old form, pixels": {"PixelData": "abc"},
    "a series: no URI": {"Tags": {}, "Content": [png(GREY), "hello"]},
    "a series: a number": {"Tags": {}, "Content": [png(GREY), 5]},
    "a series: a list": {"Tags": {}, "Content": [png(GREY), [png(GREY)]]},
    "a series: null": {"Tags": {}, "Content": [png(GREY), None]},
    "a series: nothing": {"Tags": {}, "Content": [png(GREY), {}]},
    "a series: only tags": {"Tags": {}, "Content": [png(GREY), {"Tags": {"PatientName": "x"}}]},
    "a series: tags of another type": {
        "Tags": {},
        "Content": [png(GREY), {"Content": png(GREY), "Tags": 5}],
    },
    "a series: an unknown tag": {
        "Tags": {},
        "Content": [png(GREY), {"Content": png(GREY), "Tags": {"Nope": "x"}}],
    },
    "a series: pixels as a tag": {
        "Tags": {},
        "Content": [png(GREY), {"Content": png(GREY), "Tags": {"PixelData": "x"}}],
    },
    "a series: an identifier": {
        "Tags": {},
        "Content": [png(GREY), {"Content": png(GREY), "Tags": {"SOPInstanceUID": "1.2"}}],
    },
    "a series: a tag of all": {
        "Tags": {"ImageComments": "a"},
        "Content": [png(GREY), {"Content": png(GREY), "Tags": {"ImageComments": "b"}}],
    },
}
OTHER: dict[str, tuple[Any, tuple[int, int], tuple[int, int]]] = {
    "the first of a series fails": ({"Tags": {}, "Content": ["x"]}, (404, 17), (400, 15)),
    "another patient": (
        {"Parent": "STUDY", "Tags": {"PatientID": "x"}},
        (200, 0),
        (400, 2020),
    ),
    "a series of two patients": (
        {
            "Tags": {"PatientID": "a"},
            "Content": [png(GREY), {"Content": png(GREY), "Tags": {"PatientID": "b"}}],
        },
        (200, 0),
        (400, 2020),
    ),
    "no JPEG": ({"Tags": {}, "Content": data_uri("image/jpeg", b"abc")}, (500, -1), (400, 15)),
    "the character set is a number": (
        {"Tags": {"SpecificCharacterSet": 5}},
        (500, -1),
        (400, 5),
    ),
    "a palette": (
        {"Tags": {}, "Content": png(Image.fromarray(COLOUR).quantize(8))},
        (500, 2),
        (200, 0),
    ),
    "a model": ({"Tags": {}, "Content": data_uri("model/stl", b"solid")}, (400, 3), (200, 0)),
}
"""The status and the code of Orthanc, and ours; see ``docs/differences.md``."""


def placed(url: str, body: Any) -> Any:
    """With the identifier of the parent."""
    if not isinstance(body, dict) or "Parent" not in body:
        return body
    (found,) = document(ask(url, "POST", "/tools/lookup", SERIES.encode()))
    series = document(ask(url, "GET", f"/series/{found['ID']}"))
    study = document(ask(url, "GET", f"/studies/{series['ParentStudy']}"))
    known = {
        "SERIES": series["ID"],
        "STUDY": study["ID"],
        "PATIENT": study["ParentPatient"],
        "INSTANCE": series["Instances"][0],
    }
    return {**body, "Parent": known.get(str(body["Parent"]), body["Parent"])}


def document(answer: tuple[int, bytes]) -> Any:
    assert answer[0] == 200, answer
    return json.loads(answer[1])


def made(url: str, body: Any) -> dict[str, Any]:
    """The elements of the file, and of the picture if there is one; it does not stay."""
    answer = document(ask(url, "POST", "/tools/create-dicom", placed(url, body)))
    assert set(answer) == {"ID", "ParentPatient", "ParentSeries", "ParentStudy", "Path", "Status"}
    path = f"/instances/{answer['ID']}"
    found = shown(ask(url, "GET", path + "/file")[1])
    if "(7fe0,0010)" in found and "(0028,0011)" in found and "(0028,0002)" in found:
        found["picture"] = np.asarray(
            Image.open(io.BytesIO(ask(url, "GET", path + PNG)[1]))
        ).tolist()
    assert ask(url, "DELETE", path)[0] == 200
    return found


@pytest.mark.parametrize("name", SAME)
def test_files(both: tuple[str, str], name: str) -> None:
    theirs, ours = (made(url, SAME[name]) for url in both)
    assert ours == theirs


def outcome(url: str, body: Any) -> tuple[int, int, str]:
    """Status, code, and details where they are part of the API."""
    status, answer = create(url, placed(url, body))
    code = answer.get("OrthancStatus", 0)
    return status, code, answer.get("Details", "") if code in (2020, 5) else ""


@pytest.mark.parametrize("name", ERRORS)
def test_errors(both: tuple[str, str], name: str) -> None:
    theirs, ours = (outcome(url, ERRORS[name]) for url in both)
    assert ours == theirs
    assert theirs[0] >= 400


@pytest.mark.parametrize("name", OTHER)
def test_other_answers(both: tuple[str, str], name: str) -> None:
    body, theirs, ours = OTHER[name]
    assert [outcome(url, body)[:2] for url in both] == [theirs, ours]


SERIES_MADE: dict[str, Any] = {
    "two": {"Tags": {"PatientID": "Z"}, "Content": [png(GREY), png(GREY16)]},
    "tags of each": {
        "Tags": {"PatientID": "Z", "InstanceNumber": "7"},
        "Content": [
            {"Content": png(GREY), "Tags": {"ImageComments": "first"}},
            {"Content": png(COLOUR)},
        ],
    },
    "by force": {
        "Tags": {"PatientID": "Z", "ImageComments": "a"},
        "Content": [{"Content": png(GREY), "Tags": {"ImageComments": "b"}}, png(GREY)],
        "Force": True,
    },
    "in a study": {"Parent": "STUDY", "Tags": {"Modality": "OT"}, "Content": [png(GREY)] * 3},
    "dates of each": {
        "Tags": {"PatientID": "Z"},
        "Content": [png(GREY), {"Content": png(GREY), "Tags": {"ContentDate": "19990202"}}],
    },
}


@pytest.mark.parametrize("name", SERIES_MADE)
def test_series(both: tuple[str, str], name: str) -> None:
    found = []
    for url in both:
        answer = document(ask(url, "POST", "/tools/create-dicom", placed(url, SERIES_MADE[name])))
        assert set(answer) == {"ID", "Path", "Status"}
        assert answer["Path"] == f"/series/{answer['ID']}"
        instances = document(ask(url, "GET", answer["Path"] + "/instances"))
        files = [ask(url, "GET", f"/instances/{one['ID']}/file")[1] for one in instances]
        found.append(sorted((shown(file) for file in files), key=str))
        assert ask(url, "DELETE", answer["Path"])[0] == 200
    theirs, ours = found
    assert ours == theirs


@pytest.mark.parametrize(
    ("mime", "data"),
    [
        ("video/mp4", mp4(pictures=b"odd")),
        ("video/mpeg", mpeg2(20)),
        ("model/stl", b"solid"),
        ("application/pdf", b"%PDF-1.4x"),
        ("application/pdf", b"%PDF-1.4x\n"),
    ],
)
def test_orthanc_gives_the_content_back_too(both: tuple[str, str], mime: str, data: bytes) -> None:
    """... of files that Wherry has made."""
    theirs, ours = both
    body = {"Tags": {"PatientID": "x"}, "Content": data_uri(mime, data)}
    path = document(ask(ours, "POST", "/tools/create-dicom", body))["Path"]
    assert ask(theirs, "POST", "/instances", ask(ours, "GET", path + "/file")[1])[0] == 200
    same = ["/frames", "/content", "/content/0042-0011", "/pdf", "/content/7fe0-0010"]
    if mime.startswith("video/"):
        same += ["/frames/0/raw", "/content/7fe0-0010/0", "/content/7fe0-0010/1"]
        assert ask(ours, "GET", path + "/frames/0/raw")[1].startswith(data)
    for part in same:
        status, answer = ask(ours, "GET", path + part)
        wanted = ask(theirs, "GET", path + part)
        assert status == wanted[0], part
        if status == 200 and answer[:1] == b"[":
            assert json.loads(answer) == json.loads(wanted[1]), part
        elif status == 200:
            assert answer == wanted[1], part
