"""The body of ``/tools/find`` and ``/tools/count-resources``: JSON in, ``Question`` out.

Whatever a client may send is checked here; what comes out is well formed and bounded.

Not here: what the texts to search for mean (``index.patterns``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from wherry import limits
from wherry.config import Config
from wherry.dicom.tags import tag_of
from wherry.errors import BadRequest, ParameterOutOfRange
from wherry.index.search_terms import Criteria, LabelsConstraint, Order
from wherry.model import Level
from wherry.rest.names import metadata_number
from wherry.rest.shapes import Form, Shape, parts, requested_tags

_LEVELS: Final = {
    name: level
    for level in Level
    for name in {level.title.lower(), level.plural, level.title.lower() + "s"}
}
_PARENTS: Final = {
    "ParentPatient": Level.PATIENT,
    "ParentStudy": Level.STUDY,
    "ParentSeries": Level.SERIES,
}
_DIRECTIONS: Final = {"ASC": False, "DESC": True}


class NotAnObject(BadRequest):
    """The body of a search is not what it must be."""

    def __init__(self, details: str = "") -> None:
        super().__init__("The body must contain a JSON object")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: what to find, which part of it, and how to show it."""

    criteria: Criteria
    since: int
    limit: int
    """0 = all."""
    expand: bool
    shape: Shape


def parse(body: Any, config: Config) -> Question:
    """Check a body. Raises ``BadRequest``, ``ParameterOutOfRange``, ``UnknownDicomTag`` and, for
    metadata that have no such name, ``InexistentItem``."""
    if not isinstance(body, dict):
        raise NotAnObject
    level, tags = _level_and_tags(body)
    content = parts(_list(body, "ResponseContent")) if "ResponseContent" in body else None
    form = Form.SHORT if _flag(body, "Short") else Form.KEYWORD
    if _flag(body, "Full") and form is not Form.SHORT:
        form = Form.FULL
    return Question(
        criteria=Criteria(
            level=level,
            tags=tuple((tag_of(name), text) for name, text in tags.items()),
            metadata=tuple(
                (metadata_number(config, name), text)
                for name, text in _texts(body, "MetadataQuery", "Metadata").items()
            ),
            labels=_list(body, "Labels"),
            labels_constraint=_constraint(body),
            parents=tuple((at, _text(body, name)) for name, at in _PARENTS.items() if name in body),
            order=_order(body, config),
            case_sensitive=_flag(body, "CaseSensitive", default=config.case_sensitive_pn),
            extra_tags=config.extra_main_dicom_tags,
        ),
        since=_number(body, "Since"),
        limit=_number(body, "Limit"),
        expand=_flag(body, "Expand") or content is not None,
        shape=Shape(
            form,
            requested=requested_tags(_list(body, "RequestedTags")),
            content=content,
        ),
    )


def _level_and_tags(body: Mapping[str, Any]) -> tuple[Level, dict[str, str]]:
    """The two members that must be there, in the order in which Orthanc looks at them."""
    level = body.get("Level")
    if not isinstance(level, str):
        raise BadRequest('Field "Level" is missing, or should be a string')
    if not isinstance(body.get("Query"), dict):
        raise BadRequest('Field "Query" is missing, or should be a JSON object')
    if level.lower() not in _LEVELS:
        raise ParameterOutOfRange(f"Unknown level: {level[:64]}")
    return _LEVELS[level.lower()], _texts(body, "Query", "Tag")


def _texts(body: Mapping[str, Any], field: str, what: str) -> dict[str, str]:
    values = body.get(field, {})
    if not isinstance(values, dict):
        raise BadRequest(f'Field "{field}" should be a JSON object')
    _bound(values, field)
    for name, value in values.items():
        if not isinstance(value, str):
            raise BadRequest(f'{what} "{name[:64]}" should be associated with a string')
    return values


def _list(body: Mapping[str, Any], field: str) -> tuple[str, ...]:
    values = body.get(field, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BadRequest(f'Field "{field}" should be a list of strings')
    _bound(values, field)
    return tuple(values)


def _bound(values: Any, field: str) -> None:
    if len(values) > limits.SEARCH_TERMS:
        raise ParameterOutOfRange(f'Field "{field}" has more than {limits.SEARCH_TERMS} members')


def _text(body: Mapping[str, Any], field: str) -> str:
    value = body[field]
    if not isinstance(value, str):
        raise BadRequest(f'Field "{field}" should be a string')
    return value


def _flag(body: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f'Field "{name}" should be a Boolean')
    return value


def _number(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest(f'Field "{name}" should be an integer')
    if not 0 <= value < 2**62:
        raise ParameterOutOfRange(f'Field "{name}" should be a positive integer')
    return value


def _constraint(body: Mapping[str, Any]) -> LabelsConstraint:
    if "LabelsConstraint" not in body:
        return LabelsConstraint.ALL
    value = _text(body, "LabelsConstraint")
    if value not in list(LabelsConstraint):
        raise ParameterOutOfRange('Field "LabelsConstraint" must be "All", "Any", or "None"')
    return LabelsConstraint(value)


def _order(body: Mapping[str, Any], config: Config) -> tuple[Order, ...]:
    entries = body.get("OrderBy", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadRequest('Field "OrderBy" should be a list of JSON objects')
    if len(entries) > limits.SEARCH_ORDERS:
        raise ParameterOutOfRange(f'Field "OrderBy" has more than {limits.SEARCH_ORDERS} members')
    return tuple(_one_order(entry, config) for entry in entries)


def _one_order(entry: Mapping[str, Any], config: Config) -> Order:
    kind, key, direction = (_member(entry, name) for name in ("Type", "Key", "Direction"))
    if direction not in _DIRECTIONS:
        raise ParameterOutOfRange('Field "Direction" of "OrderBy" must be "ASC" or "DESC"')
    descending = _DIRECTIONS[direction]
    match kind:
        case "DicomTag":
            return Order(tag_of(key), descending=descending)
        case "Metadata" | "MetadataAsInt":
            number = metadata_number(config, key)
            return Order("", number, kind == "MetadataAsInt", descending)
    raise ParameterOutOfRange(
        'Field "Type" of "OrderBy" must be "DicomTag", "Metadata" or "MetadataAsInt"'
    )


def _member(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str):
        raise BadRequest(f'Field "{name}" of "OrderBy" is missing, or should be a string')
    return value
