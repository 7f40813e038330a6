"""``RequestedTags``: the values of tags that a client asks for, beside the main ones of a level.

They come from three places: main tags of the resource and of those above it, from the index;
tags that are computed, as a C-FIND would answer them (PS3.4 §C.3.4); and everything else, from
the DICOM file of one instance of the resource, unless ``StorageAccessOnFind`` forbids it. A tag
that has no value anywhere is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from wherry.config import Config
from wherry.dicom.json import type_form
from wherry.dicom.select import chosen
from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.errors import BadFileFormat
from wherry.http.services import Services
from wherry.index import related
from wherry.index.database import Transaction
from wherry.model import Attachment, Level, Resource
from wherry.rest.rendering import tags as rendered
from wherry.rest.rendering import type_json
from wherry.rest.shapes import Form
from wherry.rest.stored import mapped

_FORMS: Final[dict[Form, type_form]] = {
    Form.KEYWORD: "simplify",
    Form.SHORT: "short",
    Form.FULL: "full",
}

_INSTANCE_AVAILABILITY: Final = "0008,0056"
_QUERY_RETRIEVE_LEVEL: Final = "0008,0052"
_RETRIEVE_LEVELS: Final = {
    Level.PATIENT: "PATIENT",
    Level.STUDY: "STUDY",
    Level.SERIES: "SERIES",
    Level.INSTANCE: "IMAGE",
}

type_values = dict[int, str]
"""Row → value of a computed tag."""
type_compute = Callable[[Transaction, Collection[int]], type_values]


def _count(level: Level, below: Level) -> type_compute:
    def compute(tx: Transaction, rows: Collection[int]) -> type_values:
        found = related.counts(tx, level, rows, below)
        return {row: str(found.get(row, 0)) for row in rows}

    return compute


def _modalities(tx: Transaction, studies: Collection[int]) -> type_values:
    return {row: "\\".join(names) for row, names in related.modalities(tx, studies).items()}


def _sop_classes(tx: Transaction, studies: Collection[int]) -> type_values:
    return {row: "\\".join(uids) for row, uids in related.sop_classes(tx, studies).items()}


_COMPUTED: Final[dict[str, tuple[Level, type_compute]]] = {
    "0008,0061": (Level.STUDY, _modalities),
    "0008,0062": (Level.STUDY, _sop_classes),
    "0020,1200": (Level.PATIENT, _count(Level.PATIENT, Level.STUDY)),
    "0020,1202": (Level.PATIENT, _count(Level.PATIENT, Level.SERIES)),
    "0020,1204": (Level.PATIENT, _count(Level.PATIENT, Level.INSTANCE)),
    "0020,1206": (Level.STUDY, _count(Level.STUDY, Level.SERIES)),
    "0020,1208": (Level.STUDY, _count(Level.STUDY, Level.INSTANCE)),
    "0020,1209": (Level.SERIES, _count(Level.SERIES, Level.INSTANCE)),
}
"""Tags that the index computes, each at the level it belongs to: a resource below that level has
the value of the one above it, a resource above it has none."""


@dataclass(slots=True)
class Requested:
    """The values of requested tags, as far as the index knows them."""

    values: dict[int, dict[str, str]] = field(default_factory=dict)
    """Row → tag → value."""
    missing: dict[int, frozenset[str]] = field(default_factory=dict)
    """Row → tags that only a file of it has."""
    files: dict[int, Attachment] = field(default_factory=dict)


def known(
    tx: Transaction, config: Config, found: Sequence[Resource], tags: Sequence[str]
) -> Requested:
    """What the index says, for resources of one level, and which files have the rest."""
    level = found[0].level
    lineage = related.lineage(tx, level, [one.row for one in found])
    computed = {
        tag: _compute(tx, tag, [above[at].row for above in lineage.values()])
        for tag in tags
        if tag in _COMPUTED and (at := _COMPUTED[tag][0]) <= level
    }
    answer = Requested()
    for row, above in lineage.items():
        values = answer.values[row] = {}
        missing = set()
        for tag in tags:
            if tag in _COMPUTED:
                value = computed[tag].get(above[_COMPUTED[tag][0]].row) if tag in computed else None
            elif tag == _INSTANCE_AVAILABILITY:
                value = "ONLINE"
            elif tag == _QUERY_RETRIEVE_LEVEL:
                value = _RETRIEVE_LEVELS[level]
            else:
                value = next((one.tags[tag] for one in above.values() if tag in one.tags), None)
                if value is None and not _is_indexed(tag, level):
                    missing.add(tag)
            if value is not None:
                values[tag] = value
        if missing:
            answer.missing[row] = frozenset(missing)
    if answer.missing and config.storage_access_on_find != "Never":
        answer.files = related.first_files(tx, level, answer.missing)
    return answer


def _compute(tx: Transaction, tag: str, rows: Collection[int]) -> type_values:
    return _COMPUTED[tag][1](tx, frozenset(rows))


def _is_indexed(tag: str, level: Level) -> bool:
    """Whether the index would have the value of a tag, if there were one."""
    return any(tag in MAIN_DICOM_TAGS[at] for at in Level if at <= level)


def complete(rooms: Services, requested: Requested, form: Form) -> dict[int, type_json]:
    """The member ``RequestedTags`` of each resource (row). Reads files: blocking, and not inside of
    a transaction. Raises ``MissingFile``."""
    answer = {}
    for row, values in requested.values.items():
        members = rendered(values, form)
        file = requested.files.get(row)
        if file is not None:
            members |= _of_file(rooms, file, requested.missing[row], form)
        answer[row] = members
    return answer


def _of_file(rooms: Services, file: Attachment, tags: frozenset[str], form: Form) -> type_json:
    numbers = frozenset(int(tag.replace(",", ""), 16) for tag in tags)
    try:
        with mapped(rooms, file) as content:
            return chosen(content, numbers, _FORMS[form])
    except BadFileFormat:  # it was accepted by its main tags alone
        return {}
