"""The heads of answers, letter by letter, beside those of a real Orthanc."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.test_rest_beside_orthanc import ORTHANC, orthanc
from tests.support.dicom_files import make_instance
from tests.support.server import Server, running

pytestmark = pytest.mark.skipif(
    ORTHANC is None, reason="there is no Orthanc to compare with: apt-get install orthanc"
)

OF_THE_CONNECTION = {"Connection", "Keep-Alive"}
"""Orthanc sends them always; here connections are kept, as HTTP/1.1 says when nothing is said."""
OURS = {"Date", "X-Content-Type-Options"}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Orthanc's and ours, with the same instance in each."""
    folder: Path = tmp_path_factory.mktemp("heads")
    with orthanc(folder / "orthanc") as real, running(Server(folder / "wherry")) as ours:
        both = (int(real.url.rsplit(":", 1)[1]), ours.port)
        for port in both:
            assert head(port, "POST", "/instances", make_instance())[0] == 200
        yield both


def head(
    port: int,
    method: str,
    target: str,
    body: bytes = b"",
    extra: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers with their names as they stand on the wire, and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Accept-Encoding": "identity", **(extra or {})}
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


REQUESTS = [
    ("GET", "/"),
    ("GET", "/system"),
    ("GET", "/patients"),
    ("GET", "/patients?expand"),
    ("GET", "/statistics"),
    ("GET", "/changes"),
    ("GET", "/nope"),
    ("GET", "/studies/nope"),
    ("DELETE", "/instances"),
    ("PATCH", "/system"),
    ("HEAD", "/system"),
    ("OPTIONS", "/system"),
    ("GET", "/instances/{}/file"),
    ("GET", "/instances/{}/tags"),
    ("GET", "/instances/{}/metadata/ReceptionDate"),
    ("GET", "/instances/{}/attachments/dicom/data"),
    ("GET", "/instances/{}/attachments/dicom/md5"),
    ("GET", "/tools/now"),
    ("POST", "/tools/find"),
    ("POST", "/instances"),
]


@pytest.mark.parametrize(("method", "target"), REQUESTS)
def test_heads(ports: tuple[int, int], method: str, target: str) -> None:
    shapes = []
    for port in ports:
        instance = json.loads(head(port, "GET", "/instances")[2])[0]
        status, headers, _ = head(port, method, target.format(instance))
        for name in OF_THE_CONNECTION | OURS:
            headers.pop(name, None)
        if headers.get("Content-Type", "").startswith("application/json"):
            headers.pop("Content-Length")  # spaces
        headers = {name: anonymous(value) for name, value in headers.items()}
        if status >= 400:
            headers.pop("Content-Length", None)
        shapes.append((status, headers))
    assert shapes[1] == shapes[0]


@pytest.mark.parametrize("word", ["delete", "DELETE", "put", "GET", "HEAD", "PATCH", "x", ""])
@pytest.mark.parametrize("target", ["/patients/x", "/instances/x/metadata/1024", "/system"])
def test_methods_behind_a_post(ports: tuple[int, int], word: str, target: str) -> None:
    """A header of a POST may say that it is a PUT or a DELETE; its query says nothing."""
    override = {"X-HTTP-Method-Override": word}
    assert len({head(port, "POST", target, b"", override)[0] for port in ports}) == 1
    assert len({head(port, "POST", f"{target}?_method={word}")[0] for port in ports}) == 1


def anonymous(value: str) -> str:
    value = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>", value)
    return re.sub(r"[0-9a-f]{32}", "<md5>", value)


def test_our_heads_say_what_they_are(ports: tuple[int, int]) -> None:
    _, headers, _ = head(ports[1], "GET", "/system")
    assert set(headers) == {"Content-Type", "Content-Length", *OURS}
