"""What a client wants to see of resources: which parts, and how tags are spelt.

Parsed here from URLs; bodies of searches say the same in other words and use the same functions.

Not here: the JSON itself (``rendering``), where what is asked for comes from (``expanding``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import lru_cache
from typing import Final

from starlette.requests import Request

from wherry import limits
from wherry.dicom.tags import tag_of
from wherry.errors import BadRequest, ParameterOutOfRange, UnknownDicomTag
from wherry.rest.arguments import flag


class Form(Enum):
    """How tags are spelt."""

    KEYWORD = "keyword"
    SHORT = "short"
    FULL = "full"


class Part(StrEnum):
    """Parts of a resource that ``response-content`` names."""

    MAIN_DICOM_TAGS = "MainDicomTags"
    METADATA = "Metadata"
    CHILDREN = "Children"
    PARENT = "Parent"
    LABELS = "Labels"
    STATUS = "Status"
    IS_STABLE = "IsStable"
    IS_PROTECTED = "IsProtected"
    ATTACHMENTS = "Attachments"
    REQUESTED_TAGS = "RequestedTags"


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of a resource is shown, and how."""

    form: Form = Form.KEYWORD
    requested: tuple[str, ...] = ()
    """Tags ``gggg,eeee`` for the member ``RequestedTags``, in the order asked for."""
    content: frozenset[str] | None = None
    """``response-content`` / ``ResponseContent``: the only parts shown; None = as usual."""
    metadata: bool = False
    """Whether metadata are shown although ``content`` is None."""

    @property
    def is_plain(self) -> bool:
        """Whether a ``Resource`` alone has all that is shown."""
        return self.content is None and not self.requested and not self.metadata

    @property
    def shows_metadata(self) -> bool:
        """Whether there is a member ``Metadata``."""
        return self.metadata if self.content is None else Part.METADATA in self.content

    @property
    def shows_attachments(self) -> bool:
        """Whether there is a member ``Attachments``."""
        return self.content is not None and Part.ATTACHMENTS in self.content


_USUAL: Final = Shape()


def shape_of(request: Request) -> Shape:
    """What a URL asks for: ``?short``, ``?full``, ``?requested-tags``, ``?response-content``.

    Raises ``BadRequest`` and its like.
    """
    if not request.scope["query_string"]:
        return _USUAL
    form = Form.KEYWORD
    if flag(request, "short"):
        form = Form.SHORT
    elif flag(request, "full"):
        form = Form.FULL
    asked = request.query_params
    tags = asked.get("requested-tags", asked.get("requestedTags"))
    content = asked.get("response-content")
    return Shape(
        form,
        requested_tags(tags.split(";")) if tags else (),
        None if content is None else parts(content.split(";")),
    )


def requested_tags(names: Iterable[str]) -> tuple[str, ...]:
    """The tags ``gggg,eeee`` behind these names, each once; empty names are ignored.

    Raises ``BadRequest`` for an unknown name, ``ParameterOutOfRange`` for too many.
    """
    words = dict.fromkeys(filter(None, (name.strip() for name in names)))
    if len(words) > limits.REQUESTED_TAGS:
        raise ParameterOutOfRange(f"At most {limits.REQUESTED_TAGS} tags can be requested")
    return tuple(dict.fromkeys(map(_tag, words)))


@lru_cache(maxsize=1024)
def _tag(name: str) -> str:
    try:
        return tag_of(name)
    except UnknownDicomTag:
        raise BadRequest(f"Unknown DICOM tag among the requested ones: {name[:64]}") from None


def parts(names: Iterable[str]) -> frozenset[str]:
    """The parts of a resource that these names stand for; empty names are ignored.

    Raises ``ParameterOutOfRange`` for an unknown name.
    """
    found = set()
    for name in filter(None, (name.strip() for name in names)):
        try:
            found.add(Part(name))
        except ValueError:
            raise ParameterOutOfRange(f"Unknown part of a resource: {name[:64]}") from None
    return frozenset(found)
