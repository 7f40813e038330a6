"""Request bodies: bounded, never silent for long, and never whole in memory unless small.

``read_body`` for what is small by nature, ``pump`` for files: it gathers about
``limits.BODY_CHUNK_BYTES`` on the loop and hands each piece to a worker thread while the next one
arrives. A declared length beyond the limit is refused before a byte is read.

Not here: what the bytes mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from wherry import limits
from wherry.errors import BadFileFormat, Refused, TooLarge
from wherry.http.credit import Credit
from wherry.http.inflate import inflate
from wherry.http.threads import run_in_thread

BODY_READ = "wherry.body_read"
"""Set in the ASGI scope once nothing more of the body is to come."""


def declared_length(request: Request) -> int | None:
    """``Content-Length``, when there is one."""
    for name, value in request.scope["headers"]:
        if name == b"content-length":
            return int(value)
    return None


def is_gzip(request: Request) -> bool:
    """Whether the body declares ``Content-Encoding: gzip``."""
    for name, value in request.scope["headers"]:
        if name == b"content-encoding":
            return bool(value.strip().lower() in (b"gzip", b"x-gzip"))
    return False


def refuse_declared(request: Request, limit: int) -> None:
    """Raises ``TooLarge`` when the declared length passes ``limit``."""
    length = declared_length(request)
    if length is not None and length > limit:
        raise TooLarge(f"The body has {length} bytes, more than the {limit} allowed")


class Pieces:
    """The body as it arrives.

    ``async with Pieces(request, limit) as pieces`` guards the silences and the rate; ``next`` gives
    the following bytes, ``b""`` at the end. Raises ``TooLarge``, ``RequestTimeout`` and
    ``ClientDisconnect``.
    """

    def __init__(self, request: Request, limit: int) -> None:
        refuse_declared(request, limit)
        self._scope = request.scope
        self._receive = request.receive
        self._limit = limit
        self._timeout = asyncio.timeout(limits.REQUEST_IDLE_S)
        self._loop = asyncio.get_running_loop()
        self._credit = Credit()
        self.taken = 0
        self.ended = False
        self.rest = b""
        """What had been gathered when the client went away."""

    async def __aenter__(self) -> Pieces:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        try:
            await self._timeout.__aexit__(*exc)
        except TimeoutError:
            raise self._credit.over() from None

    async def next(self) -> bytes:
        """The bytes that have arrived since, at least one unless it is the end."""
        data = b""
        began = self._loop.time()
        while not data and not self.ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            data = message.get("body", b"")
            if not message.get("more_body", False):
                self.ended = True
                self._scope[BODY_READ] = True
        self.taken += len(data)
        self._credit.took(self._loop.time() - began, len(data))
        if self.taken > self._limit:
            raise TooLarge(f"The body has more than the {self._limit} bytes allowed")
        if not self.ended:
            self._wait_on()
        return data

    def _wait_on(self) -> None:
        self._timeout.reschedule(self._loop.time() + self._credit.longest_s)

    async def gather(self, size: int) -> bytes:
        """At least ``size`` bytes, fewer only at the end of the body."""
        data = await self.next()
        if self.ended or len(data) >= size:
            return data
        gathered, so_far = [data], len(data)
        try:
            while not self.ended and so_far < size:
                gathered.append(await self.next())
                so_far += len(gathered[-1])
        except ClientDisconnect:
            self.rest = b"".join(gathered)
            raise
        return b"".join(gathered)

    async def pour(
        self, sink: Callable[[bytes | bytearray], object], first: bytes | bytearray
    ) -> None:
        """Give ``first`` and everything after it to ``sink``, in a worker thread, in order.

        One piece is being written while the next one arrives; a slow sink slows the sender down.
        """
        piece = first
        while piece:
            writing = run_in_thread(sink, piece)
            try:
                piece = b"" if self.ended else await self.gather(limits.BODY_CHUNK_BYTES)
                self._timeout.reschedule(
                    None
                )  # the disk may be slow; that is not the sender's fault
            finally:
                await _settled(writing)
            writing.result()
            self._wait_on()


async def _settled(writing: asyncio.Future[Any]) -> None:
    """Wait for a piece under way even when this task is being cancelled: whoever cleans up
    afterwards must be alone with the file."""
    cancelled: asyncio.CancelledError | None = None
    while not writing.done():
        try:
            await asyncio.wait([writing])
        except asyncio.CancelledError as error:
            cancelled = error
    if not writing.cancelled():
        writing.exception()  # seen, even when another error is on its way out
    if cancelled is not None:
        raise cancelled


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, as it came. Raises ``TooLarge`` (at once when the length is declared)."""
    async with Pieces(request, limit) as pieces:
        return bytes(await pieces.gather(limit + 1))


async def pump(request: Request, sink: Callable[[bytes | bytearray], object], limit: int) -> int:
    """Stream the body into ``sink``, which is called in worker threads, one call at a time.

    Returns the number of bytes. ``sink`` must not keep the buffer it is given; it gets what came
    before the client went away too.
    """
    async with Pieces(request, limit) as pieces:
        try:
            await pieces.pour(sink, await pieces.gather(limits.BODY_CHUNK_BYTES))
        except ClientDisconnect:
            if pieces.rest:
                await run_in_thread(sink, pieces.rest)
            raise
        return pieces.taken


async def read_json(
    request: Request,
    limit: int = limits.JSON_BODY_BYTES,
    refuse: type[Refused] = BadFileFormat,
) -> Any:
    """The body as JSON, whatever its Content-Type says; gzip is decoded.

    Raises ``refuse`` when it is not JSON: routes of Orthanc differ in that.
    """
    body = await read_body(request, limit)
    if is_gzip(request):
        body = inflate(body, limit)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise refuse("The body must contain a JSON document") from None
