"""The header scan: what the index must know of a DICOM file, out of one buffer.

What: main DICOM tags, Orthanc identifiers, transfer syntax and the place of the pixel data; and
the proof that the file is whole. Why: it runs for every instance that arrives, so it reads only
the headers of elements and the values it wants: pixel data of a mapped file are never touched.
Not here: the tree of all elements (``json``), how elements follow each other (``elements``).

A data set is tried as it declares itself, then in the other kind of VR when it looks like that,
then with pydicom (``fallback``). What nobody reads is ``BadFileFormat``, as it is for Orthanc.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wherry import limits
from wherry.dicom.charsets import LATIN1, CharacterSet, character_set
from wherry.dicom.elements import (
    LONG_VRS,
    PIXEL_DATA,
    SHORT_VRS,
    UNDEFINED,
    Encoding,
    UnreadableError,
    type_data,
    walk,
)
from wherry.dicom.fallback import reread
from wherry.dicom.identifiers import identifiers
from wherry.dicom.inflate import walk_deflated
from wherry.dicom.numbers import NUMBER_VRS, numbers_as_text
from wherry.dicom.preamble import (
    DEFLATED,
    ENCODINGS,
    is_encapsulated,
    looks_explicit,
    other_encoding,
    read_preamble,
)
from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.errors import BadFileFormat, InexistentTag
from wherry.model import Level, Summary

_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_SOP_CLASS_UID: Final = 0x00080016

_PATIENT_ID, _STUDY, _SERIES, _SOP = "0010,0020", "0020,000d", "0020,000e", "0008,0018"

_TOO_LONG: Final = "a main DICOM tag that is too long"

_SEPARATOR: Final = b"\x1c"
"""Joins values so that one call decodes them all; a value that holds it takes the slow way."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to look for in one encoding, by the keys that ``elements.walk`` gives."""

    encoding: Encoding
    wanted: frozenset[int]
    pixel_data: int
    character_set: int
    sop_class: int
    places: dict[int, tuple[str, str, int, int]]
    """Key → tag, VR where the file tells none, index of its level and of a second level or -1."""
    plain: frozenset[int]
    """Keys of VRs whose values are text with padding at their end only."""
    vrs: dict[int, str]
    """Other VRs that have a text form. Implicit VR (0) and UN are not among them."""


_UNTOLD: Final = {
    **dict.fromkeys(("0020,000d", "0020,000e", "0008,0018", "0008,0016"), "UI"),
    **dict.fromkeys(("0010,0010", "0008,0090", "0008,1070", "0032,1032"), "PN"),
    **dict.fromkeys(("0054,0081", "0054,0101", "0054,1330"), "US"),
}
"""VRs of main tags that are not plain text, for files that do not tell them."""

_NOT_PLAIN: Final = frozenset(("UI", "PN", "SQ", "UN", "OB", "OD", "OF", "OL", "OV", "OW"))

_SEQUENCE: Final = "0040,0275"
"""Listed among the main tags, but a sequence never has a value."""


def _plan(encoding: Encoding) -> _Plan:
    levels: dict[str, list[int]] = {}
    for level in Level:
        for tag in MAIN_DICOM_TAGS[level]:
            if tag != _SEQUENCE:
                levels.setdefault(tag, []).append(level - 1)
    places = {
        encoding.tag_key(int(tag.replace(",", ""), 16)): (
            tag,
            _UNTOLD.get(tag, "LO"),
            indices[0],
            indices[1] if len(indices) > 1 else -1,
        )
        for tag, indices in levels.items()
    }
    pixel_data, charset, sop_class = map(
        encoding.tag_key, (PIXEL_DATA, _SPECIFIC_CHARACTER_SET, _SOP_CLASS_UID)
    )
    texts = set(SHORT_VRS + LONG_VRS) - _NOT_PLAIN - NUMBER_VRS
    return _Plan(
        encoding=encoding,
        wanted=frozenset((*places, pixel_data, charset, sop_class)),
        pixel_data=pixel_data,
        character_set=charset,
        sop_class=sop_class,
        places=places,
        plain=frozenset(map(encoding.vr_key, texts)),
        vrs={encoding.vr_key(vr): vr for vr in ("UI", "PN", *NUMBER_VRS)},
    )


_PLANS: Final = {encoding: _plan(encoding) for encoding in ENCODINGS}

type_values = dict[int, tuple[int, bytes | bytearray | memoryview]]
"""Key of the tag → key of its VR, raw value."""


def scan(data: type_data) -> Summary:
    """What the index must know of the DICOM file ``data``.

    Raises ``BadFileFormat`` (not DICOM, not whole, a UID that is empty, a bound of ``limits``),
    ``InexistentTag`` (no Study, Series or SOP Instance UID).
    """
    size = len(data)
    if not size:
        raise BadFileFormat("Received an empty DICOM file")
    try:
        syntax, sop_class, encoding, position = read_preamble(data)
        values, pixel_offset, encoding = _values(data, position, encoding, syntax)
    except UnreadableError as error:
        raise BadFileFormat(
            f"Cannot parse an invalid DICOM file (size: {size} bytes): {error}"
        ) from None
    return _summary(_PLANS[encoding], values, syntax, sop_class, pixel_offset)


def _values(
    data: type_data, position: int, encoding: Encoding, syntax: str
) -> tuple[type_values, int | None, Encoding]:
    """The wanted elements, the offset of the pixel data, and how the data set really is written."""
    if syntax == DEFLATED:
        plan = _PLANS[encoding]
        deflated = walk_deflated(data, position, encoding, plan.wanted - {plan.pixel_data})
        return dict(deflated), None, encoding
    try:
        return *_walked(data, position, _PLANS[encoding], syntax), encoding
    except UnreadableError as error:
        if looks_explicit(data, position) is not encoding.explicit:
            other = other_encoding(encoding)
            return *_walked(data, position, _PLANS[other], syntax), other
        if not error.doubtful:
            raise
        return *_reread(data, position, _PLANS[encoding]), encoding


def _walked(
    data: type_data, position: int, plan: _Plan, syntax: str
) -> tuple[type_values, int | None]:
    found = walk(data, position, plan.encoding, plan.wanted)
    pixel_offset = None
    if (pixels := found.pop(plan.pixel_data, None)) is not None:
        vr, value, length = pixels
        pixel_offset = value - (12 if vr in plan.encoding.long else 8)
        if length != UNDEFINED and is_encapsulated(syntax):
            raise UnreadableError("its pixel data are not encapsulated")
    values: type_values = {}
    for tag, (vr, value, length) in found.items():
        if length > limits.DICOM_VALUE_BYTES:
            raise BadFileFormat(_TOO_LONG)
        values[tag] = vr, data[value : value + length]
    return values, pixel_offset


def _reread(data: type_data, position: int, plan: _Plan) -> tuple[type_values, int | None]:
    encoding = plan.encoding
    tags = [encoding.tag_key(key) for key in plan.wanted]
    elements, stop = reread(data, position, encoding, tags)
    values: type_values = {}
    for tag, (vr, raw) in elements.items():
        if len(raw) > limits.DICOM_VALUE_BYTES:
            raise BadFileFormat(_TOO_LONG)
        values[encoding.tag_key(tag)] = encoding.vr_key(vr), raw
    if stop == len(data):
        return values, None
    if looks_explicit(data, stop) is not encoding.explicit:
        encoding = other_encoding(encoding)
    pixel_data = encoding.tag_key(PIXEL_DATA)
    found = walk(data, stop, encoding, frozenset((pixel_data,)))
    return values, stop if pixel_data in found else None


def _summary(
    plan: _Plan, values: type_values, syntax: str, sop_class: str, pixel_offset: int | None
) -> Summary:
    charset = LATIN1
    if (declared := values.pop(plan.character_set, None)) is not None:
        charset = character_set(bytes(declared[1]))
    if (in_dataset := values.pop(plan.sop_class, None)) is not None:
        sop_class = bytes(in_dataset[1]).decode("ascii", "ignore").strip(" \0") or sop_class
    patient: dict[str, str] = {}
    study: dict[str, str] = {}
    series: dict[str, str] = {}
    instance: dict[str, str] = {}
    tags = (patient, study, series, instance)
    places, plain = plan.places, plan.plain
    texts = _decoded(values, charset, places)
    for (key, (vr, raw)), text in zip(values.items(), texts, strict=True):
        tag, untold, first, second = places[key]
        if not len(raw) & 1:  # padding made the length even: an odd length has none
            text = text.rstrip(" ")
        if "\0" in text:
            text = text[: text.index("\0")]
        if vr not in plain:
            kind = plan.vrs.get(vr, untold)
            if kind == "UI":
                text = text.strip(" ")
            elif kind in NUMBER_VRS:
                number = numbers_as_text(bytes(raw), kind, plan.encoding.big_endian)
                if number is None:
                    continue
                text = number
        tags[first][tag] = text
        if second >= 0:
            tags[second][tag] = text
    try:
        study_uid, series_uid, sop_uid = study[_STUDY], series[_SERIES], instance[_SOP]
    except KeyError:
        raise InexistentTag("no StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID") from None
    if not (study_uid and series_uid and sop_uid):
        raise BadFileFormat("missing StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID")
    return Summary(
        identifiers(patient.get(_PATIENT_ID, ""), study_uid, series_uid, sop_uid),
        tags,
        syntax,
        sop_class,
        pixel_offset,
    )


def _decoded(
    values: type_values, charset: CharacterSet, places: dict[int, tuple[str, str, int, int]]
) -> list[str]:
    """The values in Unicode, in their order, padding included."""
    if not charset.terms:
        joined = _SEPARATOR.join([raw for _, raw in values.values()])
        texts = joined.decode(charset.codec, "ignore").split(_SEPARATOR.decode())
        if len(texts) == len(values):
            return texts
    return [charset.decode(bytes(raw), places[key][1] == "PN") for key, (_, raw) in values.items()]
