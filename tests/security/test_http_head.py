"""What comes before a body: heads without end, slow heads, URLs, smuggled lines."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, running
from wherry import limits


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Server(tmp_path_factory.mktemp("server"))) as found:
        yield found


def speak(server: Server, *pieces: bytes, repeat: int = 1) -> bytes:
    """What comes back; the server may close before everything is said."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        with contextlib.suppress(ConnectionError):
            for piece in pieces[:-1]:
                connection.sendall(piece)
            for _ in range(repeat):
                connection.sendall(pieces[-1])
        heard = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                heard += piece
                if b"content-length: 0\r\n" in heard.lower():
                    break
        return heard


def peak_kib(server: Server) -> int:
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    raise AssertionError


HEAD = b"GET /system HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((HEAD, b"X-Long: ", b"a" * 65536), id="one header without end"),
        pytest.param((HEAD, b"X-Many: a\r\n" * 6000), id="headers without end"),
        pytest.param((b"GET /", b"a" * 65536), id="a URL without end"),
        pytest.param(
            (
                b"POST /tools/lookup HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"1\r\na\r\n0\r\n",
                b"X-Trailer: a\r\n" * 5000,
            ),
            id="trailers without end",
        ),
    ],
)
def test_what_has_no_end_is_ended(server: Server, pieces: tuple[bytes, ...]) -> None:
    before = peak_kib(server)
    heard = speak(server, *pieces, repeat=2000)  # 130 MB, if it were kept
    assert not heard or heard.startswith(b"HTTP/1.1 431") or b"400" in heard[:20]
    assert peak_kib(server) - before < 20 * 1024
    assert server.get("/system")[0] == 200


def test_a_url_longer_than_the_bound(server: Server) -> None:
    target = b"/system?" + b"x" * limits.URL_BYTES
    answer = speak(server, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 414")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /system HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /instances HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /instances HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /instances HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /instances HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"hello\r\n\r\n",
    ],
)
def test_malformed_heads(server: Server, head: bytes) -> None:
    assert speak(server, head).startswith(b"HTTP/1.1 400")
    assert server.get("/system")[0] == 200


def test_lines_cannot_be_smuggled_into_an_answer(server: Server) -> None:
    for target in (
        "/%0d%0aX-Evil:1",
        "/instances/%0d%0aX-Evil:1/file",
        "/instances?since=%0d%0aX-Evil:1",
        "/peers/%0d%0aX-Evil:1/system",
    ):
        request = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        head = speak(server, request.encode()).partition(b"\r\n\r\n")[0]
        assert b"evil" not in head.lower()
