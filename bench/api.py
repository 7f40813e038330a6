"""The few REST calls that a measurement needs, of any Orthanc-compatible server."""

from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


class ServerError(Exception):
    """The server under test refused, failed or is not there."""


@dataclass(frozen=True)
class Api:
    """A server by its URL; ``user`` is "name:password" where it wants one."""

    url: str
    user: str = ""

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 80

    def get(self, path: str) -> Any:
        """The JSON answer. Raises ``ServerError``, ``OSError``."""
        return self.call("GET", path)

    def post(self, path: str, body: Any, timeout_s: float = 1800) -> Any:
        """The JSON answer to a JSON body."""
        return self.call("POST", path, json.dumps(body).encode(), timeout_s)

    def call(self, method: str, path: str, body: bytes = b"", timeout_s: float = 60) -> Any:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        headers = {"Connection": "close"}
        if self.user:
            headers["Authorization"] = f"Basic {base64.b64encode(self.user.encode()).decode()}"
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as failure:
            raise ServerError(f"{method} {path}: {type(failure).__name__}") from failure
        finally:
            connection.close()
        if answer.status != 200:
            raise ServerError(f"{method} {path}: {answer.status} {text[:500]!r}")
        return json.loads(text) if text else None

    def count(self) -> int:
        """Instances it holds."""
        return int(self.get("/statistics")["CountInstances"])

    def version(self) -> str:
        """Its own word about its version."""
        system = self.get("/system")
        return f"{system.get('Version')} (API {system.get('ApiVersion')})"
