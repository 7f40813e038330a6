"""A body that a thread reads from the socket: whole, and the connection goes on behind it."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from tests.unit.test_http_gathering import answer_of, body_of, serving
from wherry import limits
from wherry.errors import BadFileFormat, RequestTimeout
from wherry.http.body import BODY_READ
from wherry.http.lending import Lender, Loan

SIZES = [1000, 262_143, 300_000, 1_048_576, 3_000_001]


@pytest.fixture
def lender() -> Iterator[Lender]:
    lender = Lender(2)
    yield lender
    lender.stop()


class App:
    """Answers the digest of a body; ``lent`` tells which were read by a thread."""

    def __init__(self, lender: Lender, most: int = 1 << 30) -> None:
        self.lender = lender
        self.most = most
        self.lent: list[bool] = []
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        await asyncio.sleep(0)  # some of the body is here already
        loan = self.lender.borrow(request)
        self.lent.append(loan is not None)
        self.asked.set()
        status = 200
        try:
            if loan is not None:
                text = await self.lender.use(request, loan, self._digest)
                assert scope[BODY_READ]
            else:
                text = hashlib.md5(await request.body()).hexdigest()
        except BadFileFormat:
            status, text = 400, "no"
        except ClientDisconnect:
            self.left.set()
            raise
        headers = [(b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})

    def _digest(self, loan: Loan) -> str:
        digest, buffer, total = hashlib.md5(), memoryview(bytearray(70_000)), 0
        while size := loan.read(buffer):
            digest.update(buffer[:size])
            total += size
            if total > self.most:
                raise BadFileFormat
        return digest.hexdigest()


def head(size: int, more: str = "") -> bytes:
    return f"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n{more}\r\n".encode()


@pytest.mark.parametrize("cut", [40_000, 10_000_000])
def test_bodies_one_after_the_other(lender: Lender, cut: int) -> None:
    app = App(lender)

    async def talk() -> None:
        async with serving(app) as (reader, writer):
            for size in SIZES:
                message = head(size) + body_of(size)
                for start in range(0, len(message), cut):
                    writer.write(message[start : start + cut])
                    await writer.drain()
                expected = hashlib.md5(body_of(size)).hexdigest().encode()
                assert await answer_of(reader) == (200, expected)

    asyncio.run(talk())
    assert app.lent[0] is False and any(app.lent)


def test_what_follows_at_once_is_the_next_request(lender: Lender) -> None:
    app = App(lender)
    sizes = [2_000_000, 500, 700_000]

    async def talk() -> None:
        async with serving(app) as (reader, writer):
            writer.write(b"".join(head(size) + body_of(size) for size in sizes))
            for size in sizes:
                expected = hashlib.md5(body_of(size)).hexdigest().encode()
                assert await answer_of(reader) == (200, expected)

    asyncio.run(talk())
    assert app.lent[0]


def test_a_client_that_waits_to_be_told(lender: Lender) -> None:
    app = App(lender)

    async def talk() -> None:
        async with serving(app) as (reader, writer):
            writer.write(head(500_000, "expect: 100-continue\r\n"))
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(body_of(500_000))
            assert (await answer_of(reader))[0] == 200

    asyncio.run(talk())
    assert app.lent == [True]


def test_a_refusal_in_the_middle_is_seen_and_the_rest_is_skipped(lender: Lender) -> None:
    app = App(lender, most=10_000)

    async def talk() -> None:
        async with serving(app) as (reader, writer):
            writer.write(head(900_000) + body_of(900_000))
            assert await answer_of(reader) == (400, b"no")
            app.most = 1 << 30
            writer.write(head(400_000) + body_of(400_000))
            expected = hashlib.md5(body_of(400_000)).hexdigest().encode()
            assert await answer_of(reader) == (200, expected)

    asyncio.run(talk())


def test_a_client_that_goes_away(lender: Lender) -> None:
    app = App(lender)

    async def talk() -> None:
        async with serving(app) as (_, writer):
            writer.write(head(500_000) + body_of(300_000))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            await app.left.wait()

    asyncio.run(asyncio.wait_for(talk(), 30))
    assert app.lent == [True]


def test_cancelling_wakes_the_thread(lender: Lender) -> None:
    """As a server does that stops."""
    app = App(lender)
    tasks: list[asyncio.Task[None]] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(asyncio.ensure_future(app(scope, receive, send)))
        await tasks[0]

    async def talk() -> None:
        async with serving(watched) as (reader, writer):
            writer.write(head(500_000) + body_of(300_000))
            await app.asked.wait()
            tasks[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            writer.close()
            await reader.read()

    asyncio.run(asyncio.wait_for(talk(), 30))


def test_no_thread_is_free(lender: Lender) -> None:
    none = Lender(1)
    none._free = 0
    app = App(none)

    async def talk() -> None:
        async with serving(app) as (reader, writer):
            writer.write(head(500_000) + body_of(500_000))
            assert (await answer_of(reader))[0] == 200

    asyncio.run(talk())
    none.stop()
    assert app.lent == [False]


@pytest.mark.parametrize(("sent", "complaint"), [(b"", "No byte"), (b"x", "slowly")])
def test_a_sender_that_drips_or_is_silent_is_given_up(
    monkeypatch: pytest.MonkeyPatch, sent: bytes, complaint: str
) -> None:
    monkeypatch.setattr(limits, "REQUEST_IDLE_S", 0.3)
    here, there = socket.socketpair()
    stop = threading.Event()

    def drip() -> None:
        for _ in range(1000):
            there.sendall(sent)
            if stop.wait(0.02):
                return

    dripping = threading.Thread(target=drip)
    dripping.start()
    loan = Loan(memoryview(b""), 500, here.fileno(), lambda left: None)
    with pytest.raises(RequestTimeout, match=complaint):
        while loan.read(memoryview(bytearray(100))):
            pass
    stop.set()
    dripping.join()
    assert not loan.end()
    here.close()
    there.close()
