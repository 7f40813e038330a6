"""uvicorn's protocol, with bodies that come in big pieces and without detours.

uvicorn copies each byte of a body four times and wakes the application for every read of the
socket. Here a body of known length is received straight into the buffer that the application
gets, of up to ``limits.BODY_CHUNK_BYTES``, with one wake-up for each; what came together with the
head, and bodies of unknown length, are joined once. A slow sender's bytes are handed on at least
every ``limits.BODY_FLUSH_S``, so that nobody takes slowness for silence.

Not here: bounds (``protocol``, ``body``).
"""

from __future__ import annotations

import asyncio
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wherry import limits
from wherry.http.cycle import Cycle
from wherry.http.lending import LEND, Loan

_SCRATCH = memoryview(bytearray(limits.SOCKET_READ_BYTES))
"""What is read here is parsed before the next read of any connection."""


class GatheringProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pieces: list[bytes | bytearray | memoryview] = []
        self._gathered_bytes = 0
        self._left = 0
        """Bytes of a body of known length that are still to come."""
        self._due = 0.0
        """Loop time from which on what was gathered is handed over, however little."""
        self._direct: memoryview | None = None
        """Where the body is received; None while the parser reads."""
        self._filled = 0
        self._upgrading = False
        """The parser takes the end of this head for the end of the request."""

    # --- reading the socket -----------------------------------------------------------------
    def get_buffer(self) -> memoryview:
        """Where the next bytes of the connection go."""
        return _SCRATCH if self._direct is None else self._direct[self._filled :]

    def buffer_updated(self, size: int) -> None:
        """They are there."""
        if self._direct is None:
            self.data_received(_SCRATCH[:size])  # type: ignore[arg-type]
            if self._left >= limits.SOCKET_READ_BYTES:
                self._receive_directly()
            return
        self._filled += size
        self._left -= size
        if self._filled == len(self._direct) or self.loop.time() >= self._due:
            self._end_direct()

    def data_received(self, data: bytes) -> None:
        """Parse. A wish to change the protocol is ignored, as RFC 9110 §7.8 allows: some clients
        wish for HTTP/2 with the first request of each connection, and have a body with it."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._resume(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("")

    def _resume(self, rest: bytes) -> None:
        """Go on behind a head after which the parser has stopped."""
        if self._upgrading:
            self._upgrading = False
            self.parser = httptools.HttpRequestParser(_Resumed(self))
            self.parser.feed_data(b"POST / HTTP/1.1\r\n")
            for name, value in self.headers:
                if name in (b"content-length", b"transfer-encoding"):
                    self.parser.feed_data(name + b": " + value + b"\r\n")
            self.parser.feed_data(b"\r\n")
        else:
            self.parser = httptools.HttpRequestParser(self)
        if rest:
            self.data_received(rest)

    def _receive_directly(self) -> None:
        """From here to the end of the body the parser sees nothing."""
        begun = b"".join(self._pieces)
        self._pieces.clear()
        self._gathered_bytes = 0
        self._filled = len(begun)
        size = self._filled + min(self._left, limits.BODY_CHUNK_BYTES)
        self._direct = memoryview(bytearray(size))
        self._direct[: self._filled] = begun

    def _end_direct(self) -> None:
        assert self._direct is not None
        self._pieces.append(self._direct[: self._filled])
        self._direct = None
        if self._left:
            self._hand_over()
            self._receive_directly()
        else:
            # The parser has not seen the end of this body: the next head gets one of its own.
            self.parser = httptools.HttpRequestParser(self)
            self.on_message_complete()

    # --- what the parser found --------------------------------------------------------------
    def on_headers_complete(self) -> None:
        """A request begins."""
        self._pieces.clear()
        self._gathered_bytes = 0
        self._due = self.loop.time() + limits.BODY_FLUSH_S
        self._left = 0
        has_body = False
        for name, value in self.headers:
            if name == b"content-length":
                self._left = int(value)
                has_body = True
            elif name == b"transfer-encoding":
                has_body = True
        self._upgrading = has_body and self.parser.should_upgrade()
        scope = cast(dict[str, Any], self.scope)
        if self._left >= limits.LENT_BODY_BYTES and scope["scheme"] == "http":
            scope[LEND] = self._lend
        scope["http_version"] = version = self.parser.get_http_version()
        scope["method"] = self.parser.get_method().decode("ascii")
        path, scope["query_string"] = _split(self.url)
        scope["raw_path"] = path
        text = path.decode("ascii")
        scope["path"] = unquote(text) if "%" in text else text
        before = cast("Cycle | None", self.cycle)
        cycle = Cycle(
            scope,
            self.transport,
            self.flow,
            every=self.server_state.default_headers,
            expects_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self.cycle = cycle  # type: ignore[assignment]
        if before is not None and not before.response_complete:  # pipelined: after that one
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))  # type: ignore[arg-type]
        elif has_body or self.flow.write_paused or not self.begin(cycle):
            self._start_asgi_task(cycle, self.app)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; what it had said is handed over."""
        if self._direct is not None:
            self._pieces.append(self._direct[: self._filled])
            self._direct = None
        if self._pieces and self.cycle is not None:
            self._join()
        super().connection_lost(exc)

    # --- lending the body ------------------------------------------------------------------
    def _lend(self) -> Loan | None:
        """The rest of the body for a thread that reads it (``lending``)."""
        if self._left < limits.LENT_BODY_BYTES or self.transport.is_closing():
            return None
        self.flow.pause_reading()
        cast(Cycle, self.cycle).allow_body()
        if self._direct is not None:
            self._pieces.append(self._direct[: self._filled])
            self._direct = None
        self._join()
        self.cycle.message_event.clear()
        begun = self.cycle.body
        self.cycle.body = b""  # type: ignore[assignment]
        fd = self.transport.get_extra_info("socket").fileno()
        return Loan(memoryview(begun), self._left, fd, self._take_back)

    def _take_back(self, left: int) -> None:
        """The thread has left so many bytes of the body unread."""
        self._left = left
        if left:
            self._receive_directly()
        else:
            self.parser = httptools.HttpRequestParser(self)
            self.on_message_complete()

    def begin(self, cycle: Cycle) -> bool:
        """Answer a request without a body at once, when that is possible; whether it was."""
        return False

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        task = self.loop.create_task(cycle.run(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_body(self, body: bytes) -> None:
        """Part of a body."""
        self._left -= len(body)
        if self.cycle.response_complete:
            return
        self._pieces.append(body)
        self._gathered_bytes += len(body)
        if self._gathered_bytes >= limits.BODY_CHUNK_BYTES or self.loop.time() >= self._due:
            self._hand_over()

    def on_message_complete(self) -> None:
        """A request is complete."""
        if self._upgrading:
            return
        self._left = 0
        if self.cycle.response_complete:
            self._pieces.clear()
        elif self._pieces:
            self._join()
        super().on_message_complete()

    def _hand_over(self) -> None:
        """Give the application what there is, and let the sender wait until it has taken it."""
        if self.cycle.response_complete:
            self._pieces.clear()
            return
        self._join()
        self.flow.pause_reading()
        self.cycle.message_event.set()

    def _join(self) -> None:
        if self.cycle.body:  # not fetched yet
            self._pieces.insert(0, self.cycle.body)
        one = len(self._pieces) == 1
        body = self._pieces[0] if one else b"".join(self._pieces)
        self.cycle.body = body  # type: ignore[assignment]
        self._pieces.clear()
        self._gathered_bytes = 0
        self._due = self.loop.time() + limits.BODY_FLUSH_S


class _Resumed:
    """What a parser calls that begins in the middle of a request: its first head is known."""

    def __init__(self, connection: GatheringProtocol) -> None:
        self._connection = connection
        self._known = True
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete

    def on_message_begin(self) -> None:
        if not self._known:
            self._connection.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._known:
            self._connection.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._known:
            self._connection.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._known:
            self._known = False
        else:
            self._connection.on_headers_complete()


def _split(url: bytes) -> tuple[bytes, bytes]:
    """Path and query of a request target, which may be a whole URL (RFC 9112 §3.2.2)."""
    if url[:1] == b"/" and b"#" not in url:
        path, _, query = url.partition(b"?")
        return path, query
    parsed = httptools.parse_url(url)
    return parsed.path or b"/", parsed.query or b""


class Buffered(asyncio.BufferedProtocol):
    """What the event loop sees: reads go into buffers that the protocol chooses.

    uvicorn's class is an ``asyncio.Protocol``, which a loop gives fresh bytes for each read;
    hence this second object.
    """

    def __init__(self, inner: GatheringProtocol) -> None:
        self._inner = inner
        self.connection_lost = inner.connection_lost  # type: ignore[method-assign]
        self.connection_made = inner.connection_made  # type: ignore[assignment,method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.buffer_updated = inner.buffer_updated  # type: ignore[assignment,method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._inner.get_buffer()
