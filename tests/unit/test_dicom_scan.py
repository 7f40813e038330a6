"""The header scan on files made byte by byte. What is accepted is what Orthanc 1.10.1 accepts,
except where a test says otherwise (docs/decisions/dicom-parser.md)."""

from __future__ import annotations

import mmap
import struct
import zlib
from pathlib import Path

import pytest

from tests.support.dicom_bytes import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    ITEM_END,
    JPEG,
    SEQUENCE_END,
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
)
from wherry import limits
from wherry.dicom.scan import scan
from wherry.errors import BadFileFormat, InexistentTag
from wherry.model import Level, Summary

PLAIN = meta() + data_set() + pixels()


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def patient_id(summary: Summary) -> str:
    return summary.tags_at(Level.PATIENT)["0010,0020"]


def test_a_plain_file() -> None:
    summary = scan(PLAIN)
    assert summary.tags == (
        {"0010,0020": "P1"},
        {"0020,000d": "1.2.3.1"},
        {"0020,000e": "1.2.3.2"},
        {"0008,0018": "1.2.3.3"},
    )
    assert summary.transfer_syntax == EXPLICIT
    assert summary.sop_class_uid == "1.2.840.10008.5.1.4.1.1.7"
    assert summary.pixel_data_offset == len(PLAIN) - 112
    assert PLAIN[summary.pixel_data_offset :].startswith(b"\xe0\x7f\x10\x00OW")


def test_every_kind_of_buffer(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(PLAIN)
    expected = scan(PLAIN)
    assert scan(bytearray(PLAIN)) == expected
    assert scan(memoryview(PLAIN)) == expected
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert scan(mapped) == expected
        with memoryview(mapped) as view:
            assert scan(view) == expected


def test_a_tag_of_two_levels() -> None:
    summary = scan(meta() + data_set((0x00080201, "SH", b"+0100 ")))
    assert summary.tags_at(Level.STUDY)["0008,0201"] == "+0100"
    assert summary.tags_at(Level.SERIES)["0008,0201"] == "+0100"


@pytest.mark.parametrize(
    ("file", "syntax"),
    [
        (meta(IMPLICIT) + data_set(vrs=False) + implicit(0x7FE00010, bytes(10)), IMPLICIT),
        (meta(BIG_ENDIAN) + data_set(order=">"), BIG_ENDIAN),
        (meta(DEFLATED) + deflated(data_set() + pixels()), DEFLATED),
        (meta(JPEG) + data_set() + fragments(b"", b"abcd"), JPEG),
        (meta("1.2.3.4.5") + data_set() + pixels(), "1.2.3.4.5"),
        (meta("1.2.3.4.5") + data_set(vrs=False), "1.2.3.4.5"),
        (meta(None) + data_set() + pixels(), EXPLICIT),
        (meta(None) + data_set(vrs=False), IMPLICIT),
        ((meta() + data_set())[132:], EXPLICIT),
        (data_set() + pixels(), EXPLICIT),
        (data_set(vrs=False), IMPLICIT),
        (data_set(order=">"), BIG_ENDIAN),
        (bytes(128) + b"DICM" + data_set(), EXPLICIT),
        (b"\xff" * 128 + PLAIN[128:], EXPLICIT),
        (explicit(0x00000002, "UI", b"1.2 ") + data_set(), EXPLICIT),
    ],
)
def test_syntaxes_preambles_and_meta_information(file: bytes, syntax: str) -> None:
    summary = scan(file)
    assert patient_id(summary) == "P1"
    assert summary.transfer_syntax == syntax


@pytest.mark.parametrize(
    "file",
    [
        bytes(128) + b"DICM" + data_set(vrs=False),
        meta(EXPLICIT) + data_set(vrs=False),
        meta(IMPLICIT) + data_set(),
        meta(BIG_ENDIAN) + data_set(order=">", vrs=False),
    ],
)
def test_a_wrong_transfer_syntax_is_seen_through(file: bytes) -> None:
    """Orthanc refuses these; they can be read without any doubt."""
    assert patient_id(scan(file)) == "P1"


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"a",
        b"hello, this is no DICOM file" * 20,
        bytes(128) + b"DICM",
        bytes(128) + b"DICM" + b"hello, this is no DICOM file" * 20,
        b"\xff" * 1000,
        bytes(range(256)) * 20,
        b"PK\x03\x04" + bytes(500),
        b"\x1f\x8b" + bytes(500),
        meta(BIG_ENDIAN) + data_set() + pixels(),
        meta(DEFLATED) + zlib.compress(data_set() + pixels()),
        meta(DEFLATED) + data_set() + pixels(),
    ],
)
def test_what_is_no_dicom_file(file: bytes) -> None:
    with pytest.raises(BadFileFormat):
        scan(file)


def test_the_error_says_size_and_reason() -> None:
    with pytest.raises(BadFileFormat) as caught:
        scan(PLAIN[:-7])
    details = f"Cannot parse an invalid DICOM file (size: {len(PLAIN) - 7} bytes)"
    assert caught.value.details == f"{details}: 7 bytes are missing at its end"
    with pytest.raises(BadFileFormat, match="Received an empty DICOM file"):
        scan(b"")


ENCAPSULATED = meta(JPEG) + data_set() + fragments(b"", b"abcd", b"ef")
NESTED = (
    meta()
    + data_set()
    + sequence(0x40000010, open_item(explicit(0x00081150, "UI", b"1.2 ")))
    + pixels(6)
)
IMPLICIT_FILE = meta(IMPLICIT) + data_set(vrs=False) + implicit(0x7FE00010, bytes(10))
TAILED = PLAIN + explicit(0xFFFCFFFC, "OB", bytes(10))


@pytest.mark.parametrize("file", [PLAIN, ENCAPSULATED, NESTED, IMPLICIT_FILE, TAILED])
def test_every_truncation_is_found(file: bytes) -> None:
    """Cutting at the end of an element gives a whole file again; nothing else does."""
    whole = scan(file)
    accepted = []
    for size in range(len(file)):
        try:
            summary = scan(file[:size])
        except (BadFileFormat, InexistentTag):
            continue
        accepted.append(size)
        assert summary.identifiers == whole.identifiers
    ends = {len(file) - n for n in (20 + 2, 22)} if file is TAILED else set()
    if whole.pixel_data_offset is not None:
        ends.add(whole.pixel_data_offset)
    if file is NESTED:
        ends.add(len(meta() + data_set()))
    assert set(accepted) == ends


@pytest.mark.parametrize(
    "pixel_data",
    [
        fragments(),
        fragments(b"", b"abc"),
        fragments(b"", b"abcd")[:-4] + b"\x08\0\0\0",
        explicit(0x7FE00010, "OW", item() + implicit(SEQUENCE_END), UNDEFINED),
    ],
)
def test_odd_but_whole_fragments(pixel_data: bytes) -> None:
    assert scan(meta(JPEG) + data_set() + pixel_data).pixel_data_offset is not None


@pytest.mark.parametrize(
    "pixel_data",
    [
        explicit(0x7FE00010, "OB", item() + item(b"abcd"), UNDEFINED),
        explicit(0x7FE00010, "OB", item(), UNDEFINED) + implicit(0x00100020, b"abcd"),
        explicit(0x7FE00010, "OB", item(b"", UNDEFINED), UNDEFINED) + implicit(SEQUENCE_END),
        explicit(0x7FE00010, "OB", b"abcd"),
        explicit(0x7FE00010, "OB"),
    ],
)
def test_broken_fragments(pixel_data: bytes) -> None:
    with pytest.raises(BadFileFormat):
        scan(meta(JPEG) + data_set() + pixel_data)


def test_encapsulated_pixels_in_a_native_syntax() -> None:
    assert scan(meta() + data_set() + fragments(b"", b"abcd")).pixel_data_offset is not None


@pytest.mark.parametrize("tail", [b"\0", bytes(4), bytes(100), b"\xff" * 8, b"text " * 9])
def test_garbage_behind_the_pixel_data(tail: bytes) -> None:
    with pytest.raises(BadFileFormat):
        scan(PLAIN + tail)


@pytest.mark.parametrize(
    "value",
    [
        sequence(0x40000010, open_item(explicit(0x00081150, "UI", b"1.2 "))),
        sequence(0x40000010, item(explicit(0x00081150, "UI", b"1.2 "))),
        sequence(0x40000010),
        sequence(0x40000010, open_item(sequence(0x40000010, open_item(), open_item()))),
        explicit(0x40000010, "SQ", item(explicit(0x00081150, "UI", b"1.2 "))),
        explicit(0x40011010, "UN", open_item(implicit(0x00081150, b"1.2 ")), UNDEFINED)
        + implicit(SEQUENCE_END),
        sequence(
            0x40000010,
            open_item(
                explicit(0x40011010, "UN", open_item(implicit(0x00081150, b"ab")), UNDEFINED)
                + implicit(SEQUENCE_END)
                + explicit(0x40020010, "LO", b"ab")
            ),
        ),
        explicit(0x40000010, "LO", b"odd"),
        explicit(0x40000010, "zz", b"abcd"),
        explicit(0x40000010, "??", b"abcd"),
        explicit(0x40000010, "\0\0", b"abcd"),
        explicit(0x40000010, "ZZ", b"abcd"),
        sequence(0x40000010, open_item(explicit(0x40010010, "ZZ", b"abcd"))),
    ],
)
def test_structures_are_stepped_over(value: bytes) -> None:
    file = meta() + data_set() + value + pixels()
    assert scan(file).pixel_data_offset == len(file) - 112


@pytest.mark.parametrize(
    "value",
    [
        explicit(0x40000010, "SQ", implicit(0xFFFEE000, b"", UNDEFINED), UNDEFINED),
        sequence(0x40000010, implicit(0xFFFEE000, explicit(0x00081150, "UI", b"1."), UNDEFINED)),
        sequence(0x40000010, item(b"abcd", 100)),
        explicit(0x40000010, "UT", b"abcd", UNDEFINED) + implicit(SEQUENCE_END),
        explicit(0x40000010, "UT", b"abcd", UNDEFINED - 1),
        explicit(0x40000010, "OB", b"abcd", 10**6),
    ],
)
def test_lying_lengths(value: bytes) -> None:
    with pytest.raises(BadFileFormat):
        scan(meta() + data_set() + value + pixels())


def nest(depth: int) -> bytes:
    head = explicit(0x40000010, "SQ", implicit(0xFFFEE000, b"", UNDEFINED), UNDEFINED)
    return head * depth + (implicit(ITEM_END) + implicit(SEQUENCE_END)) * depth


def test_deep_nesting_is_bounded() -> None:
    assert scan(meta() + data_set() + nest(limits.DICOM_NESTING))
    for depth in (limits.DICOM_NESTING + 1, 100_000):
        with pytest.raises(BadFileFormat, match="nested more than"):
            scan(meta() + data_set() + nest(depth))


def test_number_of_elements_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DICOM_ELEMENTS", 100)
    empty = explicit(0x00081150, "LO")
    for value in (
        empty * 100,
        sequence(0x40000010, open_item(empty * 50)) + sequence(0x40000010, open_item(empty * 50)),
    ):
        with pytest.raises(BadFileFormat, match="more than 100 elements"):
            scan(meta() + data_set() + value)
    with pytest.raises(BadFileFormat, match="more than 100 elements"):
        scan(meta(IMPLICIT) + data_set(vrs=False) + implicit(0x00081150) * 100)


def test_values_of_main_tags_are_bounded() -> None:
    long = explicit(0x00204000, "UT", b"x" * (limits.DICOM_VALUE_BYTES + 2))
    with pytest.raises(BadFileFormat, match="too long"):
        scan(meta() + data_set() + long)
    with pytest.raises(BadFileFormat, match="too long"):
        scan(meta(DEFLATED) + deflated(data_set() + long))
    with pytest.raises(BadFileFormat, match="too long"):
        scan(meta(IMPLICIT) + data_set(vrs=False) + implicit(0x00204000, bytes(70_000)))


@pytest.mark.parametrize("charset", [b"ISO_IR 100", b"ISO 2022 IR 6\\ISO 2022 IR 87 "])
def test_a_long_text_is_no_main_tag(charset: bytes) -> None:
    """As in Orthanc: 256 bytes of UTF-8 are the longest main tag."""
    for text, kept in ((b"x" * 256, True), (b"x" * 258, False), (b"\xe9" * 130, False)):
        comments = (0x00204000, "LT", text)
        summary = scan(meta() + data_set((0x00080005, "CS", charset), comments))
        if charset.startswith(b"ISO 2022") and b"\xe9" in text:
            continue
        assert ("0020,4000" in summary.tags_at(Level.INSTANCE)) is kept


@pytest.mark.parametrize("tag", [0x00100020, 0x0020000D, 0x0020000E, 0x00080018])
def test_a_long_identifier_is_refused(tag: int) -> None:
    with pytest.raises(BadFileFormat, match="too long"):
        scan(meta() + data_set((tag, "LO", b"1" * 258)))


@pytest.mark.parametrize("tag", [0x00100020, 0x0020000D, 0x0020000E, 0x00080018])
@pytest.mark.parametrize("vr", ["OB", "SQ", "US"])
def test_an_identifier_that_is_no_text_is_refused(tag: int, vr: str) -> None:
    with pytest.raises(BadFileFormat, match="no text"):
        scan(meta() + data_set((tag, vr, b"a")))


@pytest.mark.parametrize("tag", [0x0020000D, 0x0020000E, 0x00080018])
def test_missing_and_empty_uids(tag: int) -> None:
    with pytest.raises(InexistentTag):
        scan(meta() + data_set(without=[tag]))
    for value in (b"", b"  ", b"\0\0"):
        with pytest.raises(BadFileFormat, match="missing StudyInstanceUID"):
            scan(meta() + data_set((tag, "UI", value)))


def test_a_file_without_a_data_set() -> None:
    with pytest.raises(InexistentTag):
        scan(meta())
    with pytest.raises(InexistentTag):
        scan(bytes(1000))


def test_a_missing_patient_id_is_empty() -> None:
    with_empty = scan(meta() + data_set((0x00100020, "LO", b"")))
    without = scan(meta() + data_set(without=[0x00100020]))
    assert with_empty.identifiers == without.identifiers
    assert with_empty.tags_at(Level.PATIENT) == {"0010,0020": ""}
    assert without.tags_at(Level.PATIENT) == {}


def test_the_sop_class_may_come_from_the_meta_information() -> None:
    assert scan(meta() + data_set(without=[0x00080016])).sop_class_uid.endswith("1.1.7")
    assert scan(data_set(without=[0x00080016])).sop_class_uid == ""
    assert scan(meta() + data_set((0x00080016, "UI", b"1.2 "))).sop_class_uid == "1.2"


def test_the_first_of_two_elements_counts() -> None:
    again = data_set((0x00100020, "LO", b"other"))
    assert patient_id(scan(meta() + data_set() + again)) == "P1"
    assert patient_id(scan(meta(DEFLATED) + deflated(data_set() + again))) == "P1"


def test_elements_out_of_order() -> None:
    late = data_set(without=[0x00100020]) + pixels() + explicit(0x00100020, "LO", b"late")
    assert patient_id(scan(meta() + late)) == "late"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"  lead", "  lead"),
        (b"trail   ", "trail"),
        (b"  both  ", "  both"),
        (b"nul\0", "nul"),
        (b"nul\0\0\0", "nul"),
        (b"space \0x", "space "),
        (b"in\0ner\0x", "in"),
        (b"\0lead ", ""),
        (b"      ", ""),
        (b"many        ", "many"),
        (b"odd ", "odd"),
        (b"an odd ", "an odd "),
        (b"a\\ b\\cd ", "a\\ b\\cd"),
        (b"\x1cab\x1c", "\x1cab\x1c"),
        (b"\xa0x\xa0 ", "\xa0x\xa0"),
    ],
)
@pytest.mark.parametrize("vr", ["LO", "UT"])
@pytest.mark.parametrize("company", [b"", b"a\0b\0"])
def test_padding(raw: bytes, text: str, vr: str, company: bytes) -> None:
    """Observed on Orthanc, whose identifiers hang on it; ``company`` forces the slow way."""
    file = meta() + data_set((0x00100020, vr, raw), (0x00081030, "LO", company))
    summary = scan(file)
    assert patient_id(summary) == text


@pytest.mark.parametrize(
    ("vr", "raw", "text"),
    [
        ("UI", b"1.2.3 ", "1.2.3"),
        ("UI", b" 1.2.3", "1.2.3"),
        ("UI", b"1 .2\0\0", "1.2"),
        ("UI", b"1 .2", "1.2"),
        ("UI", b"1.2\0\x33\x34", "1.2"),
        ("LO", b" 1.2", " 1.2"),
        ("UN", b"1.2 ", "1.2 "),
        ("UN", b"1.2\0", "1.2"),
    ],
)
def test_padding_of_uids(vr: str, raw: bytes, text: str) -> None:
    summary = scan(meta() + data_set((0x0020000D, vr, raw)))
    assert summary.tags_at(Level.STUDY)["0020,000d"] == text


@pytest.mark.parametrize(
    ("vr", "raw", "text"),
    [
        ("US", b"\7\0", "7"),
        ("US", b"\7\0\x08\0", "7\\8"),
        ("US", b"", None),
        ("SS", b"\xff\xff", "-1"),
        ("UL", b"\1\0\0\0", "1"),
        ("FL", struct.pack("<f", 3.14), "3.1400001049041748"),
        ("FD", struct.pack("<d", 0.1), "0.10000000000000001"),
        ("AT", b"\x10\0\x20\0", "0010,0020"),
        ("IS", b"7 ", "7"),
        ("UN", b"\7\0", None),
        ("OB", b"\7\0", None),
    ],
)
def test_numbers(vr: str, raw: bytes, text: str | None) -> None:
    summary = scan(meta() + data_set((0x00540081, vr, raw)))
    assert summary.tags_at(Level.SERIES).get("0054,0081") == text


def test_numbers_without_vr() -> None:
    little = data_set((0x00540081, "US", b"\7\0"), vrs=False)
    assert scan(meta(IMPLICIT) + little).tags_at(Level.SERIES)["0054,0081"] == "7"
    big = data_set((0x00540081, "US", b"\0\7"), order=">")
    assert scan(meta(BIG_ENDIAN) + big).tags_at(Level.SERIES)["0054,0081"] == "7"


def test_a_sequence_among_the_main_tags_has_no_value() -> None:
    value = (0x00400275, "SQ", item(explicit(0x00400009, "SH", b"ab")))
    assert "0040,0275" not in scan(meta() + data_set(value)).tags_at(Level.SERIES)


def test_implicit_elements_in_an_explicit_file() -> None:
    """Only pydicom reads this; Orthanc does not."""
    odd = implicit(0x40010010, b"ACME") + implicit(0x40011001, bytes(3000))
    head = data_set((0x00080005, "CS", b"ISO_IR 192"), (0x00100010, "PN", "Ä^B".encode()))
    summary = scan(meta() + head + odd + pixels())
    assert summary.tags_at(Level.PATIENT) == {"0010,0010": "Ä^B", "0010,0020": "P1"}
    assert summary.pixel_data_offset == len(meta() + head + odd)
    with pytest.raises(BadFileFormat):
        scan(meta() + head + odd + pixels()[:-1])


def test_the_second_reading_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DICOM_FALLBACK_BYTES", 2000)
    odd = implicit(0x40011001, bytes(300)) * 3
    many = explicit(0x40011002, "LO") * 300
    assert scan(meta() + data_set() + odd)
    with pytest.raises(BadFileFormat, match="second reading"):
        scan(meta() + data_set() + odd + many)


def test_a_deflated_file_is_walked_while_it_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    """More header than one piece, more pixels than may be kept."""
    monkeypatch.setattr(limits, "DICOM_HEADER_BYTES", 3 * limits.MIB)
    private = explicit(0x00091001, "OB", bytes(range(256)) * 8192)
    late = explicit(0x00400254, "LO", b"late")
    image = explicit(0x7FE00010, "OW", bytes(10 * limits.MIB))
    data = private + data_set() + late + image
    summary = scan(meta(DEFLATED) + deflated(data))
    assert patient_id(summary) == "P1"
    assert summary.tags_at(Level.SERIES)["0040,0254"] == "late"
    assert summary.pixel_data_offset is None
    for broken in (deflated(data)[:-3], deflated(data[:-3]), deflated(data + b"\0")):
        with pytest.raises(BadFileFormat):
            scan(meta(DEFLATED) + broken)


def test_an_inflate_bomb_is_stopped() -> None:
    image = explicit(0x7FE00010, "OW", bytes(100 * limits.MIB))
    with pytest.raises(BadFileFormat, match="beyond all measure"):
        scan(meta(DEFLATED) + deflated(data_set() + image))


def test_a_deflated_header_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DICOM_HEADER_BYTES", 3 * limits.MIB)
    many = explicit(0x00091002, "LO", b"abcdefgh") * 400_000
    with pytest.raises(BadFileFormat, match="too long a header"):
        scan(meta(DEFLATED) + deflated(data_set() + many))
