"""A program that is told by webhooks: notes what comes, checks the signature, answers as it likes.

The signature is checked by ``openssl``, which shares no code with what made it.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.httpd import Httpd, QuietHandler

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass(frozen=True)
class Call:
    """One request."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.body)["Events"]
        return found

    def is_signed(self, key: bytes = bytes(range(32))) -> bool:
        """Whether the signature is that of this body, name and time."""
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}"]
        run = subprocess.run([*command, "-binary"], input=signed, capture_output=True, check=True)
        expected = "v1," + base64.b64encode(run.stdout).decode()
        return self.headers["webhook-signature"] == expected


type_rule = Callable[[Call], int]


class Listener(Httpd):
    """Answers POSTs with what ``rule`` says; it may wait."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.taken: list[Call] = []
        """Those that were answered 2xx."""
        self.rule: type_rule = lambda _: 200
        self.answer: Callable[[Call], tuple[bytes, dict[str, str]]] = lambda _: (b"", {})
        """Body and headers."""
        self._lock = threading.Lock()
        super().__init__(self._handler())

    @property
    def url(self) -> str:
        return f"{super().url}told?token=1"

    def entry(self, *events: str, **more: Any) -> dict[str, Any]:
        """For ``Wherry.Webhooks``."""
        return {"Name": "listener", "Url": self.url, "Events": events, "Secret": SECRET} | more

    @property
    def heard(self) -> list[dict[str, Any]]:
        """Events of all that was taken, in this order."""
        with self._lock:
            return [event for call in self.taken for event in call.events]

    def kinds(self) -> list[str]:
        return [event["ChangeType"] for event in self.heard]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listener = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers["content-length"]))
                call = Call(self.path, headers, body)
                with listener._lock:
                    listener.calls.append(call)
                status = listener.rule(call)
                if 200 <= status < 300:
                    with listener._lock:
                        listener.taken.append(call)
                answer, more = listener.answer(call)
                try:
                    self.send_response(status)
                    for name, value in more.items():
                        self.send_header(name, value)
                    if status != 204:
                        self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except OSError:  # cut, or killed
                    self.close_connection = True

        return Handler


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener that is closed in the end."""
    listener = Listener()
    try:
        yield listener
    finally:
        listener.close()
