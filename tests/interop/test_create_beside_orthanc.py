"""The same requests to create instances to a real Orthanc and to Wherry: the same files, pictures
and errors. Only what ``docs/differences.md`` explains may differ.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
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
    file_of,
    jpeg,
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
        "Tags": {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4", "SOPInstanceUID": "1.2"},
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
    "the old form, UTF-8": {"SpecificCharacterSet": "ISO_IR 192", "PatientComments": "Ω"},
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


def placed(url: str, body: Any) -> Any:
    """With the identifier of the parent."""
    if not isinstance(body, dict) or "Parent" not in body:
        return body
    found = ask(url, "POST", "/tools/lookup", b"1.2.826.0.1.3680043.10.1234.1.1")[1]
    paths = re.findall(rb'"Path"\s*:\s*"/series/([0-9a-f-]+)', found)
    import json

    series = json.loads(ask(url, "GET", f"/series/{paths[0].decode()}")[1])
    study = json.loads(ask(url, "GET", f"/studies/{series['ParentStudy']}")[1])
    known = {
        "SERIES": series["ID"],
        "STUDY": study["ID"],
        "PATIENT": study["ParentPatient"],
        "INSTANCE": series["Instances"][0],
    }
    return {**body, "Parent": known.get(str(body["Parent"]), body["Parent"])}


@pytest.mark.parametrize("name", SAME)
def test_files(both: tuple[str, str], name: str) -> None:
    theirs, ours = (shown(file_of(url, placed(url, SAME[name]))) for url in both)
    assert ours == theirs
