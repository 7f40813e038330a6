"""What stands behind the question mark of a URL, in the ways Orthanc reads it.

Unknown arguments are ignored. Flags are read like those of every face (``http.arguments``).
"""

from __future__ import annotations

from starlette.requests import Request

from wherry.errors import BadParameterType
from wherry.http.arguments import flag

__all__ = ["flag", "number", "parsed_number"]

_BIGGEST = 2**63


def number(request: Request, name: str) -> int | None:
    """A number from 0, or None when it is not said. Raises ``BadParameterType``."""
    text = request.query_params.get(name)
    if text is None:
        return None
    value = parsed_number(text)
    if value is None:
        raise BadParameterType("Syntax error in some user-supplied data")
    return value


def parsed_number(text: str) -> int | None:
    """The number from 0 that ``text`` spells in decimal digits, or None."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        return None
    value = int(text)
    return value if value < _BIGGEST else None
