"""A client that costs next to nothing: a kept-alive socket, one buffer; bytes counted and dropped.

For answers of gigabytes and for thousands of small ones. It tells when the first byte of a body
came, and takes the frames of a chunked body away. Not for load (``load``), nor for convenience
(``api``).
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bench.api import ServerError

BUFFER_BYTES: Final = 1 << 20
TIMEOUT_S: Final = 1800.0
_LINE_BYTES: Final = 64
"""Longest line between two chunks."""

type_take = Callable[[memoryview], object]
"""Is given each piece of a body; the piece is overwritten afterwards."""


@dataclass(frozen=True)
class Fetched:
    """An answer that has been taken."""

    status: int
    headers: dict[str, str]
    size: int
    """Bytes of its body, without frames."""
    first_s: float
    """From the request to the first byte of the body; to the head's when it has none."""
    wall_s: float
    """... to the last."""


class Client:
    """One connection to a server; ``with`` closes it."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._socket: socket.socket | None = None
        self._buffer = memoryview(bytearray(BUFFER_BYTES))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Safe to call twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(
        self, method: str, path: str, body: bytes = b"", take: type_take | None = None
    ) -> Fetched:
        """One request. Raises ``ServerError`` unless it is answered 200, ``OSError``."""
        length = f"Content-Length: {len(body)}\r\n" if method != "GET" else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{length}\r\n"
        said = bytearray()
        begin = time.monotonic()
        connection = self._send(head.encode() + body)
        status, headers, rest = self._head(connection)
        frames = _frames(headers, take if take and status == 200 else said.extend)
        first = time.monotonic()
        frames.feed(rest)
        seen = frames.size
        while not frames.done:
            count = connection.recv_into(self._buffer)
            if not count:
                frames.end()
                break
            frames.feed(self._buffer[:count])
            if not seen and frames.size:
                first, seen = time.monotonic(), 1
        wall = time.monotonic() - begin
        if not frames.reusable or headers.get("connection", "").lower() == "close":
            self.close()
        if status != 200:
            raise ServerError(f"{method} {path}: {status} {bytes(said[:500])!r}")
        return Fetched(status, headers, frames.size, first - begin, wall)

    def json(self, method: str, path: str, body: Any = None) -> tuple[Any, Fetched]:
        """The JSON of an answer besides."""
        said = bytearray()
        sent = b"" if body is None else json.dumps(body).encode()
        fetched = self.ask(method, path, sent, said.extend)
        return json.loads(said) if said else None, fetched

    def _send(self, request: bytes) -> socket.socket:
        """Once more on a fresh connection when a kept one turns out to be closed."""
        if self._socket is not None:
            try:
                self._socket.sendall(request)
                if self._socket.recv(1, socket.MSG_PEEK):
                    return self._socket
            except ConnectionError:
                pass
            self.close()
        self._socket = socket.create_connection((self._host, self._port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        return self._socket

    def _head(self, connection: socket.socket) -> tuple[int, dict[str, str], memoryview]:
        """Status, headers, and what has come of the body."""
        filled = 0
        while True:
            count = connection.recv_into(self._buffer[filled:])
            if not count:
                raise ServerError("closed before the answer")
            filled += count
            end = bytes(self._buffer[: min(filled, 65536)]).find(b"\r\n\r\n")
            if end >= 0:
                break
        status, *lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return int(status.split()[1]), headers, self._buffer[end + 4 : filled]


class Frames:
    """A body that ends with the connection."""

    reusable = False
    """Whether the connection is good for another request."""

    def __init__(self, take: type_take) -> None:
        self._take = take
        self.size = 0
        self.done = False

    def feed(self, data: memoryview) -> None:
        """What came from the socket."""
        if data:
            self._take(data)
            self.size += len(data)

    def end(self) -> None:
        """The connection was closed. Raises ``ServerError`` when that is too early."""
        self.done = True


class Counted(Frames):
    """A body whose length is known."""

    reusable = True

    def __init__(self, take: type_take, length: int) -> None:
        super().__init__(take)
        self._length = length
        self.done = not length

    def feed(self, data: memoryview) -> None:
        super().feed(data)
        self.done = self.size >= self._length

    def end(self) -> None:
        raise ServerError(f"closed after {self.size} of {self._length} bytes")


class Chunked(Frames):
    """A body in chunks, each behind a line with its size (RFC 9112 §7.1)."""

    reusable = True

    def __init__(self, take: type_take) -> None:
        super().__init__(take)
        self._left = 0
        self._line = b""
        self._last = False

    def feed(self, data: memoryview) -> None:
        at = 0
        while at < len(data) and not self.done:
            if self._left:
                piece = data[at : at + self._left]
                super().feed(piece)
                self._left -= len(piece)
                at += len(piece)
            else:
                at += self._read_line(bytes(data[at : at + _LINE_BYTES]))

    def end(self) -> None:
        raise ServerError(f"closed inside a chunked body, after {self.size} bytes")

    def _read_line(self, data: bytes) -> int:
        """How many bytes belong to the line."""
        line, newline, _ = data.partition(b"\n")
        self._line += line
        if len(self._line) > _LINE_BYTES:
            raise ServerError(f"not the size of a chunk: {self._line!r}")
        if newline:
            text, self._line = self._line.strip(), b""
            if not text:
                self.done = self._last
            elif not self._last:
                self._left = int(text.partition(b";")[0], 16)
                self._last = not self._left
        return len(line) + len(newline)


def _frames(headers: dict[str, str], take: type_take) -> Frames:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return Chunked(take)
    if "content-length" in headers:
        return Counted(take, int(headers["content-length"]))
    return Frames(take)
