"""What a modality is asked: from the tags that a client names to the data set that is sent.

In this order, as observed on Orthanc 1.10.1:

1. tags that mean nothing at the level are left out, unless the client wants its query as it is;
2. so do asterisks that the modality does not understand (``Manufacturer``);
3. the keys that every answer must have are added, empty: everything matches;
4. level and character set.

Not here: how it is sent (``finding``), worklists' own tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from wherry.dicom import charsets
from wherry.dicom.attributes import (
    SPECIFIC_CHARACTER_SET,
    Attribute,
    read,
    type_attributes,
    vr_of,
    write,
)
from wherry.dicom.modules import MODULE_TAGS
from wherry.dicom.preamble import EXPLICIT
from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.dicom.values import NUMBER_VRS
from wherry.errors import BadFileFormat, BadRequest
from wherry.modalities.asking.levels import (
    ACCESSION_NUMBER,
    PATIENT_ID,
    QUERY_LEVEL,
    RETRIEVAL_KEYS,
    UNIQUE_KEYS,
    WORDS,
)
from wherry.model import Level, Manufacturer

ANYTHING: Final = "*"

_COMPUTED: Final[Mapping[Level, tuple[int, ...]]] = MappingProxyType(
    {
        Level.PATIENT: (0x00201200, 0x00201202, 0x00201204),
        Level.STUDY: (0x00080061, 0x00080062, 0x00201206, 0x00201208),
        Level.SERIES: (0x00201209,),
        Level.INSTANCE: (),
    }
)
"""Numbers of what is below, modalities and SOP classes of a study (PS3.4 §C.3.4)."""


def identifier(
    level: Level,
    query: Mapping[int, str],
    manufacturer: Manufacturer = Manufacturer.GENERIC,
    *,
    normalize: bool = True,
) -> dict[int, Attribute]:
    """The data set of a C-FIND. Raises ``BadFileFormat`` for a value that its tag cannot have."""
    texts = dict(query)
    if normalize:
        applicable = applicable_tags(level)
        texts = {tag: text for tag, text in texts.items() if tag in applicable}
        texts = {tag: _adapted(vr_of(tag), text, manufacturer) for tag, text in texts.items()}
    anything = ANYTHING if manufacturer is Manufacturer.GE else ""
    for tag in _required(level):
        texts.setdefault(tag, anything)
    texts[QUERY_LEVEL] = WORDS[level]
    return spelled({tag: _attribute(tag, text, texts) for tag, text in texts.items()})


def retrieval_identifier(
    level: Level, known: Mapping[int, str], *, patient_root: bool = False
) -> dict[int, Attribute]:
    """The data set of a C-MOVE or C-GET of the thing of which this is ``known``. In the model that
    begins with patients its patient is named too, when it is known.

    Raises ``BadRequest`` when it is not known what to name.
    """
    texts = {tag: known.get(tag, "") for tag in RETRIEVAL_KEYS[level]}
    if not all(texts.values()):
        raise BadRequest
    if patient_root and known.get(PATIENT_ID):
        texts[PATIENT_ID] = known[PATIENT_ID]
    texts[QUERY_LEVEL] = WORDS[level]
    return spelled({tag: Attribute(vr_of(tag), text) for tag, text in texts.items()})


def usual_keys(level: Level) -> dict[int, str]:
    """The main tags of a level, to be filled in by whoever answers."""
    applicable = applicable_tags(level)
    tags = (int(tag.replace(",", ""), 16) for tag in MAIN_DICOM_TAGS[level])
    return {tag: "" for tag in tags if tag in applicable and vr_of(tag) != "SQ"}


def applicable_tags(level: Level) -> frozenset[int]:
    """The tags that a query of this level may name: those of its module and of the levels above,
    and what is computed."""
    found: set[int] = {SPECIFIC_CHARACTER_SET, *_COMPUTED[level]}
    for above in range(Level.PATIENT, level + 1):
        found |= MODULE_TAGS[Level(above)]
    return frozenset(found)


def adapted(attributes: type_attributes, manufacturer: Manufacturer) -> dict[int, Attribute]:
    """A worklist query without the asterisks that the modality does not understand."""
    found = {}
    for tag, (vr, value) in attributes.items():
        if isinstance(value, tuple):
            value = tuple(adapted(item, manufacturer) for item in value)
        elif isinstance(value, str):
            value = _adapted(vr, value, manufacturer)
        found[tag] = Attribute(vr, value)
    return found


def spelled(attributes: type_attributes) -> dict[int, Attribute]:
    """With the character set in which it can be written: the one that it names, else the server's
    own (``DefaultEncoding``), or UTF-8 when that does not know the letters. What is left out or
    replaced would ask for something else.

    Raises ``BadFileFormat`` when the character set that it names does not know a letter.
    """
    texts = list(_texts(attributes))
    declared = attributes.get(SPECIFIC_CHARACTER_SET)
    if declared is not None and declared.text:
        if not all(charsets.knows(declared.text, text) for text in texts):
            raise BadFileFormat(f"{declared.text[:64]} has no such letters")
        term = declared.text
    else:
        term = charsets.term_for("".join(texts), "")
    found = {**attributes, SPECIFIC_CHARACTER_SET: Attribute("CS", term)}
    return dict(sorted(found.items()))


def check_number(tag: int, attribute: Attribute) -> None:
    """Raises ``BadFileFormat`` for a text that is no number where the VR wants one: it would be
    sent as nothing, which everything matches."""
    if attribute.vr not in NUMBER_VRS or not attribute.text:
        return
    if not read(write({tag: attribute}, EXPLICIT), EXPLICIT)[tag].text:
        name = f"({tag >> 16:04x},{tag & 0xFFFF:04x})"
        shown = attribute.text[:64]
        raise BadFileFormat(
            f'While creating a DICOM instance, tag {name} has out-of-range value: "{shown}"'
        )


def _required(level: Level) -> Iterable[int]:
    """What every answer must have."""
    if level is not Level.PATIENT:
        yield ACCESSION_NUMBER
    for above in range(Level.PATIENT, level + 1):
        yield UNIQUE_KEYS[Level(above)]


def _adapted(vr: str, text: str, manufacturer: Manufacturer) -> str:
    if text == ANYTHING and (
        manufacturer is Manufacturer.NO_UNIVERSAL_WILDCARD
        or (manufacturer is Manufacturer.NO_WILDCARD_IN_DATES and vr == "DA")
    ):
        return ""
    return text


def _attribute(tag: int, text: str, texts: Mapping[int, str]) -> Attribute:
    creator = texts.get(tag >> 16 << 16 | tag >> 8 & 0xFF, "") if tag >> 16 & 1 else ""
    vr = vr_of(tag, creator)
    if vr == "SQ":
        return Attribute(vr, ())
    found = Attribute(vr, text)
    check_number(tag, found)
    return found


def _texts(attributes: type_attributes) -> Iterator[str]:
    for _, value in attributes.values():
        if isinstance(value, tuple):
            for item in value:
                yield from _texts(item)
        elif isinstance(value, str):
            yield value
