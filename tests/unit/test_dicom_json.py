"""Tags as JSON, as observed on Orthanc 1.10.1."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest

from tests.support.dicom_bytes import (
    DEFLATED,
    IMPLICIT,
    SEQUENCE_END,
    UIDS,
    UNDEFINED,
    data_set,
    explicit,
    fragments,
    implicit,
    item,
    meta,
    open_item,
    pixels,
    sequence,
    type_element,
)
from wherry import limits
from wherry.dicom.json import to_json, type_form
from wherry.dicom.scan import scan
from wherry.errors import BadFileFormat


def shown(*elements: type_element, tail: bytes = b"", vrs: bool = True) -> dict[str, Any]:
    """Full form of a file with these elements, without the UIDs that every file has."""
    file = meta() if vrs else meta(IMPLICIT)
    found = to_json(file + data_set(*elements, vrs=vrs) + tail, "full")
    always = {f"{tag >> 16:04x},{tag & 0xFFFF:04x}" for tag, _, _ in UIDS}
    return {tag: value for tag, value in found.items() if tag not in always}


def one(tag: int, vr: str, value: bytes, *others: type_element, vrs: bool = True) -> Any:
    """Type and value of one element."""
    found = shown((tag, vr, value), *others, vrs=vrs)[f"{tag >> 16:04x},{tag & 0xFFFF:04x}"]
    return found["Type"], found["Value"]


def test_the_three_forms() -> None:
    file = (
        meta()
        + data_set((0x00080000, "UL", b"\1\0\0\0"), (0x00090010, "LO", b"ACME"))
        + explicit(0x00091001, "LO", b"abcd")
        + sequence(0x00881111, open_item(explicit(0x00081150, "UI", b"1.2 ")))
        + sequence(0x00400275, item(explicit(0x00400009, "SH", b"ab")), item())
        + pixels()
        + explicit(0xFFFCFFFC, "OB", b"abcd")
    )
    full = to_json(file, "full")
    assert full["0010,0020"] == {"Name": "PatientID", "Type": "String", "Value": "P1"}
    assert full["0008,0000"] == {"Name": "GenericGroupLength", "Type": "String", "Value": "1"}
    assert full["0009,0010"] == {"Name": "PrivateCreator", "Type": "String", "Value": "ACME"}
    assert full["0009,1001"] == {
        "Name": "Unknown Tag & Data",
        "Type": "String",
        "Value": "abcd",
        "PrivateCreator": "ACME",
    }
    assert full["0040,0275"] == {
        "Name": "RequestAttributesSequence",
        "Type": "Sequence",
        "Value": [
            {"0040,0009": {"Name": "ScheduledProcedureStepID", "Type": "String", "Value": "ab"}},
            {},
        ],
    }
    assert full["7fe0,0010"] == {"Name": "PixelData", "Type": "Null", "Value": None}
    assert list(full)[-1] == "7fe0,0010"
    assert "0002,0010" not in full
    short = to_json(file, "short")
    assert short["0010,0020"] == "P1"
    assert short["0040,0275"] == [{"0040,0009": "ab"}, {}]
    assert short.keys() == full.keys()
    simple = to_json(file, "simplify")
    assert simple["PatientID"] == "P1"
    assert simple["RequestAttributesSequence"] == [{"ScheduledProcedureStepID": "ab"}, {}]
    assert simple["PixelData"] is None


def test_equal_names_collide_and_the_last_survives() -> None:
    file = meta() + data_set((0x00080000, "UL", b"\1\0\0\0"), (0x00100000, "UL", b"\2\0\0\0"))
    assert to_json(file, "simplify")["GenericGroupLength"] == "2"


@pytest.mark.parametrize(
    ("vr", "raw", "expected"),
    [
        ("LO", b"", ("String", "")),
        ("SQ", b"", ("Sequence", [])),
        ("OB", b"", ("Null", None)),
        ("OW", b"abcd", ("Null", None)),
        ("UN", b"abcd", ("Null", None)),
        ("US", b"", ("Null", None)),
        ("US", b"\1\0\2\0", ("String", "1\\2")),
        ("FL", struct.pack("<4f", 1, 0.1, 1e20, -0.0),
         ("String", "1\\0.10000000149011612\\1.0000000200408773e+20\\-0")),
        ("FD", struct.pack("<3d", 0.1, 1e-7, 123456789012345678),
         ("String", "0.10000000000000001\\9.9999999999999995e-08\\1.2345678901234568e+17")),
        ("FD", struct.pack("<2d", float("inf"), float("nan")), ("String", "inf\\nan")),
        ("AT", b"\x10\0\xab\xcd", ("String", "0010,cdab")),
        ("SS", b"\xff\xff", ("String", "-1")),
        ("UL", b"\xff" * 6, ("String", "4294967295")),
        ("DS", b" 1.0\\ 2.50 \\3e1 ", ("String", " 1.0\\ 2.50 \\3e1")),
        ("UR", b" a b  ", ("String", " a b")),
        ("LT", b"a\r\n ", ("String", "a\r\n")),
        ("UI", b" 1 2 3\0\0", ("String", "123")),
        ("zz", b"abcd", ("Null", None)),
        ("ZZ", b"abcd", ("Null", None)),
    ],
)  # fmt: skip
def test_values(vr: str, raw: bytes, expected: object) -> None:
    assert one(0x00189000, vr, raw) == expected


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"x" * 256, "String"),
        (b"x" * 257, "TooLong"),
        (b"x" * 246 + b" " * 20, "String"),
        (b"\xe9" * 128, "String"),
        (b"\xe9" * 130, "TooLong"),
    ],
)
def test_long_text(raw: bytes, kind: str) -> None:
    found, value = one(0x00081030, "LO", raw)
    assert (found, value is None) == (kind, kind == "TooLong")


def test_long_numbers() -> None:
    assert one(0x00540081, "US", b"\1\0" * 128)[0] == "String"
    assert one(0x00540081, "US", b"\1\0" * 129)[0] == "TooLong"


def test_the_limit_can_be_lifted_for_one_tag() -> None:
    inner = item(explicit(0x00081030, "LO", b"y" * 300))
    file = meta() + data_set((0x00081030, "LO", b"x" * 300), (0x00204000, "LT", b"x" * 300))
    found = to_json(file + explicit(0x00880200, "SQ", inner), "short", frozenset(["0008,1030"]))
    assert found["0008,1030"] == "x" * 300
    assert found["0020,4000"] is None
    assert found["0088,0200"] == [{"0008,1030": "y" * 300}]


def test_a_lifted_limit_is_still_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DICOM_JSON_VALUE_BYTES", 200_000)
    for length, kept in ((200_000, True), (200_002, False)):
        file = meta() + data_set() + explicit(0x00081030, "UT", b"x" * length)
        assert (to_json(file, "short", frozenset(["0008,1030"]))["0008,1030"] is None) is not kept
    assert to_json(file, "full")["0008,1030"]["Type"] == "TooLong"


def test_the_vr_un() -> None:
    assert one(0x00081030, "UN", b"ab  ") == ("String", "ab  ")
    assert one(0x00081030, "UN", b"abc\0") == ("String", "abc")
    assert one(0x00280010, "UN", b"ab") == ("Null", None)
    assert one(0x00081140, "UN", item(implicit(0x00081150, b"1.2 "))) == ("Null", None)
    assert one(0x00091001, "UN", b"abcd", (0x00090010, "LO", b"ACME")) == ("Null", None)
    inner = explicit(0x00091001, "UN", item(implicit(0x00081150, b"1.2 ")), UNDEFINED)
    found = shown(tail=inner + implicit(SEQUENCE_END))["0009,1001"]
    assert found["Value"][0]["0008,1150"]["Value"] == "1.2"


def test_implicit_elements() -> None:
    assert one(0x00087777, "", b"abcd", vrs=False) == ("Null", None)
    assert one(0x00540081, "", b"\1\0", vrs=False) == ("String", "1")
    assert one(0x00280106, "", b"\xff\xff", vrs=False) == ("String", "65535")
    signed = (0x00280103, "", b"\1\0")
    assert one(0x00280106, "", b"\xff\xff", signed, vrs=False) == ("String", "-1")
    assert one(0x00281201, "", b"\1\0", vrs=False) == ("Null", None)
    assert one(0x00081140, "", item(implicit(0x00081150, b"1.2 ")), vrs=False)[0] == "Sequence"
    assert one(0x00091001, "", b"abcd", (0x00090010, "", b"ACME"), vrs=False) == ("Null", None)
    known = (0x00090010, "", b"GEMS_IDEN_01")
    assert one(0x00091027, "", b"\1\0\0\0", known, vrs=False) == ("String", "1")


def test_names() -> None:
    elements: tuple[type_element, ...] = (
        (0x00090010, "LO", b"GEMS_IDEN_01"),
        (0x00091001, "LO", b"a "),
        (0x00091101, "LO", b"b "),
        (0x00090000, "UL", b"\1\0\0\0"),
        (0x00087777, "LO", b"c "),
        (0x50F00010, "US", b"\1\0"),
        (0x60020010, "US", b"\1\0"),
        (0x00101000, "LO", b"d "),
    )
    names = {tag: found["Name"] for tag, found in shown(*elements).items()}
    assert names == {
        "0008,7777": "Unknown Tag & Data",
        "0009,0000": "PrivateGroupLength",
        "0009,0010": "PrivateCreator",
        "0009,1001": "FullFidelity",
        "0009,1101": "Unknown Tag & Data",
        "0010,1000": "OtherPatientIDs",
        "50f0,0010": "RETIRED_NumberOfPoints",
        "6002,0010": "OverlayRows",
    }


def test_private_creators_of_an_item_are_its_own() -> None:
    inner = explicit(0x00880200, "SQ", item(explicit(0x00091001, "LO", b"abcd")))
    found = shown((0x00090010, "LO", b"ACME"), tail=inner)
    assert "PrivateCreator" not in found["0088,0200"]["Value"][0]["0009,1001"]


def test_an_item_may_have_its_own_character_set() -> None:
    """PS3.5 §6.1.2.3; Orthanc 1.10.1 keeps to that of the file."""
    own = item(explicit(0x00080005, "CS", b"ISO_IR 192") + explicit(0x00080080, "LO", b"\xc3\xa9"))
    plain = item(explicit(0x00080080, "LO", b"\xe9 "))
    found = to_json(meta() + data_set() + explicit(0x00880200, "SQ", own + plain), "short")
    assert [i["0008,0080"] for i in found["0088,0200"]] == ["é", "é"]


def test_pixel_data_of_every_kind() -> None:
    assert shown(tail=fragments(b"", b"abcd"))["7fe0,0010"]["Type"] == "Null"
    float_first = explicit(0x7FE00008, "OF", b"abcd")
    assert set(shown(tail=float_first)) == {"7fe0,0008"}
    icon = explicit(0x00880200, "SQ", item(pixels() + explicit(0x7FE10010, "LO", b"abcd")))
    assert set(shown(tail=icon)["0088,0200"]["Value"][0]) == {"7fe0,0010", "7fe1,0010"}


def test_deflated() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(data_set() + pixels()) + packer.flush()
    assert to_json(meta(DEFLATED) + body, "short")["7fe0,0010"] is None


def test_implicit_elements_in_an_explicit_file() -> None:
    odd = implicit(0x40010010, b"ACME") + implicit(0x40011001, bytes(3000))
    file = meta() + data_set() + odd + pixels()
    assert scan(file)
    assert to_json(file, "short")["4001,0010"] == "ACME"


@pytest.mark.parametrize("form", ["full", "short", "simplify"])
def test_a_wrong_transfer_syntax_is_seen_through(form: type_form) -> None:
    assert to_json(meta() + data_set(vrs=False), form)


@pytest.mark.parametrize(
    "tail",
    [
        b"\0",
        explicit(0x40000010, "SQ", item(b"abcd", 100)),
        explicit(0x40000010, "SQ", b"abcdefghijklmnop"),
        explicit(0x40000010, "SQ", item(explicit(0x00081150, "UI", b"1.2 ", 100))),
        explicit(0x40000010, "SQ", item(b"", UNDEFINED)),
        explicit(0x40000010, "SQ", item(b"", 12)) + explicit(0x40000012, "LO", b"abcd"),
        implicit(SEQUENCE_END),
        explicit(0x40000010, "OB", b"abcd", 100),
    ],
)
def test_what_is_not_well_formed(tail: bytes) -> None:
    with pytest.raises(BadFileFormat):
        to_json(meta() + data_set() + tail, "full")


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    head = explicit(0x40000010, "SQ", implicit(0xFFFEE000, b"", UNDEFINED), UNDEFINED)
    with pytest.raises(BadFileFormat, match="nested more than"):
        to_json(meta() + data_set() + head * 5000, "full")
    monkeypatch.setattr(limits, "DICOM_JSON_ELEMENTS", 20)
    with pytest.raises(BadFileFormat, match="more than 20 elements"):
        to_json(meta() + data_set() + explicit(0x00091002, "LO") * 20, "full")
    with pytest.raises(BadFileFormat, match="more than 20 elements"):
        to_json(meta() + data_set() + sequence(0x00880200, *[open_item()] * 30), "full")
