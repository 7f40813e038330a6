"""What a C-FIND of Query/Retrieve asks (PS3.4 §C.4.1): a data set in, a ``Question`` out.

As in Orthanc keys of several levels may be mixed in one query (relational queries, the Standard
says), levels may be spelt as the plural or ``INSTANCE``, and study root knows patients.

Not here: what a data set must hold (``identifier``), the search (``finding``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wherry.dicom.attributes import SPECIFIC_CHARACTER_SET, Attribute, read, vr_of
from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.dimse import identifier
from wherry.dimse.identifier import QUERY_RETRIEVE_LEVEL, spelt
from wherry.errors import BadRequest
from wherry.index import requested
from wherry.index.checks import ItemCheck, item_check
from wherry.index.search_planning import MODALITIES_IN_STUDY
from wherry.index.search_terms import Criteria, ItemTerms
from wherry.model import Level

if TYPE_CHECKING:
    from wherry.config import Config
    from wherry.dimse.requests import Request

PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2.1"
PATIENT_STUDY_ONLY: Final = "1.2.840.10008.5.1.4.1.2.3.1"
"""Retired."""

FIND_CLASSES: Final = {
    PATIENT_ROOT: Level.INSTANCE,
    STUDY_ROOT: Level.INSTANCE,
    PATIENT_STUDY_ONLY: Level.STUDY,
}
"""SOP classes of C-FIND, and the lowest level that they know."""

RETRIEVE_AE_TITLE: Final = 0x00080054

LEVELS: Final = {
    "PATIENT": Level.PATIENT,
    "PATIENTS": Level.PATIENT,
    "STUDY": Level.STUDY,
    "STUDIES": Level.STUDY,
    "SERIES": Level.SERIES,
    "IMAGE": Level.INSTANCE,
    "IMAGES": Level.INSTANCE,
    "INSTANCE": Level.INSTANCE,
    "INSTANCES": Level.INSTANCE,
}
_COMPUTED: Final = frozenset(requested.COMPUTED) | {
    requested.INSTANCE_AVAILABILITY,
    spelt(RETRIEVE_AE_TITLE),
}
"""Tags whose values no column and no file has."""


@dataclass(frozen=True, slots=True)
class Question:
    """One query."""

    level: Level
    criteria: Criteria
    filters: ItemCheck
    """What the computed values of a match must be."""
    keys: dict[int, Attribute]
    """What is answered, in ascending order, beside the character set: tags as they were asked."""
    tags: tuple[str, ...]
    """Those of ``keys`` whose values are looked for in the index and in files."""
    character_set: str
    """What the query declares; "" = nothing."""

    @property
    def looks_into_files(self) -> bool:
        """Whether the index may lack what is to be answered."""
        return any(not requested.is_indexed(tag, self.level) for tag in self.tags)


def question(request: Request) -> Question:
    """Read the identifier of a request. Blocking: it may load the dictionary.

    Raises ``BadFileFormat`` for bytes that are no data set, ``BadRequest`` without a level, and
    with ``ParameterOutOfRange`` for what makes no sense.
    """
    keys = read(request.data_set, request.context.transfer_syntax)
    level = _level(keys, FIND_CLASSES[request.context.abstract_syntax])
    terms = identifier.terms_of(keys)
    return Question(
        level,
        _criteria(request.rooms.config, level, terms),
        _filters(terms),
        _answered(keys),
        _looked_for(keys, level),
        keys.get(SPECIFIC_CHARACTER_SET, Attribute("CS", "")).text,
    )


def _level(keys: dict[int, Attribute], lowest: Level) -> Level:
    text = keys.get(QUERY_RETRIEVE_LEVEL, Attribute("CS", "")).text.strip()
    level = LEVELS.get(text.upper())
    if level is None or level > lowest:
        raise BadRequest(f"No QueryRetrieveLevel that there is: {text[:16]}")
    return level


def _criteria(config: Config, level: Level, terms: ItemTerms) -> Criteria:
    return Criteria(
        level,
        tuple((tag, text) for tag, text in terms.tags if not _is_filter(tag)),
        case_sensitive=config.case_sensitive_pn,
        dicom=True,
        sequences=terms.sequences,
        extra_tags=config.extra_main_dicom_tags,
    )


def _filters(terms: ItemTerms) -> ItemCheck:
    computed = ItemTerms(tuple((tag, text) for tag, text in terms.tags if _is_filter(tag)))
    return item_check(Criteria(Level.STUDY, dicom=True), computed)


def _is_filter(tag: str) -> bool:
    """Of what is computed, SQL knows the modalities only."""
    return tag in _COMPUTED and tag != MODALITIES_IN_STUDY


def _answered(keys: dict[int, Attribute]) -> dict[int, Attribute]:
    """Each key with a VR, and what every answer has."""
    answered = {QUERY_RETRIEVE_LEVEL: keys[QUERY_RETRIEVE_LEVEL]}
    answered |= {RETRIEVE_AE_TITLE: Attribute("AE", "")}
    for tag, key in keys.items():
        if tag != SPECIFIC_CHARACTER_SET:
            answered[tag] = key if key.vr != "UN" else Attribute(vr_of(tag), key.value)
    return dict(sorted(answered.items()))


def _looked_for(keys: dict[int, Attribute], level: Level) -> tuple[str, ...]:
    """Main tags of a level below have no one value here; that of some file would mislead."""
    below = {tag for at in Level if at > level for tag in MAIN_DICOM_TAGS[at]}
    above = {tag for at in Level if at <= level for tag in MAIN_DICOM_TAGS[at]}
    return tuple(
        name
        for tag in keys
        if tag not in (SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL, RETRIEVE_AE_TITLE)
        and not identifier.is_creator(tag)
        and ((name := spelt(tag)) not in below or name in above)
    )
