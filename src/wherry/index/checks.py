"""Conditions on the values themselves, for what SQL cannot decide.

A value is a text as Orthanc prints it (several values between backslashes), or for a sequence the
list of its items, each a tag → value, as ``/tags?short`` shows them.

Not here: where values come from (``search``, stored files, worklists).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wherry.index.keys import is_name
from wherry.index.names import as_names
from wherry.index.patterns import Pattern, Present, comparable, parse
from wherry.index.search_terms import Criteria, ItemTerms


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
    several: bool = False
    """One of several values is enough (PS3.4 §C.2.2.3)."""
    items: ItemCheck | None = None
    """What one item of a sequence must hold; there are no patterns then."""

    def passes(self, value: object) -> bool:
        """Whether a value is meant; None = the tag is absent. What has no text (a sequence, bytes)
        can only be present."""
        if self.items is not None:
            return isinstance(value, list) and any(map(self.items.passes, value))
        if isinstance(value, str):
            if self._matches(value):
                return True
            return self.several and "\\" in value and any(map(self._matches, value.split("\\")))
        return value is not None and any(isinstance(p, Present) for p in self.patterns)

    def _matches(self, value: str) -> bool:
        text = comparable(self.tag, value, self.fold)
        return any(pattern.matches(text) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class ItemCheck:
    """What one item, or a whole data set, must hold."""

    checks: tuple[Check, ...]

    def passes(self, item: Mapping[str, Any]) -> bool:
        """Whether all of it is there."""
        return all(check.passes(item.get(check.tag)) for check in self.checks)


def fold_of(criteria: Criteria, tag: str) -> Callable[[str], str]:
    """What makes texts that mean the same equal."""
    if criteria.case_sensitive or (criteria.dicom and not is_name(tag)):
        return str
    return str.casefold


def patterns_of(
    criteria: Criteria, tag: str, text: str, fold: Callable[[str], str] = str.casefold
) -> list[Pattern]:
    """The alternatives that a searched text means; none: no constraint. Raises as ``parse``."""
    found = parse(tag, text, fold)
    return as_names(found) if criteria.dicom and is_name(tag) else found


def item_check(criteria: Criteria, terms: ItemTerms) -> ItemCheck:
    """The condition that these terms mean, by the manner of ``criteria``. Raises as ``parse``."""
    checks = []
    for tag, text in terms.tags:
        fold = fold_of(criteria, tag)
        if patterns := patterns_of(criteria, tag, text, fold):
            checks.append(Check(tag, patterns, fold, several=criteria.dicom))
    for tag, below in terms.sequences:
        checks.append(Check(tag, [], str, items=item_check(criteria, below)))
    return ItemCheck(tuple(checks))
