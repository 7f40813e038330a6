"""Bodies arrive whole and unchanged, however they are cut on the wire."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from wherry import limits
from wherry.http.protocol import connection

SIZES = [0, 1, 1000, 65_536, 65_537, 140_000, 1_048_576, 1_200_000, 3_000_001]


async def digest(scope: Any, receive: Any, send: Any) -> None:
    """Answers the length and digest of the body, and in how many pieces it came."""
    digest, size, pieces, more = hashlib.md5(), 0, 0, True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        more = message["more_body"]
        digest.update(message["body"])
        size += len(message["body"])
        pieces += 1
    answer = f"{size} {digest.hexdigest()} {pieces}".encode()
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answers before the body has come."""
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b"no"})


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config = uvicorn.Config(app, http=connection, lifespan="off", log_config=None)  # type: ignore[arg-type]
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: connection(config, state, {}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()
        await server.wait_closed()


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
    return int(head.split()[1]), await reader.readexactly(length)


def body_of(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


async def exchange(cut: int, chunked: bool) -> None:
    """All sizes one after the other on one connection."""
    async with serving(digest) as (reader, writer):
        for size in SIZES:
            if cut == 10 and size > 2000:
                continue
            body = body_of(size)
            if chunked:
                head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
                wire = head + (b"%x\r\n" % size + body + b"\r\n" if size else b"") + b"0\r\n\r\n"
            else:
                wire = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size + body
            for start in range(0, len(wire), cut):
                writer.write(wire[start : start + cut])
                await writer.drain()
                await asyncio.sleep(0)  # lets the other end read a piece of its own
            status, answer = await asyncio.wait_for(answer_of(reader), 30)
            assert status == 200
            length, md5, _pieces = answer.decode().split()
            assert int(length) == size
            assert md5 == hashlib.md5(body).hexdigest()


@pytest.mark.parametrize("cut", [10, 1000, 70_000, 10_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_all_sizes_on_one_connection(cut: int, chunked: bool) -> None:
    asyncio.run(exchange(cut, chunked))


def test_pipelined_requests_do_not_mix() -> None:
    async def run() -> None:
        async with serving(digest) as (reader, writer):
            bodies = [body_of(size) for size in (500_000, 10, 200_000, 0, 70_000)]
            for body in bodies:
                head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
                writer.write(head + body)
            for body in bodies:
                _, answer = await asyncio.wait_for(answer_of(reader), 30)
                assert answer.decode().split()[:2] == [
                    str(len(body)),
                    hashlib.md5(body).hexdigest(),
                ]

    asyncio.run(run())


def test_a_long_body_of_a_refused_request_is_read_away() -> None:
    async def run() -> None:
        async with serving(refuse) as (reader, writer):
            for _ in range(3):
                head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n"
                writer.write(head + body_of(3_000_000))
                assert await asyncio.wait_for(answer_of(reader), 30) == (413, b"no")

    asyncio.run(run())


def test_a_slow_body_is_handed_on_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_FLUSH_S", 0.0)

    async def run() -> None:
        async with serving(digest) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n")
            for _ in range(20):
                writer.write(body_of(10_000))
                await writer.drain()
                await asyncio.sleep(0.001)  # pieces of its own on the wire
            _, answer = await asyncio.wait_for(answer_of(reader), 30)
            size, _, pieces = answer.decode().split()
            assert size == "200000"
            assert int(pieces) > 2

    asyncio.run(run())
