"""Other servers that this one knows: shown, declared, forgotten, asked who they are.

Not here: what is sent to them (``transfers``).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.errors import InexistentItem, UnknownResource
from wherry.http.answers import PLAIN_JSON, Answer, empty_answer, json_answer
from wherry.http.body import read_json
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.model import Peer
from wherry.rest.arguments import flag
from wherry.rest.rendering import type_json

_OPERATIONS = ["configuration", "system"]


def routes() -> list[Route]:
    """Routes of peers."""
    return [
        Route("/peers", listing),
        Route("/peers/{name}", operations, methods=["GET"]),
        Route("/peers/{name}", declare, methods=["PUT"]),
        Route("/peers/{name}", forget, methods=["DELETE"]),
        Route("/peers/{name}/configuration", configuration),
        Route("/peers/{name}/system", system),
    ]


def listing(request: Request) -> Response:
    """GET /peers: names, ``?expand`` with their configuration."""
    peers = services(request).peers.all()
    if flag(request, "expand"):
        return json_answer({peer.name: _shown(peer) for peer in peers})
    return json_answer([peer.name for peer in peers])


def operations(request: Request) -> Response:
    """GET /peers/{name}: what can be asked about it; 404 without a body when unknown."""
    known = request.path_params["name"] in services(request).peers.names()
    return json_answer(_OPERATIONS) if known else empty_answer(404)


def configuration(request: Request) -> Response:
    """GET /peers/{name}/configuration, without its secrets."""
    return json_answer(_shown(_peer(services(request), request.path_params["name"])))


async def declare(request: Request) -> Response:
    """PUT /peers/{name}: a new one, or other settings for a known one."""
    entry = await read_json(request)
    await in_thread(services(request).peers.put, request.path_params["name"], entry)
    return empty_answer()


def forget(request: Request) -> Response:
    """DELETE /peers/{name}."""
    name = request.path_params["name"]
    try:
        services(request).peers.remove(name)
    except InexistentItem:
        raise InexistentItem(f"Unknown Orthanc peer: {name}") from None
    return empty_answer()


async def system(request: Request) -> Response:
    """GET /peers/{name}/system: what the peer answers to GET /system."""
    rooms = services(request)
    peer = await in_thread(_peer, rooms, request.path_params["name"])
    body = await rooms.transfers.patiently(rooms.transfers.get, peer, "/system")
    return Answer(body, 200, PLAIN_JSON)


def _peer(rooms: Services, name: str) -> Peer:
    try:
        return rooms.peers.get(name)
    except UnknownResource:
        raise UnknownResource(f"No peer with symbolic name: {name}") from None


def _shown(peer: Peer) -> type_json:
    """A peer without its password and the values of its headers."""
    shown: type_json = {
        **peer.properties,
        "Url": peer.url,
        "HttpHeaders": sorted(peer.http_headers),
        "Pkcs11": False,
        "Timeout": peer.timeout_s,
    }
    if peer.username:
        shown["Username"] = peer.username
        shown["Password"] = None
    if peer.certificate_file:
        shown["CertificateFile"] = peer.certificate_file
        shown["CertificateKeyFile"] = peer.certificate_key_file
        shown["CertificateKeyPassword"] = None
    return shown
