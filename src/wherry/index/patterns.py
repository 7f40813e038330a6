"""What one searched value means: alternatives, wildcards, ranges (rest-api §9, PS3.4 §C.2.2.2).

Each kind of pattern knows two things: the SQL condition on a column of search keys, and whether
it matches one value. The second is for what SQL cannot decide: case, and main tags without a
column.

Not here: where the column or the value comes from (``search``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from wherry import limits
from wherry.errors import ParameterOutOfRange
from wherry.index.keys import DATE_TAGS, TIME_TAGS, search_key

type_condition = tuple[str, list[Any]]
"""SQL and its parameters."""

_HIGHEST = "\U0010ffff"
_RANGE = re.compile(r"([0-9.]*)-([0-9.]*)")


class Pattern(Protocol):
    """One alternative."""

    def sql(self, column: str) -> type_condition:
        """The condition on a column of search keys."""

    def matches(self, value: str) -> bool:
        """Whether a value, folded like the pattern, is meant."""

    @property
    def selective(self) -> int:
        """What an index of the column gains: 2 for few rows, 1 for some, 0 for nothing."""


@dataclass(frozen=True, slots=True)
class Exactly:
    """Any of these values."""

    texts: frozenset[str]

    def sql(self, column: str) -> type_condition:
        keys = [text[: limits.SEARCH_KEY_CHARACTERS] for text in sorted(self.texts)]
        if len(keys) == 1:
            return f"{column} = ?", keys
        return f"{column} IN ?", [keys]

    def matches(self, value: str) -> bool:
        return value in self.texts

    @property
    def selective(self) -> int:
        return 2


@dataclass(frozen=True, slots=True)
class Wildcard:
    """``*`` stands for any characters, ``?`` for one."""

    text: str

    def sql(self, column: str) -> type_condition:
        prefix = re.split(r"[*?]", self.text, maxsplit=1)[0]
        prefix = prefix[: limits.SEARCH_KEY_CHARACTERS]
        conditions, params = [], []
        if prefix:  # a range of the index, whatever follows
            conditions.append(f"{column} >= ? AND {column} < ?")
            params += [prefix, prefix + _HIGHEST]
        if self.text != prefix + "*":
            escaped = re.sub("[!%_]", r"!\g<0>", self.text)
            conditions.append(f"{column} LIKE ? ESCAPE '!'")
            params.append(escaped.replace("*", "%").replace("?", "_"))
        return " AND ".join(conditions), params

    def matches(self, value: str) -> bool:
        return _wildcard_match(self.text, value)

    @property
    def selective(self) -> int:
        return 0 if self.text[0] in "*?" else 1


@dataclass(frozen=True, slots=True)
class Between:
    """A range of dates or times, both ends included; an empty end is open."""

    low: str
    high: str

    def sql(self, column: str) -> type_condition:
        # An empty value lies in no range.
        low = f"{column} >= ?" if self.low else f"{column} > ?"
        if not self.high:
            return low, [self.low]
        return f"{low} AND {column} < ?", [self.low, self._end()]

    def matches(self, value: str) -> bool:
        return bool(value) and self.low <= value and (not self.high or value < self._end())

    @property
    def selective(self) -> int:
        return 1

    def _end(self) -> str:
        """':' follows the digits: ``10-12`` includes 12:30, as a time given to the hour means."""
        return self.high + ":"


@dataclass(frozen=True, slots=True)
class Present:
    """The tag is there, even when empty."""

    def sql(self, column: str) -> type_condition:
        return f"{column} IS NOT NULL", []

    def matches(self, value: str) -> bool:
        return True

    @property
    def selective(self) -> int:
        return 0


def parse(tag: str, text: str, fold: Callable[[str], str] = str.casefold) -> list[Pattern]:
    """The alternatives that ``text`` means for ``tag``; none: no constraint.

    Raises ``ParameterOutOfRange`` when it is longer than the bounds of ``limits``.
    """
    if not text.strip():
        return []
    if len(text) > limits.SEARCH_TEXT_CHARACTERS:
        raise ParameterOutOfRange("A searched value is too long")
    parts = text.split("\\")
    if len(parts) > limits.SEARCH_ALTERNATIVES:
        raise ParameterOutOfRange("A searched value has too many alternatives")
    exact, others = set(), list[Pattern]()
    for part in parts:
        found = _pattern(tag, fold(part))
        if isinstance(found, str):
            exact.add(found)
        else:
            others.append(found)
    if len(others) > limits.SEARCH_PATTERNS:
        raise ParameterOutOfRange("A searched value has too many wildcards or ranges")
    return [Exactly(frozenset(exact)), *others] if exact else others


def comparable(tag: str, value: str, fold: Callable[[str], str] = str.casefold) -> str:
    """A value in the form that ``Pattern.matches`` takes: a search key of any length."""
    return search_key(tag, value, fold, length=None)


def _pattern(tag: str, part: str) -> Pattern | str:
    """What one alternative means; a text stands for itself."""
    text = comparable(tag, part, str)
    if tag in DATE_TAGS or tag in TIME_TAGS:
        bounds = _RANGE.fullmatch(text)
        if bounds and any(bounds.groups()):
            return Between(bounds[1], bounds[2])
    if text and not text.strip("*"):
        return Present()
    if "*" in text or "?" in text:
        return Wildcard(text)
    return text


def _wildcard_match(pattern: str, value: str) -> bool:
    """Whether all of ``value`` fits; in time of at most their lengths' product."""
    at = star = resume = 0
    starred = False
    here = 0
    while here < len(value):
        if at < len(pattern) and pattern[at] == "*":
            starred, star, resume = True, at, here
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", value[here]):
            at += 1
            here += 1
        elif starred:
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")
