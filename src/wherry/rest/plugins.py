"""The plugins that clients look for, for what is built in here."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import __version__
from wherry.http.answers import Answer, empty_answer, json_answer
from wherry.http.services import services
from wherry.model import type_json

_BUILT_IN = {
    "transfers": {
        "ID": "transfers",
        "Version": __version__,
        "Description": "Accelerates transfers of studies between servers (built into Wherry)",
        "ExtendsOrthancExplorer": False,
    },
}
_WORKLISTS = {
    "worklists": {
        "ID": "worklists",
        "Version": __version__,
        "Description": "Serves modality worklists (built into Wherry)",
        "ExtendsOrthancExplorer": False,
    },
}
_EXPLORER = b"// Extensions to Orthanc Explorer by the registered plugins\n\n"


def routes() -> list[Route]:
    """Routes of plugins."""
    return [
        Route("/plugins", listing),
        Route("/plugins/explorer.js", explorer),
        Route("/plugins/{id}", single),
    ]


async def listing(request: Request) -> Response:
    """GET /plugins: names; the first one always stands there."""
    return json_answer(["explorer.js", *sorted(_built_in(request))])


async def explorer(request: Request) -> Response:
    """GET /plugins/explorer.js: nothing to add to the pages of another server."""
    return Answer(_EXPLORER, 200, b"application/javascript")


async def single(request: Request) -> Response:
    """GET /plugins/{id}; 404 without a body when unknown."""
    found = _built_in(request).get(request.path_params["id"])
    return empty_answer(404) if found is None else json_answer(found)


def _built_in(request: Request) -> type_json:
    config = services(request).config
    found = dict(_BUILT_IN)
    if config.worklists.enable:
        found |= _WORKLISTS
    if config.objects is not None:
        name = config.objects.plugin
        found[name] = {
            "ID": name,
            "Version": __version__,
            "Description": "Stores files in an object storage (built into Wherry)",
            "ExtendsOrthancExplorer": False,
        }
    return found
