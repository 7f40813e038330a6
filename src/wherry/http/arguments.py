"""Flags behind the question mark of a URL, in the way Orthanc reads them, for every face.

A flag is true by its presence, and its value may say otherwise.
"""

from __future__ import annotations

from starlette.requests import Request

from wherry.errors import BadParameterType

_BOOLEANS = {"": True, "true": True, "1": True, "false": False, "0": False}


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
