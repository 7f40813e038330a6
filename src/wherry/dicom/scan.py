"""The header scan: what the index must know of a DICOM file, out of one buffer.

What: main DICOM tags, Orthanc identifiers, transfer syntax and the place of the pixel data; and
the proof that the file is whole. Why: it runs for every instance that arrives, so it reads only
the headers of elements and the values it wants: pixel data of a mapped file are never touched.
Not here: the tree of all elements (``json``), how elements follow each other (``elements``).

A data set is tried as it declares itself, then in the other kind of VR when it looks like that,
then with pydicom (``fallback``). What nobody reads is ``BadFileFormat``, as it is for Orthanc.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from wherry import limits
from wherry.dicom import select
from wherry.dicom.charsets import CharacterSet, assumed, character_set
from wherry.dicom.elements import (
    PIXEL_DATA,
    UNDEFINED,
    Encoding,
    UnreadableError,
    type_data,
    walk,
)
from wherry.dicom.extra import Extra
from wherry.dicom.fallback import reread
from wherry.dicom.identifiers import identifiers
from wherry.dicom.inflate import walk_deflated
from wherry.dicom.preamble import (
    DEFLATED,
    ENCODINGS,
    is_encapsulated,
    looks_explicit,
    other_encoding,
    read_preamble,
)
from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.dicom.values import LONG_TEXT_BYTES, TEXT_VRS, as_text, is_long, unknown_as_text
from wherry.errors import BadFileFormat, InexistentTag
from wherry.model import Level, Summary

_PATIENT_ID, _STUDY, _SERIES, _SOP = "0010,0020", "0020,000d", "0020,000e", "0008,0018"
_IDENTIFYING: Final = frozenset((_PATIENT_ID, _STUDY, _SERIES, _SOP))

_NO_EXTRA: Final = Extra()

_TOO_LONG: Final = "a main DICOM tag that is too long"

_SEPARATOR: Final = b"\x1c"
"""Joins values so that one call decodes them all; a value that holds it takes the slow way."""

_FAST_SPACES: Final = 3
"""So much padding is removed from all values together; more of it takes the slow way."""

_SEQUENCE: Final = "0040,0275"
"""Listed among the main tags, but a sequence never has a value."""

_NAMES: Final = frozenset(("0010,0010", "0008,0090", "0008,1070", "0032,1032"))
_NUMBERS: Final = frozenset(("0054,0081", "0054,0101", "0054,1330"))
_UIDS: Final = frozenset((_STUDY, _SERIES, _SOP, "0008,0016"))
"""Main tags that are not plain text, for files that do not tell the VR."""

type_raw = bytes | bytearray | memoryview
type_levels = tuple[dict[str, str], dict[str, str], dict[str, str], dict[str, str]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to look for in one encoding, by the keys that ``elements.walk`` gives."""

    encoding: Encoding
    levels: tuple[tuple[tuple[int, str], ...], ...]
    """The main tags of each level, as key and ``gggg,eeee``."""
    tags: dict[int, str]
    """All wanted elements: key → ``gggg,eeee``."""
    wanted: frozenset[int]
    pixel_data: int
    character_set: int
    sop_class: int
    uids: tuple[int, ...]
    text_vrs: frozenset[int]
    numbers: frozenset[int]
    """Keys of tags whose values are binary numbers although the file does not say so."""
    extra: dict[int, str]
    """The tags that are no main tags of their own: key → VR of the dictionary."""

    def vr(self, key: int, vr: int) -> str:
        """The VR of a wanted element; that of the dictionary when the file tells no known one."""
        if (told := self.encoding.vr_names.get(vr)) is not None:
            return told
        tag = self.tags[key]
        if key in self.extra:
            return self.extra[key]
        if tag in _NUMBERS:
            return "US"
        return "PN" if tag in _NAMES else "UI" if tag in _UIDS else "LO"


def _plan(encoding: Encoding, also: Extra = _NO_EXTRA) -> _Plan:
    def key(tag: str) -> int:
        return encoding.tag_key(int(tag.replace(",", ""), 16))

    levels = tuple(
        tuple(
            (key(tag), tag)
            for tag in (*MAIN_DICOM_TAGS[level], *also.texts.get(level, ()))
            if tag != _SEQUENCE
        )
        for level in Level
    )
    extra = {key(tag): vr for tag, vr in also.vrs.items() if key(tag) not in _usual_keys(key)}
    binary = [number for number, vr in extra.items() if vr not in TEXT_VRS]
    others = ("7fe0,0010", "0008,0005", "0008,0016")
    tags = dict(pair for pairs in levels for pair in pairs) | {key(tag): tag for tag in others}
    pixel_data, charset, sop_class = map(key, others)
    return _Plan(
        encoding=encoding,
        levels=levels,
        tags=tags,
        wanted=frozenset(tags),
        pixel_data=pixel_data,
        character_set=charset,
        sop_class=sop_class,
        uids=tuple(map(key, _UIDS)),
        text_vrs=frozenset(map(encoding.vr_key, TEXT_VRS) if encoding.explicit else (0,)),
        numbers=frozenset(() if encoding.explicit else (*map(key, _NUMBERS), *binary)),
        extra=extra,
    )


def _usual_keys(key: Callable[[str], int]) -> frozenset[int]:
    return frozenset(key(tag) for level in Level for tag in MAIN_DICOM_TAGS[level])


class _Wanted:
    """What this process looks for in each file."""

    def __init__(self, extra: Extra) -> None:
        self.plans = {encoding: _plan(encoding, extra) for encoding in ENCODINGS}
        self.sequences = extra.sequences


_USUAL: Final = _Wanted(_NO_EXTRA)
_wanted = _USUAL


def look_for(extra: Extra) -> None:
    """From now on the scan finds these tags too. A matter of the whole process, like the character
    set that is assumed: whoever scans wants the same for the index."""
    global _wanted
    _wanted = _Wanted(extra) if extra.texts or extra.sequences else _USUAL


class _Values(NamedTuple):
    """The wanted elements of a file, as they lie in it."""

    keys: list[int]
    vrs: list[int]
    raws: list[type_raw]
    pixel_offset: int | None = None


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
        plan, values = _values(data, position, encoding, syntax)
    except UnreadableError as error:
        raise BadFileFormat(
            f"Cannot parse an invalid DICOM file (size: {size} bytes): {error}"
        ) from None
    summary = _summary(plan, values, syntax, sop_class)
    if _wanted.sequences:
        _add_sequences(summary, data)
    return summary


def _add_sequences(summary: Summary, data: type_data) -> None:
    """A file whose sequences cannot be shown, or are too long to be kept, is stored without."""
    with suppress(BadFileFormat):
        found = select.values(data, {tag for tags in _wanted.sequences.values() for tag in tags})
        for level, tags in _wanted.sequences.items():
            kept = {tag: found[tag] for tag in tags if _is_kept(found.get(tag))}
            summary.tags_at(level).update(kept)


def _is_kept(sequence: object) -> bool:
    if not isinstance(sequence, list):
        return False
    return len(orjson.dumps(sequence)) <= limits.DICOM_VALUE_BYTES


def _values(
    data: type_data, position: int, encoding: Encoding, syntax: str
) -> tuple[_Plan, _Values]:
    """The wanted elements, and how the data set is really written."""
    plan = _wanted.plans[encoding]
    if syntax == DEFLATED:
        deflated = walk_deflated(data, position, encoding, plan.wanted - {plan.pixel_data})
        return plan, _Values(
            list(deflated),
            [vr for vr, _ in deflated.values()],
            [raw for _, raw in deflated.values()],
        )
    try:
        return plan, _walked(data, position, plan, syntax)
    except UnreadableError as error:
        if looks_explicit(data, position) is not encoding.explicit:
            other = _wanted.plans[other_encoding(encoding)]
            with suppress(UnreadableError):
                return other, _walked(data, position, other, syntax)
        if not error.doubtful:
            raise
        return plan, _reread(data, position, plan)


def _walked(data: type_data, position: int, plan: _Plan, syntax: str) -> _Values:
    found = walk(data, position, plan.encoding, plan.wanted)
    pixel_offset = None
    if (pixels := found.pop(plan.pixel_data, None)) is not None:
        vr, value, length = pixels
        pixel_offset = value - (12 if vr in plan.encoding.long else 8)
        if length != UNDEFINED and is_encapsulated(syntax):
            raise UnreadableError("its pixel data are not encapsulated")
    if plan.extra:
        found = {key: one for key, one in found.items() if not _is_bulk(plan, key, one[2])}
    elements = found.values()
    if max([length for _, _, length in elements], default=0) > limits.DICOM_VALUE_BYTES:
        raise BadFileFormat(_TOO_LONG)
    return _Values(
        list(found),
        [vr for vr, _, _ in elements],
        [data[value : value + length] for _, value, length in elements],
        pixel_offset,
    )


def _is_bulk(plan: _Plan, key: int, length: int) -> bool:
    """Whether an extra tag is too long to be kept: no reason to refuse the file."""
    return length > limits.DICOM_VALUE_BYTES and key in plan.extra


def _reread(data: type_data, position: int, plan: _Plan) -> _Values:
    encoding = plan.encoding
    tags = [int(tag.replace(",", ""), 16) for tag in plan.tags.values()]
    elements, stop = reread(data, position, encoding, tags)
    for tag in [t for t in elements if _is_bulk(plan, encoding.tag_key(t), len(elements[t][1]))]:
        del elements[tag]
    if any(len(raw) > limits.DICOM_VALUE_BYTES for _, raw in elements.values()):
        raise BadFileFormat(_TOO_LONG)
    pixel_offset = None
    if stop < len(data):
        rest = encoding
        if looks_explicit(data, stop) is not rest.explicit:
            rest = other_encoding(rest)
        pixel_data = frozenset((rest.tag_key(PIXEL_DATA),))
        pixel_offset = stop if walk(data, stop, rest, pixel_data) else None
    return _Values(
        [encoding.tag_key(tag) for tag in elements],
        [encoding.vr_key(vr) for vr, _ in elements.values()],
        [raw for _, raw in elements.values()],
        pixel_offset,
    )


def _summary(plan: _Plan, values: _Values, syntax: str, sop_class: str) -> Summary:
    texts = _texts(plan, values)
    patient, study, series, instance = tags = _by_level(plan, texts)
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
        texts.get(plan.sop_class) or sop_class,
        values.pixel_offset,
    )


def _by_level(plan: _Plan, texts: dict[int, str]) -> type_levels:
    patient, study, series, instance = plan.levels
    return (
        {tag: texts[key] for key, tag in patient if key in texts},
        {tag: texts[key] for key, tag in study if key in texts},
        {tag: texts[key] for key, tag in series if key in texts},
        {tag: texts[key] for key, tag in instance if key in texts},
    )


def _texts(plan: _Plan, values: _Values) -> dict[int, str]:
    """The values in Unicode and without padding."""
    keys, vrs, raws, _ = values
    if plan.character_set in keys:
        charset = character_set(bytes(raws[keys.index(plan.character_set)]))
    else:
        charset = assumed()
    if (together := _texts_together(plan, charset, values)) is not None:
        return together
    one_by_one = {
        key: text
        for key, vr, raw in zip(keys, vrs, raws, strict=True)
        if (text := _text(plan, charset, key, vr, bytes(raw))) is not None
    }
    return _without_long(plan, one_by_one)


def _texts_together(plan: _Plan, charset: CharacterSet, values: _Values) -> dict[int, str] | None:
    """All values in a few calls, for files with nothing but plain text, little padding and even
    lengths: nearly all. None for the others."""
    keys, vrs, raws, _ = values
    if (
        charset.is_extended
        or not plan.text_vrs.issuperset(vrs)
        or not plan.numbers.isdisjoint(keys)
        or any([len(raw) & 1 for raw in raws])  # noqa: C419  (a list is faster)
    ):
        return None
    joined = _SEPARATOR.join([b"", *raws, b""])
    for _ in range(_FAST_SPACES):
        joined = joined.replace(b" \x1c", _SEPARATOR)
    joined = joined.replace(b"\0\x1c", _SEPARATOR)
    if b" \x1c" in joined or b"\0" in joined:
        return None
    text = joined.decode(charset.codec, "ignore")
    texts = text.split("\x1c")
    if len(texts) != len(keys) + 2:
        return None
    shown = dict(zip(keys, texts[1:-1], strict=True))
    if " " in "".join([shown.get(uid, "") for uid in plan.uids]):
        return None
    surely_short = LONG_TEXT_BYTES if text.isascii() else LONG_TEXT_BYTES // 4
    return shown if max(map(len, texts)) <= surely_short else _without_long(plan, shown)


def _text(plan: _Plan, charset: CharacterSet, key: int, vr: int, raw: bytes) -> str | None:
    """One value in Unicode and without padding, or None when it has no text form."""
    kind = plan.vr(key, vr)
    if kind == "UN":
        binary = plan.tags[key] in _NUMBERS or plan.extra.get(key, "LO") not in TEXT_VRS
        return None if binary else unknown_as_text(raw, charset)
    text = as_text(raw, kind, charset, plan.encoding.big_endian)
    if text is None and raw and plan.tags[key] in _IDENTIFYING:
        raise BadFileFormat("a PatientID or a UID that is no text")
    return text


def _without_long(plan: _Plan, texts: dict[int, str]) -> dict[int, str]:
    """As in Orthanc, a text that is too long is no main tag, and identifies nothing."""
    long = {key for key, text in texts.items() if is_long(text)}
    if not _IDENTIFYING.isdisjoint(plan.tags[key] for key in long):
        raise BadFileFormat("a PatientID or a UID that is too long")
    return {key: text for key, text in texts.items() if key not in long}
