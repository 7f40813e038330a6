"""What a search has become: SQL, and the checks of what SQL cannot decide.

A plan is one statement over the columns of search keys, which begins with the condition that is
likely to find the fewest rows. What keys cannot decide stays behind as *checks*: a search by case,
tags without a column, values longer than a key, metadata, and tags outside the index, whose values
are in the stored files.

Not here: how ``Criteria`` become a plan (``search_planning``), running it (``search``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from wherry.index import search_order
from wherry.index.checks import Check
from wherry.index.patterns import Pattern
from wherry.index.search_terms import Criteria
from wherry.index.signing import SIGNATURE
from wherry.model import Level


def first_instance(level: Level, row: str) -> str:
    """SQL for the row number of the instance that speaks for a resource in questions that only a
    file can answer: the first one of the first series of the first study."""
    if level is Level.INSTANCE:
        return row
    for at in range(level + 1, Level.INSTANCE + 1):
        name = f"f{at}"
        row = (
            f"(SELECT {name}.id FROM {Level(at).plural} {name} WHERE {name}.parent = {row}"
            f" ORDER BY {name}.id LIMIT 1)"
        )
    return row


@dataclass(slots=True)
class Plan:
    """One search, ready to be run."""

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
        """SQL for the row number and the identifier of chosen rows, the JSON of tags in each of
        ``columns``, and for each of ``doubts`` which tags were kept of that resource."""
        top = min([Level(int(column[1])) for column in self.columns()], default=self.level)
        columns = "".join(f", {column}" for column in self.columns())
        for column in self.doubts():
            row = "l2.parent" if column == "l2.patient_tags" else f"{column[:2]}.id"
            columns += (
                f", (SELECT value FROM metadata WHERE resource = {row} AND type = {SIGNATURE})"
            )
        me = f"l{self.level:d}"
        text = f"{self.level.plural} {me}"
        for at in range(self.level - 1, top - 1, -1):
            text += f" JOIN {Level(at).plural} l{at} ON l{at}.id = l{at + 1}.parent"
        return f"SELECT {me}.id, {me}.orthanc_id{columns} FROM {text} WHERE {me}.id IN ?"

    def columns(self) -> list[str]:
        """The columns of JSON that checks look at."""
        return sorted({check.column for check in self.checks if check.column})

    def doubts(self) -> list[str]:
        """Those of ``columns`` in which a tag may be missing that the file holds."""
        return sorted({check.column for check in self.checks if check.column and not check.certain})

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
