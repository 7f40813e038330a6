"""Small data sets: written, read back, and read by pydicom, the judge."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from tests.support.dicom_files import make_instance
from wherry import limits
from wherry.dicom.attributes import Attribute, chosen, of_file, of_texts, read, write
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


def test_chosen_attributes_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Dataset()
    step.ScheduledProcedureStepID = "S1"
    file = make_instance(
        PatientName="Müller",
        SpecificCharacterSet="ISO_IR 100",
        PatientComments="x" * 400,
        RequestAttributesSequence=[step],
    )
    name, rows, pixels, comments, steps = (
        0x00100010,
        0x00280010,
        0x7FE00010,
        0x00104000,
        0x00400275,
    )
    wanted = (steps, name, rows, pixels, comments, 0x00091001)
    found = chosen(file, wanted)
    assert found[name] == ("PN", "Müller")
    assert found[rows] == ("US", "8")
    assert len(found[pixels].value) == 2048
    assert found[steps].value == ({0x00400009: Attribute("SH", "S1")},)
    assert found[comments].text == "x" * 400
    assert found.keys() == {name, rows, pixels, comments, steps}
    monkeypatch.setattr(limits, "ANSWER_VALUE_BYTES", 100)
    assert chosen(file, wanted).keys() == {name, rows, steps}
    monkeypatch.setattr(limits, "ANSWER_VALUE_BYTES", 12)  # an element of two bytes has ten
    assert chosen(file, (rows, steps)).keys() == {rows, steps}
    monkeypatch.setattr(limits, "ANSWER_VALUE_BYTES", 9)
    assert chosen(file, (rows, steps)) == {}
    with pytest.raises(BadFileFormat):
        chosen(b"nonsense", wanted)


def test_all_attributes_of_a_file() -> None:
    found = of_file(make_instance())
    assert found[0x00100020] == ("LO", "PATIENT1")
    assert not any(tag >> 16 == 2 for tag in found)
    with pytest.raises(BadFileFormat):
        of_file(b"nonsense")


def test_text_that_needs_no_character_set_is_the_same_in_each() -> None:
    texts = {0x00100010: Attribute("PN", "Doe^Jane"), 0x00100020: Attribute("LO", "abc")}
    for term in ("ISO_IR 100", "ISO_IR 192", "\\ISO 2022 IR 87", "GB18030", "ISO_IR 13", "x"):
        whole = {0x00080005: Attribute("CS", term), **texts}
        assert write(whole, EXPLICIT).endswith(write(texts, EXPLICIT))
