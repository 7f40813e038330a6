"""A stand-in for Google Cloud Storage: its XML interface, as far as our client uses it, in front of
the S3 service of the tests.

Nothing real speaks that interface here: ``fake-gcs-server`` has no uploads by it, and
``gcp-storage-emulator`` does not have it at all. So this shows that the client of Google, its
requests and conditions, pass the contract, not that Google's service answers like this.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from tests.support.httpd import Httpd, QuietHandler
from tests.support.swift import ACCESS_KEY, REGION, SECRET_KEY, Swift

_UNSIGNED = "UNSIGNED-PAYLOAD"
_PASSED_ON = ("range", "if-none-match")
_OWN = {"content-length", "transfer-encoding", "connection"}


class Google(Httpd):
    """A running service; ``swift`` keeps what it stores."""

    def __init__(self, swift: Swift, folder: Path) -> None:
        self.swift = swift
        super().__init__(_handler(swift.port))
        self.account_file = folder / "account.json"
        account = {
            "gcs_base_url": self.url.rstrip("/"),
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        self.account_file.write_text(json.dumps(account))


def _handler(port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(QuietHandler):
        disable_nagle_algorithm = True

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            target = urlsplit(self.path)
            path = quote(unquote(target.path))
            pairs = sorted(parse_qsl(target.query, keep_blank_values=True))
            query = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs)
            headers = {k: v for k, v in self.headers.items() if k.lower() in _PASSED_ON}
            if self.headers.get("x-goog-if-generation-match") == "0":
                headers["If-None-Match"] = "*"
            host = f"127.0.0.1:{port}"
            headers |= _signed(self.command, host, path, query)
            connection = http.client.HTTPConnection(host, timeout=60)
            try:
                connection.request(
                    self.command, f"{path}?{query}" if query else path, body, headers
                )
                answer = connection.getresponse()
                told = {k: v for k, v in answer.getheaders() if k.lower() not in _OWN}
                data, length = answer.read(), answer.getheader("Content-Length")
            finally:
                connection.close()
            self.send_response_only(answer.status)
            for name, value in told.items():
                self.send_header(name, value)
            self.send_header("x-goog-generation", "1")
            if self.command == "HEAD":
                self.send_header("Content-Length", length or "0")
            elif answer.status != http.HTTPStatus.NO_CONTENT:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle

    return Handler


def _signed(method: str, host: str, path: str, query: str) -> dict[str, str]:
    """Signature version 4 of Amazon, over host and date."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    day = moment[:8]
    headers = {"host": host, "x-amz-content-sha256": _UNSIGNED, "x-amz-date": moment}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = "\n".join((method, path, query, lines, names, _UNSIGNED))
    scope = f"{day}/{REGION}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    key = f"AWS4{SECRET_KEY}".encode()
    for part in (day, REGION, "s3", "aws4_request", text):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"Credential={ACCESS_KEY}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 {credential},SignedHeaders={names},Signature={key.hex()}"
    return headers | {"Authorization": authorization}


@contextmanager
def google(swift: Swift, folder: Path) -> Iterator[Google]:
    """A service in front of another."""
    service = Google(swift, folder)
    try:
        yield service
    finally:
        service.close()
