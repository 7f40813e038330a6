"""Sends one record, or a whole profile in its order, and describes the answers."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.golden.bodies import Samples, body_of, substitute
from tests.golden.describe import describe
from tests.golden.normalise import Normaliser

type_record = dict[str, Any]

_POLL_S = 0.05
_TIMEOUT_S = 60.0


class Player:
    """One profile being replayed, from empty servers: ``ports`` by ``A`` and ``B``."""

    def __init__(
        self, samples: Samples, constants: Mapping[str, Any], ports: Mapping[str, int]
    ) -> None:
        self._samples = samples
        self._ports = ports
        self.variables = {
            **constants,
            **{f"{server}_HTTP": port for server, port in ports.items()},
        }

    def play(self, records: Iterable[type_record]) -> Iterator[tuple[type_record, dict[str, Any]]]:
        """Each record with the description of the answer that it got."""
        for record in records:
            try:
                yield record, self._perform(record)
            except (OSError, http.client.HTTPException) as error:
                body = {"kind": "no-answer", "error": type(error).__name__}
                yield record, {"status": None, "headers": {}, "body": body}

    def _perform(self, record: type_record) -> dict[str, Any]:
        time.sleep(record.get("delay", 0))  # part of the recording: a quiet time
        status, headers, data = self._ask(record)
        for name, path in record.get("capture", {}).items():
            self._capture(name, path, data)
        if "keep" in record:
            self.variables["raw:" + record["keep"]] = data
        return describe(
            status,
            headers,
            data,
            record.get("compare", "auto"),
            Normaliser(self._samples, self.variables),
            unordered=record.get("unordered", False),
        )

    def _ask(self, record: type_record) -> tuple[int, list[tuple[str, str]], bytes]:
        poll = record.get("poll")
        end = time.monotonic() + (poll or {}).get("timeout", 30)
        while True:
            answer = self._send(self._ports[record["server"]], record["request"])
            if not poll or time.monotonic() > end:
                return answer
            try:
                value = pointer(json.loads(answer[2]), poll["path"])
            except (ValueError, LookupError):
                value = None
            if value in poll["until"]:
                return answer
            time.sleep(_POLL_S)  # polling another process

    def _send(
        self, port: int, request: Mapping[str, Any]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        body, extra = body_of(request.get("body"), self._samples, self.variables)
        given = substitute(request.get("headers", {}), self.variables)
        headers = {"Accept-Encoding": "identity", **extra, **given}
        method = request["method"]
        if body is not None or method in ("POST", "PUT"):
            headers["Content-Length"] = str(len(body or b""))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        try:
            path = substitute(request["path"], self.variables)
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _capture(self, name: str, path: str, data: bytes) -> None:
        try:
            found = data.decode().strip() if path == "." else pointer(json.loads(data), path)
        except (ValueError, LookupError, TypeError):
            found = "capture-failed"
        self.variables[name] = found


def pointer(document: Any, path: str) -> Any:
    """The value at ``a/0/b``."""
    for part in filter(None, path.split("/")):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document
