"""The log of exports, read page by page."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.http.answers import empty_answer, json_answer
from wherry.http.services import services
from wherry.index import exports
from wherry.index.exports import Export
from wherry.rest import rendering
from wherry.rest.arguments import flag, parsed_number

_DEFAULT_PAGE = 100
_NAMES: Final = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def routes() -> list[Route]:
    """The one route."""
    return [
        Route("/exports", page, methods=["GET"]),
        Route("/exports", clear, methods=["DELETE"]),
    ]


def page(request: Request) -> Response:
    """GET /exports, ``?since``, ``?limit``; or ``?last``. What is no number is ignored."""
    arguments = request.query_params
    since = parsed_number(arguments.get("since", "")) or 0
    limit = _limit(arguments.get("limit", ""))
    with services(request).index.read() as tx:
        if flag(request, "last"):
            newest = exports.last(tx)
            found, done, last = ([newest], True, newest.seq) if newest else ([], True, 0)
        else:
            found, done, last = exports.page(tx, since, max(limit, 0))
    return json_answer(
        {"Exports": [_line(one) for one in found], "Done": done or limit < 0, "Last": last}
    )


def clear(request: Request) -> Response:
    """DELETE /exports: the log is empty, its numbering goes on."""
    services(request).index.write(exports.clear)
    return empty_answer()


def _limit(text: str) -> int:
    if text.startswith("-") and parsed_number(text[1:]) is not None:
        return -1
    limit = parsed_number(text)
    return _DEFAULT_PAGE if limit is None else min(limit, limits.CHANGES_PAGE)


def _line(of: Export) -> dict[str, Any]:
    return {
        "Seq": of.seq,
        "Date": of.date,
        "ResourceType": of.level.title,
        "ID": of.orthanc_id,
        "Path": rendering.path(of.level, of.orthanc_id),
        "RemoteModality": of.remote,
        **dict(zip(_NAMES, of.identifiers, strict=False)),
    }
