"""What users have put beside the files of many resources at once: metadata, labels, attachments.

For whoever takes a part of the store somewhere else, or brings one. What is written here is
written like one by one (revisions, bounds, log of changes), in a number of statements that does
not depend on the number of values, and with at most one change of each kind for a resource.

Not here: one of them (``metadata``, ``labels``, ``attachments``); what the server notes by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from wherry import clock, limits
from wherry.errors import BadRequest, TooLarge, UnknownResource
from wherry.index import changes, deletions, recycling, resources, rows, totals
from wherry.index.database import Transaction
from wherry.index.recycling import Bounds
from wherry.index.related import FILE, chain
from wherry.model import Attachment, ChangeType, Level

FIRST_OF_USERS: Final = 1024
_AT_ONCE: Final = 100
"""Resources whose metadata are in memory while others are held against them."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What hangs on one resource."""

    level: Level
    orthanc_id: str
    metadata: Mapping[int, str] = field(default_factory=dict)
    """By number, from 1024."""
    labels: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    """Numbers from 1024. When they are brought: without ``uuid``, what need not be sent because it
    is there."""


@dataclass(slots=True)
class Outcome:
    """What became of what was brought."""

    kept_other: int = 0
    """Metadata and attachments that were there with another value, which stayed."""
    unused: list[str] = field(default_factory=list)
    """Files that were brought and are not needed."""


# --- reading -------------------------------------------------------------------------------
def around(tx: Transaction, instances: Collection[str]) -> list[Extras]:
    """What hangs on these instances and on all above them, resources without anything left out;
    by level, then by identifier. Raises ``TooLarge``."""
    family = _family(tx, instances)
    names = {row: key for key, row in family.items()}
    found = list(names)
    _check_size(tx, found)
    metadata: dict[int, dict[int, str]] = defaultdict(dict)
    for row, number, value in tx.all(
        "SELECT resource, type, value FROM metadata"
        f" WHERE resource IN ? AND type >= {FIRST_OF_USERS}",
        (found,),
    ):
        metadata[row][number] = value
    labels: dict[int, list[str]] = defaultdict(list)
    for row, label in tx.all(
        "SELECT resource, label FROM labels WHERE resource IN ? ORDER BY label", (found,)
    ):
        labels[row].append(label)
    files = _files(tx, found)
    some = metadata.keys() | labels.keys() | files.keys()
    return [
        Extras(*key, metadata.get(row, {}), tuple(labels.get(row, ())), tuple(files.get(row, ())))
        for key, row in sorted(family.items())
        if row in some
    ]


def there(
    tx: Transaction, named: Collection[tuple[Level, str]]
) -> dict[tuple[str, int], Attachment]:
    """The attachments of users on these resources, by identifier and number."""
    found: dict[tuple[str, int], Attachment] = {}
    for level in {level for level, _ in named}:
        ids = [orthanc_id for one, orthanc_id in named if one is level]
        for orthanc_id, *values in tx.all(
            f"SELECT r.orthanc_id, {FILE} FROM {level.plural} r"
            f" JOIN attachments a ON a.resource = r.id AND a.content_type >= {FIRST_OF_USERS}"
            " WHERE r.orthanc_id IN ?",
            (ids,),
        ):
            file = Attachment(*values)
            found[orthanc_id, file.content_type] = file
    return found


def _family(tx: Transaction, instances: Collection[str]) -> dict[tuple[Level, str], int]:
    """Rows of these instances and of all above them."""
    return {
        (level, orthanc_id): row
        for level in Level
        for row, orthanc_id in tx.all(
            f"SELECT DISTINCT l{level:d}.id, l{level:d}.orthanc_id"
            f" FROM {chain(level, Level.INSTANCE)} WHERE l4.orthanc_id IN ?",
            (list(instances),),
        )
    }


def _check_size(tx: Transaction, found: list[int]) -> None:
    row = tx.one(
        "SELECT coalesce(sum(length(value)), 0) FROM metadata"
        f" WHERE resource IN ? AND type >= {FIRST_OF_USERS}",
        (found,),
    )
    if row is not None and int(row[0]) > limits.EXTRAS_BYTES:
        raise TooLarge("The metadata of so many resources are too long to travel together")


def _files(tx: Transaction, found: list[int]) -> dict[int, list[Attachment]]:
    files: dict[int, list[Attachment]] = defaultdict(list)
    for row, *values in tx.all(
        f"SELECT a.resource, {FILE} FROM attachments a WHERE a.resource IN ?"
        f" AND a.content_type >= {FIRST_OF_USERS} ORDER BY a.content_type",
        (found,),
    ):
        files[row].append(Attachment(*values))
    return files


# --- writing -------------------------------------------------------------------------------
def put(
    tx: Transaction,
    brought: Sequence[Extras],
    instances: Collection[str],
    *,
    overwrite: bool,
    bounds: Bounds | None = None,
) -> Outcome:
    """Put them beside these instances and what is above them, where each may be named once.

    A resource has the labels of both afterwards. Metadata and attachments that are there with
    another value stay, unless ``overwrite``. Raises ``UnknownResource`` when an instance, or an
    attachment that was not sent, is not there (any more), ``BadRequest`` for resources that have
    nothing to do with the instances, ``TooLarge``, ``NoRoom``.
    """
    family = _family(tx, instances)
    if sum(level is Level.INSTANCE for level, _ in family) < len(set(instances)):
        raise UnknownResource("An instance is not stored here any more")
    if any((one.level, one.orthanc_id) not in family for one in brought):
        raise BadRequest("Metadata, labels or attachments of a resource that is not transferred")
    writing = _Writing(tx, overwrite)
    for start in range(0, len(brought), _AT_ONCE):
        portion = {
            family[one.level, one.orthanc_id]: one for one in brought[start : start + _AT_ONCE]
        }
        writing.add_labels(portion)
        writing.add_metadata(portion)
        writing.add_attachments(portion)
    if bounds is not None and writing.more_bytes:
        patients = resources.kin(tx, [(Level.INSTANCE, one) for one in instances], Level.PATIENT)
        recycling.make_room(tx, bounds, writing.more_bytes, patients)
    writing.finish()
    return writing.outcome


class _Writing:
    """One ``put``. Portions are resources by row."""

    def __init__(self, tx: Transaction, overwrite: bool) -> None:
        self._tx = tx
        self._overwrite = overwrite
        self._changes: list[tuple[ChangeType, Level, int]] = []
        self._new: list[tuple[int, Attachment]] = []
        self._old: list[tuple[int, Attachment]] = []
        self.outcome = Outcome()

    def add_labels(self, portion: Mapping[int, Extras]) -> None:
        """Those of both."""
        known: dict[int, set[str]] = defaultdict(set)
        for row, label in self._tx.all(
            "SELECT resource, label FROM labels WHERE resource IN ?", (list(portion),)
        ):
            known[row].add(label)
        new = [
            (row, label)
            for row, one in portion.items()
            for label in sorted(set(one.labels) - known[row])
        ]
        for row, label in new:
            known[row].add(label)
        if any(len(labels) > limits.LABELS_OF_RESOURCE for labels in known.values()):
            raise TooLarge(f"A resource has at most {limits.LABELS_OF_RESOURCE} labels")
        self._tx.insert("labels", ("resource", "label"), new)

    def add_metadata(self, portion: Mapping[int, Extras]) -> None:
        """Those that are not there, and with ``overwrite`` those that differ."""
        known: dict[int, dict[int, tuple[str, int]]] = defaultdict(dict)
        for row, number, value, revision in self._tx.all(
            "SELECT resource, type, value, revision FROM metadata WHERE resource IN ?",
            ([row for row, one in portion.items() if one.metadata],),
        ):
            known[row][number] = (value, revision)
        put_in = []
        for row, one in portion.items():
            values = self._wanted(one, known[row])
            if values:
                self._changes.append((ChangeType.UpdatedMetadata, one.level, row))
                put_in += [(row, number, *value) for number, value in sorted(values.items())]
            _check_room(known[row] | values)
        self._tx.many(
            "INSERT INTO metadata (resource, type, value, revision) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (resource, type) DO UPDATE"
            " SET value = excluded.value, revision = excluded.revision",
            put_in,
        )

    def _wanted(
        self, one: Extras, known: Mapping[int, tuple[str, int]]
    ) -> dict[int, tuple[str, int]]:
        wanted = {}
        for number, value in one.metadata.items():
            current = known.get(number)
            if current is None:
                wanted[number] = (value, 0)
            elif current[0] != value and self._overwrite:
                wanted[number] = (value, current[1] + 1)
            elif current[0] != value:
                self.outcome.kept_other += 1
        return wanted

    def add_attachments(self, portion: Mapping[int, Extras]) -> None:
        """The same; the rows are written by ``finish``."""
        files = _files(self._tx, [row for row, one in portion.items() if one.attachments])
        for row, one in portion.items():
            known = {file.content_type: file for file in files.get(row, ())}
            before = len(self._new)
            for file in one.attachments:
                self._add_attachment(row, known.get(file.content_type), file)
            if len(self._new) > before:
                self._changes.append((ChangeType.UpdatedAttachment, one.level, row))

    def _add_attachment(self, row: int, current: Attachment | None, file: Attachment) -> None:
        same = current is not None and same_content(current, file)
        if current is not None and (same or not self._overwrite):
            self.outcome.kept_other += not same
            if file.uuid:
                self.outcome.unused.append(file.uuid)
            return
        if not file.uuid:
            raise UnknownResource("An attachment that was not sent is not stored here any more")
        if current is not None:
            self._old.append((row, current))
            file = replace(file, revision=current.revision + 1)
        self._new.append((row, file))

    @property
    def more_bytes(self) -> int:
        """By which the store grows."""
        return sum(one.compressed_size for _, one in self._new) - sum(
            one.compressed_size for _, one in self._old
        )

    def finish(self) -> None:
        """Rows of attachments, journal of deletions, totals, log of changes."""
        self._tx.many(
            "DELETE FROM attachments WHERE resource = ? AND content_type = ?",
            [(row, file.content_type) for row, file in self._old],
        )
        deletions.add(self._tx, [(file.uuid, file.place) for _, file in self._old])
        new = [rows.attachment(file, row) for row, file in self._new]
        self._tx.insert("attachments", rows.ATTACHMENT, new)
        counters = totals.load(self._tx)
        for sign, some in ((1, self._new), (-1, self._old)):
            counters.disk_bytes += sign * sum(file.compressed_size for _, file in some)
            counters.uncompressed_bytes += sign * sum(file.uncompressed_size for _, file in some)
        changes.log(self._tx, counters, self._changes, clock.orthanc_date(clock.now()))
        totals.save(self._tx, counters)


def same_content(one: Attachment, other: Attachment) -> bool:
    """Whether two files have the same plain bytes."""
    return (one.uncompressed_size, one.uncompressed_md5) == (
        other.uncompressed_size,
        other.uncompressed_md5,
    )


def _check_room(values: Mapping[int, tuple[str, int]]) -> None:
    if len(values) > limits.METADATA_OF_RESOURCE:
        raise TooLarge(f"A resource has at most {limits.METADATA_OF_RESOURCE} metadata")
    most = limits.METADATA_OF_RESOURCE_CHARACTERS
    if sum(len(value) for value, _ in values.values()) > most:
        raise TooLarge(f"The metadata of one resource have at most {most} characters")
