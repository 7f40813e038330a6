"""DICOMDIR: every file and every value is found again, whatever the files are like."""

from __future__ import annotations

import io
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import fileset, uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite, write_dataset

from tests.support.dicom_bytes import (
    IMPLICIT,
    data_set,
    even,
    explicit,
    item,
    meta,
    pixels,
    sequence,
    type_element,
)
from tests.support.dicom_files import make_instance
from tests.support.dicomdirs import file_set, leaves, parse, shown, walk
from tests.support.pydicom_files import FILES, ROOT
from tests.support.pydicom_reading import silence
from wherry import limits
from wherry.dicom import charsets
from wherry.dicom.dicomdir import DicomDir
from wherry.dicom.dicomdir.keys import LEAF, type_of
from wherry.dicom.scan import scan
from wherry.dicom.uids import storage_classes
from wherry.errors import (
    BadFileFormat,
    InexistentTag,
    ParameterOutOfRange,
    TooLarge,
    WherryError,
)

SR_CLASS = "1.2.840.10008.5.1.4.1.1.88.33"


def directory(*files: bytes, **options: Any) -> bytes:
    """The directory of ``files``, called IMAGES/IM0 and so on."""
    found = DicomDir(**options)
    for number, data in enumerate(files):
        found.add(data, ("IMAGES", f"IM{number}"))
    return b"".join(found.write())


def records(*files: bytes, **options: Any) -> dict[str, dict[str, Any]]:
    """The records of files of one series, by their type."""
    (patient,) = walk(directory(*files, **options))
    return {one.kind: shown(one.record) for one in patient.all()}


def raw_file(
    *more: type_element, without: tuple[int, ...] = (), syntax: str | None = None
) -> bytes:
    """A file whose elements are given as bytes."""
    padded = [(tag, vr, even(value, b"\0" if vr == "UI" else b" ")) for tag, vr, value in more]
    return (meta(syntax) if syntax else meta()) + data_set(*padded, without=without) + pixels()


# --- the tree of records ---------------------------------------------------------------------


def test_instances_that_come_in_any_order_are_found_at_their_place() -> None:
    places = [
        (patient, study, series, number)
        for patient in (1, 2)
        for study in (1, 2)
        for series in (1, 2, 3)
        for number in (1, 2)
    ]
    random.Random(7).shuffle(places)
    files = [
        make_instance(10 * patient + study, series, number, patient_id=f"P{patient}")
        for patient, study, series, number in places
    ]
    patients = walk(directory(*files))
    found = [
        (
            patient.record.PatientID,
            study.record.StudyInstanceUID,
            series.record.SeriesInstanceUID,
            leaf.record.ReferencedSOPInstanceUIDInFile,
            list(leaf.record.ReferencedFileID),
        )
        for patient in patients
        for study in patient.below
        for series in study.below
        for leaf in series.below
    ]
    root = "1.2.826.0.1.3680043.10.1234"
    assert sorted(found) == sorted(
        (
            f"P{p}",
            f"{root}.{p}{s}",
            f"{root}.{p}{s}.{e}",
            f"{root}.{p}{s}.{e}.{n}",
            ["IMAGES", f"IM{index}"],
        )
        for index, (p, s, e, n) in enumerate(places)
    )
    assert [len(study.below) for patient in patients for study in patient.below] == [3] * 4
    first = [f"P{place[0]}" for place in places]
    assert [one.record.PatientID for one in patients] == list(dict.fromkeys(first))


def test_the_file_itself() -> None:
    data = directory(make_instance(), file_set_id="A SET")
    file = parse(data)
    assert data[:132] == bytes(128) + b"DICM"
    assert file.file_meta.MediaStorageSOPClassUID == uid.MediaStorageDirectoryStorage
    assert file.file_meta.TransferSyntaxUID == uid.ExplicitVRLittleEndian
    assert file.file_meta.MediaStorageSOPInstanceUID.startswith("2.25.")
    assert file.file_meta.MediaStorageSOPInstanceUID.is_valid
    assert file.file_meta.ImplementationClassUID.is_valid
    assert (file.FileSetID, file.FileSetConsistencyFlag) == ("A SET", 0)
    other = parse(directory(make_instance()))
    assert other.FileSetID == "ORTHANC_MEDIA"
    assert other.file_meta.MediaStorageSOPInstanceUID != file.file_meta.MediaStorageSOPInstanceUID


def test_records_are_written_as_pydicom_writes_them() -> None:
    data = directory(
        make_instance(), report(), (ROOT / "test_files/rtplan.dcm").read_bytes(), extended=True
    )
    for patient in walk(data):
        for one in patient.all():
            buffer = DicomBytesIO()
            buffer.is_little_endian, buffer.is_implicit_VR = True, False
            write_dataset(buffer, one.record)
            start = one.record.seq_item_tell + 8
            written = buffer.getvalue()
            assert data[start : start + len(written)] == written
            assert data[start - 4 : start] == len(written).to_bytes(4, "little")


def test_nothing_listed() -> None:
    file = parse(directory())
    assert len(file.DirectoryRecordSequence) == 0
    assert file.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity == 0
    assert file.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity == 0


def test_pieces() -> None:
    found = DicomDir()
    for number in range(1, 801):
        found.add(make_instance(number=number, pixel_bytes=256), ("IMAGES", f"IM{number}"))
    pieces = list(found.write())
    assert b"".join(pieces) == b"".join(found.write())
    assert len(pieces) > 2
    assert max(map(len, pieces)) < 70_000


def test_pydicom_loads_it_as_a_file_set(tmp_path: Path) -> None:
    files = [make_instance(study, 1, number) for study in (1, 2) for number in (1, 2)]
    for name in ("reportsi", "test-SR", "waveform_ecg", "rtplan", "rtdose_1frame", "image_dfl"):
        files.append((ROOT / f"test_files/{name}.dcm").read_bytes())
    (tmp_path / "IMAGES").mkdir()
    for number, data in enumerate(files):
        (tmp_path / "IMAGES" / f"IM{number}").write_bytes(data)
    (tmp_path / "DICOMDIR").write_bytes(directory(*files, extended=True))
    with file_set(tmp_path / "DICOMDIR") as loaded:
        assert loaded.ID == "ORTHANC_MEDIA"
        assert len(loaded) == len(files)
        for instance in loaded:
            file = instance.load()
            assert file.SOPInstanceUID == instance.ReferencedSOPInstanceUIDInFile
            assert file.SOPClassUID == instance.ReferencedSOPClassUIDInFile
            assert file.file_meta.TransferSyntaxUID == instance.ReferencedTransferSyntaxUIDInFile
            assert file.StudyInstanceUID == instance.StudyInstanceUID
        assert len(loaded.find(PatientID="PATIENT1")) == 4


# --- values ----------------------------------------------------------------------------------


def test_keys_of_an_image() -> None:
    assert records(make_instance(StudyID="7", SpecificCharacterSet="ISO_IR 100")) == {
        "PATIENT": {
            "0004,1430": "PATIENT",
            "0008,0005": "ISO_IR 100",
            "0010,0010": "Doe^Jane",
            "0010,0020": "PATIENT1",
        },
        "STUDY": {
            "0004,1430": "STUDY",
            "0008,0005": "ISO_IR 100",
            "0008,0020": "20260102",
            "0008,0030": "101112",
            "0008,0050": "ACC1",
            "0008,1030": "A study",
            "0020,000d": "1.2.826.0.1.3680043.10.1234.1",
            "0020,0010": "7",
        },
        "SERIES": {
            "0004,1430": "SERIES",
            "0008,0005": "ISO_IR 100",
            "0008,0060": "CT",
            "0020,000e": "1.2.826.0.1.3680043.10.1234.1.1",
            "0020,0011": "1",
        },
        "IMAGE": {
            "0004,1430": "IMAGE",
            "0004,1500": "IMAGES\\IM0",
            "0004,1510": "1.2.840.10008.5.1.4.1.1.2",
            "0004,1511": "1.2.826.0.1.3680043.10.1234.1.1.1",
            "0004,1512": "1.2.840.10008.1.2.1",
            "0008,0005": "ISO_IR 100",
            "0020,0013": "1",
        },
    }


def test_extended() -> None:
    usual = records(make_instance())
    extended = records(make_instance(), extended=True)
    assert extended["SERIES"].pop("0008,103e") == "Series 1"
    assert extended == usual
    assert records(raw_file((0x0008103E, "LO", b"")), extended=True)["SERIES"]["0008,103e"] == ""
    assert "0008,103e" not in records(raw_file(), extended=True)["SERIES"]


def test_the_part_before_the_pixel_data_is_enough() -> None:
    for name in FILES[::7]:
        data = (ROOT / name).read_bytes()
        try:
            offset = scan(data).pixel_data_offset
        except WherryError:
            continue
        header = memoryview(data)[:offset]
        assert shown_all(directory(bytes(header))) == shown_all(directory(data))
        found = DicomDir()
        found.add(header, ("IMAGES", "IM0"))
        assert shown_all(b"".join(found.write())) == shown_all(directory(data))


def shown_all(data: bytes) -> list[dict[str, Any]]:
    return [shown(one.record) for patient in walk(data) for one in patient.all()]


def test_every_file_of_pydicom_that_is_stored_is_listed() -> None:
    found, uids = DicomDir(extended=True), []
    for name in FILES:
        data = (ROOT / name).read_bytes()
        try:
            summary = scan(data)
        except WherryError:
            continue
        found.add(data, ("IMAGES", f"IM{len(uids)}"))
        uids.append((summary.tags[3]["0008,0018"], summary.sop_class_uid, summary.transfer_syntax))
    assert len(uids) > 150
    listed = [
        (
            one.record.ReferencedSOPInstanceUIDInFile,
            one.record.ReferencedSOPClassUIDInFile,
            one.record.ReferencedTransferSyntaxUIDInFile,
        )
        for one in leaves(b"".join(found.write()))
    ]
    assert sorted(listed) == sorted(uids)


CHARACTER_SETS = [
    ("ISO_IR 100", "Müller^Jörg", "latin-1"),
    ("ISO_IR 192", "Müller^Jörg=山田^太郎=やまだ^たろう", "utf-8"),
    ("ISO_IR 144", "Люкceмбypг", "iso8859-5"),
    ("GB18030", "Wang^XiaoDong=王^小东", "gb18030"),
]


@pytest.mark.parametrize(("term", "name", "codec"), CHARACTER_SETS)
def test_character_sets_are_kept(term: str, name: str, codec: str) -> None:
    data = raw_file(
        (0x00080005, "CS", term.encode()),
        (0x00081030, "LO", name.encode(codec)),
        (0x00100010, "PN", name.encode(codec)),
    )
    found = records(data)
    assert found["PATIENT"]["0010,0010"] == name
    assert found["STUDY"]["0008,1030"] == name
    assert {record["0008,0005"] for record in found.values()} == {term}


def test_japanese_escapes_are_kept() -> None:
    file = (ROOT / "charset_files/chrH31.dcm").read_bytes()
    assert records(file)["PATIENT"]["0010,0010"] == "Yamada^Tarou=山田^太郎=やまだ^たろう"


def test_text_without_character_set_gets_the_one_that_is_assumed(latin1_again: None) -> None:
    name = "Müller"
    file = raw_file((0x00100010, "PN", name.encode("latin-1")))
    found = records(file)
    assert found["PATIENT"]["0010,0010"] == name
    assert found["PATIENT"]["0008,0005"] == "ISO_IR 100"
    assert "0008,0005" not in found["STUDY"]  # nothing there needs one
    charsets.set_default("Utf8")
    found = records(raw_file((0x00100010, "PN", name.encode())))
    assert found["PATIENT"]["0010,0010"] == name
    charsets.set_default("Windows1251")
    assert "0008,0005" not in records(file)["PATIENT"]


@pytest.fixture
def latin1_again() -> Iterator[None]:
    yield
    charsets.set_default("Latin1")


def test_what_a_file_does_not_say() -> None:
    found = records(raw_file(without=(0x00100020,)))
    assert found["PATIENT"]["0010,0010"] == ""
    assert found["PATIENT"]["0010,0020"] == "NO PATIENT ID 1"
    study = {tag: found["STUDY"][tag] for tag in ("0008,0050", "0008,1030", "0020,0010")}
    assert study == {"0008,0050": "", "0008,1030": "", "0020,0010": "NO STUDY ID"}
    assert (found["SERIES"]["0008,0060"], found["SERIES"]["0020,0011"]) == ("OT", "0")
    assert found["IMAGE"]["0020,0013"] == "0"


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ({}, ("19000101", "000000")),
        ({0x20: b"", 0x30: b""}, ("19000101", "000000")),
        ({0x20: b"20200101"}, ("20200101", "000000")),
        ({0x20: b"20200101", 0x31: b"0900"}, ("20200101", "000000")),
        ({0x30: b"0800"}, ("19000101", "0800")),
        ({0x30: b"0800", 0x21: b"20200102", 0x31: b"09"}, ("20200102", "0800")),
        ({0x20: b"", 0x21: b"20200102", 0x31: b"0900"}, ("20200102", "0900")),
        ({0x22: b"20200103", 0x23: b"20200104", 0x33: b"10"}, ("20200103", "000000")),
        ({0x23: b"20200104", 0x33: b"10"}, ("20200104", "10")),
        ({0x20: b"1997.04.24", 0x30: b"14:04:38"}, ("1997.04.24", "14:04:38")),
    ],
)
def test_date_of_a_study(dates: dict[int, bytes], expected: tuple[str, str]) -> None:
    more = [(0x00080000 + low, "DA" if low < 0x30 else "TM", raw) for low, raw in dates.items()]
    (patient,) = walk(directory(raw_file(*more)))
    study = patient.below[0].record
    with silence():
        found = study.get_item(0x00080020).value, study.get_item(0x00080030).value
    assert tuple(raw.decode().strip() for raw in found) == expected


def test_patients_without_id_are_told_apart_by_their_names() -> None:
    def file(name: bytes, number: bytes) -> bytes:
        uids = [(tag, "UI", b"1.2.3." + number) for tag in (0x00080018, 0x0020000D, 0x0020000E)]
        return raw_file((0x00100010, "PN", name), (0x00100020, "LO", b""), *uids)

    patients = walk(directory(file(b"A", b"1"), file(b"B", b"2"), file(b"A", b"3")))
    assert [str(one.record.PatientName) for one in patients] == ["A", "B"]
    assert [len(one.below) for one in patients] == [2, 1]
    assert len({one.record.PatientID for one in patients}) == 2


def test_patients_with_the_same_id_are_one_whatever_their_character_sets() -> None:
    files = [
        raw_file(
            (0x00080005, "CS", term),
            (0x00080018, "UI", b"1.2." + term[-1:]),
            (0x00100020, "LO", "É1".encode(codec)),
        )
        for term, codec in ((b"ISO_IR 100", "latin-1"), (b"ISO_IR 192", "utf-8"))
    ]
    (patient,) = walk(directory(*files))
    assert len(patient.below[0].below[0].below) == 2


def test_padding() -> None:
    data = raw_file(
        (0x00100010, "PN", b"A^B  \0 "),
        (0x00081030, "LO", b"  x   "),
        (0x00200011, "IS", b" 5 "),
        (0x0020000D, "UI", b"1.2.3 "),
    )
    (patient,) = walk(directory(data))
    study, series = patient.below[0].record, patient.below[0].below[0].record
    assert patient.record.get_item(0x00100010).value == b"A^B "
    assert study.get_item(0x00081030).value == b"  x "
    assert study.get_item(0x0020000D).value == b"1.2.3\0"
    assert series.get_item(0x00200011).value == b" 5"


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("LO", b"x" * (limits.DICOMDIR_VALUE_BYTES + 2)),
        ("OB", b"binary"),
        ("US", b"\1\0"),
        ("SQ", b""),
    ],
)
def test_a_description_that_is_too_long_or_no_text_counts_as_absent(vr: str, value: bytes) -> None:
    data = raw_file((0x00081030, vr, value), (0x00200010, vr, value), (0x0008103E, vr, value))
    found = records(data, extended=True)
    assert found["STUDY"]["0008,1030"] == ""
    assert found["STUDY"]["0020,0010"] == "NO STUDY ID"
    assert "0008,103e" not in found["SERIES"]


def test_what_is_longer_than_the_standard_allows_is_kept() -> None:
    number = b"1234567890123456789012345"  # accession numbers of the real world
    assert records(raw_file((0x00080050, "SH", number)))["STUDY"]["0008,0050"] == number.decode()
    name = ("=".join(["é" * 64] * 3)).encode()
    data = raw_file((0x00080005, "CS", b"ISO_IR 192"), (0x00100010, "PN", name))
    assert records(data)["PATIENT"]["0010,0010"] == name.decode()


@pytest.mark.parametrize("value", [b"abc", b"1\\2", b"1.5", b"1234567890123", b"", b"+"])
def test_a_number_that_is_none(value: bytes) -> None:
    data = raw_file((0x00200011, "IS", value), (0x00200013, "IS", value))
    found = records(data)
    assert (found["SERIES"]["0020,0011"], found["IMAGE"]["0020,0013"]) == ("0", "0")


def test_text_of_vr_un_and_elements_that_do_not_ascend() -> None:
    assert records(raw_file((0x00080060, "UN", b"CT")))["SERIES"]["0008,0060"] == "CT"
    uids = [
        explicit(tag, "UI", b"1.2." + bytes([49 + at]))
        for at, tag in enumerate((0x0020000E, 0x0020000D, 0x00080018))
    ]
    late = explicit(0x00280010, "US", b"\1\0") + b"".join(uids) + explicit(0x00100020, "LO", b"P7")
    found = records(meta() + explicit(0x00080016, "UI", b"1.2.840.1\0") + late)
    assert found["PATIENT"]["0010,0020"] == "P7"
    assert found["STUDY"]["0020,000d"] == "1.2.2"


# --- records of other types ------------------------------------------------------------------


def report(syntax: uid.UID = uid.ExplicitVRLittleEndian, **more: Any) -> bytes:
    """A structured report with all that its record may repeat."""
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID, data.SOPInstanceUID = SR_CLASS, "1.2.3.4"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.PatientID = "1.2.3", "1.2.3.1", "R"
    data.Modality, data.InstanceNumber = "SR", 3
    data.ContentDate, data.ContentTime = "20200102", "0304"
    data.CompletionFlag, data.VerificationFlag = "COMPLETE", "VERIFIED"
    observers = [Dataset(), Dataset(), Dataset()]
    for observer, moment in zip(observers, ("20200103", "20200105", "20200104"), strict=True):
        observer.VerificationDateTime = moment
    data.VerifyingObserverSequence = observers
    title = Dataset()
    title.CodeValue, title.CodingSchemeDesignator = "11528-7", "LN"
    title.CodeMeaning = "Röntgen"
    data.ConceptNameCodeSequence = [title]
    modifier, text = Dataset(), Dataset()
    modifier.RelationshipType, modifier.ValueType = "HAS CONCEPT MOD", "CODE"
    modifier.ReferencedSamplePositions = [1, 70_000]  # UL: swapped in big endian
    modifier.ReferencedFrameNumber = 2
    language = Dataset()
    language.CodeMeaning = "Français"
    modifier.ConceptCodeSequence = [language]
    modifier.add_new(0x00090010, "LO", "PRIVATE")
    text.RelationshipType, text.ValueType, text.TextValue = "CONTAINS", "TEXT", "secret"
    data.ContentSequence = [text, modifier]
    for keyword, value in more.items():
        setattr(data, keyword, value)
    return saved(data, syntax)


def saved(data: Dataset, syntax: uid.UID = uid.ExplicitVRLittleEndian) -> bytes:
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    with silence():
        dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()


SYNTAXES = [
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_report(syntax: uid.UID) -> None:
    found = records(report(syntax))["SR DOCUMENT"]
    assert found == {
        "0004,1430": "SR DOCUMENT",
        "0004,1500": "IMAGES\\IM0",
        "0004,1510": SR_CLASS,
        "0004,1511": "1.2.3.4",
        "0004,1512": str(syntax),
        "0008,0005": "ISO_IR 192",
        "0008,0023": "20200102",
        "0008,0033": "0304",
        "0020,0013": "3",
        "0040,a030": "20200105",
        "0040,a043": [{"0008,0100": "11528-7", "0008,0102": "LN", "0008,0104": "Röntgen"}],
        "0040,a491": "COMPLETE",
        "0040,a493": "VERIFIED",
        "0040,a730": [
            {
                "0008,1160": "2",
                "0040,a010": "HAS CONCEPT MOD",
                "0040,a040": "CODE",
                "0040,a132": "1\\70000",
                "0040,a168": [{"0008,0104": "Français"}],
            }
        ],
    }


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_numbers_of_a_spectroscopy(syntax: uid.UID) -> None:
    more: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.2",
        "Rows": 258,
        "Columns": 3,
        "DataPointRows": 1,
        "DataPointColumns": 66_000,
        "ImageType": ["ORIGINAL", "PRIMARY"],
    }
    found = records(report(syntax, **more))["SPECTROSCOPY"]
    assert found["0008,0008"] == "ORIGINAL\\PRIMARY"
    assert (found["0028,0010"], found["0028,0011"]) == ("258", "3")
    assert (found["0028,9001"], found["0028,9002"]) == ("1", "66000")
    assert found["0028,0008"] == ""  # required, and absent in the file
    assert "0008,9092" not in found


OTHER_TYPES = {
    "ANNOTATION": "MicroscopyBulkSimpleAnnotations",
    "ENCAP DOC": "EncapsulatedCDA EncapsulatedMTL EncapsulatedOBJ EncapsulatedPDF EncapsulatedSTL",
    "MEASUREMENT": "IntraocularLensCalculations",
    "PLAN": "RTBeamsDeliveryInstruction RTBrachyApplicationSetupDeliveryInstruction",
    "PRESENTATION": "AdvancedBlendingPresentationState"
    " CompositingPlanarMPRVolumetricPresentationState GrayscalePlanarMPRVolumetricPresentationState"
    " MultipleVolumeRenderingVolumetricPresentationState"
    " SegmentedVolumeRenderingVolumetricPresentationState"
    " VariableModalityLUTSoftcopyPresentationState VolumeRenderingVolumetricPresentationState",
    "RADIOTHERAPY": "CArmPhotonElectronRadiation CArmPhotonElectronRadiationRecord"
    " RTPatientPositionAcquisitionInstruction RTPhysicianIntent RTRadiationRecordSet"
    " RTRadiationSalvageRecord RTRadiationSet RTRadiationSetDeliveryInstruction"
    " RTSegmentAnnotation RTTreatmentPreparation RoboticArmRadiation RoboticRadiationRecord"
    " TomotherapeuticRadiation TomotherapeuticRadiationRecord",
    "RT PLAN": "RTIonPlan RTPlan",
    "SR DOCUMENT": "EnhancedXRayRadiationDoseSR WaveformAnnotationSR",
    "WAVEFORM": "General32bitECGWaveform",
}
"""Those that pydicom tells by the Modality or the content of a file, or does not know yet."""


def test_types_of_records() -> None:
    expected = {str(known): kind for known, kind in fileset._FOUR_LEVEL_SOP_CLASSES.items()}
    ours = {known: type_of(known.encode()) for known in storage_classes()}
    assert {known: ours[known] for known in expected} == expected
    others = {
        kind: " ".join(
            sorted(
                uid.UID(known).keyword.removesuffix("Storage")
                for known, its in ours.items()
                if its == kind and known not in expected
            )
        )
        for kind in sorted(LEAF.keys() - {"IMAGE"})
    }
    assert {kind: known for kind, known in others.items() if known} == OTHER_TYPES
    assert set(ours.values()) == set(LEAF)
    assert type_of(b"1.2.276.0.19.55") == "IMAGE"


@pytest.mark.parametrize("kind", sorted(LEAF.keys() - {"ANNOTATION"}))  # newer than pydicom
def test_every_type_has_the_keys_that_pydicom_gives_it(kind: str) -> None:
    file = Dataset()
    for known in LEAF[kind]:
        file.add_new(known.tag, known.vr, [Dataset()] if known.vr == "SQ" else None)
        if known.vr != "SQ":
            values = {"IS": "1", "US": 1, "UL": 1, "TM": "0101"}
            file[known.tag].value = values.get(known.vr, "20200101")
    expected = {int(element.tag) for element in fileset.DIRECTORY_RECORDERS[kind](file)}
    assert {known.tag for known in LEAF[kind]} == expected


def test_tables_are_in_order() -> None:
    for wanted in LEAF.values():
        assert len({known.tag for known in wanted}) == len(wanted)


def test_a_sequence_that_is_too_long_is_left_out() -> None:
    references = []
    for number in range(2000):
        reference = Dataset()
        reference.SeriesInstanceUID = f"1.2.3.4.5.6.7.{number}"
        references.append(reference)
    more: dict[str, Any] = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1"}
    few = records(report(ReferencedSeriesSequence=references[:20], **more))["PRESENTATION"]
    assert len(few["0008,1115"]) == 20
    many = records(report(ReferencedSeriesSequence=references, **more))["PRESENTATION"]
    assert "0008,1115" not in many
    title = references[0:1] * 4000
    assert records(report(ConceptNameCodeSequence=title))["SR DOCUMENT"]["0040,a043"] == []


def test_a_file_with_a_damaged_inside_is_listed_nevertheless() -> None:
    broken = explicit(0x0040A043, "SQ", item(b"\x08\0\0\1SH\xff\xff"))
    data = meta() + data_set(
        (0x00080016, "UI", even(SR_CLASS.encode(), b"\0")), (0x00200013, "IS", b"4 ")
    )
    found = records(data + broken)["SR DOCUMENT"]
    assert (found["0020,0013"], found["0040,a043"]) == ("4", [])


def test_sequences_of_an_implicit_file_with_unknown_elements() -> None:
    more = sequence(0x0040A043, item(explicit(0x0040FFF1, "ZZ", b"ab") + explicit(8, "QQ", b"cd")))
    data = meta() + data_set((0x00080016, "UI", even(SR_CLASS.encode(), b"\0"))) + more
    assert parse(directory(data))  # unknown VRs become UN
    data = meta(IMPLICIT) + data_set(
        (0x00080016, "", even(SR_CLASS.encode(), b"\0")),
        (0x0040A043, "", item(b"\x40\0\xf1\xff\2\0\0\0ab")),
        vrs=False,
    )
    (patient,) = walk(directory(data))
    (leaf,) = patient.below[0].below[0].below
    assert leaf.record[0x0040A043].value[0][0x0040FFF1].VR == "UN"


# --- what is refused ---------------------------------------------------------------------------


REFUSED = [
    (raw_file(without=(0x00080018,)), InexistentTag),
    (raw_file(without=(0x0020000D,)), InexistentTag),
    (raw_file(without=(0x0020000E,)), InexistentTag),
    (raw_file((0x0020000D, "UI", b"")), InexistentTag),
    (raw_file((0x0020000D, "UI", b" ")), InexistentTag),
    (raw_file((0x0020000D, "UI", b"1." + b"2" * 63)), BadFileFormat),
    (raw_file((0x0020000E, "UI", b"1.2.\xe9")), BadFileFormat),
    (raw_file((0x0020000E, "UI", b"1" * 5000)), BadFileFormat),
    (raw_file((0x00080018, "OB", b"1.2.3 ")), BadFileFormat),
    (raw_file((0x00080016, "UI", b"1." + b"2" * 70)), BadFileFormat),
    (raw_file((0x00100020, "LO", b"SECRET" * 300)), BadFileFormat),
    (raw_file((0x00100020, "US", b"\1\0")), BadFileFormat),
    (raw_file(syntax="1.2." + "3" * 70), BadFileFormat),
    (raw_file(syntax="1.2." + "3" * 65_000), BadFileFormat),
    (b"", BadFileFormat),
    (b"SECRET, and no DICOM at all", BadFileFormat),
    (raw_file()[:300], WherryError),
]


@pytest.mark.parametrize(("data", "error"), REFUSED)
def test_refused_and_nothing_is_added(data: bytes, error: type[WherryError]) -> None:
    found = DicomDir()
    found.add(make_instance(), ("IMAGES", "IM0"))
    before = b"".join(found.write())
    with pytest.raises(error) as caught:
        found.add(data, ("IMAGES", "IM1"))
    assert "SECRET" not in str(caught.value)
    assert b"".join(found.write()) == before


def test_the_sop_class_may_be_told_by_the_meta_information() -> None:
    found = records(raw_file(without=(0x00080016,)))
    assert found["IMAGE"]["0004,1510"] == "1.2.840.10008.5.1.4.1.1.7"
    with pytest.raises(InexistentTag):
        records(data_set(without=(0x00080016,)))


@pytest.mark.parametrize(
    "file_id",
    [
        (),
        ("",),
        ("IMAGES", ""),
        ("TOOLONG12",),
        ("images",),
        ("A B",),
        ("A\\B",),
        ("IM0\n",),
        ("ÄÖ",),
        ("A",) * 9,
        ("..", "A"),
    ],
)
def test_file_ids_that_are_none(file_id: tuple[str, ...]) -> None:
    with pytest.raises(ParameterOutOfRange):
        DicomDir().add(make_instance(), file_id)


def test_file_ids_at_the_bounds() -> None:
    found = DicomDir()
    found.add(make_instance(), ("A",) * 7 + ("Z0123_89",))
    (leaf,) = leaves(b"".join(found.write()))
    assert leaf.record.ReferencedFileID == ["A"] * 7 + ["Z0123_89"]
    found = DicomDir()
    found.add(make_instance(), ("A",))
    assert leaves(b"".join(found.write()))[0].record.ReferencedFileID == "A"


def test_file_set_ids() -> None:
    for wrong in ("x", "A" * 17, "Ä", "A\\B"):
        with pytest.raises(ParameterOutOfRange):
            DicomDir(file_set_id=wrong)
    assert not parse(directory(file_set_id="")).FileSetID


def test_a_directory_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DICOMDIR_BYTES", 2_000)
    found = DicomDir()
    with pytest.raises(TooLarge):
        for number in range(1, 30):
            found.add(make_instance(number=number), ("IMAGES", f"IM{number}"))
    data = b"".join(found.write())
    assert 2_000 < len(data) < 3_500
    assert len(leaves(data)) > 3


def test_memory() -> None:
    files = [memoryview(make_instance(series=1 + at % 3, number=at)) for at in range(100)]
    found = DicomDir()
    tracemalloc.start()
    for number in range(2000):
        found.add(files[number % 100], ("IMAGES", f"IM{number}"))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2000 * 400


def test_damaged_headers_give_a_typed_error_or_a_directory() -> None:
    chance = random.Random(11)
    seeds = [report(syntax) for syntax in SYNTAXES]
    seeds += [
        make_instance(pixel_bytes=256),
        raw_file(),
        (ROOT / "test_files/rtplan.dcm").read_bytes(),
    ]
    for _ in range(3000):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(100, len(data))] = chance.choice((0, 1, 8, 0x7F, 0xFF, 83, 81))
        if chance.random() < 0.2:
            del data[chance.randrange(132, len(data)) :]
        try:
            written = directory(bytes(data), extended=True)
        except WherryError:
            continue
        assert len(leaves(written)) == 1
