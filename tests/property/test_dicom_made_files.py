"""A thousand made files: our scan reads what pydicom wrote, and proves that it is whole."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from tests.support.pydicom_reading import our_reading, pydicom_reading, silence
from wherry.dicom.json import to_json
from wherry.dicom.scan import scan
from wherry.errors import BadFileFormat, InexistentTag

SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

ALPHABETS = {
    "": "Zaé",
    "ISO_IR 100": "Zaéß",
    "ISO_IR 101": "ZaŁő",
    "ISO_IR 144": "ZaЛю",
    "ISO_IR 126": "ZaΑω",
    "ISO_IR 192": "Zaé山田😀",
    "GB18030": "Za王小东",
    "ISO_IR 13": "Zaﾔﾏﾀﾞ",
    "ISO_IR 166": "Zaกข",
    "\\ISO 2022 IR 87": "Za山田",
    "\\ISO 2022 IR 149": "Za洪吉",
    "ISO 2022 IR 100\\ISO 2022 IR 144": "ZaЛю",
}
"""Character sets and a few letters that can be written in them. Not letters of two sets in one
name: pydicom 3.0 does not read back what it wrote (no reset at the delimiter, PS3.5 §6.1.2.5.3)."""

NAMES = ("PatientName", "ReferringPhysicianName", "OperatorsName", "RequestingPhysician")
TEXTS = (
    "PatientID",
    "InstitutionName",
    "AccessionNumber",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "ImageComments",
)
CODES = ("PatientSex", "Modality", "BodyPartExamined")
INTEGERS = ("SeriesNumber", "InstanceNumber", "NumberOfFrames", "ImagesInAcquisition")
WORDS = ("NumberOfSlices", "NumberOfTimeSlices", "ImageIndex")
DATES = ("StudyDate", "SeriesDate", "PatientBirthDate", "InstanceCreationDate")

uids = st.integers(1, 10**20).map(lambda number: f"1.2.{number}")


@st.composite
def texts(draw: Callable[..., Any], letters: str) -> str:
    """Text that has no padding of its own, which pydicom and Orthanc treat differently."""
    return str(draw(st.text(letters + "09 .-", max_size=20))).strip()


@st.composite
def private_elements(draw: Callable[..., Any], ds: Dataset) -> None:
    """A private block with values that look like anything."""
    block = ds.private_block(draw(st.sampled_from((0x0009, 0x0029, 0x4001))), "ACME", create=True)
    for offset in draw(st.lists(st.integers(1, 60), unique=True, max_size=4)):
        vr = draw(st.sampled_from(("OB", "UN", "LO", "UT", "FD")))
        if vr == "FD":
            value: Any = draw(st.floats(allow_nan=False))
        elif vr in ("OB", "UN"):
            value = draw(st.binary(max_size=40)) + b"\xfe\xff\x0d\xe0\0\0\0\0"
            value += bytes(len(value) % 2)
        else:
            value = "x" * draw(st.integers(0, 50))
        block.add_new(offset, vr, value)


@st.composite
def sequences(draw: Callable[..., Any], depth: int) -> Sequence:
    """Items with items in them, of defined and undefined length."""
    items = []
    for _ in range(draw(st.integers(0, 3))):
        one = Dataset()
        one.is_undefined_length_sequence_item = draw(st.booleans())
        one.PatientID = "not this one"
        one.StudyInstanceUID = "1.2.3.4"
        if depth:
            one.ReferencedSeriesSequence = draw(sequences(depth - 1))
            one["ReferencedSeriesSequence"].is_undefined_length = draw(st.booleans())
        items.append(one)
    return Sequence(items)


@st.composite
def files(draw: Callable[..., Any]) -> bytes:
    """A whole file: structure, syntax and character set at random."""
    ds = Dataset()
    charset = draw(st.sampled_from(sorted(ALPHABETS)))
    letters = ALPHABETS[charset]
    if charset or draw(st.booleans()):
        ds.SpecificCharacterSet = charset.split("\\") if "\\" in charset else charset
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = (draw(uids) for _ in range(3))
    for keyword in draw(st.lists(st.sampled_from(TEXTS), unique=True)):
        setattr(ds, keyword, draw(texts(letters)))
    for keyword in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        parts = draw(st.lists(texts(letters).filter(bool), min_size=1, max_size=3))
        setattr(ds, keyword, "^".join(parts))
    for keyword in draw(st.lists(st.sampled_from(CODES), unique=True)):
        setattr(ds, keyword, draw(st.text("ABC_0", max_size=16)))
    for keyword in draw(st.lists(st.sampled_from(INTEGERS), unique=True)):
        setattr(ds, keyword, draw(st.integers(-(2**31), 2**31 - 1)))
    for keyword in draw(st.lists(st.sampled_from(WORDS), unique=True)):
        setattr(ds, keyword, draw(st.integers(0, 2**16 - 1)))
    for keyword in draw(st.lists(st.sampled_from(DATES), unique=True)):
        setattr(ds, keyword, draw(st.dates()).strftime("%Y%m%d").zfill(8))
    if draw(st.booleans()):
        ds.ImageOrientationPatient = draw(st.lists(st.integers(-9, 9), min_size=6, max_size=6))
    if draw(st.booleans()):
        draw(private_elements(ds))
    if draw(st.booleans()):
        ds.ReferencedStudySequence = draw(sequences(draw(st.integers(0, 3))))
        ds["ReferencedStudySequence"].is_undefined_length = draw(st.booleans())
    syntax = draw(st.sampled_from(SYNTAXES))
    if draw(st.booleans()):
        ds.Rows = ds.Columns = 4
        ds.BitsAllocated = 8
        pixels = draw(st.binary(min_size=16, max_size=64).filter(lambda raw: len(raw) % 2 == 0))
        ds.PixelData = encapsulate([pixels]) if syntax.is_encapsulated else pixels
        ds["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
        ds["PixelData"].is_undefined_length = syntax.is_encapsulated
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@st.composite
def quiet_files(draw: Callable[..., Any]) -> bytes:
    with silence():
        return bytes(draw(files()))


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(quiet_files(), st.data())
def test_equal_to_pydicom_and_whole(data: bytes, cuts: st.DataObject) -> None:
    summary = scan(data)
    assert our_reading(summary) == pydicom_reading(data)
    assert scan(memoryview(data)) == summary
    shown = to_json(data, "short")
    assert shown["0008,0018"] == summary.tags[3]["0008,0018"]
    if summary.pixel_data_offset is not None:
        assert data[summary.pixel_data_offset :].startswith((b"\xe0\x7f\x10\0", b"\x7f\xe0\0\x10"))
        size = cuts.draw(st.integers(summary.pixel_data_offset + 1, len(data) - 1))
        try:
            scan(data[:size])
        except BadFileFormat:
            return
        raise AssertionError("cut off pixel data were accepted")
    try:
        scan(data[: cuts.draw(st.integers(0, len(data) - 1))])
    except (BadFileFormat, InexistentTag):
        pass
