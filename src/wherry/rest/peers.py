"""Other servers that this one knows: shown, declared, forgotten, asked, given what is here.

Not here: the sending itself (``wherry.peers``).
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.errors import BadFileFormat, InexistentItem, NetworkProtocol, UnknownResource
from wherry.http.answers import JSON, PLAIN_JSON, Answer, empty_answer, json_answer
from wherry.http.body import is_gzip, pump, read_body, read_json
from wherry.http.inflate import Inflating
from wherry.http.services import Services, services
from wherry.http.spool import Spool
from wherry.http.threads import in_thread
from wherry.index.sending import log_exports
from wherry.model import Peer, type_json
from wherry.peers.bodies import SpoolBody
from wherry.peers.client import Request as Asked
from wherry.peers.client import connect
from wherry.peers.order import StoreOrder, files_of
from wherry.peers.refusal import PeerRefusal
from wherry.peers.store import TYPE
from wherry.rest.arguments import flag
from wherry.rest.joborders import JobOrder, answer_job, read_boolean, read_options
from wherry.rest.sending import read_sending
from wherry.rest.transcoding import read_quality

_OPERATIONS = ["configuration", "store", "store-straight", "system"]
_UID = re.compile(r"[0-9]{1,10}(\.[0-9]{1,32}){1,30}")


def routes() -> list[Route]:
    """Routes of peers."""
    return [
        Route("/peers", listing),
        Route("/peers/{name}", operations, methods=["GET"]),
        Route("/peers/{name}", declare, methods=["PUT"]),
        Route("/peers/{name}", forget, methods=["DELETE"]),
        Route("/peers/{name}/configuration", configuration),
        Route("/peers/{name}/system", system),
        Route("/peers/{name}/store", store, methods=["POST"]),
        Route("/peers/{name}/store-straight", store_straight, methods=["POST"]),
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
    asked = Asked("GET", "/system", "ask for /system")
    body = await rooms.transfers.patiently(_ask, rooms, peer, asked)
    return Answer(body, 200, PLAIN_JSON)


async def store(request: Request) -> Response:
    """POST /peers/{name}/store: a job that sends resources, one request an instance."""
    rooms = services(request)
    peer = await in_thread(_peer, rooms, request.path_params["name"])
    resources, body = read_sending(await read_body(request, limits.JSON_BODY_BYTES))
    options = read_options(body)
    order = StoreOrder(
        peer.name,
        resources,
        compress=read_boolean(body, "Compress"),
        permissive=options.permissive,
        transcode=_transfer_syntax(body),
        quality=read_quality(body),
    )
    content = await in_thread(_prepare, rooms, order, peer)
    return await answer_job(request, JobOrder(TYPE, order.parameters(), content, options))


async def store_straight(request: Request) -> Response:
    """POST /peers/{name}/store-straight: the body goes to POST /instances of the peer, and its
    answer comes back."""
    rooms = services(request)
    peer = await in_thread(_peer, rooms, request.path_params["name"])
    limit = rooms.config.wherry.maximum_instance_bytes
    spool = Spool(rooms.config.storage_directory, limit, rooms.storage.free_bytes)
    try:
        if is_gzip(request):
            inflating = Inflating(spool.write, limit)
            await pump(request, inflating.write, limit)
            await in_thread(inflating.finish)
        else:
            await pump(request, spool.write, limit)
        asked = Asked("POST", "/instances", "store straight", SpoolBody(spool.read_at, spool.size))
        body = await rooms.transfers.patiently(_ask, rooms, peer, asked)
    except PeerRefusal as error:
        words = f"Cannot send DICOM to remote peer: {peer.name} ({error.details})"
        raise NetworkProtocol(words) from error
    finally:
        spool.close()
    return Answer(body, 200, JSON)


def _prepare(rooms: Services, order: StoreOrder, peer: Peer) -> dict[str, type_json]:
    """Look at what is to be sent, and log that it is; the public content of the job."""
    with rooms.index.read() as tx:
        files = files_of(tx, order)
    if rooms.config.log_exported_resources:
        log_exports(rooms.index, order.resources, order.peer)
    return order.content(peer, len(files))


def _transfer_syntax(body: dict[str, type_json]) -> str:
    if "Transcode" not in body:
        return ""
    uid = body["Transcode"]
    if not isinstance(uid, str):
        raise BadFileFormat("String value expected in field: Transcode")
    if not _UID.fullmatch(uid):
        raise BadFileFormat(f"Unknown transfer syntax UID: {uid[:64]}")
    return uid


def _ask(rooms: Services, peer: Peer, asked: Asked) -> bytes:
    """One request on a connection of its own. Blocking."""
    with connect(rooms.config, peer) as client:
        return client.ask(asked).body


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
