"""One resource of an Orthanc as a row of ours: columns, search keys, and the metadata that are no
column.

Values are those that Orthanc wrote down, not those of the file: it shows what it has in its index,
and so do we from now on.

Not here: which rows are written (``adopting``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.index import completeness, rows
from wherry.index.keys import STUDY_PATIENT_COLUMNS, column_keys, level_keys
from wherry.index.metadata import INSTANCE_COLUMNS, LAST_UPDATE, SERIES_COLUMNS, of_columns
from wherry.index.orthanc.reading import OrthancResource
from wherry.index.rows import type_row
from wherry.index.signing import SEQUENCES, SIGNATURE
from wherry.model import Level, type_tags

COLUMNS: Final = {
    Level.PATIENT: (*rows.PATIENT, "protected"),
    Level.STUDY: rows.STUDY,
    Level.SERIES: rows.SERIES,
    Level.INSTANCE: rows.INSTANCE,
}
"""Columns of ``row``, by level."""

_NUMBERS: Final = frozenset((1, 14))
"""Metadata of instances that are columns of numbers."""
_EXPECTED: Final = 4
_REMOTE_AET: Final = 3
_STEP_S: Final = 1e-6
"""Between patients whose order their times do not tell."""
_PATIENT_TAGS: Final = frozenset(MAIN_DICOM_TAGS[Level.PATIENT])


class Recycling:
    """Who is protected, and the order in which the others go, as times."""

    def __init__(self, order: Iterable[tuple[int, str]]) -> None:
        """``order``: patient (row) and the date of its last addition, the first to go first."""
        self._times: dict[int, float] = {}
        last = 0.0
        for patient, date in order:
            # Never before the own last addition: it would be raised to that (``recycling``).
            last = max(_seconds(date), last + _STEP_S)
            self._times[patient] = last

    def of(self, patient: OrthancResource) -> tuple[float, int]:
        """``unprotected_at`` and ``protected`` of a patient."""
        at = self._times.get(patient.row)
        return (updated_at(patient), 1) if at is None else (at, 0)


def row(level: Level, one: OrthancResource, recycling: Recycling) -> type_row:
    """The values of ``COLUMNS[level]``."""
    tags = _tags(one)
    if level is Level.PATIENT:
        at, protected = recycling.of(one)
        keys = level_keys(level, tags)
        return (one.row, one.orthanc_id, rows.tags_text(tags), at, *keys, protected)
    if level is Level.STUDY:
        own, of_patient = _split(one, tags)
        return (
            one.row,
            one.parent,
            one.orthanc_id,
            rows.tags_text(own),
            rows.tags_text(of_patient),
            *level_keys(level, own),
            *column_keys(STUDY_PATIENT_COLUMNS, of_patient),
        )
    head = (one.row, one.parent, one.orthanc_id, rows.tags_text(tags))
    columns = _series_columns(one) if level is Level.SERIES else _instance_columns(one)
    values = _IN_ORDER[level]
    return (*head, *(columns[number] for number in values), *level_keys(level, tags))


def other_metadata(level: Level, one: OrthancResource) -> Iterator[tuple[int, int, str, int]]:
    """Rows of ``metadata``: whatever the columns would not show as Orthanc did."""
    shown = {}
    if level is Level.SERIES:
        shown = of_columns(level, _series_columns(one), None)
    elif level is Level.INSTANCE:
        shown = of_columns(level, _instance_columns(one), None)
    for number, entry in one.metadata.items():
        if number == LAST_UPDATE and level is not Level.INSTANCE:
            continue  # is told by ``activity``
        if shown.get(number) != entry:
            yield one.row, number, entry.value.replace("\0", ""), entry.revision


def updated_at(one: OrthancResource) -> float:
    """Seconds since 1970 of the last addition."""
    return _seconds(_text(one, LAST_UPDATE))


# The columns between tags and keys, as numbers of metadata, in the order of ``rows``.
_NUMBER_OF: Final = {
    Level.SERIES: {column: number for number, column in SERIES_COLUMNS.items()},
    Level.INSTANCE: {column: number for number, column in INSTANCE_COLUMNS.items()},
}
_IN_ORDER: Final = {
    level: tuple(numbers[column] for column in COLUMNS[level] if column in numbers)
    for level, numbers in _NUMBER_OF.items()
}


def _series_columns(one: OrthancResource) -> dict[int, object]:
    return {
        _EXPECTED: completeness.number(_text(one, _EXPECTED)),
        _REMOTE_AET: _text(one, _REMOTE_AET),
    }


def _instance_columns(one: OrthancResource) -> dict[int, object]:
    return {
        number: completeness.number(_text(one, number))
        if number in _NUMBERS
        else _text(one, number)
        for number in INSTANCE_COLUMNS
    }


def _text(one: OrthancResource, number: int) -> str:
    entry = one.metadata.get(number)
    return "" if entry is None else entry.value.replace("\0", "")


# --- tags --------------------------------------------------------------------------------------
def _tags(one: OrthancResource) -> type_tags:
    """Main tags, with the sequences that Orthanc keeps apart."""
    if SEQUENCES not in one.metadata:
        return one.tags
    try:
        found = orjson.loads(one.metadata[SEQUENCES].value)["Sequences"]
        return {**one.tags, **{tag: _short(full) for tag, full in found.items()}}
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return one.tags  # what only the file can tell now


def _short(full: Mapping[str, Any]) -> Any:
    """Orthanc's full JSON of one tag as its short one."""
    value = full["Value"]
    if full["Type"] == "Sequence":
        return [{tag: _short(inner) for tag, inner in item.items()} for item in value]
    return value


def _split(study: OrthancResource, tags: type_tags) -> tuple[type_tags, type_tags]:
    """A study's own tags, and its copy of its patient's. Group 0010 belongs to the patient, unless
    the signature says that it was wanted of studies."""
    signature = _text(study, SIGNATURE)
    of_patient = {
        tag: value
        for tag, value in tags.items()
        if tag in _PATIENT_TAGS or (tag.startswith("0010,") and tag not in signature)
    }
    return {tag: value for tag, value in tags.items() if tag not in of_patient}, of_patient


def _seconds(date: str) -> float:
    """Of ``YYYYMMDDTHHMMSS`` in UTC; 0 when it is none."""
    try:
        moment = datetime(
            int(date[:4]),
            int(date[4:6]),
            int(date[6:8]),
            int(date[9:11]),
            int(date[11:13]),
            int(date[13:15]),
            tzinfo=UTC,
        )
    except ValueError:
        return 0.0
    return moment.timestamp()
