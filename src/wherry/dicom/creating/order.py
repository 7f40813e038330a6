"""What a request to create instances asks for, checked as far as it can be without the archive.

What: the fields of the body, with the status and the code that Orthanc has for each mistake. There
are two forms: with ``Tags``, and the old one, in which the body is the tags.
Not here: whether a tag may be given beside those of a parent (``draft``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from wherry import limits
from wherry.dicom.charsets import is_known
from wherry.dicom.creating.datauri import Blob
from wherry.dicom.editing.paths import tag_number
from wherry.dicom.elements import PIXEL_DATA
from wherry.errors import (
    BadParameterType,
    BadRequest,
    NoContent,
    NoDataUri,
    NoSuchParent,
    NotAString,
    ParameterOutOfRange,
    PixelsAsTag,
    TooLarge,
)

CHARACTER_SET: Final = 0x00080005
_META_GROUP: Final = 2
_DOCUMENT: Final = 0x00420011

type_tags = dict[int, Any]
"""Tag → value as JSON has it, or ``Blob``."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One instance."""

    tags: type_tags
    """Its own, beside those of ``Order``."""
    content: Blob | None


@dataclass(frozen=True, slots=True)
class Order:
    """One request."""

    tags: type_tags
    """Of all instances, without the character set."""
    charset: str | None
    """Value of (0008,0005), if one is asked for."""
    instances: tuple[Wanted, ...]
    is_series: bool
    """Whether the contents are a list."""
    parent: str | None = None
    """Orthanc identifier."""
    force: bool = False
    """Whether identifiers and inherited tags may be given."""
    encapsulate: bool = False
    """Whether the content is to be kept as it is."""
    interprets: bool = True
    """Whether data URIs in tags are bytes."""
    private_creator: str = ""
    is_flat: bool = False
    """The old form: neither dates nor a character set are added."""


def order_of(body: Any, blob_of: Callable[[str], Blob]) -> Order:
    """``blob_of`` decodes a content; it raises ``BadFileFormat``.

    Raises ``BadRequest``, ``CannotCreate``, ``BadParameterType``, ``ParameterOutOfRange``,
    ``UnknownDicomTag``, ``TooLarge``.
    """
    if not isinstance(body, dict):
        raise BadRequest
    if "Tags" not in body:
        return _flat(body, blob_of)
    parent = body.get("Parent")
    if "Parent" in body and not isinstance(parent, str):
        raise NoSuchParent
    tags, charset = _tags(body["Tags"])
    creator = body.get("PrivateCreator", "")
    if not isinstance(creator, str):
        raise BadRequest
    content = body.get("Content", [])
    if isinstance(content, list) and content:
        instances = _series(content, blob_of)
    else:
        instances = (Wanted({}, None if content == [] else _blob(content, blob_of)),)
    _check_values([tags, *(one.tags for one in instances)])
    return Order(
        tags,
        charset,
        instances,
        isinstance(content, list) and bool(content),
        parent,
        _flag(body, "Force"),
        _flag(body, "Encapsulate"),
        _flag(body, "InterpretBinaryTags", default=True),
        creator,
    )


def _flat(body: Mapping[str, Any], blob_of: Callable[[str], Blob]) -> Order:
    if not all(isinstance(value, str | Blob) for value in body.values()):
        raise NotAString
    tags: type_tags = {}
    content, charset = None, None
    for name, value in body.items():
        tag = tag_number(name)
        if tag in (PIXEL_DATA, _DOCUMENT):
            content = _blob(value, blob_of)
        elif tag == CHARACTER_SET:
            charset = _charset(value)
        elif _is_settable(tag):
            tags[tag] = value
    _check_values([tags])
    return Order(tags, charset, (Wanted({}, content),), False, force=True, is_flat=True)


def _series(contents: list[Any], blob_of: Callable[[str], Blob]) -> tuple[Wanted, ...]:
    if len(contents) > limits.CREATED_INSTANCES:
        raise TooLarge(f"More than {limits.CREATED_INSTANCES} instances")
    found = []
    for one in contents:
        tags: type_tags = {}
        if isinstance(one, dict):
            if "Content" not in one:
                raise NoContent
            tags = _tags(one.get("Tags", {}))[0]
            one = one["Content"]
        found.append(Wanted(tags, _blob(one, blob_of)))
    return tuple(found)


def _tags(values: Any) -> tuple[type_tags, str | None]:
    """The tags, and the character set."""
    if not isinstance(values, dict):
        raise BadRequest
    found: type_tags = {}
    charset = None
    for name, value in values.items():
        tag = tag_number(name)
        if tag == PIXEL_DATA:
            raise PixelsAsTag
        if tag == CHARACTER_SET:
            charset = _charset(value)
        elif _is_settable(tag):
            found[tag] = value
    return found, charset


def _is_settable(tag: int) -> bool:
    """File meta information and group lengths follow by themselves."""
    return bool(tag & 0xFFFF) and tag >> 16 > _META_GROUP


def _charset(value: Any) -> str:
    if not isinstance(value, str):
        raise BadParameterType
    if not value.strip() or not is_known(value):
        raise ParameterOutOfRange(f"Unknown specific character set: {value[:64]}")
    return value


def _blob(content: Any, blob_of: Callable[[str], Blob]) -> Blob:
    if isinstance(content, Blob):
        return content
    if not isinstance(content, str):
        raise NoDataUri
    return blob_of(content)


def blobs(values: Any) -> Iterator[tuple[Any, Any, Blob]]:
    """Where ``Blob`` are in these tags, at whatever depth: container, key, and what is there."""
    waiting = [values]
    while waiting:
        node = waiting.pop()
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if isinstance(value, Blob):
                yield node, key, value
            elif isinstance(value, dict | list):
                waiting.append(value)


def _check_values(all_tags: list[type_tags]) -> None:
    if sum(blob.size for _, _, blob in blobs(all_tags)) > limits.CREATED_VALUES_BYTES:
        raise TooLarge(f"Values of tags have more than {limits.CREATED_VALUES_BYTES} bytes")


def _flag(body: Mapping[str, Any], field: str, *, default: bool = False) -> bool:
    value = body.get(field, default)
    if not isinstance(value, bool):
        raise BadRequest
    return value
