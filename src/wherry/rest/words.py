"""Request bodies of one word: a level, a switch, a name.

Not here: which words are right.
"""

from __future__ import annotations

from starlette.requests import Request

from wherry import limits
from wherry.errors import BadFileFormat
from wherry.http.body import read_body

_SWITCHES = {"1": True, "true": True, "0": False, "false": False}


async def read_word(request: Request) -> str:
    """The body as text; what is not UTF-8 in it is replaced. Raises ``TooLarge``."""
    body = await read_body(request, limits.SETTING_BYTES)
    return body.decode(errors="replace")


async def read_switch(request: Request) -> bool:
    """``0``, ``1``, ``false`` or ``true``, spaces around it allowed. Raises ``BadFileFormat``."""
    value = _SWITCHES.get((await read_word(request)).strip())
    if value is None:
        raise BadFileFormat("Boolean value expected")
    return value
