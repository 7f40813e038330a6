"""How much the server logs, while it runs."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import logs
from wherry.errors import ParameterOutOfRange
from wherry.http.answers import empty_answer, text_answer
from wherry.logs import Verbosity
from wherry.rest.words import read_word


def routes() -> list[Route]:
    """Routes of the log levels: one for all categories, one for each."""
    found = [
        Route("/tools/log-level", level, methods=["GET"]),
        Route("/tools/log-level", set_level, methods=["PUT"]),
    ]
    for category in logs.CATEGORIES:
        path = f"/tools/log-level-{category}"
        found.append(Route(path, partial(level_of, category), methods=["GET"]))
        found.append(Route(path, partial(set_level_of, category), methods=["PUT"]))
    return found


async def level(request: Request) -> Response:
    """GET /tools/log-level: the most that is said in any category."""
    return text_answer(logs.highest_verbosity())


async def set_level(request: Request) -> Response:
    """PUT /tools/log-level: default, verbose or trace, in all categories."""
    logs.set_verbosity(await _said(request))
    return empty_answer()


async def level_of(category: str, request: Request) -> Response:
    """GET /tools/log-level-{category}: default, verbose or trace."""
    return text_answer(logs.verbosity_of(category))


async def set_level_of(category: str, request: Request) -> Response:
    """PUT /tools/log-level-{category}: default, verbose or trace, in one category."""
    logs.set_verbosity(await _said(request), [category])
    return empty_answer()


async def _said(request: Request) -> Verbosity:
    word = await read_word(request)
    try:
        return Verbosity(word)
    except ValueError:
        raise ParameterOutOfRange(
            f'Verbosity can be "default", "verbose" or "trace": {word}'
        ) from None
