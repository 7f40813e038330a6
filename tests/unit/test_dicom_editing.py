"""What requests ask for, and what becomes of a file."""

from __future__ import annotations

import io
import struct
from typing import Any

import pydicom
import pytest

from tests.support.dicom_bytes import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    data_set,
    explicit,
    item,
    meta,
    pixels,
    sequence,
)
from wherry import limits
from wherry.dicom import dictionary
from wherry.dicom.charsets import character_set
from wherry.dicom.dictionary import Entry, OwnEntry
from wherry.dicom.editing.editor import Edited, Editor
from wherry.dicom.editing.encoding import UnwritableError, Writing, element
from wherry.dicom.editing.paths import Path, Step, path_of
from wherry.dicom.editing.profiles import EDITIONS, Action, profile
from wherry.dicom.editing.pseudonyms import Pseudonyms
from wherry.dicom.editing.rules import Rules, rules_of
from wherry.dicom.elements import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from wherry.dicom.reading import Reader
from wherry.errors import (
    BadFileFormat,
    BadParameterType,
    BadRequest,
    ParameterOutOfRange,
    UnknownDicomTag,
)
from wherry.model import Level

NAME, ID, STUDY, SOP = 0x00100010, 0x00100020, 0x0020000D, 0x00080018
PLAIN = Writing(EXPLICIT_LITTLE, character_set(b"ISO_IR 100"))


def rules(level: Level | None = None, *, anonymize: bool = False, **body: Any) -> Rules:
    return rules_of(body, level, anonymize=anonymize, default_profile="2021b")


def edit(data: bytes, *, seed: bytes = bytes(16), **asked: Any) -> Edited:
    return Editor(rules(**asked), Pseudonyms(seed, 3), "1.2").edit(data)


def read(edited: Edited) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(b"".join(edited.pieces())), force=True)


def file(*more: Any, syntax: str = EXPLICIT, vrs: bool = True, **options: Any) -> bytes:
    return meta(syntax) + data_set(*more, vrs=vrs, **options)


# --- paths ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text", ["PatientName", "0010,0010", "0010-0010", "00100010", "(0010,0010)"]
)
def test_spellings(text: str) -> None:
    assert path_of(text) == Path((), NAME)


def test_paths() -> None:
    path = path_of("ReferencedImageSequence[*].0008,1199[12].PatientName")
    assert path == Path((Step(0x00081140, None), Step(0x00081199, 12)), NAME)
    assert path_of(str(path)) == path


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Nope", UnknownDicomTag),
        ("", UnknownDicomTag),
        ("ReferencedImageSequence[0]", UnknownDicomTag),
        ("ReferencedImageSequence[0].", UnknownDicomTag),
        ("ReferencedImageSequence.PatientName", ParameterOutOfRange),
        ("ReferencedImageSequence[-1].PatientName", ParameterOutOfRange),
        ("ReferencedImageSequence[9999999999].PatientName", ParameterOutOfRange),
        ("ReferencedImageSequence[0][1].PatientName", ParameterOutOfRange),
        ("ReferencedImageSequence[0]." * 40 + "PatientName", ParameterOutOfRange),
    ],
)
def test_no_paths(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        path_of(text)


# --- values --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("tag", "value", "raw"),
    [
        (NAME, "Odd", b"Odd "),
        (NAME, None, b""),
        (NAME, "é", b"\xe9 "),
        (STUDY, "1.2.3 ", b"1.2.3\0"),
        (0x00280010, "12\\13", struct.pack("<HH", 12, 13)),
        (0x00280106, "-5", struct.pack("<h", -5)),
        (0x00089459, "1.5", struct.pack("<f", 1.5)),
        (0x00280009, "0018,1063\\FrameTime", struct.pack("<HHHH", 0x18, 0x1063, 0x18, 0x1063)),
        (0x00420011, "data:application/pdf;base64,AAEC", b"\0\1\2\0"),
        (0x00104000, "data:nothing", b"data:nothing"),
    ],
)
def test_values(tag: int, value: str | None, raw: bytes) -> None:
    assert element(tag, value, PLAIN).endswith(raw)
    assert len(element(tag, value, PLAIN)) in (8 + len(raw), 12 + len(raw))


def test_numbers_in_big_endian() -> None:
    writing = PLAIN._replace(encoding=EXPLICIT_BIG)
    assert element(0x00280010, "258", writing) == b"\0\x28\0\x10US\0\2\1\2"
    assert element(0x00420011, "data:x;base64,AQI=", writing)[-2:] == b"\1\2"  # bytes: OB
    assert element(0x00281201, "data:x;base64,AQI=", writing)[-2:] == b"\2\1"  # words: OW


def test_sequences() -> None:
    value = [{"PatientName": "b", "0008,0018": "1.2"}, {}]
    inner = explicit(SOP, "UI", b"1.2\0") + explicit(NAME, "PN", b"b ")
    assert element(0x00081140, value, PLAIN) == explicit(0x00081140, "SQ", item(inner) + item())
    implicit = element(0x00081140, value, PLAIN._replace(encoding=IMPLICIT_LITTLE))
    assert len(implicit) == 8 + (8 + 12 + 10) + 8


@pytest.mark.parametrize(
    ("tag", "value", "error"),
    [
        (NAME, 5, BadParameterType),
        (NAME, ["a"], BadParameterType),
        (NAME, [{}], BadParameterType),
        (NAME, {"a": "b"}, BadParameterType),
        (0x00280010, "x", BadFileFormat),
        (0x00280010, "-1", BadFileFormat),
        (0x00280010, "70000", BadFileFormat),
        (0x00280009, "Nope", BadFileFormat),
        (0x00081140, "x", BadFileFormat),
        (0x00081140, [5], BadParameterType),
        (0x00081140, [{"Nope": "x"}], UnknownDicomTag),
        (0x00420011, "data:a/b;base64,A", BadFileFormat),
        (NAME, "Ω", UnwritableError),
    ],
)
def test_no_values(tag: int, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        element(tag, value, PLAIN)


def test_values_are_not_nested_without_end() -> None:
    value: Any = "x"
    for _ in range(limits.DICOM_NESTING + 1):
        value = [{"ReferencedImageSequence": value}] if value != "x" else [{"PatientName": "x"}]
    with pytest.raises(ParameterOutOfRange):
        element(0x00081140, value, PLAIN)


# --- requests ------------------------------------------------------------------------------------
def test_a_request_is_kept_as_json() -> None:
    asked = rules(
        Level.STUDY,
        anonymize=True,
        Replace={"ReferencedImageSequence[0].PatientID": "x", "PatientName": None},
        Remove=["0008-0080"],
        Keep=["StudyDescription", "StudyInstanceUID"],
        Force=True,
        KeepPrivateTags=True,
        PrivateCreator="ACME",
        DicomVersion="2017c",
        Transcode="1.2.840.10008.1.2.1",
    )
    assert Rules.from_document(asked.document()) == asked
    assert not asked.remove_private


@pytest.mark.parametrize("level", Level)
def test_what_a_level_may_replace(level: Level) -> None:
    """Parents stay; but a study may go to another patient (Orthanc from 1.11.3)."""
    for parent, name in (
        (Level.PATIENT, "PatientID"),
        (Level.STUDY, "StudyInstanceUID"),
        (Level.SERIES, "SeriesInstanceUID"),
        (Level.INSTANCE, "SOPInstanceUID"),
    ):
        body: Any = {"Replace": {name: "1.2"}, "Force": True}
        if level is Level.PATIENT:
            body["Replace"]["PatientID"] = "1.2"
        if parent >= level or (parent, level) == (Level.PATIENT, Level.STUDY):
            assert rules(level, **body).level is level
        else:
            with pytest.raises(BadRequest, match="parent " + name):
                rules(level, **body)
    with pytest.raises(BadRequest, match="PatientID"):
        rules(Level.PATIENT, Replace={"PatientName": "x"})
    assert rules(Level.PATIENT, Keep=["PatientID"], Force=True).keeps(ID)


@pytest.mark.parametrize(
    ("replaced", "level"),
    [
        ("PatientName", Level.INSTANCE),
        ("SeriesInstanceUID", Level.SERIES),
        ("StudyInstanceUID", Level.STUDY),
        ("PatientID", Level.PATIENT),
    ],
)
def test_the_level_follows_from_what_is_replaced(replaced: str, level: Level) -> None:
    assert rules(Replace={replaced: "1.2"}, Force=True).level is level


def test_what_follows_by_itself_is_not_edited() -> None:
    asked = rules(Replace={"0002,0016": "ME", "0010,0000": "5"}, Remove=["TransferSyntaxUID"])
    assert not asked.replace
    assert not asked.remove
    with pytest.raises(BadRequest):
        rules(Replace={"PixelData": "data:a/b;base64,AAAA"})


# --- profiles and pseudonyms ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("edition", "removed", "emptied", "mapped"),
    [("2008", 40, 0, 11), ("2017c", 215, 20, 31), ("2021b", 316, 85, 47)],
)
def test_profiles(edition: str, removed: int, emptied: int, mapped: int) -> None:
    """As many as a genuine Orthanc removes, empties and maps; and the trailing padding."""
    found = list(profile(edition).actions.values())
    counts = [found.count(action) for action in (Action.REMOVE, Action.EMPTY, Action.UID)]
    assert counts == [removed, emptied, mapped]


@pytest.mark.parametrize("edition", EDITIONS)
def test_curves_and_overlays_go(edition: str) -> None:
    table = profile(edition)
    assert table.of(0x50023000) is table.of(0x601E3000) is table.of(0x60024000) is Action.REMOVE
    assert table.of(0x60020010) is None


def test_the_newest_profile_goes_further() -> None:
    """All that 2021b does is done, perhaps more thoroughly; and there is more."""
    old, new = profile("2021b").actions, profile("2023b").actions
    assert old.keys() < new.keys() | {NAME, ID}
    assert {tag: (old[tag], new[tag]) for tag in old if old[tag] is not new[tag]} == {
        0x30100077: (Action.EMPTY, Action.REMOVE)
    }
    assert new[0x00420011] is Action.EMPTY


def test_pseudonyms() -> None:
    one, same, other = Pseudonyms(b"a" * 16), Pseudonyms(b"a" * 16), Pseudonyms(b"b" * 16)
    assert one.uid("1.2") == one.uid("1.2") == same.uid("1.2") != other.uid("1.2")
    assert one.uid("1.2") != one.uid("1.3")
    assert one.patient_id("1.2") == same.patient_id("1.2") != other.patient_id("1.2")
    assert one.uid("1.2").startswith("2.25.")
    assert len(one.uid("1.2")) <= 64
    assert Pseudonyms(bytes(16), 9).patient_name() == "Anonymized9"


# --- files ---------------------------------------------------------------------------------------
def test_identifiers_follow_the_level() -> None:
    source = file()
    for level, new in ((4, (SOP,)), (3, (SOP, 0x0020000E)), (2, (SOP, 0x0020000E, STUDY))):
        edited = edit(source, level=Level(level))
        found = read(edited)
        for tag in (SOP, 0x0020000E, STUDY):
            assert str(found[tag].value).startswith("2.25.") is (tag in new)
        assert found.file_meta.MediaStorageSOPInstanceUID == edited.sop_instance_uid
        assert edited.sop_instance_uid == found.SOPInstanceUID
        assert edited.sop_class_uid == "1.2.840.10008.5.1.4.1.1.7"
        assert edited.syntax == EXPLICIT
        length = found.file_meta[0x00020000].value
        assert b"".join(edited.pieces())[144 + length :].startswith(b"\x08\0\x16\0")


def test_references_stay_together() -> None:
    """A report and its images, edited apart from each other, still belong together."""
    image = file()
    inner = explicit(0x00081155, "UI", b"1.2.3.3\0")
    report = file((0x00081115, "SQ", item(inner)), (SOP, "UI", b"1.2.3.9\0"))
    one, other = (read(edit(data, anonymize=True)) for data in (image, report))
    (reference,) = other.ReferencedSeriesSequence
    assert reference.ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert other.StudyInstanceUID == one.StudyInstanceUID
    assert other.PatientID == one.PatientID
    modified = read(edit(report, Replace={"StudyID": "x"}))
    assert modified.ReferencedSeriesSequence[0].ReferencedSOPInstanceUID == "1.2.3.3"


def test_a_file_without_meta_information_gets_it() -> None:
    edited = edit(data_set(vrs=False), Replace={"PatientName": "x"})
    found = read(edited)
    assert found.file_meta.TransferSyntaxUID == IMPLICIT
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID
    assert found.PatientName == "x"


def test_meta_information_tells_nothing() -> None:
    group = explicit(0x00020016, "AE", b"SECRET") + explicit(0x00020102, "OB", b"SECRET")
    source = meta(EXPLICIT, b"SECRET".ljust(128)) + group + data_set()
    kept = b"".join(edit(source).pieces())
    assert kept.count(b"SECRET") == 3
    assert b"SECRET" not in b"".join(edit(source, anonymize=True).pieces())


def test_private_tags() -> None:
    mine = (0x00191001, "LO", b"mine")
    source = file((0x00190010, "LO", b"ACME"), mine, (0x00210010, "LO", b"OTHER "))
    assert 0x00191001 not in read(edit(source, RemovePrivateTags=True))
    kept = read(edit(source, RemovePrivateTags=True, Keep=["0019,1001"]))
    assert kept[0x00191001].value == "mine"
    assert kept[0x00190010].value == "ACME"
    assert 0x00210010 not in kept
    made = edit(source, Replace={"0023,1002": "new"}, PrivateCreator="ACME")
    assert read(made)[0x00230010].value == "ACME"
    assert b"\x23\0\x02\x10UN\0\0\x04\0\0\0new\0" in b"".join(made.pieces())


def test_private_tags_of_the_dictionary() -> None:
    own = OwnEntry(0x00231002, Entry("Mine", "DS"), "ACME")
    dictionary.configure([own])
    try:
        made = edit(file(), Replace={"Mine": "1.5"}, PrivateCreator="ACME")
        assert b"\x23\0\x02\x10DS\x04\x001.5 " in b"".join(made.pieces())
    finally:
        dictionary.configure()


def test_text_that_the_character_set_does_not_know() -> None:
    """Rather than lose it, the file changes to UTF-8, with all that it holds."""
    inner = item(explicit(NAME, "PN", b"\xe9\xe8"))
    latin = file(
        (0x00080005, "CS", b"ISO_IR 100"), (NAME, "PN", b"Ren\xe9"), (0x00081140, "SQ", inner)
    )
    found = read(edit(latin, Replace={"StudyDescription": "Ωμέγα"}))
    assert found.SpecificCharacterSet == "ISO_IR 192"
    assert (found.StudyDescription, found.PatientName) == ("Ωμέγα", "René")
    assert found.ReferencedImageSequence[0].PatientName == "éè"
    same = read(edit(latin, Replace={"StudyDescription": "éé"}))
    assert same.SpecificCharacterSet == "ISO_IR 100"
    assert same.StudyDescription == "éé"


def test_another_character_set() -> None:
    latin = file((0x00080005, "CS", b"ISO_IR 100"), (NAME, "PN", b"Ren\xe9"))
    found = read(edit(latin, Replace={"SpecificCharacterSet": "ISO_IR 192"}))
    assert found.PatientName == "René"
    with pytest.raises(ParameterOutOfRange):
        edit(latin, Replace={"SpecificCharacterSet": "ISO_IR 126"})
    with pytest.raises(ParameterOutOfRange):
        edit(latin, Replace={"SpecificCharacterSet": "", "StudyDescription": "Ω"})


def test_what_an_item_says_of_its_text() -> None:
    inner = item(explicit(0x00080005, "CS", b"ISO_IR 126") + explicit(NAME, "PN", b"\xd9 "))
    source = file((0x00080005, "CS", b"ISO_IR 100"), (0x00081140, "SQ", inner))
    found = read(edit(source, Replace={"ReferencedImageSequence[0].StudyDescription": "Ω"}))
    assert found.ReferencedImageSequence[0].StudyDescription == "Ω"
    found = read(edit(source, Replace={"SpecificCharacterSet": "ISO_IR 192"}))
    assert "SpecificCharacterSet" not in found.ReferencedImageSequence[0]
    assert found.ReferencedImageSequence[0].PatientName == "Ω"


def test_group_lengths_follow() -> None:
    ten = explicit(NAME, "PN", b"Name") + explicit(ID, "LO", b"P1")
    source = (
        meta()
        + explicit(0x00100000, "UL", struct.pack("<I", len(ten)))
        + ten
        + data_set(without=(ID, 0x00080016, SOP))
    )
    out = b"".join(edit(source, Replace={"PatientBirthDate": "19700101"}).pieces())
    assert explicit(0x00100000, "UL", struct.pack("<I", len(ten) + 16)) in out


def test_a_tag_that_is_there_twice() -> None:
    source = meta() + data_set() + explicit(NAME, "PN", b"SECRET") * 2
    out = b"".join(edit(source, Replace={"PatientName": "New"}).pieces())
    assert out.count(b"New ") == 1
    assert b"SECRET" not in out


def test_rules_for_single_items() -> None:
    items = b"".join(item(explicit(NAME, "PN", name)) for name in (b"a ", b"b ", b"c "))
    source = file((0x00081140, "SQ", items))
    sequences = read(
        edit(
            source,
            Replace={"ReferencedImageSequence[1].PatientName": "x"},
            Remove=["ReferencedImageSequence[*].PatientName"],
            Keep=["ReferencedImageSequence[2].PatientName"],
        )
    ).ReferencedImageSequence
    assert [one.get("PatientName") for one in sequences] == [None, "x", "c"]


def test_what_nobody_can_read_goes() -> None:
    """A sequence whose VR is lost is entered; when it is none, it goes when it is anonymized."""
    broken = item(b"\x10\0\x10\0SECRET")
    source = file((0x00081140, "UN", broken))
    assert b"SECRET" in b"".join(edit(source).pieces())
    assert b"SECRET" not in b"".join(edit(source, anonymize=True).pieces())


def test_the_method_is_named_only_when_nothing_else_was_asked() -> None:
    plain = read(edit(file(), anonymize=True))
    assert plain.DeidentificationMethod == "Wherry 1.2 - PS 3.15-2021b Table E.1-1 Basic Profile"
    more = read(edit(file(), anonymize=True, Keep=["StudyDescription"]))
    assert "DeidentificationMethod" not in more
    assert more.PatientIdentityRemoved == "YES"


def test_long_values_are_not_copied() -> None:
    source = memoryview(file() + pixels(5 * limits.MIB))
    pieces = list(edit(source, Replace={"PatientName": "x"}).pieces())  # type: ignore[arg-type]
    assert max(map(len, pieces)) == limits.MIB
    assert sum(isinstance(piece, memoryview) and piece.obj is source.obj for piece in pieces) > 5


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_files_that_are_cut_off(syntax: str) -> None:
    order = ">" if syntax == BIG_ENDIAN else "<"
    inner = sequence(0x00081140, item(explicit(NAME, "PN", b"x ")))
    whole = (
        meta(syntax) + data_set(order=order, vrs=syntax != IMPLICIT) + inner * (syntax == EXPLICIT)
    )
    for end in range(len(meta(syntax)) + 1, len(whole)):
        try:
            edit(whole[:end], anonymize=True)
        except BadFileFormat:
            continue
        Reader(whole[:end]).top(len(meta(syntax)), _encoding(syntax))  # ends with an element


def _encoding(syntax: str) -> Any:
    return {EXPLICIT: EXPLICIT_LITTLE, IMPLICIT: IMPLICIT_LITTLE, BIG_ENDIAN: EXPLICIT_BIG}[syntax]


def test_sequences_are_not_entered_without_end() -> None:
    inner = explicit(NAME, "PN", b"x ")
    for _ in range(limits.DICOM_NESTING + 1):
        inner = sequence(0x00081140, item(inner))
    with pytest.raises(BadFileFormat, match="nested"):
        edit(meta() + inner + data_set(), anonymize=True)
