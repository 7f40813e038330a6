"""From ``Criteria`` to a ``Plan``: where each condition is decided, and where the search begins.

Patient tags of studies and of what is below are those of the study's own copy, as in Orthanc. A
main tag of a level below the one that is searched matches nothing; a tag that the index does not
hold is left to the stored files.

Not here: the SQL that comes of it (``search_plan``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from wherry import limits
from wherry.dicom.tags import MAIN_DICOM_TAGS, SEQUENCES
from wherry.errors import ParameterOutOfRange, UnknownDicomTag
from wherry.index import search_order
from wherry.index.checks import Check, fold_of, item_check, patterns_of
from wherry.index.keys import INDEXED, is_name, place_of
from wherry.index.names import Name
from wherry.index.patterns import Exactly, Pattern, parse
from wherry.index.search_plan import Plan, first_instance
from wherry.index.search_terms import Criteria, ItemTerms, LabelsConstraint
from wherry.model import Level

MODALITIES_IN_STUDY: Final = "0008,0061"
SOP_CLASS_UID: Final = "0008,0016"
"""No main tag, but kept of each instance."""

_SEVERAL: Final = frozenset({"0008,1070"})
"""Tags with a column that may have several values: the key is made of all of them."""

_TAG = re.compile(r"[0-9a-f]{4},[0-9a-f]{4}")


def plan(criteria: Criteria) -> Plan | None:
    """How to search; None when nothing can match.

    Raises ``UnknownDicomTag`` for what is no tag, ``ParameterOutOfRange`` for values beyond the
    bounds and for an order that makes no sense.
    """
    made = Plan(criteria, min(criteria.level, search_order.uppermost(criteria)))
    for tag, text in criteria.tags:
        if not _TAG.fullmatch(tag):
            raise UnknownDicomTag
        patterns = patterns_of(criteria, tag, text)
        if patterns and not _add_tag(made, criteria, tag, text, patterns):
            return None
    for tag, terms in criteria.sequences:
        _add_sequence(made, criteria, tag, terms)
    fold: Callable[[str], str] = str if criteria.case_sensitive else str.casefold
    for number, text in criteria.metadata:
        if patterns := parse("", text, fold):
            made.checks.append(Check("", patterns, fold, metadata=number))
    _add_parents(made, criteria)
    _add_labels(made, criteria)
    _add_wide(made)
    return made


def _add_tag(made: Plan, criteria: Criteria, tag: str, text: str, patterns: list[Pattern]) -> bool:
    """One condition on a tag; False when nothing can match."""
    if tag == MODALITIES_IN_STUDY:
        if made.level < Level.STUDY:
            return False
        made.top = min(made.top, Level.STUDY)
        sql, params = _any(patterns, "m.modality")
        made.add(f"EXISTS (SELECT 1 FROM series m WHERE m.parent = l2.id AND {sql})", *params)
        return True
    if tag == SOP_CLASS_UID:
        row = first_instance(made.level, f"l{made.level:d}.id")
        sql, params = _any(patterns, "c.sop_class_uid")
        made.add(f"EXISTS (SELECT 1 FROM instances c WHERE c.id = {row} AND {sql})", *params)
        return True
    fold = fold_of(criteria, tag)
    check = Check(tag, patterns_of(criteria, tag, text, fold), fold, several=criteria.dicom)
    at = None if tag in SEQUENCES else level_of(tag, made.level, MAIN_DICOM_TAGS)
    certain = at is not None
    if at is None:
        at = level_of(tag, made.level, criteria.extra_tags)
        if at is None or at > made.level:
            made.checks.append(check)
            return True
    elif at > made.level:
        return False
    at, source, column = place_of(tag, at, made.level)
    if criteria.dicom and tag in _SEVERAL:
        column = None
    made.top = min(made.top, at)
    if column is not None:
        _add_column(made, at, column, patterns)
    if column is None or not _is_decided(criteria, tag, text, patterns):
        made.checks.append(replace(check, column=f"l{at:d}.{source}", certain=certain))
    return True


def _is_decided(criteria: Criteria, tag: str, text: str, patterns: list[Pattern]) -> bool:
    """Whether search keys, which are case folded and cut, tell all."""
    if _longer(patterns):
        return False
    if not criteria.dicom or is_name(tag):
        certain = all(pattern.is_certain for pattern in patterns if isinstance(pattern, Name))
        return certain and not criteria.case_sensitive
    return text.lower() == text.upper()


def _add_sequence(made: Plan, criteria: Criteria, tag: str, terms: ItemTerms) -> None:
    check = Check(tag, [], str, items=item_check(criteria, terms))
    at = level_of(tag, made.level, criteria.extra_tags)
    if at is not None and at <= made.level:
        made.top = min(made.top, at)
        check = replace(check, column=f"l{at:d}.tags", certain=False)
    made.checks.append(check)


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
    has = f"EXISTS (SELECT 1 FROM labels b WHERE b.resource = {row}"
    match criteria.labels_constraint:
        case LabelsConstraint.ALL:
            for label in labels:
                _add_label(made, "label = ?", label)
        case LabelsConstraint.ANY if labels:
            _add_label(made, "label IN ?", labels)
        case LabelsConstraint.NONE if labels:
            made.add(f"NOT {has} AND b.label IN ?)", labels)
        case LabelsConstraint.NONE:
            made.add(f"NOT {has})")


def _add_label(made: Plan, condition: str, param: object) -> None:
    """Few rows are asked one by one; otherwise the search begins with those that have the label."""
    row = f"l{made.level:d}.id"
    if made.start is None:
        made.add(f"{row} IN (SELECT resource FROM labels WHERE {condition})", param)
    else:
        made.add(
            f"EXISTS (SELECT 1 FROM labels b WHERE b.resource = {row} AND b.{condition})", param
        )


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
