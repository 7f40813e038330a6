"""One instance, modified or anonymized: the answer is the DICOM file, nothing is stored.

Not here: the other levels, which are jobs.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import __version__, limits
from wherry.dicom.editing.editor import Editor
from wherry.dicom.editing.profiles import DEFAULT_EDITION
from wherry.dicom.editing.rules import rules_of
from wherry.editing.making import Edited
from wherry.editing.recoding import Recoding
from wherry.editing.seeds import draw_seed
from wherry.errors import BadFileFormat
from wherry.http.answers import DICOM, Answer
from wherry.http.body import read_json
from wherry.http.pieces import pieces_answer, type_pieces
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.rest.modification import quality_in
from wherry.rest.stored import dicom_file, mapped


def routes() -> list[Route]:
    """/instances/{id}/modify and /anonymize."""
    return [
        Route("/instances/{id}/modify", modify, methods=["POST"]),
        Route("/instances/{id}/anonymize", anonymize, methods=["POST"]),
    ]


async def modify(request: Request) -> Response:
    """POST /instances/{id}/modify: the file with ``Replace``, ``Remove`` and ``Keep`` done."""
    return await _answer(request, anonymize=False)


async def anonymize(request: Request) -> Response:
    """POST /instances/{id}/anonymize: the file without what identifies (PS3.15 Annex E)."""
    return await _answer(request, anonymize=True)


async def _answer(request: Request, *, anonymize: bool) -> Response:
    body = await read_json(request)
    if not isinstance(body, dict):
        raise BadFileFormat
    orthanc_id = request.path_params["id"]
    rooms = services(request)
    run = rooms.drawing.make if body.get("Transcode") else in_thread
    return await run(partial(_edited, rooms, orthanc_id, body, anonymize=anonymize))


def _edited(rooms: Services, orthanc_id: str, body: dict[str, Any], *, anonymize: bool) -> Response:
    attachment = dicom_file(rooms, orthanc_id)
    rules = rules_of(body, None, anonymize=anonymize, default_profile=DEFAULT_EDITION)
    quality = quality_in(body)
    secret = rooms.config.wherry.anonymization_secret
    pseudonyms = draw_seed(rooms.index, secret, rules).pseudonyms(secret)
    with ExitStack() as opening:
        data = opening.enter_context(mapped(rooms, attachment))
        edited: Edited = Editor(rules, pseudonyms, __version__).edit(data)
        if rules.transcode:
            edited = Recoding(rooms.transcoder).whole(edited, rules.transcode, quality)
        if edited.size <= limits.MIB:
            return Answer(b"".join(edited.pieces()), 200, DICOM)
        opened = opening.pop_all()

    def pieces() -> type_pieces:
        with opened:
            for piece in edited.pieces():
                yield bytes(piece)

    return pieces_answer(pieces(), DICOM, size=edited.size)
