from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from unittest.mock import MagicMock

import pytest
import uvicorn
from uvicorn.server import ServerState

from wherry import limits
from wherry.http.protocol import BoundedProtocol

type_dialogue = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]


async def hello(scope: object, receive: object, send: Callable[..., Awaitable[None]]) -> None:
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


def converse(dialogue: type_dialogue) -> bytes:
    """A client speaks to a server on one event loop."""

    async def main() -> bytes:
        config = uvicorn.Config(hello, http=BoundedProtocol, lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: BoundedProtocol(config, state, {}), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await dialogue(reader, writer)
        finally:
            writer.close()
            server.close()

    return asyncio.run(main())


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_come(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_HEAD_S", 0.02)

    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(sent)
        return await reader.read()

    assert converse(dialogue).startswith(b"HTTP/1.1 408 ")


def test_the_second_head_of_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_HEAD_S", 0.02)

    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"hello")
        writer.write(b"GET / HT")
        return await reader.read()

    assert converse(dialogue).startswith(b"HTTP/1.1 408 ")


class StoppedLoop:
    """A loop whose time stands still, and whose callbacks are called by the test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.callbacks: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> MagicMock:
        self.callbacks.append(callback)
        return MagicMock()

    def create_task(self, coroutine: Coroutine[None, None, None]) -> MagicMock:
        coroutine.close()
        return MagicMock()


def test_an_idle_connection_is_not_a_slow_head() -> None:
    config = uvicorn.Config(hello, http=BoundedProtocol, lifespan="off", log_config=None)
    config.load()
    loop = StoppedLoop()
    transport = MagicMock()
    transport.is_closing.return_value = False
    protocol = BoundedProtocol(config, ServerState(), {}, loop)  # type: ignore[arg-type]
    protocol.connection_made(transport)
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(3):
        loop.now += 10 * limits.REQUEST_HEAD_S
        loop.callbacks[-1]()
    transport.close.assert_not_called()
    protocol.data_received(b"GET / HT")
    loop.now += limits.REQUEST_HEAD_S - 1
    loop.callbacks[-1]()
    transport.close.assert_not_called()
    loop.now += 1
    loop.callbacks[-1]()
    transport.close.assert_called_once()


def test_a_long_head_and_a_long_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_HEAD_BYTES", 1000)

    async def long_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET / HTTP/1.1\r\nX: " + b"a" * 2000)
        return await reader.read()

    async def long_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n" + b"a" * 5000)
        writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        return await reader.read()

    assert converse(long_head).startswith(b"HTTP/1.1 431 ")
    assert converse(long_body).count(b"HTTP/1.1 200 ") == 2
