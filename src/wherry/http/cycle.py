"""One request and its answer on a connection: ASGI's ``receive`` and ``send``.

In the place of uvicorn's ``RequestResponseCycle``. The head is kept until the first bytes of the
body are there, so that an answer that is ready is one write, and so that an error before them can
still be told. Bodies come in without a copy (``gathering``).

Not here: parsing; what the head looks like (``wire``).
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, MutableMapping
from typing import Any, cast

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.flow_control import FlowControl

from wherry.http.wire import NO_SNIFFING, line, status_line

_log = logging.getLogger(__name__)

_DEFECT = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_WITHOUT_BODY = frozenset({204, 304})


def _nothing() -> None:
    """Nobody waits any more."""


class Cycle:
    """A request, and what became of it. The protocol sets ``body`` and ``more_body``."""

    def __init__(
        self,
        scope: Scope,
        transport: asyncio.Transport,
        flow: FlowControl,
        *,
        every: list[tuple[bytes, bytes]],
        expects_continue: bool,
        keep_alive: bool,
        on_response: Callable[[], None],
    ) -> None:
        """``every``: headers of all answers."""
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.message_event = asyncio.Event()
        self.on_response = on_response
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expects_continue
        self.disconnected = False
        self.body: bytes | bytearray | memoryview = b""
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self._every = every
        self._head: bytes | None = None
        self._bodiless = False
        self._left: int | None = None
        """Bytes of the answer that are still to come; None = sent in chunks."""

    async def run(self, app: ASGIApp) -> None:
        """Let ``app`` answer. Whatever goes wrong, the client gets a whole answer or a broken
        connection, never half of one that looks whole."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self.break_off()
            raise
        except BaseException as error:
            places = "".join(traceback.format_tb(error.__traceback__))
            _log.error("%s while answering\n%s", type(error).__name__, places)
            self.break_off()
        else:
            if not self.response_complete and not self.disconnected:
                self.break_off()

    def break_off(self) -> None:
        """End what cannot be answered: 500 as long as nothing was sent."""
        if self.response_complete or self.disconnected:
            return
        if self._head is not None or not self.response_started:
            self.transport.write(_DEFECT)
        self.response_started = self.response_complete = True
        self.transport.close()
        on_response, self.on_response = self.on_response, _nothing
        on_response()

    # --- out ------------------------------------------------------------------------------
    async def send(self, message: Message) -> None:
        """ASGI's ``send``: one start, then bodies."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self.start(message["status"], message.get("headers", ()))
        else:
            self._write(message.get("body", b""), message.get("more_body", False))

    def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole answer at once; the caller has seen that the connection takes it."""
        self.start(status, headers)
        self._write(body, more=False)

    def start(self, status: int, headers: Any) -> None:
        """Make the head; it is sent with what follows."""
        if self.response_started:
            raise RuntimeError("An answer begins twice")
        length: int | None = None
        closing = chunked = False
        lines = [status_line(status)]
        for name, value in self._every:
            lines.append(line(name, value))
        for name, value in headers:
            lowered = name.lower()
            if lowered == b"content-length":
                if status not in _WITHOUT_BODY:  # RFC 9110 §8.6
                    lines.append(b"Content-Length: %d\r\n" % (length := int(value)))
                continue
            if lowered == b"connection":
                closing = b"close" in value.lower()
            elif lowered == b"transfer-encoding":
                chunked = value.lower() == b"chunked"
            lines.append(line(lowered, value))
        lines.append(NO_SNIFFING)
        if closing:
            self.keep_alive = False
        bodiless = status in _WITHOUT_BODY or self.scope["method"] == "HEAD"
        if bodiless:
            length = 0
        elif length is None and not chunked:
            if self.scope["http_version"] == "1.0":  # knows no chunks: the end is the end
                self.keep_alive = False
            else:
                lines.append(b"Transfer-Encoding: chunked\r\n")
        if not self.keep_alive and not closing:
            lines.append(b"Connection: close\r\n")
        lines.append(b"\r\n")
        self.response_started = True
        self.waiting_for_100_continue = False
        self._left = length
        self._bodiless = bodiless
        self._head = b"".join(lines)

    def _write(self, body: bytes, more: bool) -> None:
        if not self.response_started or self.response_complete:
            raise RuntimeError("A body outside an answer")
        pieces: list[bytes] = []
        if self._head is not None:
            pieces.append(self._head)
            self._head = None
        if self._bodiless:
            pass
        elif self._left is not None:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("The answer is longer than its Content-Length")
            pieces.append(body)
        elif self.scope["http_version"] == "1.0":
            pieces.append(body)
        else:
            if body:
                pieces += (b"%x\r\n" % len(body), body, b"\r\n")
            if not more:
                pieces.append(b"0\r\n\r\n")
        if not more and self._left:
            raise RuntimeError("The answer is shorter than its Content-Length")
        if len(pieces) == 1:
            self.transport.write(pieces[0])
        elif pieces:
            self.transport.writelines(pieces)
        if not more:
            self._finish()

    def _finish(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        on_response, self.on_response = self.on_response, _nothing
        on_response()

    # --- in -------------------------------------------------------------------------------
    def allow_body(self) -> None:
        """Tell a client that waits for it that its body is wanted."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False

    async def receive(self) -> MutableMapping[str, Any]:
        """ASGI's ``receive``."""
        self.allow_body()
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.response_complete or (self.disconnected and not self.body):
            return {"type": "http.disconnect"}
        body, self.body = self.body, b""
        return {"type": "http.request", "body": cast(bytes, body), "more_body": self.more_body}
