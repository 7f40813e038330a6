"""POST /tools/create-dicom: instances made of tags, pictures, documents and videos."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.dicom.creating.order import order_of
from wherry.editing.creation import Creation
from wherry.errors import Unavailable
from wherry.http.answers import json_answer
from wherry.http.auth import remote_ip, username
from wherry.http.body import is_gzip, pump
from wherry.http.inflate import Inflating
from wherry.http.longtexts import LongTexts
from wherry.http.services import Services, services
from wherry.http.spool import Spool
from wherry.http.threads import in_thread
from wherry.model import Level, Origin
from wherry.rest import rendering


def routes() -> list[Route]:
    """The one route."""
    return [Route("/tools/create-dicom", create, methods=["POST"])]


async def create(request: Request) -> Response:
    """POST /tools/create-dicom: one instance, or a series of them; as an upload answers."""
    rooms = services(request)
    limit = max(2 * rooms.config.wherry.maximum_instance_bytes, limits.ZIP_BODY_BYTES)
    folder = rooms.config.storage_directory
    spool = await in_thread(Spool, folder, limit, rooms.storage.free_bytes)
    try:
        texts = LongTexts(spool)
        decoder = Inflating(texts.write, limit) if is_gzip(request) else None
        await pump(request, texts.write if decoder is None else decoder.write, limit)
        if decoder is not None:
            await in_thread(decoder.finish)
    except BaseException:
        spool.close()
        raise
    origin = Origin("RestApi", remote_ip(request.scope), username(request.scope))
    try:
        return json_answer(await rooms.drawing.make(partial(_create, rooms, texts, origin)))
    except Unavailable:  # nobody has begun
        spool.close()
        raise


def _create(rooms: Services, texts: LongTexts, origin: Origin) -> dict[str, Any]:
    """In a thread, which closes the spool: nobody else may while it works."""
    creation = Creation(
        rooms.index, rooms.storage, rooms.ingest, rooms.imaging, rooms.config.dicom_aet
    )
    try:
        order = order_of(texts.finish(), texts.blob)
        stored = creation.create(order, texts.spool.fileno(), origin)
    finally:
        texts.spool.close()
    if not order.is_series:
        return rendering.stored(stored[0])
    series = stored[0].identifiers.series
    path = f"/{Level.SERIES.plural}/{series}"
    return {"ID": series, "Path": path, "Status": "Success"}
