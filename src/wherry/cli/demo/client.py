"""The few HTTP calls of the demonstration, on one kept connection. One thread at a time."""

from __future__ import annotations

import hashlib
import http.client
import json
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from wherry import limits
from wherry.errors import NetworkProtocol

_TIMEOUT_S = 120


class Client:
    """A connection to one server; closed at the end of a ``with``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)

    def get(self, path: str) -> Any:
        """JSON of a GET."""
        return self._call("GET", path, None)

    def post(self, path: str, value: Any) -> Any:
        """JSON of a POST of JSON."""
        return self._call("POST", path, json.dumps(value).encode())

    def store(self, file: bytes) -> dict[str, Any]:
        """Upload one DICOM file; the answer of ``POST /instances``."""
        answer: dict[str, Any] = self._call("POST", "/instances", file)
        return answer

    def digest(self, path: str) -> str:
        """SHA-256 of what a GET answers, read in pieces."""
        answer = self._open("GET", path, None)
        digest = hashlib.sha256()
        while piece := answer.read(limits.READ_CHUNK_BYTES):
            digest.update(piece)
        return digest.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def _call(self, method: str, path: str, body: bytes | None) -> Any:
        answer = self._open(method, path, body)
        try:
            return json.loads(answer.read())
        except ValueError:
            raise NetworkProtocol(f"{method} {path} at {self._url} answered no JSON") from None

    def _open(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        try:
            self._connection.request(method, path, body)
            answer = self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise NetworkProtocol(f"{method} {path} at {self._url}: {error}") from error
        if answer.status != 200:
            text = answer.read(2000).decode(errors="replace")
            raise NetworkProtocol(f"{method} {path} at {self._url}: {answer.status} {text}")
        return answer
