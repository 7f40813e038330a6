"""The matches of a search whose candidates are looked at one by one, for a client over HTTP.

The search ends when its client has gone. Not here: how it looks (``http.searching``).
"""

from __future__ import annotations

from contextlib import aclosing

from starlette.requests import ClientDisconnect, Request

from wherry.http.searching import portions
from wherry.http.services import Services
from wherry.index.search_plan import Plan


async def matches(request: Request, rooms: Services, plan: Plan, wanted: int) -> list[str]:
    """Identifiers of the first ``wanted`` matches (0: all), sorted.

    Raises as ``searching.portions``, and ``ClientDisconnect`` when nobody waits any more.
    """
    found: list[str] = []
    async with aclosing(portions(rooms, plan)) as searched:
        async for portion in searched:
            found += [one.orthanc_id for one in portion]
            if wanted and len(found) >= wanted:
                return found[:wanted]
            if await request.is_disconnected():
                raise ClientDisconnect
    return found
