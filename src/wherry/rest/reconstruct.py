"""Describing resources anew from their files: one with all below it, or everything."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.errors import BadFileFormat, BadRequest
from wherry.http.answers import empty_answer
from wherry.http.body import read_body
from wherry.http.services import services
from wherry.http.threads import in_thread
from wherry.model import Level


def routes() -> list[Route]:
    """Routes of all levels, and of the whole store."""
    one = [
        Route(f"/{level.plural}/{{id}}/reconstruct", partial(single, level=level), methods=["POST"])
        for level in Level
    ]
    return [*one, Route("/tools/reconstruct", everything, methods=["POST"])]


async def single(request: Request, level: Level) -> Response:
    """POST /{level}/{id}/reconstruct, with ``LimitToThisLevelMainDicomTags``."""
    only = _flags(await read_body(request, limits.JSON_BODY_BYTES))
    await in_thread(
        services(request).ingest.reconstruction.one,
        level,
        request.path_params["id"],
        only_this_level=only,
    )
    return empty_answer()


async def everything(request: Request) -> Response:
    """POST /tools/reconstruct."""
    _flags(await read_body(request, limits.JSON_BODY_BYTES))
    await in_thread(services(request).ingest.reconstruction.everything)
    return empty_answer()


def _flags(body: bytes) -> bool:
    """``LimitToThisLevelMainDicomTags``. ``ReconstructFiles`` is taken and does nothing: files stay
    as they were received."""
    if not body.strip():
        return False
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadFileFormat("The body must contain a JSON object") from None
    if not isinstance(found, dict):
        raise BadFileFormat("The body must contain a JSON object")
    values = [
        found.get(name, False) for name in ("LimitToThisLevelMainDicomTags", "ReconstructFiles")
    ]
    if not all(isinstance(value, bool) for value in values):
        raise BadRequest("Boolean values expected in the body")
    return bool(values[0])
