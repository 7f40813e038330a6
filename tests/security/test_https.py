"""The server over TLS, with certificates as an operator makes them."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.dicom_files import make_instance
from tests.support.server import Server, running

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="there is no openssl to make certificates")

LARGE = make_instance(number=2, pixel_bytes=5_000_000)


def openssl(*arguments: str) -> None:
    subprocess.run([OPENSSL or "", *arguments], check=True, capture_output=True)


def certificate(folder: Path, name: str, issuer: str = "") -> Path:
    """A PEM file with key and certificate; signed by itself or by ``issuer``."""
    key, cert, both = (folder / f"{name}.{kind}" for kind in ("key", "crt", "pem"))
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    signer = (
        ["-CA", str(folder / f"{issuer}.crt"), "-CAkey", str(folder / f"{issuer}.key")]
        if issuer
        else ["-addext", "basicConstraints=critical,CA:true"]
    )
    made = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2"]
    openssl("req", "-x509", *made, *subject, *signer)
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    return both


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    certificate(folder, "authority")
    certificate(folder, "server", "authority")
    certificate(folder, "client", "authority")
    certificate(folder, "lonely")
    certificate(folder, "stranger")
    certificate(folder, "known", "stranger")
    certificate(folder, "unknown", "stranger")
    trusted = [folder / f"{name}.crt" for name in ("authority", "lonely", "known")]
    (folder / "trusted.pem").write_bytes(b"".join(path.read_bytes() for path in trusted))
    return folder


@dataclass
class Secure(Server):
    """A server that is spoken to over TLS."""

    pki: Path = Path()
    client: str = ""

    def context(self, client: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.pki / "authority.crt"))
        if client:
            context.load_cert_chain(self.pki / f"{client}.pem")
        return context

    def connect(self, client: str | None = None) -> http.client.HTTPSConnection:
        context = self.context(self.client if client is None else client)
        return http.client.HTTPSConnection("localhost", self.port, timeout=60, context=context)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def server(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    config = {"SslEnabled": True, "SslCertificate": str(pki / "server.pem")}
    with running(Secure(tmp_path_factory.mktemp("https"), config, pki=pki)) as found:
        assert isinstance(found, Secure)
        yield found


@pytest.fixture(scope="module")
def choosy(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    config = {
        "SslEnabled": True,
        "SslCertificate": str(pki / "server.pem"),
        "SslVerifyPeers": True,
        "SslTrustedClientCertificates": str(pki / "trusted.pem"),
    }
    made = Secure(tmp_path_factory.mktemp("choosy"), config, pki=pki, client="client")
    with running(made) as found:
        assert isinstance(found, Secure)
        yield found


def pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 70_001):
        yield data[start : start + 70_001]


def test_uploads_and_downloads_on_one_connection(server: Secure) -> None:
    connection = server.connect()
    small = make_instance(number=1)
    uploads = [
        (small, {}),
        (gzip.compress(make_instance(number=3)), {"Content-Encoding": "gzip"}),
        (LARGE, {}),
    ]
    for body, headers in uploads:
        connection.request("POST", "/instances", body, headers)
        assert connection.getresponse().read().count(b'"Success"') == 1
    connection.request("POST", "/instances", pieces(make_instance(number=4)), encode_chunked=True)
    assert b'"Success"' in connection.getresponse().read()
    first = connection.sock
    found = {
        hashlib.md5(server.get(f"/instances/{one}/file")[1]).digest()
        for one in server.json("GET", "/instances")
    }
    assert hashlib.md5(LARGE).digest() in found
    assert hashlib.md5(small).digest() in found
    assert len(found) == 4
    connection.request("GET", "/system")
    assert connection.getresponse().read()
    assert connection.sock is first
    connection.close()


def test_a_body_that_waits_to_be_asked_for(server: Secure) -> None:
    body = make_instance(number=5)
    with (
        socket.create_connection(("localhost", server.port)) as plain,
        server.context("").wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.settimeout(60)
        head = f"POST /instances HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        tls.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert tls.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        tls.sendall(body)
        assert tls.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_old_protocols_and_plain_http_are_refused(server: Secure) -> None:
    context = server.context("")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("localhost", server.port)) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost")
    connection = http.client.HTTPConnection("localhost", server.port, timeout=60)
    connection.request("GET", "/system")
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        connection.getresponse()
    connection.close()


@pytest.mark.parametrize("client", ["client", "lonely", "known"])
def test_clients_with_a_trusted_certificate(choosy: Secure, client: str) -> None:
    connection = choosy.connect(client)
    connection.request("POST", "/instances", LARGE)
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize("client", ["", "stranger", "unknown"])
def test_clients_without_one_see_nothing(choosy: Secure, client: str) -> None:
    connection = choosy.connect(client)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        connection.request("GET", "/system")
        connection.getresponse()
    connection.close()
