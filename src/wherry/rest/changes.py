"""The log of changes, read page by page: forwards after ``since``, backwards from ``to``.

Programs poll it all day, so its JSON is written here without a detour over values; the texts in it
are our own (identifiers, dates, names of types) and need no escaping.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.errors import ParameterOutOfRange
from wherry.http.answers import JSON, Answer, empty_answer
from wherry.http.routing import of_index, quick_when
from wherry.http.services import services
from wherry.index import changes
from wherry.index.database import Transaction
from wherry.model import ChangeType, Level
from wherry.rest.arguments import flag, parsed_number

_DEFAULT_PAGE = 100
_QUICK_PAGE = 200
"""A longer page takes more time than the event loop has."""

_NEVER_LOGGED: Final = frozenset({"Deleted", "NewChildInstance"})
"""Types that Orthanc knows, but does not log either."""

_LINE: Final = {
    (int(kind), int(level)): (
        f'    {{\n      "ChangeType": "{kind.name}",\n      "Date": "',
        f'",\n      "Path": "/{level.plural}/',
        f'",\n      "ResourceType": "{level.title}",\n      "Seq": ',
    )
    for kind in ChangeType
    for level in Level
}
"""The parts of one line of the log that do not change."""


def routes() -> list[Route]:
    """The one route."""
    return [
        Route("/changes", page, methods=["GET"]),
        Route("/changes", clear, methods=["DELETE"]),
    ]


def _short_page(request: Request) -> Response | None:
    """GET /changes when it takes no time."""
    if not request.scope["query_string"]:
        with services(request).index.read() as tx:
            return _answer(changes.page(tx, 0, _DEFAULT_PAGE))
    arguments = request.query_params
    if "type" in arguments or _limit(arguments) > _QUICK_PAGE:
        return None
    return page(request)


@of_index
@quick_when(_short_page)
def page(request: Request) -> Response:
    """GET /changes, ``?since``, ``?to``, ``?limit``, ``?type``; or ``?last``."""
    last = flag(request, "last")
    with services(request).index.read() as tx:
        found = changes.last(tx) if last else _page(tx, request.query_params)
    return _answer(found)


def clear(request: Request) -> Response:
    """DELETE /changes: the log is empty, its numbering goes on."""
    services(request).index.write(changes.clear)
    return empty_answer()


def _page(tx: Transaction, arguments: QueryParams) -> changes.Page:
    """What is no number is ignored."""
    since = parsed_number(arguments.get("since", ""))
    to = parsed_number(arguments.get("to", ""))
    types, limit = _types(arguments.get("type", "")), _limit(arguments)
    if limit < 0 or types is None:  # a negative limit is no error in Orthanc either
        return changes.nothing(tx)
    return changes.page(tx, since, limit, to=to, types=types)


def _limit(arguments: QueryParams) -> int:
    text = arguments.get("limit", "")
    if text.startswith("-") and parsed_number(text[1:]) is not None:
        return -1
    limit = parsed_number(text)
    return _DEFAULT_PAGE if limit is None else min(limit, limits.CHANGES_PAGE)


def _types(text: str) -> frozenset[ChangeType] | None:
    """The types that are named, none for all; None when no change can be of them.

    Raises ``ParameterOutOfRange`` for a name that is no type.
    """
    names = frozenset(filter(None, text.split(";")))
    if not names:
        return frozenset()
    try:
        found = frozenset(ChangeType[name] for name in names - _NEVER_LOGGED)
    except KeyError:
        raise ParameterOutOfRange("Unknown type of change") from None
    return found or None


def _answer(found: changes.Page) -> Response:
    lines = []
    for seq, kind, level, orthanc_id, date in found.rows:
        head, path, tail = _LINE[kind, level]
        lines.append(
            f'{head}{date}",\n      "ID": "{orthanc_id}{path}{orthanc_id}{tail}{seq}\n    }}'
        )
    listed = "[\n" + ",\n".join(lines) + "\n  ]" if lines else "[]"
    first = f',\n  "First": {found.rows[0][0]}' if lines else ""
    done = "true" if found.done else "false"
    body = f'{{\n  "Changes": {listed},\n  "Done": {done}{first},\n  "Last": {found.last}\n}}'
    return Answer(body.encode("ascii"), 200, JSON)
