"""uvicorn's parser of HTTP, with bounds on what comes before a body.

uvicorn keeps a request head until it is complete, however long that takes and however much comes.
Here a head (and anything else that is not body: trailers, chunk extensions) ends the connection
when it passes ``limits.REQUEST_HEAD_BYTES`` or takes longer than ``limits.REQUEST_HEAD_S``.

Not here: bounds on bodies (``body``), on URLs (``app``).
"""

from __future__ import annotations

import asyncio
from typing import Any

from wherry import limits
from wherry.http.gathering import Buffered, GatheringProtocol

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there; its first head is due."""
        super().connection_made(transport)
        self._waiting_since = self.loop.time()
        self._watch = self.loop.call_later(limits.REQUEST_HEAD_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, then count what was neither a complete head nor body."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > limits.REQUEST_HEAD_BYTES and not self.transport.is_closing():
            self._end(_TOO_LARGE)

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

    def _look(self) -> None:
        """Once in a while: has a head been due for too long?"""
        now, since = self.loop.time(), self._waiting_since
        if since is not None and now - since >= limits.REQUEST_HEAD_S:
            self._end(_TOO_SLOW)
            return
        due = limits.REQUEST_HEAD_S - (now - since) if since is not None else limits.REQUEST_HEAD_S
        self._watch = self.loop.call_later(due, self._look)

    def _end(self, answer: bytes) -> None:
        """Say why, unless another answer is on its way, and close."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(answer)
        self.transport.close()
