"""What a directory record of each type says: its keys (PS3.3 §F.5), and which type a SOP class has.

What: tables. Why: a reader lists a medium by these keys without opening its files.
Not here: where their values come from (``values``, ``records``). Types of the root directory entity
beside patients (palettes, hanging protocols, implants) are missing: such files belong to no study,
so they are never stored.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Key(NamedTuple):
    """One key of a record."""

    tag: int
    vr: str
    absent: bytes | None = b""
    """What stands for a value that the file does not have; None: the key is left out."""


IMAGE: Final = "IMAGE"

CONTENT: Final = 0x0040A730
OBSERVERS: Final = 0x0040A073
VERIFIED: Final = 0x0040A030
"""Tags of a report: Content Sequence, and Verification DateTime, which the file has in the items of
its Verifying Observer Sequence."""

_NUMBER: Final = Key(0x00200013, "IS", b"0")
SERIES_DESCRIPTION: Final = Key(0x0008103E, "LO", None)
STUDY_DATE: Final = Key(0x00080020, "DA", b"19000101")
STUDY_TIME: Final = Key(0x00080030, "TM", b"000000")
"""Here, and of other values that may be empty in a file but not in its directory, something stands
for what is absent that nobody takes for true. Today, as Orthanc has it, would be a lie."""

PATIENT: Final = (Key(0x00100010, "PN"),)
STUDY: Final = (
    Key(0x00080050, "SH"),
    Key(0x00081030, "LO"),
    Key(0x00200010, "SH", b"NO STUDY ID"),
)
SERIES: Final = (Key(0x00080060, "CS", b"OT"), Key(0x00200011, "IS", b"0"))
"""Beside those that identify the patient, study and series, and the date of the study."""

OTHER_DATES: Final = (
    (0x00080021, 0x00080031),
    (0x00080022, 0x00080032),
    (0x00080023, 0x00080033),
)
"""Date and time of series, acquisition and content, for a study without a date."""

_CONTENT_DATE: Final = (Key(0x00080023, "DA"), Key(0x00080033, "TM"))
_CONTENT: Final = (  # Content Identification Macro, PS3.3 §10.9
    _NUMBER,
    Key(0x00700080, "CS"),
    Key(0x00700081, "LO"),
    Key(0x00700084, "PN"),
)
_DATED_CONTENT: Final = (*_CONTENT_DATE, *_CONTENT)
_CONCEPT_NAME: Final = Key(0x0040A043, "SQ")
_TITLE: Final = (*_CONTENT_DATE, _NUMBER, _CONCEPT_NAME, Key(CONTENT, "SQ", None))

LEAF: Final[dict[str, tuple[Key, ...]]] = {
    IMAGE: (_NUMBER,),
    "ANNOTATION": _DATED_CONTENT,
    "ASSESSMENT": (Key(0x00080012, "DA"), Key(0x00080013, "TM"), _NUMBER),
    "ENCAP DOC": (
        *_CONTENT_DATE,
        _NUMBER,
        _CONCEPT_NAME,
        Key(0x0040E001, "ST", None),
        Key(0x00420010, "ST"),
        Key(0x00420012, "LO"),
    ),
    "FIDUCIAL": _DATED_CONTENT,
    "KEY OBJECT DOC": _TITLE,
    "MEASUREMENT": _DATED_CONTENT,
    "PLAN": (),
    "PRESENTATION": (
        Key(0x00081115, "SQ", None),
        *_CONTENT,
        Key(0x00700082, "DA"),
        Key(0x00700083, "TM"),
        Key(0x00700402, "SQ", None),
    ),
    "RADIOTHERAPY": (
        _NUMBER,
        *_CONTENT[2:],
        Key(0x30100033, "SH", None),
        Key(0x30100034, "LO", None),
    ),
    "RAW DATA": (*_CONTENT_DATE, Key(0x00200013, "IS")),
    "REGISTRATION": _DATED_CONTENT,
    "RT DOSE": (_NUMBER, Key(0x3004000A, "CS")),
    "RT PLAN": (
        _NUMBER,
        Key(0x300A0002, "SH"),
        Key(0x300A0006, "DA"),
        Key(0x300A0007, "TM"),
    ),
    "RT STRUCTURE SET": (
        _NUMBER,
        Key(0x30060002, "SH"),
        Key(0x30060008, "DA"),
        Key(0x30060009, "TM"),
    ),
    "RT TREAT RECORD": (_NUMBER, Key(0x30080250, "DA"), Key(0x30080251, "TM")),
    "SPECTROSCOPY": (
        Key(0x00080008, "CS"),
        *_CONTENT_DATE,
        Key(0x00089092, "SQ", None),
        _NUMBER,
        Key(0x00280008, "IS"),
        Key(0x00280010, "US"),
        Key(0x00280011, "US"),
        Key(0x00289001, "UL"),
        Key(0x00289002, "UL"),
    ),
    "SR DOCUMENT": (
        *_TITLE,
        Key(VERIFIED, "DT", None),
        Key(0x0040A491, "CS"),
        Key(0x0040A493, "CS"),
    ),
    "STEREOMETRIC": (),
    "SURFACE": _DATED_CONTENT,
    "SURFACE SCAN": _CONTENT_DATE,
    "TRACT": _DATED_CONTENT,
    "VALUE MAP": _DATED_CONTENT,
    "WAVEFORM": (*_CONTENT_DATE, _NUMBER),
}
"""What may follow below a series (PS3.3 table F.4-1)."""

_STORAGE: Final = "1.2.840.10008.5.1.4."
_CLASSES: Final = {
    "ANNOTATION": "1.1.91.1",
    "ASSESSMENT": "1.1.90.1",
    "ENCAP DOC": "1.1.104.1 1.1.104.2 1.1.104.3 1.1.104.4 1.1.104.5",
    "FIDUCIAL": "1.1.66.2",
    "KEY OBJECT DOC": "1.1.88.59",
    "MEASUREMENT": "1.1.78.1 1.1.78.2 1.1.78.3 1.1.78.4 1.1.78.5 1.1.78.7 1.1.78.8 1.1.80.1",
    "PLAN": "34.7 34.10",
    "PRESENTATION": " ".join(("1.1.131", *(f"1.1.11.{number}" for number in range(1, 13)))),
    "RADIOTHERAPY": " ".join(f"1.1.481.{number}" for number in (*range(10, 23), 25)),
    "RAW DATA": "1.1.66",
    "REGISTRATION": "1.1.66.1 1.1.66.3",
    "RT DOSE": "1.1.481.2",
    "RT PLAN": "1.1.481.5 1.1.481.8",
    "RT STRUCTURE SET": "1.1.481.3",
    "RT TREAT RECORD": "1.1.481.4 1.1.481.6 1.1.481.7 1.1.481.9",
    "SPECTROSCOPY": "1.1.4.2",
    "SR DOCUMENT": "1.1.78.6 1.1.79.1 1.1.88.11 1.1.88.22 1.1.88.33 1.1.88.34 1.1.88.35 1.1.88.40"
    " 1.1.88.50 1.1.88.65 1.1.88.67 1.1.88.68 1.1.88.69 1.1.88.70 1.1.88.71 1.1.88.72 1.1.88.73"
    " 1.1.88.74 1.1.88.75 1.1.88.76 1.1.88.77",
    "STEREOMETRIC": "1.1.77.1.5.3",
    "SURFACE": "1.1.66.5",
    "SURFACE SCAN": "1.1.68.1 1.1.68.2",
    "TRACT": "1.1.66.6",
    "VALUE MAP": "1.1.67",
    "WAVEFORM": "1.1.9.1.1 1.1.9.1.2 1.1.9.1.3 1.1.9.1.4 1.1.9.2.1 1.1.9.3.1 1.1.9.4.1 1.1.9.4.2"
    " 1.1.9.5.1 1.1.9.6.1 1.1.9.6.2 1.1.9.7.1 1.1.9.7.2 1.1.9.7.3 1.1.9.7.4 1.1.9.8.1",
}
_TYPES: Final = {
    (_STORAGE + end).encode(): kind for kind, ends in _CLASSES.items() for end in ends.split()
}


def type_of(sop_class: bytes) -> str:
    """The type of the record for a file of this SOP class.

    ``IMAGE`` of all that is not known to be something else, as pydicom, DCMTK and Orthanc have it:
    a PRIVATE record may be ignored, and with it the file.
    """
    return _TYPES.get(sop_class, IMAGE)
