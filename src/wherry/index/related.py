"""What is asked about resources beside their own rows: ancestors, counts, and files below them.

Everything goes by row (``Resource.row``), for many resources in a fixed number of statements.

Not here: the resources themselves (``describing``), which DICOM tag asks for what
(``rest.requested``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Final, NamedTuple

import orjson

from wherry.index.database import Transaction
from wherry.model import Attachment, Level

FILE: Final = (
    "a.uuid, a.content_type, a.uncompressed_size, a.uncompressed_md5, a.compressed_size,"
    " a.compressed_md5, a.compression, a.place, a.revision, a.uncompressed_blake3,"
    " a.compressed_blake3"
)
"""Columns of an attachment ``a``, in the order of the fields of ``Attachment``."""
_MODALITY = "0008,0060"

JOINED: Final = {"sqlite": "group_concat", "postgresql": "string_agg"}
"""The function that makes one text of many, by dialect: one row is fetched faster than many, and
keeps threads from taking turns."""
BETWEEN: Final = "\n"
"""Between texts that are joined: neither identifiers nor labels hold it."""


class Ancestor(NamedTuple):
    """A resource, or one above it."""

    row: int
    tags: dict[str, str]
    """Its main DICOM tags."""


def lineage(
    tx: Transaction, level: Level, rows: Collection[int], *, by_study: bool = False
) -> dict[int, dict[Level, Ancestor]]:
    """Of each resource (row), itself and those above it, the lowest first.

    ``by_study``: patient tags are those that the study came with, not those of the patient.
    """
    levels = [Level(at) for at in range(level, 0, -1)]
    tags = {at: f"l{at:d}.tags" for at in levels}
    if by_study and level > Level.PATIENT:
        tags[Level.PATIENT] = "l2.patient_tags"
    columns = ", ".join(f"l{at:d}.id, {tags[at]}" for at in levels)
    return {
        row[0]: {
            at: Ancestor(row[2 * place], orjson.loads(row[2 * place + 1]))
            for place, at in enumerate(levels)
        }
        for row in tx.all(
            f"SELECT {columns} FROM {chain(Level.PATIENT, level)} WHERE l{level:d}.id IN ?",
            (list(rows),),
        )
    }


def counts(tx: Transaction, level: Level, rows: Collection[int], below: Level) -> dict[int, int]:
    """How many resources of the lower level ``below`` each of these (rows) has."""
    found = tx.all(
        f"SELECT l{level:d}.id, count(*) FROM {chain(level, below)} WHERE l{level:d}.id IN ?"
        f" GROUP BY l{level:d}.id",
        (list(rows),),
    )
    return {row[0]: row[1] for row in found}


def modalities(tx: Transaction, studies: Collection[int]) -> dict[int, list[str]]:
    """The modalities in each of these studies (rows), sorted."""
    found: dict[int, set[str]] = defaultdict(set)
    for study, tags in tx.all(
        "SELECT parent, tags FROM series WHERE parent IN ?", (list(studies),)
    ):
        modality = orjson.loads(tags).get(_MODALITY)
        if modality:
            found[study].add(modality)
    return {study: sorted(names) for study, names in found.items()}


def sop_classes(tx: Transaction, studies: Collection[int]) -> dict[int, list[str]]:
    """The SOP classes in each of these studies (rows), sorted."""
    found: dict[int, list[str]] = defaultdict(list)
    for study, uid in tx.all(
        "SELECT DISTINCT s.parent, i.sop_class_uid FROM series s"
        " JOIN instances i ON i.parent = s.id WHERE s.parent IN ? AND i.sop_class_uid <> ''"
        " ORDER BY s.parent, i.sop_class_uid",
        (list(studies),),
    ):
        found[study].append(uid)
    return dict(found)


def first_files(tx: Transaction, level: Level, rows: Collection[int]) -> dict[int, Attachment]:
    """The DICOM file of one instance below each resource (row): the first of the first series."""
    order = ", ".join(f"l{at}.id" for at in range(level, Level.INSTANCE + 1))
    below = (
        f"SELECT l4.id FROM {chain(level, Level.INSTANCE)} WHERE l{level:d}.id = r.id"
        f" ORDER BY {order} LIMIT 1"
    )
    found = tx.all(
        f"SELECT r.id, {FILE} FROM {level.plural} r JOIN attachments a"
        f" ON a.resource = ({below}) AND a.content_type = 1 WHERE r.id IN ?",
        (list(rows),),
    )
    return {row[0]: Attachment(*row[1:]) for row in found}


def attachments(tx: Transaction, rows: Collection[int]) -> dict[int, list[Attachment]]:
    """The attachments of each resource (row) by number; without those that have none."""
    found: dict[int, list[Attachment]] = defaultdict(list)
    for row in tx.all(
        f"SELECT a.resource, {FILE} FROM attachments a WHERE a.resource IN ?"
        " ORDER BY a.resource, a.content_type",
        (list(rows),),
    ):
        found[row[0]].append(Attachment(*row[1:]))
    return dict(found)


def chain(top: Level, bottom: Level) -> str:
    """The tables from one level down to another, joined, named ``l1`` … ``l4``."""
    text = f"{top.plural} l{top:d}"
    for at in range(top + 1, bottom + 1):
        text += f" JOIN {Level(at).plural} l{at} ON l{at}.parent = l{at - 1}.id"
    return text
