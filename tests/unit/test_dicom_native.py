"""DICOM JSON (PS3.18 §F.2) and the Native DICOM Model (PS3.19 §A.1)."""

from __future__ import annotations

import base64
import json
import struct
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from tests.support.dicom_bytes import (
    BIG_ENDIAN,
    IMPLICIT,
    JPEG,
    data_set,
    explicit,
    fragments,
    implicit,
    item,
    meta,
)
from wherry.dicom.native_json import to_dicom_json
from wherry.dicom.native_xml import to_dicom_xml

NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def as_json(file: bytes) -> dict[str, Any]:
    shown = json.loads(b"".join(to_dicom_json(file)))
    assert isinstance(shown, dict)
    return shown


def as_xml(file: bytes) -> dict[str, ET.Element]:
    root = ET.fromstring(b"".join(to_dicom_xml(file)))
    return {one.attrib["tag"]: one for one in root}


@pytest.mark.parametrize(
    ("vr", "raw", "expected"),
    [
        ("LO", b"a\\ b \\", ["a", "b", None]),
        ("LO", b"  ", None),
        ("LT", b" a\\b ", [" a\\b"]),
        ("DS", b"1.50\\-2e3\\7 ", [1.5, -2000.0, 7]),
        ("DS", b"1_0 ", ["1_0"]),
        ("DS", b"nan ", ["nan"]),
        ("IS", b" 12\\x ", [12, "x"]),
        ("IS", b"9" * 30, ["9" * 30]),
        ("US", b"\1\0\2\0", [1, 2]),
        ("SV", b"\xff" * 8, [-1]),
        ("FD", struct.pack("<3d", 0.1, float("inf"), float("nan")), [0.1, "Infinity", "NaN"]),
        ("AT", b"\x10\0\xab\xcd", ["0010CDAB"]),
        ("UI", b"1.2\\1.3\0", ["1.2", "1.3"]),
        (
            "PN",
            b"A^B==C\\D",
            [{"Alphabetic": "A^B", "Phonetic": "C"}, {"Alphabetic": "D"}],
        ),
    ],
)
def test_values(vr: str, raw: bytes, expected: object) -> None:
    shown = as_json(meta() + data_set((0x00189000, vr, raw)))["00189000"]
    assert shown == {"vr": vr} | ({} if expected is None else {"Value": expected})


def test_bulk_is_inline() -> None:
    bulk = bytes(range(256)) * 1000
    shown = as_json(meta() + data_set() + explicit(0x7FE00010, "OW", bulk))["7FE00010"]
    assert shown["vr"] == "OW"
    assert base64.b64decode(shown["InlineBinary"]) == bulk
    shown = as_json(meta(BIG_ENDIAN) + data_set(order=">")
                    + explicit(0x7FE00010, "OW", b"\1\2\3\4", order=">"))["7FE00010"]  # fmt: skip
    assert base64.b64decode(shown["InlineBinary"]) == b"\2\1\4\3"
    implicit_pixels = meta(IMPLICIT) + data_set(vrs=False) + implicit(0x7FE00010, b"abcd")
    assert as_json(implicit_pixels)["7FE00010"]["vr"] == "OW"


def test_what_is_left_out() -> None:
    file = meta(JPEG) + data_set((0x00080000, "UL", b"\1\0\0\0")) + fragments(b"", b"ab")
    assert not as_json(file).keys() & {"00080000", "00020010", "7FE00010"}


def test_sequences() -> None:
    inner = item(explicit(0x00081155, "UI", b"1.2\0")) + item()
    shown = as_json(
        meta() + data_set() + explicit(0x00081140, "SQ", inner) + explicit(0x00081199, "SQ", b"")
    )
    assert shown["00081140"] == {
        "vr": "SQ",
        "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}, {}],
    }
    assert shown["00081199"] == {"vr": "SQ"}


def test_xml() -> None:
    inner = item(explicit(0x00081155, "UI", b"1.2\0")) + item()
    file = (
        meta()
        + data_set(
            (0x00090010, "LO", b"ACME"),
            (0x00091001, "LO", b"own "),
            (0x00100010, "PN", b"Doe^J&ne==x"),
            (0x00189000, "LO", b"a\\\\<b>"),
        )
        + explicit(0x00081140, "SQ", inner)
        + explicit(0x7FE00010, "OW", b"abcd")
    )
    shown = as_xml(file)
    assert shown["00100020"].attrib == {"tag": "00100020", "vr": "LO", "keyword": "PatientID"}
    assert shown["00091001"].attrib == {"tag": "00091001", "vr": "LO", "privateCreator": "ACME"}
    values = shown["00189000"].findall(f"{NAMESPACE}Value")
    assert [(one.attrib["number"], one.text) for one in values] == [("1", "a"), ("3", "<b>")]
    name = shown["00100010"]
    assert name.findtext(f".//{NAMESPACE}GivenName") == "J&ne"
    assert name.findtext(f".//{NAMESPACE}Phonetic/{NAMESPACE}FamilyName") == "x"
    assert [one.attrib for one in shown["00081140"]] == [{"number": "1"}, {"number": "2"}]
    assert base64.b64decode(shown["7FE00010"].findtext(f"{NAMESPACE}InlineBinary") or "") == b"abcd"


def test_characters_that_xml_cannot_hold() -> None:
    file = meta() + data_set((0x00090010, "LO", b'"\1>'), (0x00091001, "LO", b"a\x0b\x1b\x00b"))
    shown = as_xml(file)
    assert shown["00091001"].findtext(f"{NAMESPACE}Value") == "ab"
    assert shown["00091001"].attrib["privateCreator"] == '">'
