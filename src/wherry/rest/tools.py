"""Small tools: the time, identifiers, the encoding of files that do not say theirs.

Not here: searches (``search``), figures (``metrics``), the end of the server (``lifecycle``).
"""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import clock, limits
from wherry.dicom import charsets
from wherry.http.answers import empty_answer, json_answer, text_answer
from wherry.http.body import read_body
from wherry.http.services import services
from wherry.model import Level
from wherry.rest import conformance
from wherry.rest.words import read_word

_PATH = "/tools/"


def routes() -> list[Route]:
    """Routes below /tools that belong to no other theme."""
    return [
        Route("/tools", listing),
        Route("/tools/now", now),
        Route("/tools/now-local", now_local),
        Route("/tools/generate-uid", generate_uid),
        Route("/tools/default-encoding", default_encoding, methods=["GET"]),
        Route("/tools/default-encoding", set_default_encoding, methods=["PUT"]),
        Route("/tools/dicom-conformance", dicom_conformance),
        Route("/tools/invalidate-tags", invalidate_tags, methods=["POST"]),
        Route("/tools/execute-script", execute_script, methods=["POST"]),
    ]


async def listing(request: Request) -> Response:
    """GET /tools: names of all tools."""
    paths = (route.path for route in request.app.routes)
    names = {path.removeprefix(_PATH) for path in paths if path.startswith(_PATH)}
    return json_answer(sorted(name for name in names if "/" not in name))


async def now(request: Request) -> Response:
    """GET /tools/now: the time in UTC."""
    return text_answer(clock.orthanc_date(clock.now()))


async def now_local(request: Request) -> Response:
    """GET /tools/now-local: the time of this machine."""
    return text_answer(clock.now().astimezone().strftime("%Y%m%dT%H%M%S"))


async def generate_uid(request: Request) -> Response:
    """GET /tools/generate-uid: a new DICOM UID (PS3.5 §B.2), or a new PatientID.

    404 without a body for a level that there is not.
    """
    levels = {level.title.lower(): level for level in Level}
    level = levels.get(request.query_params.get("level", ""))
    if level is None:
        return empty_answer(404)
    uuid = clock.new_uuid()
    return text_answer(uuid if level is Level.PATIENT else f"2.25.{UUID(uuid).int}")


async def default_encoding(request: Request) -> Response:
    """GET /tools/default-encoding: assumed of files that name no character set."""
    return text_answer(charsets.default())


async def set_default_encoding(request: Request) -> Response:
    """PUT /tools/default-encoding: another one, until the server begins anew; its name."""
    charsets.set_default(await read_word(request))
    return text_answer(charsets.default())


def dicom_conformance(request: Request) -> Response:
    """GET /tools/dicom-conformance: what is stored and spoken here, as a text."""
    return text_answer(conformance.statement(services(request).config))


async def invalidate_tags(request: Request) -> Response:
    """POST /tools/invalidate-tags: nothing is cached here that could be dropped."""
    return empty_answer()


async def execute_script(request: Request) -> Response:
    """POST /tools/execute-script: 403 without a body; with ``ExecuteLuaEnabled`` an empty answer,
    because no script is ever run."""
    await read_body(request, limits.JSON_BODY_BYTES)
    enabled = services(request).config.execute_lua_enabled
    return empty_answer(200 if enabled else 403)
