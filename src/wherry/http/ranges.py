"""Which bytes of a file a request wants: ``Range`` and ``If-Range`` (RFC 9110 §14), one range.

Several ranges in one request are answered with the whole file, as the RFC allows: nobody needs
``multipart/byteranges``, and it is a known way to make a server work hard for a small request.

Not here: what lies in the file, and the answer (``answers.content_answer``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request

from wherry.errors import RangeNotSatisfiable

_ONE_RANGE = re.compile(
    rb"bytes[ \t]*=[ \t,]*(\d{0,19})[ \t]*-[ \t]*(\d{0,19})[ \t,]*", re.ASCII | re.I
)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Part of a file of ``total`` bytes; ``size`` is at least 1."""

    offset: int
    size: int
    total: int

    @property
    def content_range(self) -> str:
        """Value of ``Content-Range``."""
        return f"bytes {self.offset}-{self.offset + self.size - 1}/{self.total}"


def range_of(request: Request, total: int, tag: str = "") -> ByteRange | None:
    """The bytes that are asked for of a file of ``total`` bytes; None = all of them.

    ``tag``: the entity tag of the file, in its quotes. ``If-Range`` with another one asks for the
    whole file. Raises ``RangeNotSatisfiable``.
    """
    asked = condition = None
    for name, value in request.scope["headers"]:
        if name == b"range":
            asked = value
        elif name == b"if-range":
            condition = value
    if asked is None or (condition is not None and condition.strip() != tag.encode("latin-1")):
        return None
    found = _ONE_RANGE.fullmatch(asked.strip())
    if found is None or not (found[1] or found[2]):
        return None  # another unit, several ranges, or no range at all: ignored (§14.2)
    if found[1]:
        first = int(found[1])
        last = min(int(found[2]), total - 1) if found[2] else total - 1
        if found[2] and int(found[2]) < first:
            return None
    else:  # the last bytes
        first, last = max(0, total - int(found[2])), total - 1
    if first > last:
        raise RangeNotSatisfiable(f"The file has {total} bytes", total)
    return ByteRange(first, last - first + 1, total)


def tag_matches(header: str | None, tag: str) -> bool:
    """Whether ``If-None-Match`` (or ``If-Match``) names ``tag`` (RFC 9110 §13.1.2), weakly or not;
    ``*`` names every tag."""
    if not header or not tag:
        return False
    return any(
        candidate in ("*", tag) or candidate.removeprefix("W/") == tag
        for candidate in map(str.strip, header.split(","))
    )
