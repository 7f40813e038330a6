"""Metadata of resources at all four levels: short texts by name or number (rest-api §7).

Numbers below 1024 are the server's own and only read here.
"""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.errors import BadRequest, UnknownResource
from wherry.http.answers import TEXT, Answer, empty_answer, json_answer
from wherry.http.body import is_gzip, read_body
from wherry.http.inflate import inflate
from wherry.http.routing import quick
from wherry.http.services import services
from wherry.http.threads import in_thread
from wherry.index import metadata
from wherry.index.metadata import Entry
from wherry.model import Level
from wherry.rest.arguments import flag
from wherry.rest.names import metadata_name, metadata_number, of_user
from wherry.rest.revisions import claimed, claimed_by_removal, not_modified, tag_header


def routes() -> list[Route]:
    """Routes of all levels."""
    found: list[Route] = []
    for level in Level:
        root = f"/{level.plural}/{{id}}/metadata"
        one = f"{root}/{{name}}"
        found += [
            Route(root, partial(listing, level=level)),
            Route(one, partial(single, level=level), methods=["GET"]),
            Route(one, partial(put, level=level), methods=["PUT"]),
            Route(one, partial(delete, level=level), methods=["DELETE"]),
        ]
    return found


@quick
def listing(request: Request, level: Level) -> Response:
    """GET /{level}/{id}/metadata: names in the order of their numbers; ``?numeric`` numbers,
    ``?expand`` values."""
    entries = _entries(request, level)
    numeric, expand = flag(request, "numeric"), flag(request, "expand")
    numbers = sorted(entries)
    if numeric and not expand:
        return json_answer(numbers)
    config = services(request).config
    names = [str(number) if numeric else metadata_name(config, number) for number in numbers]
    if not expand:
        return json_answer(names)
    return json_answer(
        {name: entries[number].value for name, number in zip(names, numbers, strict=True)}
    )


@quick
def single(request: Request, level: Level) -> Response:
    """GET /{level}/{id}/metadata/{name}: its text; 404 without a body when it is not set."""
    number = metadata_number(services(request).config, request.path_params["name"])
    entry = _entries(request, level).get(number)
    if entry is None:
        return empty_answer(404)
    state = entry.state
    return not_modified(request, state) or Answer(
        entry.value.encode(), 200, TEXT, tag_header(state)
    )


async def put(request: Request, level: Level) -> Response:
    """PUT /{level}/{id}/metadata/{name}: the body is the new text."""
    config = services(request).config
    number = metadata_number(config, request.path_params["name"])
    if not of_user(number):
        return empty_answer(403)
    expected = claimed(request)
    value = await _text(request)
    state = await in_thread(
        services(request).index.write,
        partial(
            metadata.put,
            level=level,
            orthanc_id=request.path_params["id"],
            number=number,
            value=value,
            claimed=expected,
            required=config.check_revisions,
        ),
    )
    return empty_answer(200, tag_header(state))


def delete(request: Request, level: Level) -> Response:
    """DELETE /{level}/{id}/metadata/{name}."""
    rooms = services(request)
    number = metadata_number(rooms.config, request.path_params["name"])
    if not of_user(number):
        return empty_answer(403)
    required = rooms.config.check_revisions
    rooms.index.write(
        partial(
            metadata.remove,
            level=level,
            orthanc_id=request.path_params["id"],
            number=number,
            claimed=claimed_by_removal(request, required=required),
            required=required,
        )
    )
    return empty_answer()


def _entries(request: Request, level: Level) -> dict[int, Entry]:
    with services(request).index.read() as tx:
        entries = metadata.of_one(tx, level, request.path_params["id"])
    if entries is None:
        raise UnknownResource
    return entries


async def _text(request: Request) -> str:
    """The body. Raises ``BadRequest`` for what no database keeps as a text: Orthanc asks for UTF-8
    that ends at a NUL character, but takes anything."""
    body = await read_body(request, limits.METADATA_BYTES)
    if is_gzip(request):
        body = inflate(body, limits.METADATA_BYTES)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise BadRequest("Metadata must be UTF-8; other bytes belong into an attachment") from None
    if "\0" in text:
        raise BadRequest("Metadata cannot hold a NUL character; use an attachment")
    return text
