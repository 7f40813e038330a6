from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.responses import Response

from tests.support.asgi import Reply, call, http_scope, receiver
from wherry import limits
from wherry.http.answers import TruncatedAnswer, file_answer, header_value


class Bytes:
    """A stored file in memory that notes how it is read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.reads: list[int] = []
        self.closed = 0

    def read_at(self, offset: int, size: int) -> bytes:
        assert not self.closed
        self.reads.append(size)
        return self.data[offset : offset + size]

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        self.closed += 1


def sent(response: Response) -> Reply:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await response(scope, receive, send)

    return call(app, "GET", "/")


DATA = bytes(range(256)) * 8000  # more than the two pieces that are sent as one


def test_a_small_file_is_one_piece() -> None:
    file = Bytes(b"hello")
    reply = sent(file_answer(file, 0, 5, "application/dicom", {"ETag": "x"}))
    assert reply.body == b"hello"
    assert reply.headers == {
        "content-length": "5",
        "content-type": "application/dicom",
        "etag": "x",
    }
    assert file.closed


def test_a_large_file_is_streamed_in_bounded_pieces() -> None:
    file = Bytes(DATA)
    reply = sent(file_answer(file, 0, file.size, "application/dicom"))
    assert reply.body == DATA
    assert reply.ended
    assert max(file.reads) == limits.READ_CHUNK_BYTES
    assert file.closed


def test_a_range() -> None:
    file = Bytes(DATA)
    reply = sent(file_answer(file, 1000, 1_200_000, "text/plain", status=206))
    assert reply.status == 206
    assert reply.body == DATA[1000:1_201_000]


def test_nothing() -> None:
    file = Bytes(b"")
    assert sent(file_answer(file, 0, 0, "text/plain")).body == b""
    assert file.closed


def test_a_file_that_is_shorter_than_the_index_says() -> None:
    file = Bytes(DATA)
    with pytest.raises(TruncatedAnswer):
        sent(file_answer(file, 0, file.size + 1, "application/dicom"))
    assert file.closed


def test_the_reader_is_closed_when_the_client_fails() -> None:
    file = Bytes(DATA)
    response = file_answer(file, 0, file.size, "application/dicom")

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        asyncio.run(response(http_scope("GET", "/"), receiver([]), send))
    assert file.closed


def test_reading_stops_when_nobody_listens() -> None:
    file = Bytes(bytes(limits.READ_CHUNK_BYTES * 100))
    response = file_answer(file, 0, file.size, "application/dicom")

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        pass

    asyncio.run(response(http_scope("GET", "/"), gone, send))
    assert len(file.reads) < 20
    assert file.closed


def test_headers_cannot_be_injected() -> None:
    assert header_value("a\r\nX-Evil: 1\0\x7f") == b"aX-Evil: 1"
    assert header_value("Müller 山") == "Müller ?".encode("latin-1")
