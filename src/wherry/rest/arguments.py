"""What stands behind the question mark of a URL, in the ways Orthanc reads it.

Unknown arguments are ignored; a flag is true by its presence, and its value may say otherwise.
"""

from __future__ import annotations

from starlette.requests import Request

from wherry.errors import BadParameterType

_BOOLEANS = {"": True, "true": True, "1": True, "false": False, "0": False}
_BIGGEST = 2**63


def flag(request: Request, name: str, *, default: bool = False) -> bool:
    """A flag such as ``?expand``; ``?expand=false`` is honoured, as by Orthanc since 1.12.2.

    Raises ``BadParameterType`` for any other text.
    """
    if not request.scope["query_string"]:
        return default
    text = request.query_params.get(name)
    if text is None:
        return default
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise BadParameterType(f"Boolean value expected in argument: {name}")
    return value


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
