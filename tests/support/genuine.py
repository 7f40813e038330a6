"""A genuine Orthanc that is asked what we are asked: one for a whole module, emptied in between."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.orthanc import ORTHANC
from tests.support.server import free_port


class Orthanc:
    """A running Orthanc."""

    def __init__(self, port: int) -> None:
        self._port = port

    def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """Status and body of an answer, which is JSON or text."""
        status, data = self.raw(method, path, body)
        try:
            return status, json.loads(data)
        except ValueError:
            return status, data.decode()

    def get(self, path: str) -> Any:
        """The JSON or text of a GET that must succeed."""
        status, answer = self.request("GET", path)
        assert status == 200, path
        return answer

    def clear(self) -> None:
        """Delete everything."""
        for patient in self.get("/patients"):
            self.request("DELETE", f"/patients/{patient}")

    def upload(self, data: bytes) -> tuple[int, Any]:
        """Upload into an empty store."""
        self.clear()
        return self.request("POST", "/instances", data)


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """An Orthanc without plugins and without DICOM network; skips the test when there is none."""
    if ORTHANC is None:
        pytest.skip("Orthanc is not installed (Debian: apt-get install orthanc)")
    port = free_port()
    config = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": False,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    with subprocess.Popen(
        [ORTHANC, str(folder / "orthanc.json")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:  # it says when it is ready
            if b"Orthanc has started" in line:
                break
        else:
            pytest.skip("Orthanc does not start here")
        process.stderr.close()
        yield Orthanc(port)
        process.terminate()
