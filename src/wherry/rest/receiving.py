"""What is taken from other DICOM systems, shown and changed until the server begins anew."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.errors import BadFileFormat, TooLarge
from wherry.http.answers import empty_answer, json_answer, text_answer
from wherry.http.services import services
from wherry.http.threads import in_thread
from wherry.rest.words import read_switch, read_word


def routes() -> list[Route]:
    """Routes of transfer syntaxes and SOP classes."""
    syntaxes, unknown = "/tools/accepted-transfer-syntaxes", "/tools/unknown-sop-class-accepted"
    return [
        Route(syntaxes, transfer_syntaxes, methods=["GET"]),
        Route(syntaxes, set_transfer_syntaxes, methods=["PUT"]),
        Route("/tools/accepted-sop-classes", sop_classes),
        Route(unknown, unknown_sop_class, methods=["GET"]),
        Route(unknown, set_unknown_sop_class, methods=["PUT"]),
    ]


async def transfer_syntaxes(request: Request) -> Response:
    """GET /tools/accepted-transfer-syntaxes: UIDs."""
    return json_answer(services(request).receiving.transfer_syntaxes)


async def set_transfer_syntaxes(request: Request) -> Response:
    """PUT /tools/accepted-transfer-syntaxes: UIDs with wildcards; the resulting UIDs.

    A JSON list of texts, or one as it is. An unknown name matches nothing, so that it may well
    leave an empty list, as in Orthanc.
    """
    patterns = _patterns(await read_word(request))
    receiving = services(request).receiving
    await in_thread(receiving.accept_transfer_syntaxes, patterns)
    return json_answer(receiving.transfer_syntaxes)


def sop_classes(request: Request) -> Response:
    """GET /tools/accepted-sop-classes: UIDs of storage classes."""
    return json_answer(services(request).receiving.sop_classes())


async def unknown_sop_class(request: Request) -> Response:
    """GET /tools/unknown-sop-class-accepted: 0 or 1."""
    return text_answer(str(int(services(request).receiving.unknown_sop_class_accepted)))


async def set_unknown_sop_class(request: Request) -> Response:
    """PUT /tools/unknown-sop-class-accepted: 0 or 1."""
    services(request).receiving.unknown_sop_class_accepted = await read_switch(request)
    return empty_answer()


def _patterns(body: str) -> list[str]:
    """The patterns of a body. Raises ``BadFileFormat`` for JSON that is something else."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = body.strip()
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise BadFileFormat("A list of UIDs is expected")
    if len(found) > limits.UID_PATTERNS or any(len(one) > limits.UID_PATTERN for one in found):
        raise TooLarge("Too many UIDs, or one that is too long")
    return found
