"""Data sets as texts: kept as JSON, and shown in the three forms."""

from __future__ import annotations

import json

from wherry.dicom.attributes import Attribute
from wherry.dicom.plain import from_stored, plain, printed, to_stored

DATA = {
    0x00080005: Attribute("CS", "ISO_IR 192"),
    0x00081110: Attribute("SQ", ({0x00081155: Attribute("UI", "1.2")}, {})),
    0x00091001: Attribute("LO", "theirs"),
    0x00090010: Attribute("LO", "GEMS_IDEN_01"),
    0x00100010: Attribute("PN", "Zoé"),
    0x00280010: Attribute("US", "512"),
    0x00420011: Attribute("OB", b"bulk"),
}
VALUES = plain(DATA)


def test_values() -> None:
    assert VALUES == {
        0x00080005: "ISO_IR 192",
        0x00081110: [{0x00081155: "1.2"}, {}],
        0x00090010: "GEMS_IDEN_01",
        0x00091001: "theirs",
        0x00100010: "Zoé",
        0x00280010: "512",
        0x00420011: None,
    }


def test_what_is_stored_comes_back() -> None:
    assert from_stored(json.loads(json.dumps(to_stored(VALUES)))) == VALUES


def test_short() -> None:
    assert printed(VALUES, "short") == {
        "0008,0005": "ISO_IR 192",
        "0008,1110": [{"0008,1155": "1.2"}, {}],
        "0009,0010": "GEMS_IDEN_01",
        "0009,1001": "theirs",
        "0010,0010": "Zoé",
        "0028,0010": "512",
        "0042,0011": None,
    }


def test_simplified() -> None:
    assert printed(VALUES, "simplify") == {
        "SpecificCharacterSet": "ISO_IR 192",
        "ReferencedStudySequence": [{"ReferencedSOPInstanceUID": "1.2"}, {}],
        "PrivateCreator": "GEMS_IDEN_01",
        "FullFidelity": "theirs",
        "PatientName": "Zoé",
        "Rows": "512",
        "EncapsulatedDocument": None,
    }


def test_full() -> None:
    found = printed(VALUES, "full")
    assert found["0010,0010"] == {"Name": "PatientName", "Type": "String", "Value": "Zoé"}
    assert found["0042,0011"] == {"Name": "EncapsulatedDocument", "Type": "Null", "Value": None}
    assert found["0008,1110"]["Type"] == "Sequence"
    assert found["0008,1110"]["Value"][0] == {
        "0008,1155": {"Name": "ReferencedSOPInstanceUID", "Type": "String", "Value": "1.2"}
    }
    assert found["0009,1001"]["PrivateCreator"] == "GEMS_IDEN_01"
