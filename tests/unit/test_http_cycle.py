"""What stands on the wire, byte by byte, and in how many writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import MagicMock

import pytest
import uvicorn
from uvicorn.server import ServerState

from wherry import limits
from wherry.http import protocol as protocol_module
from wherry.http.answers import Answer
from wherry.http.protocol import BoundedProtocol
from wherry.http.wire import canonical, line, status_line

JSON = [(b"content-type", b"application/json"), (b"etag", b'"0-a"')]


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = self.aborted = False
        self.waiting_bytes = 0

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def writelines(self, pieces: Any) -> None:
        self.writes.append(b"".join(map(bytes, pieces)))

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    @property
    def sent(self) -> bytes:
        return b"".join(self.writes)


def talked(app: Callable[..., Any], dialogue: Callable[[BoundedProtocol], Awaitable[None]]) -> Wire:
    """A connection on a loop of its own."""

    async def main() -> Wire:
        config = uvicorn.Config(app, http=BoundedProtocol, lifespan="off", log_config=None)
        config.proxy_headers = False
        config.load()
        wire = Wire()
        connection = BoundedProtocol(config, ServerState(), {})
        connection.connection_made(wire)
        await dialogue(connection)
        connection.connection_lost(ConnectionResetError())
        return wire

    return asyncio.run(main())


def spoken(
    app: Callable[..., Any],
    sent: bytes,
    then: Callable[[BoundedProtocol, Wire], None] | None = None,
) -> Wire:
    """Give ``sent`` to a connection; run the loop until there is nothing to do."""

    async def dialogue(connection: BoundedProtocol) -> None:
        connection.data_received(sent)
        for _ in range(20):
            await asyncio.sleep(0)
        if then is not None:
            assert isinstance(connection.transport, Wire)
            then(connection, connection.transport)

    return talked(app, dialogue)


def answering(
    status: int = 200, headers: Any = JSON, *bodies: bytes, length: bool = True
) -> Callable[..., Any]:
    """An application that answers with ``bodies``."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        pieces = bodies or (b"{}",)
        size = b"%d" % sum(map(len, pieces))
        every = [*headers, (b"content-length", size)] if length else headers
        await send({"type": "http.response.start", "status": status, "headers": every})
        for number, piece in enumerate(pieces, 1):
            more = number < len(pieces)
            await send({"type": "http.response.body", "body": piece, "more_body": more})

    return app


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_ready_answer_is_one_write_with_orthancs_names() -> None:
    wire = spoken(answering(), GET)
    assert wire.writes == [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b'ETag: "0-a"\r\nContent-Length: 2\r\nX-Content-Type-Options: nosniff\r\n\r\n{}'
    ]
    assert not wire.closed


def test_names() -> None:
    assert canonical(b"www-authenticate") == b"WWW-Authenticate"
    assert canonical(b"CONTENT-DISPOSITION") == b"Content-Disposition"
    assert status_line(299) == b"HTTP/1.1 299 \r\n"


@pytest.mark.parametrize("value", [b"a\r\nSet-Cookie: x", b"a\nb", b"a\0b", b"\x7f"])
def test_a_value_cannot_leave_its_line(value: bytes) -> None:
    with pytest.raises(ValueError, match="characters"):
        line(b"etag", value)
    wire = spoken(answering(200, [(b"etag", value)]), GET)
    assert wire.sent.startswith(b"HTTP/1.1 500 ")
    assert wire.closed


def test_a_body_of_unknown_length() -> None:
    wire = spoken(answering(200, JSON, b"abc", b"", b"d" * 20, length=False), GET)
    head, _, body = wire.sent.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"3\r\nabc\r\n14\r\n" + b"d" * 20 + b"\r\n0\r\n\r\n"
    assert not wire.closed


def test_old_clients_get_no_chunks() -> None:
    wire = spoken(answering(200, JSON, b"abc", b"d", length=False), b"GET / HTTP/1.0\r\n\r\n")
    assert wire.sent.endswith(b"Connection: close\r\n\r\nabcd")
    assert b"chunked" not in wire.sent
    assert wire.closed


def test_answers_without_a_body() -> None:
    head = spoken(answering(), b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").sent
    assert head.endswith(b"\r\n\r\n")
    assert b"Content-Length: 2\r\n" in head
    unchanged = spoken(answering(304, JSON, b""), GET).sent
    assert unchanged.startswith(b"HTTP/1.1 304 Not Modified\r\n")
    assert b"Content-Length" not in unchanged
    assert b"chunked" not in unchanged


@pytest.mark.parametrize("length", [b"1", b"3"])
def test_a_wrong_length_breaks_the_connection(length: bytes) -> None:
    wire = spoken(answering(200, [(b"content-length", length)], b"{}", length=False), GET)
    assert b"{}" not in wire.sent
    assert wire.closed


def test_an_error_before_the_first_byte_is_told() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": JSON})
        raise KeyError("a patient")

    wire = spoken(app, GET)
    assert wire.sent.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"patient" not in wire.sent
    assert wire.closed


def test_an_error_after_the_first_byte_ends_the_connection() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": JSON})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    wire = spoken(app, GET)
    assert b"500" not in wire.sent
    assert not wire.sent.endswith(b"0\r\n\r\n")
    assert wire.closed


def test_close_is_obeyed_and_said() -> None:
    asked = spoken(answering(), b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b"Connection: close\r\n" in asked.sent
    assert asked.closed
    said = spoken(answering(200, [*JSON, (b"connection", b"close")]), GET)
    assert said.sent.count(b"Connection: close\r\n") == 1
    assert said.closed


def test_pipelined_requests_are_answered_in_order() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(0)
        body = scope["path"].encode() + scope["query_string"]
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    targets = ["/slow", "/a?b=%20", "http://x/c%2Fd#e", "/last"]
    wire = spoken(app, b"".join(f"GET {t} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for t in targets))
    bodies = [part.split(b"\r\n\r\n")[1] for part in wire.sent.split(b"HTTP/1.1 ")[1:]]
    assert bodies == [b"/slow", b"/ab=%20", b"/c/d", b"/last"]


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


@pytest.mark.parametrize("cut", [0, 50, 130, 170, 200, 205])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 5\r\n", b"hello"),
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    ],
)
def test_wishes_for_another_protocol_are_ignored(framing: bytes, body: bytes, cut: int) -> None:
    """As clients make them that would like HTTP/2: curl --http2, Java's HttpClient."""

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        taken, more = b"", True
        while more:
            message = await receive()
            taken, more = taken + bytes(message["body"]), message["more_body"]
        await answering(200, [], scope["path"].encode() + b":" + taken)(scope, receive, send)

    sent = b"POST /a HTTP/1.1\r\nHost: x\r\n" + H2C + framing + b"\r\n" + body
    sent += b"GET /b HTTP/1.1\r\nHost: x\r\n" + H2C + b"\r\n" + b"GET /c HTTP/1.1\r\n\r\n"

    async def later(connection: BoundedProtocol) -> None:
        for piece in (sent[:cut], sent[cut:]):
            if piece:
                connection.data_received(piece)
            for _ in range(20):
                await asyncio.sleep(0)

    wire = talked(echo, later)
    bodies = [part.split(b"\r\n\r\n")[1] for part in wire.sent.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"/a:hello", b"/b:", b"/c:"]
    assert not wire.closed


def test_a_body_on_get_is_read_and_the_next_request_seen() -> None:
    wire = spoken(answering(), b"GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc" + GET)
    assert wire.sent.count(b"HTTP/1.1 200 OK") == 2


class AtOnce:
    """An application that answers GETs of ``/now`` without a task."""

    def __init__(self) -> None:
        self.tasks = 0

    def at_once(self, scope: Any) -> Answer | None:
        if scope["path"] == "/broken":
            raise KeyError("a patient")
        return Answer(b"now", 200, b"text/plain") if scope["path"] == "/now" else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.tasks += 1
        await Answer(b"later")(scope, receive, send)


def test_quick_requests_need_no_task() -> None:
    app = AtOnce()
    target = b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n"
    wire = spoken(app, target + GET + target)
    assert [w[-5:] for w in wire.writes] == [b"\r\nnow", b"later", b"later"]
    assert app.tasks == 1 + 1  # the third came while the second was being answered
    assert spoken(AtOnce(), b"GET /broken HTTP/1.1\r\n\r\n").sent.startswith(b"HTTP/1.1 500 ")


def test_what_is_no_http_is_refused() -> None:
    wire = spoken(answering(), b"what is this\r\n\r\n")
    assert (
        wire.sent == b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    assert wire.closed
    between = spoken(answering(), GET + b"what is this\r\n\r\n")
    assert b"400" not in between.sent  # it would be taken for the answer to the first


def test_a_client_that_does_not_read_gets_nothing_at_once() -> None:
    app = AtOnce()

    def ask(connection: BoundedProtocol, wire: Wire) -> None:
        connection.pause_writing()
        connection.data_received(b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n")

    assert spoken(app, GET, ask).sent.count(b"HTTP/1.1") == 1


def test_too_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_module, "most_connections", lambda: 0)
    wire = spoken(answering(), GET)
    assert wire.aborted
    refused = spoken(answering(), b"")
    assert refused.aborted
    monkeypatch.setattr(protocol_module, "most_connections", lambda: 0.5)
    wire = spoken(answering(), GET)
    assert wire.sent.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Retry-After: " in wire.sent
    assert wire.closed


@pytest.mark.parametrize("taken", [limits.ANSWER_LEAST_BYTES - 1, limits.ANSWER_LEAST_BYTES])
def test_a_client_that_takes_its_answer_too_slowly(taken: int) -> None:
    callbacks: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def stall(connection: BoundedProtocol, wire: Wire) -> None:
        loop = connection.loop = MagicMock()
        loop.call_later = lambda delay, back, *args: callbacks.append((back, args)) or MagicMock()
        wire.waiting_bytes = 1_000_000
        connection.pause_writing()
        wire.waiting_bytes -= taken
        back, args = callbacks[-1]
        back(*args)

    wire = spoken(answering(), GET, stall)
    assert wire.aborted == (taken < limits.ANSWER_LEAST_BYTES)
    assert len(callbacks) == (1 if wire.aborted else 2)


def test_an_idle_connection_with_bytes_that_nobody_takes() -> None:
    def idle(connection: BoundedProtocol, wire: Wire) -> None:
        wire.waiting_bytes = 5
        connection.timeout_keep_alive_handler()

    assert spoken(answering(), GET, idle).aborted
