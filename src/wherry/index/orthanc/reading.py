"""The rows of an Orthanc's index, as values; in portions, in the order of its own numbers.

Orthanc numbers patients, studies, series and instances together, in order of arrival, as we do.
What cannot be taken for what it says, because its parent is missing, is left out everywhere, and
counted (``unsound``).

Not here: what becomes of it (``index.adopting``), where files lie.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

import orjson

from wherry import limits
from wherry.index.metadata import LAST_UPDATE, Entry
from wherry.model import Attachment, Level

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_COMPRESSIONS: Final = (1, 2)
MODALITIES: Final = 20
PEERS: Final = 21
JOBS: Final = 5


@dataclass(frozen=True, slots=True)
class Revision:
    """What this database has; within schema 6 every Orthanc adds what is missing at its start."""

    tables: frozenset[str]
    revisions: bool
    """Of metadata and attachments (since 1.12.8)."""
    custom_data: bool
    """Of attachments (since 1.12.8)."""


class OrthancResource(NamedTuple):
    """One patient, study, series or instance."""

    row: int
    orthanc_id: str
    parent: int
    """Its row; 0 above a patient."""
    tags: dict[str, str]
    """``gggg,eeee`` → value. Those of a study hold a copy of its patient's."""
    metadata: dict[int, Entry]


class OrthancFile(NamedTuple):
    """One attachment."""

    resource: int
    level: Level
    attachment: Attachment
    """Its place is not known here."""
    problem: str
    """Why nobody could read it; empty for nearly all."""


class OrthancChange(NamedTuple):
    """One entry of the log of changes."""

    seq: int
    change_type: int
    level: int
    resource: int
    date: str


class OrthancIndex:
    """An open index. One thread."""

    def __init__(self, raw: sqlite3.Connection, revision: Revision) -> None:
        self._raw = raw
        raw.text_factory = self._text
        self.revision = revision
        self.damaged_texts = 0
        """Texts met so far that are no UTF-8: what is none of it was replaced."""

    def _text(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.damaged_texts += 1
            return data.decode(errors="replace")

    # --- numbers ---------------------------------------------------------------------------
    @cached_property
    def unsound(self) -> frozenset[int]:
        """Resources (rows) without a parent of the level above, and all below them."""
        return frozenset(
            row[0]
            for row in self._raw.execute(
                "WITH RECURSIVE lost (id) AS ("
                " SELECT r.internalId FROM Resources r"
                " LEFT JOIN Resources p ON p.internalId = r.parentId"
                " WHERE r.publicId IS NULL OR r.resourceType NOT BETWEEN 1 AND 4"
                " OR (r.resourceType = 1 AND r.parentId IS NOT NULL)"
                " OR (r.resourceType > 1 AND coalesce(p.resourceType, 0) <> r.resourceType - 1)"
                " UNION SELECT r.internalId FROM lost JOIN Resources r ON r.parentId = lost.id"
                ") SELECT id FROM lost"
            )
        )

    def count(self, level: Level) -> int:
        """Resources of a level, with those that are not sound."""
        return self._number(f"SELECT count(*) FROM Resources WHERE resourceType = {level:d}")

    def rows(self, table: str) -> int:
        """Rows of a table; 0 when it is not there."""
        return self._number(f"SELECT count(*) FROM {table}") if self._has(table) else 0

    def highest(self, table: str, column: str) -> int:
        """The highest number ever given in a table: rows may be gone since."""
        given = self._raw.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
        row = given.fetchone()
        present = self._number(f"SELECT coalesce(max({column}), 0) FROM {table}")
        return max(int(row[0]) if row else 0, present)

    def fingerprint(self) -> list[int]:
        """Numbers that are other ones when the index has been changed."""
        return [
            self.highest("Resources", "internalId"),
            self.highest("Changes", "seq"),
            self.highest("ExportedResources", "seq"),
            *(self.count(level) for level in Level),
            self.rows("AttachedFiles"),
            self.rows("Metadata"),
        ]

    def repeated(self) -> int:
        """Identifiers of resources, and names of files, that stand twice: the index is damaged."""
        return self._number(
            "SELECT (SELECT count(*) FROM (SELECT 1 FROM Resources GROUP BY publicId, resourceType"
            " HAVING count(*) > 1)) + (SELECT count(*) FROM (SELECT 1 FROM AttachedFiles"
            " GROUP BY uuid HAVING count(*) > 1))"
        )

    def _number(self, sql: str) -> int:
        return int(self._raw.execute(sql).fetchone()[0])

    def _has(self, table: str) -> bool:
        return table in self.revision.tables

    # --- rows ------------------------------------------------------------------------------
    def properties(self) -> dict[int, str]:
        """Global properties by number."""
        return {
            int(number): value or ""
            for number, value in self._raw.execute("SELECT property, value FROM GlobalProperties")
        }

    def document(self, number: int) -> dict[str, Any]:
        """A global property that is a JSON object; empty when it is none."""
        try:
            found = orjson.loads(self.properties().get(number, ""))
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    def jobs(self) -> list[tuple[str, str]]:
        """Types and states of the jobs that were saved."""
        found = []
        jobs = self.document(JOBS).get("Jobs")
        for one in jobs.values() if isinstance(jobs, dict) else ():
            state, body = (one.get("State"), one.get("Job")) if isinstance(one, dict) else ("", {})
            kind = body.get("Type") if isinstance(body, dict) else None
            found.append((str(kind or "of unknown type"), str(state)))
        return found

    def recycling_order(self) -> list[tuple[int, str]]:
        """Patients (rows) and when something was added to them last, the one to go first at the
        beginning. Those that are not there are protected."""
        return self._raw.execute(
            "SELECT p.patientId, coalesce(m.value, '') FROM PatientRecyclingOrder p"
            f" LEFT JOIN Metadata m ON m.id = p.patientId AND m.type = {LAST_UPDATE}"
            " ORDER BY p.seq"
        ).fetchall()

    def resources(self, level: Level) -> Iterator[list[OrthancResource]]:
        """All sound resources of a level, in order of arrival."""
        revision = "t.revision" if self.revision.revisions else "0"
        tags = self._beside(level, "MainDicomTags", "t.tagGroup, t.tagElement, t.value")
        metadata = self._beside(level, "Metadata", f"t.type, t.value, {revision}")
        of_tags, of_metadata = next(tags, None), next(metadata, None)
        rows = self._raw.execute(
            "SELECT internalId, publicId, coalesce(parentId, 0) FROM Resources"
            f" WHERE resourceType = {level:d} ORDER BY internalId"
        )
        while portion := rows.fetchmany(limits.INDEX_ROWS_AT_ONCE):
            found = []
            for row, orthanc_id, parent in portion:
                kept: dict[str, str] = {}
                noted: dict[int, Entry] = {}
                if of_tags is not None and of_tags[0] == row:
                    kept = {_tag(one[1], one[2]): one[3] or "" for one in of_tags[1]}
                    of_tags = next(tags, None)
                if of_metadata is not None and of_metadata[0] == row:
                    noted = {one[1]: Entry(one[2] or "", one[3] or 0) for one in of_metadata[1]}
                    of_metadata = next(metadata, None)
                if row not in self.unsound:
                    found.append(OrthancResource(row, orthanc_id, parent, kept, noted))
            yield found

    def _beside(
        self, level: Level, table: str, columns: str
    ) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
        """What hangs on the resources of a level: row, and what belongs to it."""
        rows = self._raw.execute(
            f"SELECT t.id, {columns} FROM Resources r CROSS JOIN {table} t ON t.id = r.internalId"
            f" WHERE r.resourceType = {level:d} ORDER BY r.internalId"
        )
        return ((row, list(group)) for row, group in groupby(rows, itemgetter(0)))

    def files(self) -> Iterator[list[OrthancFile]]:
        """All attachments of sound resources."""
        revision = "coalesce(a.revision, 0)" if self.revision.revisions else "0"
        custom = "length(a.customData)" if self.revision.custom_data else "0"
        rows = self._raw.execute(
            "SELECT r.internalId, r.resourceType, a.uuid, a.fileType, a.uncompressedSize,"
            " coalesce(a.uncompressedMD5, ''), a.compressedSize, coalesce(a.compressedMD5, ''),"
            f" a.compressionType, {revision}, {custom}"
            " FROM Resources r CROSS JOIN AttachedFiles a ON a.id = r.internalId"
            " ORDER BY r.internalId, a.fileType"
        )
        for portion in _portions(rows):
            yield [
                OrthancFile(
                    row[0],
                    Level(row[1]),
                    Attachment(
                        uuid=row[2] or "",
                        content_type=row[3],
                        uncompressed_size=row[4],
                        uncompressed_md5=row[5].lower(),
                        compressed_size=row[6],
                        compressed_md5=row[7].lower(),
                        compression=row[8],
                        revision=row[9],
                    ),
                    _problem(row[2] or "", row[8], row[10] or 0),
                )
                for row in portion
                if row[0] not in self.unsound
            ]

    def instances_without_file(self) -> Iterator[str]:
        """Sound instances whose DICOM file is not known."""
        rows = self._raw.execute(
            "SELECT internalId, publicId FROM Resources r WHERE resourceType = 4 AND NOT EXISTS"
            " (SELECT 1 FROM AttachedFiles a WHERE a.id = r.internalId AND a.fileType = 1)"
        )
        return (orthanc_id for row, orthanc_id in rows if row not in self.unsound)

    def labels(self) -> Iterator[list[tuple[int, str]]]:
        """Row of a sound resource, and a label of it."""
        if self._has("Labels"):
            rows = self._raw.execute(
                "SELECT l.id, l.label FROM Labels l JOIN Resources r ON r.internalId = l.id"
            )
            for portion in _portions(rows):
                yield [(row, label) for row, label in portion if row not in self.unsound]

    def changes(self) -> Iterator[list[OrthancChange]]:
        """The log of changes, as far as it is about sound resources, oldest first."""
        rows = self._raw.execute(
            "SELECT c.seq, c.changeType, r.resourceType, r.internalId, coalesce(c.date, '')"
            " FROM Changes c JOIN Resources r ON r.internalId = c.internalId ORDER BY c.seq"
        )
        for portion in _portions(rows):
            yield [OrthancChange(*row) for row in portion if row[3] not in self.unsound]

    def exports(self) -> Iterator[list[tuple[Any, ...]]]:
        """The log of exports: the columns of ours, in their order."""
        rows = self._raw.execute(
            "SELECT seq, coalesce(date, ''), resourceType, coalesce(publicId, ''),"
            " coalesce(remoteModality, ''), coalesce(patientId, ''),"
            " coalesce(studyInstanceUid, ''), coalesce(seriesInstanceUid, ''),"
            " coalesce(sopInstanceUid, '')"
            " FROM ExportedResources WHERE resourceType BETWEEN 1 AND 4 ORDER BY seq"
        )
        yield from _portions(rows)


@lru_cache(maxsize=4096)
def _tag(group: int, element: int) -> str:
    return f"{group:04x},{element:04x}"


def _portions(rows: sqlite3.Cursor) -> Iterator[list[tuple[Any, ...]]]:
    while portion := rows.fetchmany(limits.INDEX_ROWS_AT_ONCE):
        yield portion


def _problem(uuid: str, compression: int, custom_bytes: int) -> str:
    if custom_bytes:
        return "another storage plugin wrote it (it has custom data)"
    if not _UUID.fullmatch(uuid):
        return "its name is no UUID"
    if compression not in _COMPRESSIONS:
        return "its compression is unknown"
    return ""
