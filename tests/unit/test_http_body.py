from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from tests.support.asgi import http_scope, receiver
from wherry import limits
from wherry.errors import BadFileFormat, BadRequest, RequestTimeout, TooLarge
from wherry.http.body import BODY_READ, pump, read_body, read_json

type_receive = Callable[[], Awaitable[dict[str, Any]]]


def request_of(receive: type_receive, **headers: str) -> Request:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(http_scope("POST", "/", names), receive)


async def silence() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


def test_read_body_joins_pieces_and_notes_the_end() -> None:
    request = request_of(receiver([b"ab", b"", b"cd"]))
    assert asyncio.run(read_body(request, 4)) == b"abcd"
    assert request.scope[BODY_READ]


def test_a_declared_length_is_refused_before_anything_is_read() -> None:
    with pytest.raises(TooLarge):
        asyncio.run(read_body(request_of(silence, content_length="11"), 10))


def test_an_undeclared_length_is_refused_while_reading() -> None:
    request = request_of(receiver([b"x" * 6] * 1000))
    with pytest.raises(TooLarge):
        asyncio.run(read_body(request, 10))
    assert BODY_READ not in request.scope


def test_pump_gathers_and_keeps_the_order() -> None:
    pieces = [bytes([number % 256]) * 70_000 for number in range(100)]
    got: list[bytes] = []
    threads = set()

    def sink(data: bytes | bytearray) -> None:
        threads.add(threading.current_thread())
        got.append(bytes(data))

    count = asyncio.run(pump(request_of(receiver(pieces)), sink, limits.GIB))
    assert count == 7_000_000
    assert b"".join(got) == b"".join(pieces)
    assert all(len(piece) >= limits.BODY_CHUNK_BYTES for piece in got[:-1])
    assert threading.main_thread() not in threads


def test_pump_of_nothing_calls_nobody() -> None:
    assert asyncio.run(pump(request_of(receiver([])), pytest.fail, 10)) == 0


def test_pump_never_has_two_pieces_on_their_way() -> None:
    """The next piece is asked for while one is written, but no third one."""
    writing, asked, most = 0, 0, 0
    release = threading.Semaphore(0)

    async def receive() -> dict[str, Any]:
        nonlocal asked, most
        asked += 1
        most = max(most, asked - writing)
        release.release()
        body = bytes(limits.BODY_CHUNK_BYTES)
        return {"type": "http.request", "body": body, "more_body": asked < 20}

    def sink(data: bytes | bytearray) -> None:
        nonlocal writing
        release.acquire()
        writing += 1

    asyncio.run(pump(request_of(receive), sink, limits.GIB))
    assert writing == 20
    assert most <= 2


def test_an_error_of_the_sink_reaches_the_caller() -> None:
    def sink(data: bytes | bytearray) -> None:
        raise BadFileFormat

    pieces = [bytes(limits.BODY_CHUNK_BYTES)] * 3
    with pytest.raises(BadFileFormat):
        asyncio.run(pump(request_of(receiver(pieces)), sink, limits.GIB))


def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_IDLE_S", 0.01)
    with pytest.raises(RequestTimeout):
        asyncio.run(read_body(request_of(silence), 10))


@pytest.mark.parametrize("size", [1, 100])
def test_a_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The longest silence never comes; only the least rate ends it, or lets it go on."""
    monkeypatch.setattr(limits, "REQUEST_IDLE_S", 0.3)
    dripped = 0

    async def receive() -> dict[str, Any]:
        nonlocal dripped
        await asyncio.sleep(0.02)
        dripped += 1
        body = bytes(size)
        return {"type": "http.request", "body": body, "more_body": dripped < 50}

    if size == 1:
        with pytest.raises(RequestTimeout, match="slowly"):
            asyncio.run(read_body(request_of(receive), 10_000))
        assert dripped < 50
    else:
        assert len(asyncio.run(read_body(request_of(receive), 10_000))) == 5000


def test_a_slow_disk_is_not_a_silent_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_IDLE_S", 0.05)
    entered = threading.Event()

    def sink(data: bytes | bytearray) -> None:
        if not entered.is_set():
            entered.set()
            threading.Event().wait(0.2)  # a slow disk

    pieces = [bytes(limits.BODY_CHUNK_BYTES)] * 3
    asyncio.run(pump(request_of(receiver(pieces)), sink, limits.GIB))


def test_a_cancelled_pump_waits_for_the_piece_under_way() -> None:
    started, release, written = threading.Event(), threading.Event(), []

    def sink(data: bytes | bytearray) -> None:
        started.set()
        release.wait()
        written.append(len(data))

    async def main() -> None:
        first = True

        async def receive() -> dict[str, Any]:
            nonlocal first
            if first:
                first = False
                body = bytes(limits.BODY_CHUNK_BYTES)
                return {"type": "http.request", "body": body, "more_body": True}
            return await silence()

        task = asyncio.create_task(pump(request_of(receive), sink, limits.GIB))
        await asyncio.to_thread(started.wait)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert written

    asyncio.run(main())


def test_a_client_that_goes_away() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        asyncio.run(read_body(request_of(receive), 10))


def test_json() -> None:
    assert asyncio.run(read_json(request_of(receiver([b'{"a":', b"[1]}"])))) == {"a": [1]}
    packed = gzip.compress(b'["x"]')
    request = request_of(receiver([packed]), content_encoding="gzip")
    assert asyncio.run(read_json(request)) == ["x"]
    for bad in (b"", b"{", b"[" * 5000, b"\xff", b"nan"):
        with pytest.raises(BadFileFormat):
            asyncio.run(read_json(request_of(receiver([bad]))))
    with pytest.raises(BadRequest):
        asyncio.run(read_json(request_of(receiver([b"{"])), refuse=BadRequest))
