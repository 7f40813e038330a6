"""``/transfers/…``: parse, call, render.

The application normalises paths before it comes here (double slashes, a trailing slash), answers
405 for a wrong method and turns errors into Orthanc's JSON.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from wherry import clock, limits
from wherry.digests import content_digest, is_intact
from wherry.errors import NetworkProtocol, RequestTimeout, UnknownResource
from wherry.http.answers import PLAIN_JSON, Answer, literal_json, type_headers
from wherry.http.arguments import flag
from wherry.http.auth import remote_ip, username
from wherry.http.body import declared_length, pump, read_body
from wherry.http.lending import Loan
from wherry.http.services import services
from wherry.http.submission import submit
from wherry.http.threads import in_thread, run_in_thread
from wherry.metrics import REQUEST_BUCKETS, Metrics
from wherry.peers.client import WHICH_REQUEST
from wherry.storage.outgoing import gathered, read
from wherry.transfers import extras, extras_routes, protocol
from wherry.transfers.encoding import NAMES, beyond, encoded
from wherry.transfers.incoming import Incoming
from wherry.transfers.orders import TransferRequest, parse_transfer
from wherry.transfers.sealing import SEAL_BYTES, sealed
from wherry.transfers.source import Holding

_TOKEN = re.compile("[0-9a-f]{1,16}")
_CUT_OFF = (ClientDisconnect, RequestTimeout)
_CODECS = ((protocol.CODECS.encode(), ", ".join(NAMES).encode()), (extras.HEADER.encode(), b"1"))


def routes() -> list[Route]:
    """All routes of the transfers accelerator."""
    return [
        Route("/transfers/lookup", lookup, methods=["POST"]),
        Route("/transfers/inventory", inventory, methods=["POST"]),
        Route("/transfers/chunks/{ids}", chunks, methods=["GET"]),
        Route("/transfers/push", open_push, methods=["POST"]),
        Route("/transfers/push/{id}", look_at_push, methods=["GET"]),
        Route("/transfers/push/{id}", discard_push, methods=["DELETE"]),
        Route("/transfers/push/{id}/commit", commit_push, methods=["POST"]),
        Route("/transfers/push/{id}/{bucket}", put_bucket, methods=["PUT"]),
        Route("/transfers/push/{id}/{bucket}", look_at_bucket, methods=["GET"]),
        *extras_routes.routes(),
        Route("/transfers/send", send, methods=["POST"]),
        Route("/transfers/pull", pull, methods=["POST"]),
        Route("/transfers/peers", peers, methods=["GET"]),
        Route("/transfers/receipts", list_receipts, methods=["GET"]),
        Route("/transfers/receipts/key", receipt_key, methods=["GET"]),
        Route("/transfers/receipts/{id}", receipt, methods=["GET"]),
    ]


# --- giving --------------------------------------------------------------------------------
async def lookup(request: Request) -> Response:
    """``POST /transfers/lookup``."""
    body = await _intact(request, limits.JSON_BODY_BYTES)
    transfers = services(request).transfers

    def find() -> Holding:
        return transfers.source.find(protocol.parse_resources(protocol.parse_json(body)))

    holding = await in_thread(find)
    if request.headers.get(protocol.DIGESTS) != protocol.BLAKE3 and not holding.has_md5:
        holding = await transfers.patiently(transfers.source.with_md5, holding)

    def render() -> bytes:
        return protocol.render_lookup(holding.instances, transfers.source.originator())

    return _told(await in_thread(render), _CODECS)


def chunks(request: Request) -> Response:
    """``GET /transfers/chunks/{ids}``."""
    transfers = services(request).transfers
    wanted = protocol.parse_chunks(request.path_params["ids"], request.query_params)
    ranges = transfers.source.chunk_ranges(wanted)
    pieces = read(transfers.storage, ranges)
    size = sum(one.size for one in ranges)
    if wanted.sealed:
        pieces = sealed(pieces, ((one.orthanc_id, one.offset, one.size) for one in ranges))
        size += SEAL_BYTES
    name = wanted.encoding.name
    media_type = b"application/gzip" if name == "gzip" else b"application/octet-stream"
    packed = gathered(beyond(wanted.skip, encoded(pieces, wanted.encoding)))
    length = max(0, size - wanted.skip) if name == "none" else None
    return StreamAnswer(packed, media_type, length)


class StreamAnswer(Response):
    """Pieces that are made in worker threads, one ahead of what is being sent.

    Made in a worker thread too, because it makes the first piece: an error there still becomes an
    answer. An error later cuts the connection.
    """

    def __init__(self, pieces: Iterator[bytes], media_type: bytes, size: int | None = None) -> None:
        self.status_code = 200
        self.body = b""
        self.background = None
        self.raw_headers = [(b"content-type", media_type)]
        if size is not None:
            self.raw_headers.append((b"content-length", b"%d" % size))
        self._pieces = pieces
        self._first = next(pieces, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; the files are closed whatever happens."""
        head = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **head})
        piece = self._first
        self._first = b""
        while piece:
            following = run_in_thread(next, self._pieces, b"")
            try:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            finally:
                piece = await following
        await send({"type": "http.response.body", "body": b""})


async def inventory(request: Request) -> Response:
    """``POST /transfers/inventory``: which of these instances are not stored here, or with another
    digest. Only a Wherry has this route."""
    body = await _intact(request, limits.PUSH_MANIFEST_BYTES)
    reception = services(request).transfers.reception

    def compare() -> dict[str, str]:
        wanted = protocol.parse_inventory(body, reception.quota.instances)
        held = reception.held(wanted)
        missing = (n for n, one in enumerate(wanted) if one not in held)
        return protocol.render_missing(missing)

    return _json(await in_thread(compare), _CODECS)


# --- receiving -----------------------------------------------------------------------------
async def open_push(request: Request) -> Response:
    """``POST /transfers/push``."""
    body = await _intact(request, limits.PUSH_MANIFEST_BYTES)
    reception = services(request).transfers.reception
    user, address = username(request.scope), remote_ip(request.scope)
    name = request.headers.get(protocol.SENDER_NAME, "")[: limits.PEER_NAME_TOLD]
    sender = request.headers.get(protocol.SENDER_TRANSFER_ID, "")

    def open_it() -> str:
        manifest = protocol.parse_push(body, reception.quota.instances)
        return reception.open_push(
            manifest, username=user, remote_ip=address, name=name, sender=sender
        )

    created = protocol.render_created(await in_thread(open_it))
    services(request).metrics.add("orthanc_transfers_created_push_count")
    return _json(created, _which(request))


def look_at_push(request: Request) -> Response:
    """``GET /transfers/push/{id}``: what has been received. Only a Wherry has this route."""
    reception = services(request).transfers.reception
    transfer, received = reception.look(request.path_params["id"], username(request.scope))
    state = protocol.render_state(transfer.id, transfer.state, transfer.bucket_count, received)
    stage = reception.stage(transfer.id)
    return _json(state | (stage.told() if stage else {}), _which(request))


async def put_bucket(request: Request) -> Response:
    """``PUT /transfers/push/{id}/{bucket}``: the body goes straight into its files."""
    transfers = services(request).transfers
    reception = transfers.reception
    position = protocol.parse_bucket_index(request.path_params["bucket"])
    started = clock.monotonic()
    length = declared_length(request)

    encoding = protocol.parse_bucket_encoding(request.headers.get(protocol.ENCODING, "none"))

    offset = protocol.parse_offset(request.headers.get(protocol.OFFSET, "0"))

    def begin() -> Incoming:
        name, user = request.path_params["id"], username(request.scope)
        if offset:
            bucket = reception.resume(name, position, offset, user)
        else:
            bucket = reception.bucket(name, position, user, encoding)
        try:
            bucket.check_length(length)
        except BaseException:
            bucket.abort()
            raise
        return bucket

    def receive(loan: Loan) -> int:
        bucket = begin()
        bucket.let_go(loan.cut)
        try:
            bucket.receive(loan.read)
            bucket.finish()
        except _CUT_OFF:
            bucket.cut_off()
            raise
        finally:
            bucket.abort()
        return bucket.size

    lender = transfers.lender
    with transfers.room.taken():
        loan = lender.borrow(request)
        if loan is not None:
            size = await lender.use(request, loan, receive)
        else:
            size = await _pump(request, await in_thread(begin))
    metrics = services(request).metrics
    metrics.add("orthanc_transfers_push_total_received_bytes_count", size)
    _measure(metrics, "reception", clock.monotonic() - started)
    return _tied(request)


async def _pump(request: Request, bucket: Incoming) -> int:
    """A body that comes by way of the event loop; the size of its bucket."""
    try:
        await pump(request, bucket.write, bucket.body_limit)
        await in_thread(bucket.finish)
    except _CUT_OFF:
        await in_thread(bucket.cut_off)
        await _in_the_end(bucket.abort)
        raise
    except BaseException:
        await _in_the_end(bucket.abort)
        raise
    return bucket.size


def look_at_bucket(request: Request) -> Response:
    """``GET /transfers/push/{id}/{bucket}``: how much of it is here. Only a Wherry has this."""
    reception = services(request).transfers.reception
    position = protocol.parse_bucket_index(request.path_params["bucket"])
    taken = reception.taken(request.path_params["id"], position, username(request.scope))
    return _json(protocol.render_taken(taken), _which(request))


async def commit_push(request: Request) -> Response:
    """``POST /transfers/push/{id}/commit``; its body is ignored."""
    transfers, metrics = services(request).transfers, services(request).metrics
    started = clock.monotonic()
    committed = await transfers.patiently(
        transfers.reception.commit, request.path_params["id"], username(request.scope)
    )
    if committed:  # not when it is asked for again
        metrics.add("orthanc_transfers_committed_push_count")
        _measure(metrics, "commit", clock.monotonic() - started)
    return _tied(request)


def discard_push(request: Request) -> Response:
    """``DELETE /transfers/push/{id}``."""
    reception = services(request).transfers.reception
    reception.discard(request.path_params["id"], username(request.scope))
    return literal_json()


# --- jobs and peers ------------------------------------------------------------------------
async def send(request: Request) -> Response:
    """``POST /transfers/send``: a job here, or, for a peer with ``RemoteSelf``, a job there."""
    wanted = await _parse_transfer(request)
    transfers = services(request).transfers
    peer = await in_thread(transfers.peer, wanted.peer)
    if peer.remote_self is None:
        return await _submit(request, "PushTransfer", wanted)
    return _json(await transfers.patiently(transfers.ask_to_pull, peer, wanted))


async def pull(request: Request) -> Response:
    """``POST /transfers/pull``."""
    wanted = await _parse_transfer(request)
    await in_thread(services(request).transfers.peer, wanted.peer)
    return await _submit(request, "PullTransfer", wanted)


async def peers(request: Request) -> Response:
    """``GET /transfers/peers``: who has the accelerator; ``?expand`` with what is known of them."""
    transfers = services(request).transfers
    probing = transfers.probing
    if flag(request, "expand"):
        return _json(await transfers.patiently(probing.details))
    return _json(await transfers.patiently(probing.states))


# --- receipts ------------------------------------------------------------------------------
def list_receipts(request: Request) -> Response:
    """``GET /transfers/receipts``: of what was received here and of what peers received from us,
    in order of arrival; ``?since=``, ``?limit=`` as in ``/changes``."""
    arguments = request.query_params
    since = protocol.parse_number(arguments, "since", 0)
    limit = protocol.parse_number(arguments, "limit", limits.RECEIPTS_PAGE)
    found, last, done = services(request).transfers.receipts.page(since, limit)
    return _json({"Receipts": found, "Last": last, "Done": done})


def receipt(request: Request) -> Response:
    """``GET /transfers/receipts/{id}``: the receipt of one transfer."""
    found = services(request).transfers.receipts.get(request.path_params["id"])
    if found is None:
        raise UnknownResource
    return _json(found, _which(request))


def receipt_key(request: Request) -> Response:
    """``GET /transfers/receipts/key``: the public key that this server signs with."""
    from wherry.receipts.signing import fingerprint

    public = services(request).transfers.receipts.key().public
    return _json({"Algorithm": "Ed25519", "PublicKey": public, "Fingerprint": fingerprint(public)})


async def _parse_transfer(request: Request) -> TransferRequest:
    body = await read_body(request, limits.JSON_BODY_BYTES)
    wanted = parse_transfer(body)
    if wanted.sender_transfer_id:
        return wanted
    return replace(wanted, sender_transfer_id=clock.new_uuid())


async def _submit(request: Request, kind: str, wanted: TransferRequest) -> Response:
    job = await submit(request, kind, wanted.parameters(), priority=wanted.priority)
    return _json({"ID": job, "Path": f"/jobs/{job}"})


# --- small things --------------------------------------------------------------------------
def _tied(request: Request) -> Response:
    """``{}``; a Wherry that asked with a token hears it again."""
    return Answer(b"{}", 200, PLAIN_JSON, _which(request))


def _which(request: Request) -> type_headers:
    token = request.headers.get(WHICH_REQUEST, "")
    return ((WHICH_REQUEST.encode(), token.encode()),) if _TOKEN.fullmatch(token) else ()


async def _intact(request: Request, limit: int) -> bytes:
    """The whole body. Raises ``NetworkProtocol`` when it has not the digest that it says."""
    body = await read_body(request, limit)
    if not is_intact(body, request.headers.get("content-digest", "")):
        raise NetworkProtocol("The body was damaged on its way: its digest is another")
    return body


def _json(value: Any, headers: type_headers = ()) -> Response:
    return _told(orjson.dumps(value, option=orjson.OPT_INDENT_2), headers)


def _told(body: bytes, headers: type_headers = ()) -> Response:
    """A JSON answer with its digest (RFC 9530)."""
    digest = (b"content-digest", content_digest(body).encode())
    return Answer(body, 200, PLAIN_JSON, [*headers, digest])


def _measure(metrics: Metrics, what: str, spent_s: float) -> None:
    """Time of one bucket or commit: into the original's sum, and into our histogram."""
    metrics.add(f"orthanc_transfers_push_total_time_spent_in_{what}_ms", spent_s * 1000)
    metrics.measure(f"wherry_transfers_push_{what}_s", spent_s, bounds=REQUEST_BUCKETS)


async def _in_the_end(work: Callable[[], None]) -> None:
    """Run ``work`` in a thread even when this task is being cancelled."""
    await asyncio.shield(run_in_thread(work))
