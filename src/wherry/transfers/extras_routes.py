"""What travels beside the instances, on the wire: only a Wherry has these routes."""

from __future__ import annotations

import asyncio

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.http.answers import PLAIN_JSON, Answer, literal_json
from wherry.http.auth import username
from wherry.http.body import pump, read_body, refuse_declared
from wherry.http.services import services
from wherry.http.threads import in_thread, run_in_thread
from wherry.transfers.extras import Names, enclose, parse, parse_question, render, resolve
from wherry.transfers.extras_reception import answer
from wherry.transfers.protocol import parse_bucket_index


def routes() -> list[Route]:
    """All of them."""
    return [
        Route("/transfers/extras", give, methods=["POST"]),
        Route("/transfers/push/{id}/extras", declare, methods=["POST"]),
        Route("/transfers/push/{id}/attachments/{position}", put_attachment, methods=["PUT"]),
    ]


async def give(request: Request) -> Response:
    """``POST /transfers/extras``: metadata, labels and attachments of users on instances, and on
    all above them; the bytes of attachments are where they always are."""
    body = await read_body(request, limits.PUSH_MANIFEST_BYTES)
    rooms = services(request)

    def look() -> bytes:
        wanted = parse_question(body, rooms.transfers.reception.quota.instances)
        found = rooms.transfers.source.extras(wanted)
        return render(enclose(found, Names.of(rooms.config)))

    return Answer(await in_thread(look), 200, PLAIN_JSON)


async def declare(request: Request) -> Response:
    """``POST /transfers/push/{id}/extras``: what the push brings beside its instances, in place of
    what was said before; which attachments are to be sent."""
    body = await read_body(request, limits.EXTRAS_BYTES)
    rooms, user = services(request), username(request.scope)

    def work() -> bytes:
        enclosures = parse(body)
        extras = resolve(enclosures, Names.of(rooms.config))
        reception = rooms.transfers.reception
        missing = reception.extras.declare(request.path_params["id"], enclosures, extras, user)
        return orjson.dumps(answer(missing), option=orjson.OPT_INDENT_2)

    return Answer(await in_thread(work), 200, PLAIN_JSON)


async def put_attachment(request: Request) -> Response:
    """``PUT /transfers/push/{id}/attachments/{position}``: the bytes of one, as they are."""
    reception = services(request).transfers.reception
    position = parse_bucket_index(request.path_params["position"])
    name, user = request.path_params["id"], username(request.scope)
    incoming = await in_thread(reception.extras.attachment, name, position, user)
    try:
        refuse_declared(request, incoming.size)
        await pump(request, incoming.write, incoming.size)
        await in_thread(incoming.finish)
    except BaseException:
        await asyncio.shield(run_in_thread(incoming.abort))
        raise
    return literal_json()
