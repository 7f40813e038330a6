"""Bodies of queries to modalities: JSON in, questions out; wrong ones in the words of Orthanc.

Not here: what is done with them (``queries``, ``asking``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from wherry import limits
from wherry.dicom.attributes import Attribute, vr_of
from wherry.dicom.tags import tag_of
from wherry.errors import BadFileFormat, BadParameterType, ParameterOutOfRange, UnknownDicomTag
from wherry.modalities.asking.identifiers import check_number
from wherry.modalities.asking.levels import level_of
from wherry.modalities.asking.querying import Question

_TIMEOUT_S: Final = 24 * 3600

type_body = dict[str, Any]


def read_object(body: bytes) -> type_body:
    """A JSON object. Raises ``BadFileFormat``."""
    found = parsed(body)
    if found is None:
        raise BadFileFormat("Must provide a JSON object")
    return found


def parsed(body: bytes) -> type_body | None:
    """The JSON object that a body is, or None."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def question(body: type_body) -> Question:
    """Of ``/modalities/{}/query``. Raises ``BadFileFormat``, ``ParameterOutOfRange``."""
    level = body.get("Level")
    if not isinstance(level, str):
        raise BadFileFormat("The JSON body must contain field Level")
    level_of(level)
    return Question(
        level,
        query_of(body),
        normalize=_normalize(body),
        local_aet=local_aet_of(body),
        timeout_s=timeout_of(body),
    )


def query_of(body: type_body) -> dict[int, str]:
    """Tag → text of the member ``Query``. Raises ``BadFileFormat``, ``ParameterOutOfRange``."""
    values = body.get("Query", {})
    if not isinstance(values, dict):
        raise BadFileFormat("The field Query must contain a JSON object")
    if not all(isinstance(value, str) for value in values.values()):
        raise _not_tags_to_strings()
    try:
        return texts_of(values)
    except UnknownDicomTag:
        raise _not_tags_to_strings() from None


def texts_of(values: Mapping[str, Any]) -> dict[int, str]:
    """Tag → text; numbers are taken as texts. Raises ``UnknownDicomTag``, ``BadFileFormat``,
    ``ParameterOutOfRange``."""
    _bound(len(values))
    found = {}
    for name, value in sorted(values.items()):
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise BadFileFormat
        found[_tag(name)] = _text(str(value))
    return found


def worklist_query(body: type_body) -> dict[int, Attribute]:
    """Of ``/modalities/{}/find-worklist``: tags, with lists of objects for sequences, alone or as
    the member ``Query``. Raises ``UnknownDicomTag``, ``BadParameterType``, ``BadFileFormat``."""
    values = body.get("Query", body)
    if not isinstance(values, dict):
        raise BadParameterType
    return _Worklist().data_set(values)


def local_aet_of(body: type_body) -> str:
    """The title that the client wants us to have; "" = the usual one. Raises ``BadFileFormat``."""
    title = body.get("LocalAet", "")
    if not isinstance(title, str):
        raise BadFileFormat("The field LocalAet must contain a string")
    return title


def timeout_of(body: type_body) -> int | None:
    """Seconds; None = not said. Raises ``BadFileFormat``, ``ParameterOutOfRange``."""
    if "Timeout" not in body:
        return None
    value = body["Timeout"]
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadFileFormat("Integer value expected in field: Timeout")
    if value < 0:
        raise BadFileFormat("Unsigned integer value expected in field: Timeout")
    if value > _TIMEOUT_S:
        raise ParameterOutOfRange(f"A timeout has at most {_TIMEOUT_S} seconds")
    return value


class _Worklist:
    """Counts the keys, those in sequences too. Sequences are as deep as JSON may be."""

    def __init__(self) -> None:
        self._count = 0

    def data_set(self, values: type_body, depth: int = 0) -> dict[int, Attribute]:
        self._count += len(values)
        _bound(self._count)
        if depth > limits.DICOM_NESTING:
            raise ParameterOutOfRange(f"Sequences are at most {limits.DICOM_NESTING} deep")
        found = {_tag(name): value for name, value in sorted(values.items())}
        return {tag: self._attribute(tag, value, depth) for tag, value in sorted(found.items())}

    def _attribute(self, tag: int, value: object, depth: int) -> Attribute:
        vr = vr_of(tag)
        if vr == "SQ" and isinstance(value, list) and all(isinstance(i, dict) for i in value):
            return Attribute(vr, tuple(self.data_set(item, depth + 1) for item in value))
        if vr == "SQ" and value in (None, ""):
            return Attribute(vr, ())
        if vr == "SQ" or not (value is None or isinstance(value, str)):
            name = f"{tag >> 16:04x},{tag & 0xFFFF:04x}"
            raise BadParameterType(f"Bad Parameter type for tag {name}")
        found = Attribute(vr, _text(value or ""))
        check_number(tag, found)
        return found


def _normalize(body: type_body) -> bool:
    value = body.get("Normalize", True)
    if not isinstance(value, bool):
        raise BadFileFormat("The field Normalize must contain a Boolean")
    return value


def _tag(name: str) -> int:
    return int(tag_of(name).replace(",", ""), 16)


def _text(value: str) -> str:
    if len(value) > limits.SEARCH_TEXT_CHARACTERS:
        raise ParameterOutOfRange(f"A value has at most {limits.SEARCH_TEXT_CHARACTERS} letters")
    return value


def _bound(count: int) -> None:
    if count > limits.QUERY_TAGS:
        raise ParameterOutOfRange(f"A query has at most {limits.QUERY_TAGS} tags")


def _not_tags_to_strings() -> BadFileFormat:
    return BadFileFormat("Associative array of DICOM tags to strings expected in field: Query")
