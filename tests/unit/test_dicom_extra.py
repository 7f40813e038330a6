"""Extra main tags of the scan: the same values as the JSON of all tags shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom.data
import pytest

from tests.unit.test_dicom_pydicom_files import FILES
from wherry.dicom import scan, select
from wherry.dicom.extra import Extra, extra_of, signature
from wherry.dicom.tags import tag_of
from wherry.errors import BadFileFormat, InexistentTag
from wherry.model import Level

ROOT = Path(pydicom.data.__file__).parent
TEXTS = tuple(
    sorted(
        tag_of(name)
        for name in (
            *("Rows", "Columns", "PixelSpacing", "ImageType", "SpecificCharacterSet"),
            *("SOPClassUID", "KVP", "FrameOfReferenceUID", "SmallestImagePixelValue"),
            *("WindowCenter", "PatientComments", "BitsAllocated", "FrameIncrementPointer"),
            *(
                "RecommendedDisplayFrameRate",
                "PatientAge",
                "PatientBirthName",
                "PixelRepresentation",
            ),
        )
    )
)
SEQUENCES = tuple(sorted(map(tag_of, ("ReferencedStudySequence", "ProcedureCodeSequence"))))


@pytest.fixture(autouse=True)
def wanted() -> Iterator[None]:
    scan.look_for(extra_of({Level.INSTANCE: (*TEXTS, *SEQUENCES)}))
    yield
    scan.look_for(Extra())


def seen() -> Iterator[tuple[bytes, dict[str, str]]]:
    for name in FILES:
        data = (ROOT / name).read_bytes()
        try:
            found = scan.scan(data)
        except (BadFileFormat, InexistentTag):
            continue
        yield data, found.tags_at(Level.INSTANCE)


def test_all_files_of_pydicom() -> None:
    compared = 0
    for data, tags in seen():
        shown = select.values(data, (*TEXTS, *SEQUENCES))
        for tag in (*TEXTS, *SEQUENCES):
            expected = shown.get(tag)
            if expected is None:  # absent, too long, or without a text form
                assert tag not in tags or len(tags[tag].encode()) <= 256
            else:
                assert tags[tag] == expected, tag
                compared += 1
    assert compared > 1000


def test_main_tags_do_not_change() -> None:
    with_extra = [{t: v for t, v in tags.items() if t not in TEXTS} for _, tags in seen()]
    scan.look_for(Extra())
    for (_, tags), others in zip(seen(), with_extra, strict=True):
        assert tags == {tag: value for tag, value in others.items() if tag not in SEQUENCES}


def test_a_signature_names_all_tags_once_in_order() -> None:
    found = signature(Level.PATIENT, {Level.PATIENT: ("0010,0010", "0008,0005")})
    assert found == "0008,0005;0010,0010;0010,0020;0010,0030;0010,0040;0010,1000"
    assert signature(Level.PATIENT, {}) == "0010,0010;0010,0020;0010,0030;0010,0040;0010,1000"
