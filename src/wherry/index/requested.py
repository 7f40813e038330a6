"""The values of tags that somebody asks of resources: ``RequestedTags`` of REST, keys of a C-FIND.

They come from three places: main tags of the resource and of those above it; tags that are
computed (PS3.4 §C.3.4); and everything else, from the DICOM file of one instance of the resource.

Not here: reading that file, and how values are written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from wherry.dicom.tags import MAIN_DICOM_TAGS, SEQUENCES
from wherry.index import related
from wherry.index.database import Transaction
from wherry.index.related import Ancestor
from wherry.model import Attachment, Level

INSTANCE_AVAILABILITY: Final = "0008,0056"
QUERY_RETRIEVE_LEVEL: Final = "0008,0052"
RETRIEVE_LEVELS: Final = {
    Level.PATIENT: "PATIENT",
    Level.STUDY: "STUDY",
    Level.SERIES: "SERIES",
    Level.INSTANCE: "IMAGE",
}
"""The values of (0008,0052)."""

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


COMPUTED: Final[Mapping[str, tuple[Level, type_compute]]] = {
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

_COLUMNS: Final = {"0008,0016": "sop_class_uid", "0008,3002": "transfer_syntax"}
"""Tags of an instance that are neither main tags nor computed, but known."""

_INDEXED: Final = {
    level: frozenset(tag for at in Level if at <= level for tag in MAIN_DICOM_TAGS[at]) - SEQUENCES
    for level in Level
}
"""Tags whose value the index would have at a level, if there were one."""


@dataclass(slots=True)
class Requested:
    """The values of requested tags, as far as the index knows them."""

    values: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Row → tag → value: a text, or the items of a sequence as ``/tags?short`` shows them."""
    missing: dict[int, frozenset[str]] = field(default_factory=dict)
    """Row → tags that only a file of it has."""
    files: dict[int, Attachment] = field(default_factory=dict)


def known(
    tx: Transaction,
    level: Level,
    rows: Sequence[int],
    tags: Sequence[str],
    *,
    look_into_files: bool,
    by_study: bool = False,
) -> Requested:
    """What the index says of these resources, in their order, and which files have the rest.

    ``by_study``: patient tags are those that a study came with, as it is searched by them.
    """
    lineage = related.lineage(tx, level, rows, by_study=by_study)
    sources = _sources(tx, level, lineage, tags)
    certain = {
        INSTANCE_AVAILABILITY: "ONLINE",
        QUERY_RETRIEVE_LEVEL: RETRIEVE_LEVELS[level],
    }
    certain = {tag: value for tag, value in certain.items() if tag in tags}
    plain = [tag for tag in tags if tag not in COMPUTED and tag not in certain]
    plain = [tag for tag in plain if not (level is Level.INSTANCE and tag in _COLUMNS)]
    uncertain = frozenset(plain) - _INDEXED[level]
    answer = Requested()
    for row in rows:
        if (above := lineage.get(row)) is None:
            continue  # deleted meanwhile
        kept: dict[str, Any] = {}
        for at in sorted(above):  # the lowest one counts
            kept |= above[at].tags
        values = {tag: kept[tag] for tag in plain if tag in kept}
        for tag, at, found in sources:
            if (value := found.get(above[at].row)) is not None:
                values[tag] = value
        answer.values[row] = values | certain
        if uncertain and (missing := uncertain.difference(kept)):
            answer.missing[row] = missing
    if answer.missing and look_into_files:
        answer.files = related.first_files(tx, level, answer.missing)
    return answer


def _sources(
    tx: Transaction,
    level: Level,
    lineage: Mapping[int, Mapping[Level, Ancestor]],
    tags: Sequence[str],
) -> list[tuple[str, Level, type_values]]:
    """Of what is not among the kept tags: tag, level whose rows have a value, and these values."""
    found = []
    for tag in tags:
        if tag in COMPUTED:
            at, compute = COMPUTED[tag]
            if at <= level:
                rows = frozenset(above[at].row for above in lineage.values())
                found.append((tag, at, compute(tx, rows)))
        elif tag in _COLUMNS and level is Level.INSTANCE:
            found.append((tag, level, _column(tx, _COLUMNS[tag], lineage)))
    return found


def is_indexed(tag: str, level: Level) -> bool:
    """Whether no file is needed to tell the value of a tag at a level."""
    return (
        tag in COMPUTED
        or tag in (INSTANCE_AVAILABILITY, QUERY_RETRIEVE_LEVEL)
        or tag in _INDEXED[level]
        or (level is Level.INSTANCE and tag in _COLUMNS)
    )


def _column(tx: Transaction, name: str, instances: Collection[int]) -> type_values:
    found = tx.all(f"SELECT id, {name} FROM instances WHERE id IN ?", (list(instances),))
    return {row[0]: row[1] for row in found if row[1]}
