"""The order of a search: ``OrderBy`` as SQL expressions (rest-api §9).

Texts compare byte by byte, by their search keys where there are any. A resource without the value
comes first, as if it were the lowest.

Not here: the tables that the expressions speak of (``search_plan`` joins them).
"""

from __future__ import annotations

from typing import Final

from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.errors import ParameterOutOfRange
from wherry.index.keys import place_of
from wherry.index.metadata import COLUMNS as METADATA_COLUMNS
from wherry.index.metadata import LAST_UPDATE
from wherry.index.search_terms import Criteria, Order
from wherry.model import Level

_INTEGER: Final = "'^-{0,1}[0-9]{1,18}$'"


def uppermost(criteria: Criteria) -> Level:
    """The uppermost level that the order speaks of.

    Raises ``ParameterOutOfRange`` for a tag that the index does not hold at this level or above.
    """
    places = [_place(order.tag, criteria)[0] for order in criteria.order if order.tag]
    return min([*places, criteria.level])


def join(criteria: Criteria) -> str:
    """The join that the order needs, beside those of the levels."""
    needed = any(_is_last_update(order, criteria.level) for order in criteria.order)
    return f" JOIN activity u ON u.resource = l{criteria.level:d}.id" if needed else ""


def expressions(criteria: Criteria, dialect: str) -> list[str]:
    """What to sort by, before the row number."""
    return [
        _expression(order, criteria, dialect) + _direction(order, dialect)
        for order in criteria.order
    ]


def _expression(order: Order, criteria: Criteria, dialect: str) -> str:
    if not order.tag:
        if _is_last_update(order, criteria.level):
            return "u.updated_at"
        return _metadata(order, criteria.level, dialect)
    at, source, column = _place(order.tag, criteria)
    if column is not None:
        return f"l{at:d}.{column}"
    if dialect == "sqlite":
        return f"json_extract(l{at:d}.{source}, '$.\"{order.tag}\"')"
    return f"(l{at:d}.{source}::json ->> '{order.tag}') COLLATE \"C\""


def _is_last_update(order: Order, level: Level) -> bool:
    return not order.tag and order.metadata == LAST_UPDATE and level is not Level.INSTANCE


def _direction(order: Order, dialect: str) -> str:
    """SQLite takes NULL for the lowest of all, PostgreSQL for the highest."""
    if dialect == "sqlite":
        return " DESC" if order.descending else ""
    return " DESC NULLS LAST" if order.descending else " NULLS FIRST"


def _place(tag: str, criteria: Criteria) -> tuple[Level, str, str | None]:
    """Level, column of JSON and column of keys (None: there is none) of a tag."""
    level = criteria.level
    levels = [
        at
        for at in Level
        if at <= level and (tag in MAIN_DICOM_TAGS[at] or tag in criteria.extra_tags.get(at, ()))
    ]
    if not levels:
        raise ParameterOutOfRange(f"The index cannot sort by the tag {tag} at this level")
    return place_of(tag, max(levels), level)


def _metadata(order: Order, level: Level, dialect: str) -> str:
    column = METADATA_COLUMNS.get(level, {}).get(order.metadata)
    value = (
        f"CAST(l{level:d}.{column} AS TEXT)"
        if column
        else "(SELECT o.value FROM metadata o"
        f" WHERE o.resource = l{level:d}.id AND o.type = {order.metadata:d})"
    )
    if not order.as_integer:
        return value if dialect == "sqlite" else f'{value} COLLATE "C"'
    if dialect == "sqlite":
        digits = f"substr({value}, 1 + ({value} LIKE '-%'), 19)"
        is_integer = f"{digits} <> '' AND {digits} NOT GLOB '*[^0-9]*' AND length({digits}) < 19"
        return f"CASE WHEN {is_integer} THEN CAST({value} AS INTEGER) END"
    return f"CASE WHEN {value} ~ {_INTEGER} THEN CAST({value} AS bigint) END"
