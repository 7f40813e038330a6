"""An HTTP proxy in front of one server, through which a test sees and bends what is said."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.support.httpd import Httpd, QuietHandler


@dataclass
class Message:
    """A request on its way; a rule may change it, or answer it itself."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 0
    """Not 0: the request is not passed on, this is the answer."""
    answer: bytes = b""
    told: dict[str, str] = field(default_factory=dict)
    """Headers of the answer."""


_OWN = {"host", "content-length", "transfer-encoding", "connection", "date", "server"}

type_rule = Callable[[Message], None]


class Proxy(Httpd):
    """Passes requests on to ``port``; every request is noted, then ``rule`` may bend it."""

    def __init__(self, port: int) -> None:
        self.seen: list[tuple[str, str]] = []
        self.answered: list[tuple[str, str, int]] = []
        self.headers: list[dict[str, str]] = []
        self.rule: type_rule = lambda _: None
        self.after: Callable[[Message], bool] = lambda _: True
        """Called with the answer; False drops it, and the connection."""
        self._port = port
        self.lock = threading.Lock()
        super().__init__(self._handler())

    def sent(self, method: str) -> list[str]:
        """Paths of the requests of one method, in order of arrival."""
        with self.lock:
            return [path for name, path in self.seen if name == method]

    def acknowledged(self) -> list[str]:
        """Paths of the buckets that were answered with 200."""
        with self.lock:
            return [p for method, p, status in self.answered if (method, status) == ("PUT", 200)]

    def _pass_on(self, message: Message) -> None:
        with self.lock:
            self.seen.append((message.method, message.path))
            self.headers.append(message.headers)
        self.rule(message)
        if not message.status:
            connection = self._connection()
            try:
                kept = {k: v for k, v in message.headers.items() if k.lower() not in _OWN}
                connection.request(message.method, message.path, message.body, kept)
                answer = connection.getresponse()
                message.status, message.answer = answer.status, answer.read()
                message.told = {k: v for k, v in answer.getheaders() if k.lower() not in _OWN}
            except (OSError, http.client.HTTPException):
                message.status, message.answer = 502, b""
            finally:
                connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        """For the next request; connected or not."""
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(QuietHandler):
            disable_nagle_algorithm = True

            def handle(self) -> None:
                with suppress(ConnectionError):  # a client may die at any time
                    super().handle()

            def _handle(self) -> None:
                body = self._body()
                if body is None:
                    self.close_connection = True
                    return
                message = Message(self.command, self.path, body, dict(self.headers.items()))
                proxy._pass_on(message)
                if not proxy.after(message):
                    self.close_connection = True
                    return
                with proxy.lock:
                    proxy.answered.append((message.method, message.path, message.status))
                try:
                    self.send_response(message.status)
                    self.send_header("Content-Length", str(len(message.answer)))
                    for name, value in message.told.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(message.answer)
                except OSError:
                    self.close_connection = True

            def _body(self) -> bytes | None:
                """None = the sender was gone before it had said all."""
                if self.headers.get("Transfer-Encoding") == "chunked":
                    parts = []
                    while size := int(self.rfile.readline(), 16):
                        parts.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    return b"".join(parts)
                size = int(self.headers.get("Content-Length", "0"))
                body = self.rfile.read(size)
                return body if len(body) == size else None

            do_GET = do_POST = do_PUT = do_DELETE = _handle

        return Handler


@contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """A proxy in front of ``port``."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
