"""Native data sets in other native encodings; pydicom says whether the values are the same."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.support.pydicom_files import FILES, ROOT
from wherry import limits
from wherry.dicom.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Encoding,
    UnreadableError,
)
from wherry.dicom.preamble import BIG_ENDIAN, EXPLICIT, IMPLICIT, looks_explicit, read_preamble
from wherry.dicom.reencode import reencode
from wherry.errors import BadFileFormat

NATIVE = {IMPLICIT: IMPLICIT_LITTLE, EXPLICIT: EXPLICIT_LITTLE, BIG_ENDIAN: EXPLICIT_BIG}
UIDS = {True: ExplicitVRLittleEndian, False: ImplicitVRLittleEndian}
SOURCES = {
    ImplicitVRLittleEndian: IMPLICIT_LITTLE,
    ExplicitVRLittleEndian: EXPLICIT_LITTLE,
    ExplicitVRBigEndian: EXPLICIT_BIG,
}


DAMAGED = {"MR_truncated.dcm", "rtplan_truncated.dcm", "DICOMDIR-nooffset"}
"""pydicom reads these, as far as they go."""


def native_files() -> list[str]:
    found = []
    for name in FILES:
        data = (ROOT / name).read_bytes()
        try:
            syntax, _, encoding, position = read_preamble(data)
        except UnreadableError:
            continue
        if Path(name).name in DAMAGED:
            continue
        if syntax in NATIVE and looks_explicit(data, position) is encoding.explicit:
            found.append(name)
    return found


def encoded(data: bytes, position: int, source: Encoding, *, explicit: bool) -> bytes:
    with memoryview(data) as view:
        return b"".join(reencode(view, position, source, explicit=explicit))


def read(data: bytes, syntax: str) -> Dataset:
    """A bare data set, as pydicom sees it."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    buffer = io.BytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    pydicom.filewriter.write_file_meta_info(buffer, meta, enforce_standard=False)
    buffer.write(data)
    buffer.seek(0)
    with warnings.catch_warnings(action="ignore"):  # some of the files are odd
        found = pydicom.dcmread(buffer)
        return correct_ambiguous_vr(found, is_little_endian=syntax != BIG_ENDIAN)


def values(dataset: Dataset) -> dict[int, object]:
    """What it holds, without the VRs of what only a dictionary knows, and of bytes."""
    found: dict[int, object] = {}
    with warnings.catch_warnings(action="ignore"):
        for element in dataset:
            if element.tag.element == 0:
                continue
            if element.VR == "SQ":
                found[element.tag] = [values(item) for item in element.value]
            elif isinstance(element.value, bytes):
                found[element.tag] = element.value + bytes(len(element.value) % 2)
            else:
                found[element.tag] = (str(element.VR), str(element.value))
    return found


@pytest.mark.parametrize("explicit", [True, False], ids=["to-explicit", "to-implicit"])
@pytest.mark.parametrize("name", native_files())
def test_pydicom_finds_the_same_values(name: str, explicit: bool) -> None:
    data = (ROOT / name).read_bytes()
    syntax, _, source, position = read_preamble(data)
    try:
        before = values(read(data[position:], syntax))
    except Exception:
        pytest.skip("pydicom cannot read this file itself")
    if source is EXPLICIT_BIG:
        before = turned_bytes(before, read(data[position:], syntax))
    again = encoded(data, position, source, explicit=explicit)
    after = values(read(again, UIDS[explicit]))
    if source.explicit is explicit or source is EXPLICIT_BIG:
        assert after == before
        return
    assert after.keys() == before.keys()
    assert differing(before, after) == []


def differing(before: dict[int, object], after: dict[int, object]) -> list[str]:
    """What is not the same. A private value whose VR the other dictionary does not know may be
    bytes on one side."""
    found = []
    for tag, value in before.items():
        other = after[tag]
        if isinstance(value, list) and isinstance(other, list):
            assert len(value) == len(other)
            for one, another in zip(value, other, strict=True):
                found += differing(one, another)
        elif value != other and not (pydicom.tag.Tag(tag).is_private and same(value, other)):
            found.append(f"{tag:08x}: {str(value)[:80]} became {str(other)[:80]}")
    return found


def same(value: object, other: object) -> bool:
    """Whether only the dictionaries of private tags, which are not the same, tell them apart."""
    if isinstance(value, bytes) or isinstance(other, bytes):
        return True
    assert isinstance(value, tuple) and isinstance(other, tuple)
    return (value[1] or "None") == (other[1] or "None")


def turned_bytes(found: dict[int, object], dataset: Dataset) -> dict[int, object]:
    """pydicom leaves words of big endian files as bytes in their order."""
    for tag, value in found.items():
        if isinstance(value, bytes) and dataset[tag].VR == "OW":
            found[tag] = b"".join(value[at : at + 2][::-1] for at in range(0, len(value), 2))
    return found


def made() -> Dataset:
    """Everything that needs care."""
    inner = Dataset()
    inner.CodeValue = "1"
    inner.CodeMeaning = "odd"
    item = Dataset()
    item.PixelRepresentation = 1
    item.SmallestImagePixelValue = -5
    item.ConceptNameCodeSequence = Sequence([inner, inner])
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    data.SOPInstanceUID = "1.2.3"
    data.PatientName = "Zoë^Ünal"
    data.ZeroVelocityPixelValue = -3
    data.Rows, data.Columns = 4, 4
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation = 1
    data.SmallestImagePixelValue = -30000
    data.FrameIncrementPointer = [0x00540010, 0x00540020]
    data.add_new(0x00090010, "LO", "SIEMENS CT VA0  COAD")
    data.add_new(0x00091011, "UN", b"abcd")
    data.add_new(0x00110010, "LO", "NOBODY")
    data.add_new(0x00111001, "SQ", Sequence([inner]))
    data.add_new(0x00111002, "UL", 7)
    data.ContentSequence = Sequence([item])
    data.ReferencedImageSequence = Sequence([])
    data.RealWorldValueMappingSequence = Sequence([])
    data.add_new(0x00189810, "SS", -3)
    data.DoubleFloatRealWorldValueFirstValueMapped = 0.1
    data.add_new(0x00660016, "OF", bytes(range(16)))
    data.add_new(0x00660040, "OL", bytes(range(16)))
    data.add_new(0x7FE00009, "OD", bytes(range(32)))
    data.PixelData = bytes(range(32))
    data["PixelData"].VR = "OW"
    return data


def written(data: Dataset, syntax: pydicom.uid.UID, *, undefined: bool = False) -> bytes:
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    for element in data.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = undefined
            for item in element.value:
                item.is_undefined_length_sequence_item = undefined
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()


@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
@pytest.mark.parametrize("source", SOURCES, ids=["implicit", "explicit", "big-endian"])
@pytest.mark.parametrize("explicit", [True, False], ids=["to-explicit", "to-implicit"])
def test_what_needs_care(source: pydicom.uid.UID, explicit: bool, undefined: bool) -> None:
    data = written(made(), source, undefined=undefined)
    position = read_preamble(data)[3]
    again = encoded(data, position, SOURCES[source], explicit=explicit)
    direct = written(made(), UIDS[explicit])
    expected = values(read(direct[read_preamble(direct)[3] :], UIDS[explicit]))
    found = values(read(again, UIDS[explicit]))
    assert found.keys() == expected.keys()
    if source is ExplicitVRBigEndian:  # of pydicom's OF, OL and OD it writes what it is given
        for tag in (0x00660016, 0x00660040, 0x7FE00009, 0x7FE00010):
            size = {0x00660016: 4, 0x00660040: 4, 0x7FE00009: 8, 0x7FE00010: 2}[tag]
            value = found.pop(tag)
            assert isinstance(value, bytes)
            turned = [value[at : at + size][::-1] for at in range(0, len(value), size)]
            assert b"".join(turned) == expected.pop(tag)
    assert differing(expected, found) == []


def test_a_value_that_is_too_long_for_its_representation() -> None:
    long = Dataset()
    long.SOPInstanceUID = "1.2"
    long.ContourData = [1.25] * 20_000
    data = written(long, ImplicitVRLittleEndian)
    again = read(encoded(data, read_preamble(data)[3], IMPLICIT_LITTLE, explicit=True), EXPLICIT)
    assert again["ContourData"].VR == "UN"
    assert again.ContourData == b"\\".join([b"1.25"] * 20_000) + b" "


def test_a_long_value_is_turned_round_in_pieces_and_never_copied_whole() -> None:
    words = bytes(range(256)) * 8192
    big = Dataset()
    big.PixelData = words
    big["PixelData"].VR = "OW"
    data = written(big, ExplicitVRBigEndian)
    with memoryview(data) as view:
        position = read_preamble(data)[3]
        pieces = list(reencode(view, position, EXPLICIT_BIG, explicit=True))
        assert max(map(len, pieces)) < len(words) / 4
        value = b"".join(pieces)[12:]
        assert value[0::2] == words[1::2]
        assert value[1::2] == words[0::2]


def test_values_of_odd_length_are_padded() -> None:
    data = bytes.fromhex("0800 1800 0300 0000 312e 32") + bytes.fromhex(
        "1000 2000 0100 0000 411000 1140 0300 0000 010203"
    )
    padded = encoded(data, 0, IMPLICIT_LITTLE, explicit=True)
    assert padded == (
        bytes.fromhex("0800 1800 5549 0400 312e 3200")
        + bytes.fromhex("1000 2000 4c4f 0200 4120")
        + bytes.fromhex("1000 1140 554e 0000 0400 0000 01020300")
    )


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("0800 1800 5549 0400 312e 3200")[:-1],  # cut off
        bytes.fromhex("0800 1800 5549 ff00 312e"),  # longer than what holds it
        bytes.fromhex("feff 0de0 0000 0000"),  # an item at a wrong place
        bytes.fromhex("0800 1111 5351 0000 1000 0000 0800 1800 5549 0400 312e 3200"),  # no item
        bytes.fromhex("e07f 1000 4f42 0000 ffff ffff feff 00e0 0000 0000 feff dde0 0000 0000"),
        bytes.fromhex("0800 1800 0400 0000 312e 3200"),  # an implicit element
    ],
)
def test_what_is_not_what_it_says_it_is(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        encoded(data, 0, EXPLICIT_LITTLE, explicit=False)


def test_sequences_that_are_nested_too_deep() -> None:
    level = bytes.fromhex("0800 1111 5351 0000 ffff ffff feff 00e0 ffff ffff")
    with pytest.raises(BadFileFormat):
        encoded(level * (limits.DICOM_NESTING + 1), 0, EXPLICIT_LITTLE, explicit=False)


@pytest.mark.parametrize("source", SOURCES, ids=["implicit", "explicit", "big-endian"])
def test_long_values_may_be_read_elsewhere(source: pydicom.uid.UID) -> None:
    long = Dataset()
    long.BitsAllocated = 16
    long.PixelData = bytes(range(256)) * 8192
    long["PixelData"].VR = "OW"
    data = written(long, source)
    position = read_preamble(data)[3]
    blind = data[:-2_000_000] + bytes(2_000_000)
    pieces = reencode(
        memoryview(blind),
        position,
        SOURCES[source],
        explicit=True,
        read_at=lambda offset, size: data[offset : offset + size],
    )
    assert b"".join(pieces) == encoded(data, position, SOURCES[source], explicit=True)
    with pytest.raises(UnreadableError):
        b"".join(
            reencode(
                memoryview(data),
                position,
                SOURCES[source],
                explicit=True,
                read_at=lambda offset, size: data[offset : offset + size // 2],
            )
        )


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_damaged_files(name: str, explicit: bool) -> None:
    [path] = [ROOT / one for one in FILES if Path(one).name == name]
    data = path.read_bytes()
    _, _, source, position = read_preamble(data)
    with pytest.raises(UnreadableError):
        encoded(data, position, source, explicit=explicit)


def test_where_the_files_come_from() -> None:
    assert len(native_files()) > 60
    assert {Path(name).name for name in native_files()} >= {"MR_small_bigendian.dcm", "rtplan.dcm"}
