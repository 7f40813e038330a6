"""Finding resources in the index (rest-api §9).

``find`` and ``count`` do all that the index can do alone. Whoever also looks into stored files
goes on from the pieces: ``candidates`` are the rows that SQL finds, ``sift`` keeps those that
pass the checks of what the index holds, and says what the files must still decide.

Not here: how a search becomes SQL (``search_planning``), what a searched text means (``patterns``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from wherry import limits
from wherry.errors import ParameterOutOfRange
from wherry.index import metadata
from wherry.index.checks import Check
from wherry.index.database import Transaction
from wherry.index.keys import search_key
from wherry.index.related import FILE
from wherry.index.search_plan import Plan, first_instance
from wherry.index.search_planning import plan
from wherry.index.search_terms import Criteria
from wherry.model import Attachment, Level

_NO_LIMIT = 2**62

_IDENTIFIERS = (
    (Level.PATIENT, "patient_id", "0010,0020"),
    (Level.STUDY, "study_instance_uid", "0020,000d"),
    (Level.SERIES, "series_instance_uid", "0020,000e"),
    (Level.INSTANCE, "sop_instance_uid", "0008,0018"),
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A resource that no check of the index has refused."""

    row: int
    orthanc_id: str = ""
    """"" when nothing had to be looked at."""
    pending: tuple[Check, ...] = ()
    """What only its stored file can decide."""


def find(tx: Transaction, criteria: Criteria, *, since: int = 0, limit: int = 0) -> list[str]:
    """Identifiers of the resources that match, sorted, without the first ``since``, at most
    ``limit`` (0: all).

    Tags of the level and those above count; a main tag of a level below matches nothing. Raises
    ``UnknownDicomTag`` for what is no tag, ``ParameterOutOfRange`` for a tag that the index does
    not hold or a value beyond the bounds.
    """
    made = plan(criteria)
    if made is None:
        return []
    if not made.checks:
        return identifiers(tx, made, since, limit)
    return list(islice(_checked(tx, made), since, since + limit if limit else None))


def count(tx: Transaction, criteria: Criteria) -> int:
    """How many resources match. Raises as ``find``."""
    made = plan(criteria)
    if made is None:
        return 0
    if not made.checks:
        return count_rows(tx, made)
    return sum(1 for _ in _checked(tx, made))


def identifiers(tx: Transaction, made: Plan, since: int = 0, limit: int = 0) -> list[str]:
    """What SQL finds, when that is the answer: ``made`` has no checks."""
    sql = made.statement(tx.dialect, f"l{made.level:d}.orthanc_id") + " LIMIT ? OFFSET ?"
    return [row[0] for row in tx.all(sql, [*made.params, limit or _NO_LIMIT, since])]


def count_rows(tx: Transaction, made: Plan) -> int:
    """The number of rows that SQL finds."""
    row = tx.one(made.unsorted(tx.dialect, "count(*)"), made.params)
    assert row is not None
    return int(row[0])


def candidates(tx: Transaction, made: Plan, before: Sequence[int] = (), skip: int = 0) -> list[int]:
    """The next row numbers that SQL finds, sorted, at most ``limits.SEARCH_ROWS``.

    ``before`` are those of the previous call, ``skip`` the number of all that came before.
    """
    me = f"l{made.level:d}.id"
    if made.by_row:
        sql = made.statement(tx.dialect, me, f"{me} > ?") + " LIMIT ?"
        params = [*made.params, before[-1] if before else 0, limits.SEARCH_ROWS]
    else:
        sql = made.statement(tx.dialect, me) + " LIMIT ? OFFSET ?"
        params = [*made.params, limits.SEARCH_ROWS, skip]
    return [row[0] for row in tx.all(sql, params)]


def sift(tx: Transaction, made: Plan, rows: Sequence[int]) -> list[Candidate]:
    """Those of ``rows`` that pass the checks of what the index holds, in the same order."""
    columns, doubts = made.columns(), made.doubts()
    found = {row[0]: row for row in tx.all(made.originals(), (list(rows),))}
    values = [found[row] for row in rows if row in found]
    numbers = [check for check in made.checks if check.metadata]
    known: Mapping[str, Mapping[int, metadata.Entry]] = {}
    if numbers:
        known = metadata.of_many(tx, made.level, [row[1] for row in values])
    kept = []
    for row in values:
        tags = {name: orjson.loads(text) for name, text in zip(columns, row[2:], strict=False)}
        kept_tags = dict(zip(doubts, row[2 + len(columns) :], strict=True))
        entries = known.get(row[1], {})
        if not all(_has(entries, check) for check in numbers):
            continue
        pending = _pending(made, tags, kept_tags)
        if pending is not None:
            kept.append(Candidate(row[0], row[1], pending))
    return kept


def lookup(tx: Transaction, identifier: str) -> list[tuple[Level, str]]:
    """Resources with this PatientID, StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID; case
    and spaces around it do not matter."""
    found = []
    for level, column, tag in _IDENTIFIERS:
        key = search_key(tag, identifier)
        if key:
            rows = tx.all(
                f"SELECT orthanc_id FROM {level.plural} WHERE {column} = ? ORDER BY id", (key,)
            )
            found += [(level, row[0]) for row in rows]
    return found


def files_to_look_into(tx: Transaction, level: Level, rows: Sequence[int]) -> dict[int, Attachment]:
    """For each of these resources the DICOM file that speaks for it, that of one instance.
    Resources that are gone are left out."""
    found = tx.all(
        f"SELECT r.id, {FILE} FROM {level.plural} r JOIN attachments a"
        f" ON a.resource = {first_instance(level, 'r.id')}"
        " AND a.content_type = 1 WHERE r.id IN ?",
        (list(rows),),
    )
    return {row[0]: Attachment(*row[1:]) for row in found}


def is_attached(tx: Transaction, uuid: str) -> bool:
    """Whether a file still belongs to a resource."""
    return tx.one("SELECT 1 FROM attachments WHERE uuid = ?", (uuid,)) is not None


def _checked(tx: Transaction, made: Plan) -> Iterator[str]:
    """Matches that the index can tell alone, sorted."""
    for check in made.checks:
        if not check.column and not check.metadata:
            raise ParameterOutOfRange(f"The index does not hold the tag {check.tag}")
    rows: list[int] = []
    skip = 0
    while rows := candidates(tx, made, rows, skip):
        skip += len(rows)
        for start in range(0, len(rows), limits.INDEX_ROWS_AT_ONCE):
            for one in sift(tx, made, rows[start : start + limits.INDEX_ROWS_AT_ONCE]):
                if not one.pending:
                    yield one.orthanc_id


def _has(entries: Mapping[int, metadata.Entry], check: Check) -> bool:
    entry = entries.get(check.metadata)
    return entry is not None and check.passes(entry.value)


def _pending(
    made: Plan, tags: Mapping[str, Mapping[str, Any]], kept: Mapping[str, str | None]
) -> tuple[Check, ...] | None:
    """What the file must decide; None when a check has failed already.

    ``kept``: for the columns in doubt, the tags that were kept of the resource (its signature).
    """
    left = []
    for check in made.checks:
        if check.metadata:
            continue
        if not check.column:
            left.append(check)
            continue
        value = tags[check.column].get(check.tag)
        if value is None and not check.certain and check.tag not in (kept[check.column] or ""):
            left.append(check)
        elif not check.passes(value):
            return None
    return tuple(left)
