"""uvicorn's parser of HTTP, with bounds on what comes before a body.

uvicorn keeps a request head until it is complete, however long that takes and however much comes.
Here a head (and anything else that is not body: trailers, chunk extensions) ends the connection
when it passes ``limits.REQUEST_HEAD_BYTES`` or takes longer than ``limits.REQUEST_HEAD_S``. A
client that does not take its answer is given up, and connections beyond a number are told so.

Requests that the application answers without waiting for anything are answered here and now: a
task of the event loop, and a turn of it, cost as much as the answer itself.

Not here: bounds on bodies (``body``), on URLs (``app``).
"""

from __future__ import annotations

import asyncio
import logging
import resource
import traceback
from functools import cache
from typing import Any, cast

from wherry import limits
from wherry.http.cycle import Cycle
from wherry.http.gathering import Buffered, GatheringProtocol

_log = logging.getLogger(__name__)

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)
_BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TOO_MANY = [(b"content-length", b"0"), (b"connection", b"close"), (b"retry-after", b"5")]


@cache
def most_connections() -> int:
    """Connections that are served at once: half of what the process may open, because each may
    need a file too."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limits.CONNECTIONS if files < 0 else min(limits.CONNECTIONS, files // 2)


def connection(*args: Any, **kwargs: Any) -> Buffered:
    """A new connection; what ``uvicorn.Config(http=...)`` wants."""
    return Buffered(BoundedProtocol(*args, **kwargs))


class BoundedProtocol(GatheringProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        """Bytes since something other than a head came out of the parser."""
        self._waiting_since: float | None = None
        """When the wait for a complete head began; None while there is none to wait for."""
        self._watch: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        """Looks again whether the client takes its answer; None while it does."""
        self._refused = False
        self._at_once = getattr(self.app, "at_once", None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there; its first head is due."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self._refused = True
            if len(self.connections) > 2 * most_connections():
                transport.abort()
        self._waiting_since = self.loop.time()
        self._watch = self.loop.call_later(limits.REQUEST_HEAD_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        if self._watch is not None:
            self._watch.cancel()
        if self._stall is not None:
            self._stall.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, then count what was neither a complete head nor body."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > limits.REQUEST_HEAD_BYTES and not self.transport.is_closing():
            self._end(_TOO_LARGE)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._end(_BAD)

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        self._waiting_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._head_bytes = 0
        self._waiting_since = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Part of a body."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is complete."""
        self._head_bytes = 0
        super().on_message_complete()

    def begin(self, cycle: Cycle) -> bool:
        """Answer now if nothing has to be waited for."""
        if self._refused:
            cycle.answer(503, _TOO_MANY, b"")
            return True
        if self._at_once is None:
            return False
        try:
            answer = self._at_once(cycle.scope)
            if answer is None:
                return False
            cycle.answer(answer.status_code, answer.raw_headers, answer.body)
        except Exception as error:
            places = "".join(traceback.format_tb(error.__traceback__))
            _log.error("%s while answering\n%s", type(error).__name__, places)
            cycle.break_off()
        return True

    def timeout_keep_alive_handler(self) -> None:
        """The connection was idle for long. Bytes that it did not take by now are given up."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    # --- a client that does not read ---------------------------------------------------------
    def pause_writing(self) -> None:
        """More waits to be sent than should."""
        super().pause_writing()
        if self._stall is None:
            self._watch_sending()

    def resume_writing(self) -> None:
        """The client took it."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        super().resume_writing()

    def _watch_sending(self) -> None:
        size = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(limits.ANSWER_IDLE_S, self._look_at_sending, size)

    def _look_at_sending(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < limits.ANSWER_LEAST_BYTES:
            self.transport.abort()
        else:
            self._watch_sending()

    # --- a client that does not send ---------------------------------------------------------
    def _look(self) -> None:
        """Once in a while: has a head been due for too long?"""
        now, since = self.loop.time(), self._waiting_since
        if since is not None and now - since >= limits.REQUEST_HEAD_S:
            self._end(_TOO_SLOW)
            return
        due = limits.REQUEST_HEAD_S - (now - since) if since is not None else limits.REQUEST_HEAD_S
        self._watch = self.loop.call_later(due, self._look)

    def _end(self, answer: bytes) -> None:
        """Say why, unless that would stand in the place of another answer, and close."""
        cycle = cast("Cycle | None", self.cycle)
        if cycle is None or cycle.response_complete:
            self.transport.write(answer)
        elif cycle.more_body and not cycle.response_started and not self.pipeline:
            self.transport.write(answer)  # it is this request that is wrong
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()
