"""A peer that takes instances as Orthanc does, notes them, and misbehaves when told to."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from tests.support.httpd import Httpd, QuietHandler
from wherry.dicom.scan import scan
from wherry.errors import WherryError

type_answer = tuple[int, bytes]
type_rule = Callable[[str], type_answer | None]


class Receiver(Httpd):
    """Answers ``POST /instances``; ``rule`` may answer in its place, or wait."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.uploads: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.body_bytes = 0
        self.rule: type_rule = lambda _: None
        self._lock = threading.Lock()
        super().__init__(self._handler())

    def take(self, body: bytes, headers: dict[str, str]) -> type_answer:
        with self._lock:
            self.headers.append(headers)
            self.body_bytes += len(body)
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        try:
            name = scan(body).identifiers.instance
        except WherryError:
            return 400, b'{"Details":"Cannot parse an invalid DICOM file","OrthancStatus":15}'
        with self._lock:
            self.uploads.append(name)
        answer = self.rule(name)
        if answer is not None:
            return answer
        with self._lock:
            status = "AlreadyStored" if name in self.stored else "Success"
            self.stored[name] = body
        return 200, json.dumps({"ID": name, "Status": status}).encode()

    def look(self, path: str) -> bytes | None:
        """The answer to a GET; None = 404."""
        return None if path.endswith("/md5") else b'{"Name":"receiver"}'

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, answer = receiver.take(self._body(headers), headers)
                self._answer(status, answer)

            def do_GET(self) -> None:
                found = receiver.look(self.path)
                self._answer(404 if found is None else 200, found or b"")

            def _answer(self, status: int, answer: bytes) -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except OSError:
                    self.close_connection = True

            def _body(self, headers: dict[str, str]) -> bytes:
                if headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(headers.get("content-length", "0")))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

        return Handler


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that is closed in the end."""
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()
