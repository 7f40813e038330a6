"""The load generator: a process of its own that posts files to ``/instances``, cheaply.

Raw sockets that are kept alive, request heads built before the clock starts, ``sendfile`` for big
bodies and one ``send`` for small ones: the processor is left to the server under test.

Speaks with its parent in lines of JSON: reads a plan, answers ``ready``, waits for ``go``, answers
the result. Times are of the monotonic clock, which all processes share.

    echo '{"host": ..., "port": ..., "paths": [...], "clients": 8}' | python -m bench.load

Not here: what is measured of the server (``meter``).
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import sys
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any, Final

SMALL_BYTES: Final = 128 * 1024
"""Bodies up to here are read before the clock starts and leave together with their head."""

ANSWER_TIMEOUT_S: Final = 60

RETRIES: Final = 3
"""Times a request is sent again after a 5xx answer, as a careful client does."""


class Upload:
    """One request, ready to leave."""

    __slots__ = ("body", "head", "path", "size")

    def __init__(self, path: str, host: str, authorization: str) -> None:
        self.path = path
        self.size = Path(path).stat().st_size
        self.head = (
            f"POST /instances HTTP/1.1\r\nHost: {host}\r\n{authorization}"
            f"Content-Type: application/dicom\r\nContent-Length: {self.size}\r\n\r\n"
        ).encode()
        self.body = b""
        if self.size <= SMALL_BYTES:
            self.body = Path(path).read_bytes()

    def send(self, connection: socket.socket) -> None:
        if self.size <= SMALL_BYTES:
            connection.sendall(self.head + self.body)
            return
        connection.sendall(self.head, socket.MSG_MORE)
        with open(self.path, "rb", buffering=0) as file:  # noqa: PTH123 - on the hot path
            offset = 0
            while offset < self.size:
                sent = os.sendfile(connection.fileno(), file.fileno(), offset, self.size - offset)
                if sent == 0:
                    raise EOFError(f"{self.path} became shorter")
                offset += sent


class Client(threading.Thread):
    """One sender: takes the next upload, sends it, reads the answer."""

    def __init__(
        self, address: tuple[str, int], uploads: deque[Upload], start: threading.Barrier
    ) -> None:
        super().__init__(daemon=True)
        self._address = address
        self._uploads = uploads
        self._gate = start
        self._socket: socket.socket | None = None
        self._used = False
        self.answers: Counter[str] = Counter()
        self.latencies_s: list[float] = []
        self.first = self.last = 0.0
        self.reconnections = 0
        self.retries = 0
        self.complaint = ""
        self.error: str | None = None

    def run(self) -> None:
        self._connect()
        self._gate.wait()
        self.first = time.monotonic()
        try:
            while True:
                try:
                    upload = self._uploads.popleft()
                except IndexError:
                    break
                begin = time.monotonic()
                status, body = self._send(upload)
                self.last = time.monotonic()
                self.latencies_s.append(self.last - begin)
                self.answers[_outcome(status, body)] += 1
        except BlockingIOError:
            self.error = f"no answer within {ANSWER_TIMEOUT_S} s"
        except (OSError, EOFError, ValueError) as failure:
            self.error = f"{type(failure).__name__}: {failure}"
        finally:
            self._close()

    def _send(self, upload: Upload) -> tuple[int, bytes]:
        status, body = self._exchange(upload)
        for _ in range(RETRIES):
            if status < 500:
                break
            self.retries += 1
            self.complaint = body[:300].decode(errors="replace")
            status, body = self._exchange(upload)
        return status, body

    def _exchange(self, upload: Upload) -> tuple[int, bytes]:
        """Once more on a fresh connection when a kept one turns out to be closed."""
        if self._socket is None:
            self._connect()
        reused = self._used
        try:
            return self._attempt(upload)
        except (ConnectionError, EOFError):
            if not reused:
                raise
            self.reconnections += 1
            self._close()
            self._connect()
            return self._attempt(upload)

    def _attempt(self, upload: Upload) -> tuple[int, bytes]:
        assert self._socket is not None
        self._used = True
        upload.send(self._socket)
        status, body, closes = read_answer(self._socket)
        if closes:
            self._close()
        return status, body

    def _connect(self) -> None:
        self._socket = socket.create_connection(self._address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit = struct.pack("ll", ANSWER_TIMEOUT_S, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._used = False

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def read_answer(connection: socket.socket) -> tuple[int, bytes, bool]:
    """Status, body, and whether the server closes the connection now."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        piece = connection.recv(65536)
        if not piece:
            raise EOFError("closed before the answer")
        data += piece
    lines = data[:end].decode("latin-1").split("\r\n")
    status = int(lines[0].split()[1])
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines[1:])
    }
    closes = headers.get("connection", "").lower() == "close" or lines[0].startswith("HTTP/1.0")
    body = data[end + 4 :]
    if status == 100:
        raise ValueError("unexpected 100 Continue")
    if "content-length" in headers:
        length = int(headers["content-length"])
        while len(body) < length:
            piece = connection.recv(65536)
            if not piece:
                raise EOFError("closed inside the answer")
            body += piece
        return status, body, closes
    if "chunked" in headers.get("transfer-encoding", "").lower():
        while not body.endswith(b"0\r\n\r\n"):
            piece = connection.recv(65536)
            if not piece:
                raise EOFError("closed inside the answer")
            body += piece
        return status, body, closes
    while piece := connection.recv(65536):
        body += piece
    return status, body, True


def _outcome(status: int, body: bytes) -> str:
    if status != 200:
        return f"HTTP {status}"
    for word in (b"AlreadyStored", b"FilteredOut", b"Failure"):
        if word in body:
            return word.decode()
    return "Success" if b'"Success"' in body else "unreadable answer"


def run(plan: dict[str, Any]) -> None:
    address = (plan["host"], plan["port"])
    authorization = ""
    if plan.get("user"):
        token = base64.b64encode(f"{plan['user']}:{plan['password']}".encode()).decode()
        authorization = f"Authorization: Basic {token}\r\n"
    host = f"{plan['host']}:{plan['port']}"
    uploads = deque(Upload(path, host, authorization) for path in plan["paths"])
    total = sum(upload.size for upload in uploads)
    gate = threading.Barrier(plan["clients"] + 1)
    clients = [Client(address, uploads, gate) for _ in range(plan["clients"])]
    print("ready", flush=True)
    if sys.stdin.readline().strip() != "go":
        return
    before = os.times()
    for client in clients:
        client.start()
    gate.wait()
    for client in clients:
        client.join()
    latencies = sorted(latency for client in clients for latency in client.latencies_s)
    answers: Counter[str] = Counter()
    for client in clients:
        answers += client.answers
    served = [client for client in clients if client.last]
    times = os.times()
    result = {
        "first": min((client.first for client in served), default=0.0),
        "last": max((client.last for client in served), default=0.0),
        "bytes": total,
        "answers": dict(answers),
        "reconnections": sum(client.reconnections for client in clients),
        "retries": sum(client.retries for client in clients),
        "complaints": sorted({client.complaint for client in clients if client.complaint}),
        "errors": [client.error for client in clients if client.error],
        "cpu_s": times.user + times.system - before.user - before.system,
        "median_ms": 1000 * latencies[len(latencies) // 2] if latencies else 0.0,
        "p99_ms": 1000 * latencies[len(latencies) * 99 // 100] if latencies else 0.0,
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    run(json.loads(sys.stdin.readline()))
