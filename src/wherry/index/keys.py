"""Search keys: which main tags have a column, and how a value becomes comparable.

A key is the value case folded, stripped and cut; that of a date or time is without the
punctuation of the ACR-NEMA forms (``1997.07.12``, ``10:30``), so that ranges compare as text. The
original values stay in the column ``tags``.

Not here: matching (``search``, ``patterns``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from wherry import limits
from wherry.dicom.dictionary import lookup
from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.index.datetimes import in_utc
from wherry.model import Level

PATIENT_ID: Final = "0010,0020"

COLUMNS: Final[dict[Level, dict[str, str]]] = {
    Level.PATIENT: {
        "0010,0020": "patient_id",
        "0010,0010": "patient_name",
        "0010,0030": "patient_birth_date",
        "0010,0040": "patient_sex",
    },
    Level.STUDY: {
        "0020,000d": "study_instance_uid",
        "0008,0020": "study_date",
        "0008,0030": "study_time",
        "0008,0050": "accession_number",
        "0008,1030": "study_description",
        "0020,0010": "study_id",
        "0008,0090": "referring_physician_name",
        "0008,0080": "institution_name",
        "0032,1060": "requested_procedure_description",
        "0032,1032": "requesting_physician",
    },
    Level.SERIES: {
        "0020,000e": "series_instance_uid",
        "0008,0060": "modality",
        "0020,0011": "series_number",
        "0008,103e": "series_description",
        "0008,0021": "series_date",
        "0008,0031": "series_time",
        "0018,0015": "body_part_examined",
        "0008,1010": "station_name",
        "0008,0070": "manufacturer",
        "0018,1030": "protocol_name",
        "0008,1070": "operators_name",
    },
    Level.INSTANCE: {
        "0008,0018": "sop_instance_uid",
        "0020,0013": "instance_number",
    },
}
"""The column that holds the key of a tag. Main tags without one are found through ``tags``."""

STUDY_PATIENT_COLUMNS: Final[dict[str, str]] = {
    "0010,0010": "patient_name",
    "0010,0030": "patient_birth_date",
    "0010,0040": "patient_sex",
}
"""The same of the study's copy of its patient's tags (``patient_tags``). PatientID is not among
them: patients are told apart by it, so that it is the same in all copies."""

INDEXED: Final = frozenset(
    (
        "patient_id",
        "patient_name",
        "patient_birth_date",
        "study_instance_uid",
        "study_date",
        "accession_number",
        "study_description",
        "study_id",
        "referring_physician_name",
        "series_instance_uid",
        "series_date",
        "series_description",
        "sop_instance_uid",
    )
)
"""The columns that have an index."""

DATE_TAGS: Final = frozenset(("0010,0030", "0008,0020", "0008,0021", "0008,0012", "0040,0244"))
NAME_TAGS: Final = frozenset(("0010,0010", "0008,0090", "0008,1070", "0032,1032"))
TIME_TAGS: Final = frozenset(("0008,0030", "0008,0031", "0008,0013", "0040,0245"))


@lru_cache(maxsize=4_096)
def moment(tag: str) -> str:
    """The punctuation of a date (``.``) or a time (``:``) in the ACR-NEMA forms; "" for a tag that
    is neither. The dictionary is asked only about tags that are no main tags."""
    if tag in DATE_TAGS:
        return "."
    if tag in TIME_TAGS:
        return ":"
    if not tag or any(tag in tags for tags in MAIN_DICOM_TAGS.values()):
        return ""
    return {"DA": ".", "TM": ":"}.get(lookup(int(tag.replace(",", ""), 16)).vr, "")


@lru_cache(maxsize=4_096)
def is_datetime(tag: str) -> bool:
    """Whether a tag is a date with a time (DT); the dictionary is asked as by ``moment``."""
    if not tag or any(tag in tags for tags in MAIN_DICOM_TAGS.values()):
        return False
    return lookup(int(tag.replace(",", ""), 16)).vr == "DT"


@lru_cache(maxsize=4_096)
def is_name(tag: str) -> bool:
    """Whether a tag is a person name; the dictionary is asked as by ``moment``."""
    if tag in NAME_TAGS:
        return True
    if not tag or any(tag in tags for tags in MAIN_DICOM_TAGS.values()):
        return False
    return lookup(int(tag.replace(",", ""), 16)).vr == "PN"


def search_key(
    tag: str,
    value: str,
    fold: Callable[[str], str] = str.casefold,
    length: int | None = limits.SEARCH_KEY_CHARACTERS,
) -> str:
    """The key of one value; what is compared with it must go through here too."""
    text = fold(value).strip()
    if mark := moment(tag):
        text = text.replace(mark, "")
    elif is_datetime(tag):
        text = in_utc(text)
    if "\0" in text:
        text = text.replace("\0", "")  # PostgreSQL cannot hold it
    return text[:length]


def place_of(tag: str, at: Level, level: Level) -> tuple[Level, str, str | None]:
    """Where a search at ``level`` finds a tag of the level ``at``: the level of the table, the
    column of its original values, and that of its key (None: it has none).

    Of patient tags, studies and what is below have a copy of their own.
    """
    if at is Level.PATIENT and level > at and tag != PATIENT_ID:
        return Level.STUDY, "patient_tags", STUDY_PATIENT_COLUMNS.get(tag)
    return at, "tags", COLUMNS[at].get(tag)


def level_keys(level: Level, tags: dict[str, str]) -> tuple[str | None, ...]:
    """The values of all columns of ``COLUMNS[level]``, in that order."""
    return column_keys(COLUMNS[level], tags)


def column_keys(columns: Mapping[str, str], tags: Mapping[str, str]) -> tuple[str | None, ...]:
    """The values of these columns (tag → column), in that order."""
    return tuple(
        None if (value := tags.get(tag)) is None else search_key(tag, value) for tag in columns
    )
