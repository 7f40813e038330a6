"""Patients that are kept from recycling."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.errors import BadFileFormat
from wherry.http.answers import empty_answer, text_answer
from wherry.http.body import read_body
from wherry.http.routing import quick
from wherry.http.services import services
from wherry.http.threads import in_thread
from wherry.index import recycling

_VALUES: Final = {b"0": False, b"false": False, b"1": True, b"true": True}


def routes() -> list[Route]:
    """The one route."""
    path = "/patients/{id}/protected"
    return [Route(path, is_protected, methods=["GET"]), Route(path, protect, methods=["PUT"])]


@quick
def is_protected(request: Request) -> Response:
    """GET /patients/{id}/protected: ``0`` or ``1``."""
    with services(request).index.read() as tx:
        found = recycling.is_protected(tx, request.path_params["id"])
    return text_answer("1" if found else "0")


async def protect(request: Request) -> Response:
    """PUT /patients/{id}/protected: ``0``, ``1``, ``false`` or ``true``."""
    body = await read_body(request, limits.IDENTIFIER_BYTES)
    wanted = _VALUES.get(body.strip())
    if wanted is None:
        raise BadFileFormat("Boolean value expected")
    orthanc_id = request.path_params["id"]
    await in_thread(
        services(request).index.write, lambda tx: recycling.protect(tx, orthanc_id, wanted)
    )
    return empty_answer()
