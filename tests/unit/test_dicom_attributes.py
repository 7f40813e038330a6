"""Small data sets: written, read back, and read by pydicom, the judge."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from wherry.dicom.attributes import Attribute, of_texts, read, write
from wherry.dicom.preamble import BIG_ENDIAN, EXPLICIT, IMPLICIT
from wherry.errors import BadFileFormat

SAMPLE = {
    0x00080005: Attribute("CS", "ISO_IR 192"),
    0x00080052: Attribute("CS", "STUDY"),
    0x00080061: Attribute("CS", "CT\\MR"),
    0x00081110: Attribute(
        "SQ", ({0x00081150: Attribute("UI", "1.2.3"), 0x00100010: Attribute("PN", "Ä^B")},)
    ),
    0x00100010: Attribute("PN", "Müller^Jörg=山田"),
    0x00201206: Attribute("IS", "12"),
    0x00209165: Attribute("AT", "0010,0020\\0008,0018"),
    0x00280010: Attribute("US", "512"),
    0x00280106: Attribute("US", "1\\2"),
    0x00720074: Attribute("FD", "0.5\\2"),
}


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_what_is_written_is_read(syntax: str) -> None:
    assert read(write(SAMPLE, syntax), syntax) == SAMPLE


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_pydicom_reads_it(syntax: str) -> None:
    data = BytesIO(write(SAMPLE, syntax))
    found = read_dataset(data, syntax == IMPLICIT, syntax != BIG_ENDIAN)
    found.decode()
    assert found.PatientName == "Müller^Jörg=山田"
    assert list(found.ModalitiesInStudy) == ["CT", "MR"]
    assert found.ReferencedStudySequence[0].ReferencedSOPClassUID == "1.2.3"
    assert found.Rows == 512
    assert found[0x00720074].value == [0.5, 2]


def test_what_pydicom_writes_is_read() -> None:
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 100"
    data_set.PatientName = "Jörg"
    data_set.Rows = 7
    inner = Dataset()
    inner.ScheduledStationAETitle = "A"
    data_set.ScheduledProcedureStepSequence = [inner]
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, True
    write_dataset(out, data_set)
    found = read(out.getvalue(), IMPLICIT)
    assert found[0x00100010] == ("PN", "Jörg")
    assert found[0x00280010].text == "7"
    assert found[0x00400100].value == ({0x00400001: Attribute("AE", "A")},)


def test_numbers_that_are_none_are_left_empty() -> None:
    written = write(
        {0x00280010: Attribute("US", "many"), 0x00280011: Attribute("US", "70000")}, EXPLICIT
    )
    assert [one.text for one in read(written, EXPLICIT).values()] == ["", ""]


def test_a_value_that_its_length_has_no_room_for_is_unknown() -> None:
    long = {0x00100010: Attribute("PN", "x" * 70_000)}
    assert read(write(long, EXPLICIT), EXPLICIT) == long


@pytest.mark.parametrize("damage", [b"\x10\x00\x10\x00\xff\xff\xff\x0f", b"\x10\x00", b"abcdefgh"])
def test_damaged(damage: bytes) -> None:
    with pytest.raises(BadFileFormat):
        read(damage, IMPLICIT)


def test_other_transfer_syntaxes_are_refused() -> None:
    with pytest.raises(BadFileFormat):
        read(b"", "1.2.840.10008.1.2.4.50")


def test_of_texts() -> None:
    assert of_texts({0x00100020: "a", 0x00080052: "STUDY", 0x00081110: ""}) == {
        0x00080052: ("CS", "STUDY"),
        0x00081110: ("SQ", ()),
        0x00100020: ("LO", "a"),
    }
