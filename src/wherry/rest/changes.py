"""The log of changes, read page by page."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.http.answers import json_answer
from wherry.http.services import services
from wherry.index import changes
from wherry.rest import rendering
from wherry.rest.arguments import flag, parsed_number

_DEFAULT_PAGE = 100


def routes() -> list[Route]:
    """The one route."""
    return [Route("/changes", page)]


def page(request: Request) -> Response:
    """GET /changes, ``?since``, ``?limit``, ``?last``; what is no number is ignored."""
    index = services(request).index
    if flag(request, "last"):
        with index.read() as tx:
            newest = changes.last(tx)
            _, _, seq = changes.page(tx, 0, 0)
        found = [] if newest is None else [rendering.change(newest)]
        return json_answer({"Changes": found, "Done": True, "Last": newest.seq if newest else seq})
    since = parsed_number(request.query_params.get("since", "")) or 0
    limit = _limit(request.query_params.get("limit", ""))
    with index.read() as tx:
        rows, done, last = changes.page(tx, since, limit)
    return json_answer(
        {"Changes": [rendering.change(row) for row in rows], "Done": done, "Last": last}
    )


def _limit(text: str) -> int:
    if text.startswith("-") and parsed_number(text[1:]) is not None:
        return 0  # a negative limit gives an empty page
    limit = parsed_number(text)
    return _DEFAULT_PAGE if limit is None else min(limit, limits.CHANGES_PAGE)
