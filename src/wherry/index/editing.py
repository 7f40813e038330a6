"""What a job that makes new instances of stored ones asks, and writes beside them.

Not here: the new instances themselves (``adding``), files, what an edit does.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from wherry import limits
from wherry.errors import TooLarge
from wherry.index import resources, sending
from wherry.index.database import Transaction
from wherry.index.related import FILE, chain
from wherry.model import Attachment, Identifiers, Level

_IDS = ", ".join(f"l{level:d}.orthanc_id" for level in Level)


class Source(NamedTuple):
    """A stored instance, and its file."""

    identifiers: Identifiers
    file: Attachment


class Known(NamedTuple):
    """An instance that has the identifier of a new one."""

    uuid: str
    """Its DICOM file."""
    made_from: frozenset[str]
    """Instances that it was modified or anonymized from."""


def sources(tx: Transaction, ids: Sequence[str], *, lenient: bool = False) -> list[Source]:
    """The instances of these resources of any level, each once, in order of arrival. Raises
    ``UnknownResource``; ``lenient``: those that are unknown are left out."""
    found: dict[int, Source] = {}
    for portion in sending.portions(ids):
        levels = resources.locate(tx, portion) if lenient else sending.levels_of(tx, portion)
        for level in set(levels.values()):
            for row in tx.all(
                f"SELECT l4.id, {_IDS}, {FILE} FROM {chain(Level.PATIENT, Level.INSTANCE)}"
                " JOIN attachments a ON a.resource = l4.id AND a.content_type = 1"
                f" WHERE l{level:d}.orthanc_id IN ?",
                ([one for one in levels if levels[one] is level],),
            ):
                patient, study, series = map(sys.intern, row[1:4])  # many have the same
                of_row = Identifiers(patient, study, series, row[4])
                found[row[0]] = Source(of_row, Attachment(*row[5:]))
    return [found[row] for row in sorted(found)]


def count(tx: Transaction, ids: Sequence[str]) -> int:
    """How many instances are below these resources; those below two of them count twice."""
    found = 0
    for portion in sending.portions(ids):
        levels = resources.locate(tx, portion)
        for level in set(levels.values()):
            row = tx.one(
                f"SELECT count(*) FROM {chain(level, Level.INSTANCE)}"
                f" WHERE l{level:d}.orthanc_id IN ?",
                ([one for one in levels if levels[one] is level],),
            )
            assert row is not None
            found += int(row[0])
    return found


def known(tx: Transaction, instances: Sequence[str]) -> dict[str, Known]:
    """Those of these instances that are stored."""
    found: dict[str, Known] = {}
    for portion in sending.portions(instances):
        for orthanc_id, uuid, origin in tx.all(
            "SELECT i.orthanc_id, a.uuid, m.value FROM instances i"
            " LEFT JOIN attachments a ON a.resource = i.id AND a.content_type = 1"
            " LEFT JOIN metadata m ON m.resource = i.id AND m.type IN (5, 6)"
            " WHERE i.orthanc_id IN ?",
            (list(portion),),
        ):
            before = found[orthanc_id].made_from if orthanc_id in found else frozenset[str]()
            found[orthanc_id] = Known(uuid or "", before | {origin} if origin else before)
    return found


def note_origins(tx: Transaction, number: int, level: Level, origins: Mapping[str, str]) -> None:
    """Set the metadata ``number`` (``ModifiedFrom``, ``AnonymizedFrom``) of resources to what they
    were made from."""
    for portion in sending.portions([*origins]):
        rows = _rows(tx, level, portion)
        tx.many(
            "INSERT INTO metadata (resource, type, value, revision) VALUES (?, ?, ?, 0)"
            " ON CONFLICT (resource, type) DO UPDATE"
            " SET value = excluded.value, revision = metadata.revision + 1",
            [(row, number, origins[one]) for one, row in rows.items()],
        )


def labels_of(tx: Transaction, level: Level, ids: Collection[str]) -> dict[str, list[str]]:
    """The labels of those of these resources that have some."""
    found: dict[str, list[str]] = {}
    for portion in sending.portions([*ids]):
        for orthanc_id, label in tx.all(
            f"SELECT r.orthanc_id, l.label FROM {level.plural} r JOIN labels l ON l.resource = r.id"
            " WHERE r.orthanc_id IN ?",
            (list(portion),),
        ):
            found.setdefault(orthanc_id, []).append(label)
    return found


def put_labels(tx: Transaction, level: Level, labels: Mapping[str, Collection[str]]) -> None:
    """Put labels on resources. Raises ``TooLarge``."""
    targets: list[int] = []
    for portion in sending.portions([*labels]):
        rows = _rows(tx, level, portion)
        targets += rows.values()
        tx.many(
            "INSERT INTO labels (resource, label) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(row, label) for one, row in rows.items() for label in sorted(labels[one])],
        )
    most = tx.one(
        "SELECT 1 FROM labels WHERE resource IN ? GROUP BY resource HAVING count(*) > ? LIMIT 1",
        (targets, limits.LABELS_OF_RESOURCE),
    )
    if most is not None:
        raise TooLarge(f"A resource has at most {limits.LABELS_OF_RESOURCE} labels")


def remove_unchanged(tx: Transaction, files: Sequence[tuple[str, str]]) -> int:
    """Remove instances, each given with the file that it must still have, and parents that are left
    without children; how many. Those whose file is another one by now stay."""
    unchanged = []
    for portion in sending.portions(files):
        now = known(tx, [one for one, _ in portion])
        unchanged += [one for one, uuid in portion if one in now and now[one].uuid == uuid]
    return resources.delete_many(tx, unchanged) if unchanged else 0


def _rows(tx: Transaction, level: Level, ids: Sequence[str]) -> dict[str, int]:
    found = tx.all(
        f"SELECT orthanc_id, id FROM {level.plural} WHERE orthanc_id IN ?", (list(set(ids)),)
    )
    return {row[0]: row[1] for row in found}
