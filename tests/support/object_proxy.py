"""A line to an object store that can be bent: slow, broken, full, or lost.

Requests are passed on as they came, with their ``Host``, because it is signed.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler

from tests.support.httpd import Httpd, QuietHandler

_OWN = {"content-length", "transfer-encoding", "connection"}


class ObjectProxy(Httpd):
    """In front of ``port``. ``bend`` is called with method and path of each request, before it is
    passed on; what it answers is what goes wrong."""

    def __init__(self, port: int) -> None:
        self.seen: list[tuple[str, str]] = []
        self.bend: Callable[[str, str], Answer | Cut | Drop | None] = lambda _method, _path: None
        self.after: Callable[[str, str], None] = lambda _method, _path: None
        """Is told when the store has answered, before whoever asked is."""
        self.lock = threading.Lock()
        self.delay_s = 0.0
        """Of every answer."""
        self.released = threading.Event()
        """Set: nobody waits any more."""
        super().__init__(_handler(self, port))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self.released.set()
        super().close()


class Answer:
    """The store is not asked: this is what it says."""

    def __init__(self, status: int, code: str = "") -> None:
        self.status = status
        self.body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()


class Drop:
    """The connection ends without an answer; ``told``: after the store has done what was asked."""

    def __init__(self, *, told: bool) -> None:
        self.told = told


class Cut:
    """So many bytes of the answer's body, then the connection ends."""

    def __init__(self, after: int) -> None:
        self.after = after


def _handler(proxy: ObjectProxy, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(QuietHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            with suppress(ConnectionError):  # a client may die at any time
                super().handle()

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            with proxy.lock:
                proxy.seen.append((self.command, self.path))
            bent = proxy.bend(self.command, self.path)
            if proxy.delay_s:
                proxy.released.wait(proxy.delay_s)
            if isinstance(bent, Answer):
                self._tell(bent.status, {"Content-Type": "application/xml"}, bent.body)
                return
            if isinstance(bent, Drop) and not bent.told:
                self.close_connection = True
                return
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                connection.putrequest(
                    self.command, self.path, skip_host=True, skip_accept_encoding=True
                )
                for name, value in self.headers.items():
                    if name.lower() not in ("connection", "expect"):
                        connection.putheader(name, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                if isinstance(bent, Drop):
                    answer.read()
                    self.close_connection = True
                    return
                told = {k: v for k, v in answer.getheaders() if k.lower() not in _OWN}
                length = answer.getheader("Content-Length") if self.command == "HEAD" else None
                content = answer.read()
                proxy.after(self.command, self.path)
                self._tell(answer.status, told, content, bent, length)
            finally:
                connection.close()

        def _tell(
            self,
            status: int,
            told: dict[str, str],
            body: bytes,
            cut: Cut | None = None,
            length: str | None = None,
        ) -> None:
            self.send_response_only(status)
            for name, value in told.items():
                self.send_header(name, value)
            if status != http.HTTPStatus.NO_CONTENT:
                self.send_header("Content-Length", length or str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if cut is not None:
                self.wfile.write(body[: cut.after])
                self.close_connection = True
                return
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle

    return Handler


@contextmanager
def object_proxy(port: int) -> Iterator[ObjectProxy]:
    """A good line, until it is bent."""
    proxy = ObjectProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
