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
from wherry.index.datetimes import ends_of
from wherry.index.keys import is_datetime, moment, search_key

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
        # An empty value is below everything, so that a range that is open to the left holds it.
        if not self.high:
            return f"{column} >= ?", [self.low]
        if not self.low:
            return f"{column} < ?", [self._end()]
        return f"{column} >= ? AND {column} < ?", [self.low, self._end()]

    def matches(self, value: str) -> bool:
        return self.low <= value and (not self.high or value < self._end())

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
    for other in others:
        if isinstance(other, Wildcard) and len(other.text) > limits.SEARCH_WILDCARD_CHARACTERS:
            raise ParameterOutOfRange("A searched value with wildcards is too long")
    if len(others) > limits.SEARCH_PATTERNS:
        raise ParameterOutOfRange("A searched value has too many wildcards or ranges")
    return [Exactly(frozenset(exact)), *others] if exact else others


def comparable(tag: str, value: str, fold: Callable[[str], str] = str.casefold) -> str:
    """A value in the form that ``Pattern.matches`` takes: a search key of any length."""
    return search_key(tag, value, fold, length=None)


def _pattern(tag: str, part: str) -> Pattern | str:
    """What one alternative means; a text stands for itself."""
    if is_datetime(tag) and (ends := ends_of(part.strip())) is not None:
        return Between(*ends)
    text = comparable(tag, part, str)
    if moment(tag):
        bounds = _RANGE.fullmatch(text)
        if bounds and any(bounds.groups()):
            return Between(bounds[1], bounds[2])
    if text and not text.strip("*"):
        return Present()
    if "*" in text or "?" in text:
        return Wildcard(text)
    return text


def _wildcard_match(pattern: str, value: str) -> bool:
    """Whether all of ``value`` fits. The pieces between the stars have a fixed length, so the
    leftmost place of each is the best: nothing is tried twice."""
    first, *pieces = pattern.split("*")
    if not pieces:
        return len(first) == len(value) and _find(first, value, 0, len(value)) == 0
    last = pieces.pop()
    here, end = len(first), len(value) - len(last)
    if here > end or _find(first, value, 0, here) != 0 or _find(last, value, end, None) != end:
        return False
    for piece in pieces:
        found = _find(piece, value, here, end)
        if found < 0:
            return False
        here = found + len(piece)
    return True


def _find(piece: str, value: str, start: int, end: int | None) -> int:
    """The first place of a piece, in which ``?`` is any character; -1: none."""
    if "?" not in piece:
        return value.find(piece, start, end)
    expression = ".".join(map(re.escape, piece.split("?")))
    found = re.compile(expression, re.DOTALL).search(
        value, start, len(value) if end is None else end
    )
    return found.start() if found else -1
