"""Names of DICOM tags: the main tags of the four levels, and keyword ↔ ``gggg,eeee``.

What: a static table of the main DICOM tags (rest-api §3) and a look-up in the data dictionary
(PS3.6) for all other names. Why: the main tags are needed by every request and cost nothing;
the whole dictionary costs 21 MB and 0.1 s, so pydicom is imported only when a name outside the
main tags is asked for. Not here: value representations (``json``), private dictionaries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from wherry.dicom.dictionary import own_name, own_tag
from wherry.errors import UnknownDicomTag
from wherry.model import Level

_MAIN_KEYWORDS: Final[dict[Level, dict[str, str]]] = {
    Level.PATIENT: {
        "0010,0010": "PatientName",
        "0010,0020": "PatientID",
        "0010,0030": "PatientBirthDate",
        "0010,0040": "PatientSex",
        "0010,1000": "OtherPatientIDs",
    },
    Level.STUDY: {
        "0008,0020": "StudyDate",
        "0008,0030": "StudyTime",
        "0008,0050": "AccessionNumber",
        "0008,0080": "InstitutionName",
        "0008,0090": "ReferringPhysicianName",
        "0008,0201": "TimezoneOffsetFromUTC",
        "0008,1030": "StudyDescription",
        "0020,000d": "StudyInstanceUID",
        "0020,0010": "StudyID",
        "0032,1032": "RequestingPhysician",
        "0032,1060": "RequestedProcedureDescription",
    },
    Level.SERIES: {
        "0008,0021": "SeriesDate",
        "0008,0031": "SeriesTime",
        "0008,0060": "Modality",
        "0008,0070": "Manufacturer",
        "0008,0201": "TimezoneOffsetFromUTC",
        "0008,1010": "StationName",
        "0008,103e": "SeriesDescription",
        "0008,1070": "OperatorsName",
        "0018,0010": "ContrastBolusAgent",
        "0018,0015": "BodyPartExamined",
        "0018,0024": "SequenceName",
        "0018,1030": "ProtocolName",
        "0018,1090": "CardiacNumberOfImages",
        "0018,1400": "AcquisitionDeviceProcessingDescription",
        "0020,000e": "SeriesInstanceUID",
        "0020,0011": "SeriesNumber",
        "0020,0037": "ImageOrientationPatient",
        "0020,0105": "NumberOfTemporalPositions",
        "0020,1002": "ImagesInAcquisition",
        "0040,0244": "PerformedProcedureStepStartDate",
        "0040,0245": "PerformedProcedureStepStartTime",
        "0040,0254": "PerformedProcedureStepDescription",
        "0040,0275": "RequestAttributesSequence",
        "0054,0081": "NumberOfSlices",
        "0054,0101": "NumberOfTimeSlices",
        "0054,1000": "SeriesType",
    },
    Level.INSTANCE: {
        "0008,0012": "InstanceCreationDate",
        "0008,0013": "InstanceCreationTime",
        "0008,0018": "SOPInstanceUID",
        "0020,0012": "AcquisitionNumber",
        "0020,0013": "InstanceNumber",
        "0020,0032": "ImagePositionPatient",
        "0020,0037": "ImageOrientationPatient",
        "0020,0100": "TemporalPositionIdentifier",
        "0020,4000": "ImageComments",
        "0028,0008": "NumberOfFrames",
        "0054,1330": "ImageIndex",
    },
}

MAIN_DICOM_TAGS: Final[Mapping[Level, tuple[str, ...]]] = MappingProxyType(
    {level: tuple(names) for level, names in _MAIN_KEYWORDS.items()}
)
"""Main DICOM tags of each level as ``gggg,eeee``, ascending."""

SEQUENCES: Final = frozenset({"0040,0275"})
"""The sequences among them: kept only where somebody asks for it (``ExtraMainDicomTags``)."""

_KEYWORD_OF: Final = {tag: word for names in _MAIN_KEYWORDS.values() for tag, word in names.items()}
_TAG_OF: Final = {word: tag for tag, word in _KEYWORD_OF.items()}

_HEXADECIMAL: Final = re.compile(r"([0-9A-Fa-f]{4})[,-]?([0-9A-Fa-f]{4})")


def tag_of(name: str) -> str:
    """The tag ``gggg,eeee`` (lower case) of a keyword or of a tag in any of its spellings.

    ``PatientID``, ``0010,0020``, ``0010-0020`` and ``00100020`` all give ``0010,0020``; the prefix
    ``RETIRED_`` of Orthanc's names is understood, and so are the names that the operator has
    declared. Raises ``UnknownDicomTag``.
    """
    if (known := _TAG_OF.get(name)) is not None:
        return known
    if match := _HEXADECIMAL.fullmatch(name):
        return f"{match[1]},{match[2]}".lower()
    number = own_tag(name)
    if number is None:
        from pydicom.datadict import tag_for_keyword

        word = name.removeprefix("RETIRED_")
        number = tag_for_keyword(word) if word else None  # the empty word has a tag there
    if number is None:
        raise UnknownDicomTag
    return shown(number)


def shown(tag: int) -> str:
    """``gggg,eeee``"""
    return f"{tag >> 16:04x},{tag & 0xFFFF:04x}"


def keyword_of(tag: str) -> str:
    """The keyword of the tag ``gggg,eeee``. Raises ``UnknownDicomTag`` when it has none."""
    if (known := _KEYWORD_OF.get(tag)) is not None:
        return known
    match = _HEXADECIMAL.fullmatch(tag)
    if match is None:
        raise UnknownDicomTag
    number = int(match[1] + match[2], 16)
    if (word := own_name(number)) is None:
        from pydicom.datadict import keyword_for_tag

        word = keyword_for_tag(number)
    if not word:
        raise UnknownDicomTag
    return word
