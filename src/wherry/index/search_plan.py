"""From ``Criteria`` to SQL, and to what SQL cannot decide.

A search becomes one statement over the columns of search keys, which begins with the condition
that is likely to find the fewest rows. What keys cannot decide stays behind as *checks*: a search
by case, tags without a column, values longer than a key, metadata, and tags outside the index,
whose values are in the stored files.

Patient tags of studies and of what is below are those of the study's own copy, as in Orthanc.

Not here: running it (``search``), opening files (whoever asks).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from wherry import limits
from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.errors import ParameterOutOfRange, UnknownDicomTag
from wherry.index import search_order
from wherry.index.keys import INDEXED, place_of
from wherry.index.patterns import Exactly, Pattern, Present, comparable, parse
from wherry.index.search_terms import Criteria, LabelsConstraint
from wherry.model import Level

MODALITIES_IN_STUDY: Final = "0008,0061"

_TAG = re.compile(r"[0-9a-f]{4},[0-9a-f]{4}")


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on an original value."""

    tag: str
    """``gggg,eeee``; "" for metadata."""
    patterns: list[Pattern]
    fold: Callable[[str], str]
    column: str = ""
    """The JSON of tags that holds the value, for instance ``l2.tags``; "" = only the file does."""
    certain: bool = True
    """False: when the JSON does not hold the tag, the file may."""
    metadata: int = 0

    def passes(self, value: object) -> bool:
        """Whether a value is meant; None = the tag is absent. What has no text (a sequence, bytes)
        can only be present."""
        if isinstance(value, str):
            text = comparable(self.tag, value, self.fold)
            return any(pattern.matches(text) for pattern in self.patterns)
        return value is not None and any(isinstance(p, Present) for p in self.patterns)


@dataclass(slots=True)
class Plan:
    """One search, ready to be run; only ``plan`` makes them."""

    criteria: Criteria
    top: Level
    """The uppermost level that it speaks of."""
    conditions: list[str] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    wide: list[tuple[Level, str, list[Pattern]]] = field(default_factory=list)
    """Conditions on indexed columns of which the index says little, like ``*SMITH*``."""
    start: tuple[int, Level] | None = None
    """Selectivity and level of the condition to begin with; None when no index helps."""

    @property
    def level(self) -> Level:
        """The level of what is found."""
        return self.criteria.level

    @property
    def needs_files(self) -> bool:
        """Whether some condition may have to be decided by looking into stored files."""
        return any(
            not check.metadata and not (check.column and check.certain) for check in self.checks
        )

    def trust_index(self) -> None:
        """Look into no file: a value that the index does not hold is absent."""
        self.checks = [
            replace(check, certain=True) if check.column else check for check in self.checks
        ]

    @property
    def is_point(self) -> bool:
        """Whether it is a matter of microseconds: few rows are found by a key, and no more."""
        return (
            self.start is not None
            and self.start[0] > 1
            and self.level - self.start[1] <= 1
            and not self.checks
            and not self.criteria.order
        )

    @property
    def by_row(self) -> bool:
        """Whether rows come in the order of their numbers straight from the table."""
        return self.start is None and not self.criteria.order

    def statement(self, dialect: str, what: str, more: str = "") -> str:
        """``SELECT what`` of all rows that SQL finds, sorted; with room for LIMIT and OFFSET."""
        order = ", ".join(
            [*search_order.expressions(self.criteria, dialect), f"l{self.level:d}.id"]
        )
        return f"{self.unsorted(dialect, what, more)} ORDER BY {order}"

    def unsorted(self, dialect: str, what: str, more: str = "") -> str:
        """The same without the order."""
        conditions = [*self.conditions, more] if more else self.conditions
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        joins = search_order.join(self.criteria)
        return f"SELECT {what} FROM {self._tables(dialect)}{joins}{where}"

    def originals(self) -> str:
        """SQL for the row number, the identifier and the JSON of tags of chosen rows."""
        top = min([Level(int(column[1])) for column in self.columns()], default=self.level)
        columns = "".join(f", {column}" for column in self.columns())
        me = f"l{self.level:d}"
        text = f"{self.level.plural} {me}"
        for at in range(self.level - 1, top - 1, -1):
            text += f" JOIN {Level(at).plural} l{at} ON l{at}.id = l{at + 1}.parent"
        return f"SELECT {me}.id, {me}.orthanc_id{columns} FROM {text} WHERE {me}.id IN ?"

    def columns(self) -> list[str]:
        """The columns of JSON that checks look at."""
        return sorted({check.column for check in self.checks if check.column})

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

    def add(self, condition: str, *params: Any) -> None:
        """One more condition in SQL."""
        self.conditions.append(condition)
        self.params += params

    def begin_with(self, gain: int, level: Level) -> None:
        """Begin the search at this level, if that is best: few rows before some; then few rows
        at the lowest, some rows at the highest level."""
        if self.start is None or (
            (gain, level if gain > 1 else -level)
            > (self.start[0], self.start[1] if self.start[0] > 1 else -self.start[1])
        ):
            self.start = gain, level


def plan(criteria: Criteria) -> Plan | None:
    """How to search; None when nothing can match.

    Raises ``UnknownDicomTag`` for what is no tag, ``ParameterOutOfRange`` for values beyond the
    bounds and for an order that makes no sense.
    """
    made = Plan(criteria, min(criteria.level, search_order.uppermost(criteria)))
    fold: Callable[[str], str] = str if criteria.case_sensitive else str.casefold
    for tag, text in criteria.tags:
        if not _TAG.fullmatch(tag):
            raise UnknownDicomTag
        if parse(tag, text) and not _add_tag(made, criteria, tag, text, fold):
            return None
    for number, text in criteria.metadata:
        if patterns := parse("", text, fold):
            made.checks.append(Check("", patterns, fold, metadata=number))
    _add_parents(made, criteria)
    _add_labels(made, criteria)
    _add_wide(made)
    return made


def _add_tag(
    made: Plan, criteria: Criteria, tag: str, text: str, fold: Callable[[str], str]
) -> bool:
    """One condition on a tag; False when nothing can match."""
    patterns = parse(tag, text)
    if tag == MODALITIES_IN_STUDY:
        if made.level < Level.STUDY:
            return False
        made.top = min(made.top, Level.STUDY)
        sql, params = _any(patterns, "m.modality")
        made.add(f"EXISTS (SELECT 1 FROM series m WHERE m.parent = l2.id AND {sql})", *params)
        return True
    at = level_of(tag, made.level, MAIN_DICOM_TAGS)
    certain = at is not None
    if at is None:
        at = level_of(tag, made.level, criteria.extra_tags)
        if at is None or at > made.level:
            made.checks.append(Check(tag, parse(tag, text, fold), fold))
            return True
    elif at > made.level:
        return False
    at, source, column = place_of(tag, at, made.level)
    made.top = min(made.top, at)
    if column is not None:
        _add_column(made, at, column, patterns)
    if column is None or criteria.case_sensitive or _longer(patterns):
        made.checks.append(
            Check(tag, parse(tag, text, fold), fold, f"l{at:d}.{source}", certain=certain)
        )
    return True


def _add_column(made: Plan, at: Level, column: str, patterns: list[Pattern]) -> None:
    gain = min(pattern.selective for pattern in patterns) if column in INDEXED else 0
    if gain:
        made.begin_with(gain, at)
    elif column in INDEXED:
        made.wide.append((at, column, patterns))
        return
    sql, params = _any(patterns, f"l{at:d}.{column}")
    made.add(sql, *params)


def _add_wide(made: Plan) -> None:
    """When nothing better is there, the first of them is answered by reading a whole index, which
    is much smaller than its table."""
    for number, (at, column, patterns) in enumerate(made.wide):
        if made.start is None and not number:
            sql, params = _any(patterns, f"w.{column}")
            made.add(f"l{at:d}.id IN (SELECT w.id FROM {at.plural} w WHERE {sql})", *params)
            made.begin_with(0, at)
        else:
            sql, params = _any(patterns, f"l{at:d}.{column}")
            made.add(sql, *params)
    if made.start is None and made.top < made.level:
        made.begin_with(0, made.top)  # there are fewer rows above


def _add_parents(made: Plan, criteria: Criteria) -> None:
    for at, orthanc_id in criteria.parents:
        if at >= made.level:
            raise ParameterOutOfRange(f"A {at.title} is not above a {made.level.title}")
        made.top = min(made.top, at)
        made.begin_with(2, at)
        made.add(f"l{at:d}.orthanc_id = ?", orthanc_id)


def _add_labels(made: Plan, criteria: Criteria) -> None:
    row = f"l{made.level:d}.id"
    labels = sorted(set(criteria.labels))
    match criteria.labels_constraint:
        case LabelsConstraint.ALL:
            for label in labels:
                made.add(f"{row} IN (SELECT resource FROM labels WHERE label = ?)", label)
        case LabelsConstraint.ANY if labels:
            made.add(f"{row} IN (SELECT resource FROM labels WHERE label IN ?)", labels)
        case LabelsConstraint.NONE if labels:
            made.add(
                f"NOT EXISTS (SELECT 1 FROM labels b WHERE b.resource = {row} AND b.label IN ?)",
                labels,
            )
        case LabelsConstraint.NONE:
            made.add(f"NOT EXISTS (SELECT 1 FROM labels b WHERE b.resource = {row})")


def level_of(tag: str, level: Level, table: Mapping[Level, tuple[str, ...]]) -> Level | None:
    """The level whose value of ``tag`` is meant: the nearest one from ``level`` upwards, else one
    below; None when ``table`` does not hold it at all."""
    levels = [at for at in Level if tag in table.get(at, ())]
    return max((at for at in levels if at <= level), default=min(levels, default=None))


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
