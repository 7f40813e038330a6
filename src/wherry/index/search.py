"""Finding resources by their main tags (rest-api §9).

A query becomes one SQL statement over the columns of search keys, from the uppermost level that
it names down to the level asked for. What the keys cannot decide (a search by case, main tags
without a column, values longer than a key) is checked afterwards on the original values, piece by
piece, so that memory stays flat.

Not here: tags outside the index; whoever asks for them reads the files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from wherry import limits
from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.errors import ParameterOutOfRange, UnknownDicomTag
from wherry.index.database import Transaction
from wherry.index.keys import COLUMNS, INDEXED, search_key
from wherry.index.patterns import Exactly, Pattern, comparable, parse
from wherry.model import Level

MODALITIES_IN_STUDY = "0008,0061"

_NO_LIMIT = 2**62
_TAG = re.compile(r"[0-9a-f]{4},[0-9a-f]{4}")
_IDENTIFIERS = (
    (Level.PATIENT, "patient_id", "0010,0020"),
    (Level.STUDY, "study_instance_uid", "0020,000d"),
    (Level.STUDY, "accession_number", "0008,0050"),
    (Level.SERIES, "series_instance_uid", "0020,000e"),
    (Level.INSTANCE, "sop_instance_uid", "0008,0018"),
)


def find(
    tx: Transaction,
    level: Level,
    query: Mapping[str, str],
    *,
    case_sensitive: bool = False,
    since: int = 0,
    limit: int = 0,
) -> list[str]:
    """Identifiers of the resources at ``level`` that match all of ``query`` (``gggg,eeee`` →
    text), in order of arrival, without the first ``since``, at most ``limit`` (0: all).

    Tags of this level and those above count; a tag of a level below matches nothing. Raises
    ``UnknownDicomTag`` for what is no tag, ``ParameterOutOfRange`` for a tag that the index does
    not hold or a value beyond the bounds.
    """
    plan = _plan(level, query, case_sensitive)
    if plan is None:
        return []
    if not plan.checks:
        sql, params = plan.statement(tx.dialect, "", limit or _NO_LIMIT, since)
        return [row[1] for row in tx.all(sql, params)]
    return list(islice(_checked(tx, plan), since, since + limit if limit else None))


def lookup(tx: Transaction, identifier: str) -> list[tuple[Level, str]]:
    """Resources with this PatientID, StudyInstanceUID, AccessionNumber, SeriesInstanceUID or
    SOPInstanceUID; case and spaces around it do not matter."""
    found = []
    for level, column, tag in _IDENTIFIERS:
        key = search_key(tag, identifier)
        if key:
            rows = tx.all(
                f"SELECT orthanc_id FROM {level.plural} WHERE {column} = ? ORDER BY id", (key,)
            )
            found += [(level, row[0]) for row in rows]
    return found


@dataclass(frozen=True, slots=True)
class _Check:
    """A condition on an original value."""

    level: Level
    tag: str
    patterns: list[Pattern]
    fold: Callable[[str], str]

    def passes(self, tags: Mapping[str, str]) -> bool:
        value = tags.get(self.tag)
        if value is None:
            return False
        text = comparable(self.tag, value, self.fold)
        return any(pattern.matches(text) for pattern in self.patterns)


@dataclass(slots=True)
class _Plan:
    """One search, while it is planned and run."""

    level: Level
    top: Level
    conditions: list[str] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)
    checks: list[_Check] = field(default_factory=list)
    start: tuple[int, Level] | None = None
    """Selectivity and level of the condition to begin with; None when no index helps."""

    def statement(
        self, dialect: str, more: str, limit: int, offset: int = 0
    ) -> tuple[str, list[Any]]:
        """SQL whose rows are: row number, identifier, original values of the levels checked."""
        columns = "".join(f", l{level:d}.tags" for level in self.checked_levels())
        conditions = [*self.conditions, more] if more else self.conditions
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        me = f"l{self.level:d}"
        return (
            f"SELECT {me}.id, {me}.orthanc_id{columns} FROM {self._tables(dialect)}{where}"
            f" ORDER BY {me}.id LIMIT ? OFFSET ?",
            [*self.params, limit, offset],
        )

    def _tables(self, dialect: str) -> str:
        """The levels joined. SQLite keeps no statistics for its planner: it joins in the order
        written (CROSS JOIN), from the best condition up, then down."""
        start = self.start[1] if self.start else self.level
        join = "CROSS JOIN" if dialect == "sqlite" and self.start else "JOIN"
        text = f"{start.plural} l{start:d}"
        for at in range(start - 1, self.top - 1, -1):
            text += f" {join} {Level(at).plural} l{at} ON l{at + 1}.parent = l{at}.id"
        for at in range(start + 1, self.level + 1):
            text += f" {join} {Level(at).plural} l{at} ON l{at}.parent = l{at - 1}.id"
        return text

    def checked_levels(self) -> list[Level]:
        return sorted({check.level for check in self.checks})

    def begin_with(self, patterns: list[Pattern], level: Level) -> None:
        """Begin the search with these patterns of an indexed column, if that is best: few rows
        before some; then few rows at the lowest, some rows at the highest level."""
        gain = min(pattern.selective for pattern in patterns)
        if gain == 0:
            return
        if self.start is None or (
            (gain, level if gain > 1 else -level)
            > (self.start[0], self.start[1] if self.start[0] > 1 else -self.start[1])
        ):
            self.start = gain, level


def _plan(level: Level, query: Mapping[str, str], case_sensitive: bool) -> _Plan | None:
    """How to search; None when nothing can match."""
    plan = _Plan(level, level)
    fold: Callable[[str], str] = str if case_sensitive else str.casefold
    for tag, text in query.items():
        if not _TAG.fullmatch(tag):
            raise UnknownDicomTag
        patterns = parse(tag, text)
        if not patterns:
            continue
        at = _level_of(tag, level)
        if at > level:
            return None
        plan.top = min(plan.top, at)
        if tag == MODALITIES_IN_STUDY:
            sql, params = _any(patterns, "m.modality")
            plan.conditions.append(
                f"EXISTS (SELECT 1 FROM series m WHERE m.parent = l2.id AND {sql})"
            )
            plan.params += params
            continue
        column = COLUMNS[at].get(tag)
        if column is not None:
            sql, params = _any(patterns, f"l{at:d}.{column}")
            plan.conditions.append(sql)
            plan.params += params
        if column in INDEXED:
            plan.begin_with(patterns, at)
        if column is None or case_sensitive or _longer(patterns):
            plan.checks.append(_Check(at, tag, parse(tag, text, fold), fold))
    return plan


def _level_of(tag: str, level: Level) -> Level:
    """The level whose value of ``tag`` is meant: the nearest one from ``level`` upwards, else one
    below. Raises ``ParameterOutOfRange`` when the index does not hold the tag."""
    if tag == MODALITIES_IN_STUDY:
        return Level.STUDY
    levels = [at for at in Level if tag in MAIN_DICOM_TAGS[at]]
    if not levels:
        raise ParameterOutOfRange(f"The index does not hold the tag {tag}")
    return max((at for at in levels if at <= level), default=min(levels))


def _any(patterns: list[Pattern], column: str) -> tuple[str, list[Any]]:
    """The condition that one of ``patterns`` matches."""
    conditions = [pattern.sql(column) for pattern in patterns]
    params = [param for _, params in conditions for param in params]
    return f"({' OR '.join(sql for sql, _ in conditions)})", params


def _longer(patterns: list[Pattern]) -> bool:
    """Whether a value is searched that is longer than a key."""
    return any(
        isinstance(pattern, Exactly)
        and any(len(text) > limits.SEARCH_KEY_CHARACTERS for text in pattern.texts)
        for pattern in patterns
    )


def _checked(tx: Transaction, plan: _Plan) -> Iterator[str]:
    """Matches in order of arrival, after the checks of original values."""
    levels = plan.checked_levels()
    last = 0
    while True:
        sql, params = plan.statement(
            tx.dialect, f"l{plan.level:d}.id > ?", limits.INDEX_ROWS_AT_ONCE
        )
        rows = tx.all(sql, [*params[:-2], last, *params[-2:]])
        for row in rows:
            tags = {at: orjson.loads(text) for at, text in zip(levels, row[2:], strict=True)}
            if all(check.passes(tags[check.level]) for check in plan.checks):
                yield row[1]
        if len(rows) < limits.INDEX_ROWS_AT_ONCE:
            return
        last = rows[-1][0]
