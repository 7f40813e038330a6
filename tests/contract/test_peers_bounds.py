"""Peers that answer without end: slowly, a byte at a time, or quickly and with nothing."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import pytest

from wherry import clock, limits
from wherry.errors import NetworkProtocol, PeerUnavailable
from wherry.model import Peer
from wherry.peers.bounds import AnswerBounds
from wherry.peers.client import PeerClient, Request
from wherry.peers.proxy import read_proxy
from wherry.peers.tls import Tls
from wherry.storage.base import type_read

OK = b"HTTP/1.1 200 OK\r\n"
GET = Request("GET", "/x", "look")
_MOST = 64 * limits.MIB
"""What a server sends of something endless, so that a client without a bound comes to an end."""


class Talker:
    """Answers the first request on each connection with what ``say`` gives, piece by piece; then
    closes, and notes whether the client was still there."""

    def __init__(self, say: Callable[[], Iterable[bytes]], pause_s: float = 0.0) -> None:
        self._say = say
        self._pause_s = pause_s
        self._stop = threading.Event()
        self.heard_out = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def client(self, timeout_s: float = 20) -> PeerClient:
        peer = Peer("there", f"http://{self.address}/")
        return PeerClient(peer, timeout_s=timeout_s, tls=Tls())

    def close(self) -> None:
        self._stop.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(10_000)
            for piece in self._say():
                connection.sendall(piece)
                if self._pause_s and self._stop.wait(self._pause_s):
                    return
            self.heard_out += 1


def read_all(read: type_read) -> int:
    """Read to the end; the number of bytes."""
    buffer, total = memoryview(bytearray(100_000)), 0
    while count := read(buffer):
        total += count
    return total


type_talk = Callable[..., Talker]


@pytest.fixture
def talk() -> Iterator[type_talk]:
    talkers: list[Talker] = []

    def start(say: Callable[[], Iterable[bytes]], pause_s: float = 0.0) -> Talker:
        talkers.append(Talker(say, pause_s))
        return talkers[-1]

    yield start
    for talker in talkers:
        talker.close()


def single(data: bytes, then: bytes) -> Iterator[bytes]:
    """``data``, then two thousand pieces ``then``."""
    yield data
    yield from itertools.repeat(then, 2000)


def endless(data: bytes, then: bytes) -> Iterator[bytes]:
    """``data``, then pieces ``then`` until there are ``_MOST`` bytes."""
    yield data
    block = then * (limits.MIB // len(then))
    for _ in range(_MOST // len(block)):
        yield block


# --- slow ----------------------------------------------------------------------------------
SLOW = {
    "status": (b"", b"H"),
    "header": (OK + b"X: ", b"y"),
    "body": (OK + b"Content-Length: 2000\r\n\r\n", b"z"),
    "body without a length": (OK + b"\r\n", b"z"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nz\r\n"),
    "trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
    "refusal": (b"HTTP/1.1 500 No\r\nContent-Length: 2000\r\n\r\n", b"z"),
}


@pytest.mark.parametrize("what", SLOW)
def test_an_answer_that_drips_is_given_up(talk: type_talk, what: str) -> None:
    talker = talk(lambda: single(*SLOW[what]), 0.02)
    with talker.client(0.3) as client, pytest.raises(PeerUnavailable, match="too slow"):
        client.ask(GET)
    assert not talker.heard_out


@pytest.mark.parametrize("what", ["body", "chunks"])
def test_a_bucket_that_drips_is_given_up(talk: type_talk, what: str) -> None:
    talker = talk(lambda: single(*SLOW[what]), 0.02)
    with talker.client(0.3) as client, pytest.raises(PeerUnavailable, match="too slow"):
        client.fetch(GET, read_all)
    assert not talker.heard_out


def test_a_bound_on_the_whole_request(talk: type_talk) -> None:
    talker = talk(lambda: single(*SLOW["body"]), 0.02)
    request = Request("GET", "/x", "look", whole_s=0.3)
    with talker.client() as client, pytest.raises(PeerUnavailable):
        client.ask(request)
    assert not talker.heard_out


def test_a_slow_line_that_brings_enough_is_waited_for(talk: type_talk) -> None:
    """Ten times as long as the timeout, but never silent, and above the least rate."""
    pieces = [OK + b"Content-Length: 100000\r\n\r\n", *[bytes(1000)] * 100]
    with talk(lambda: pieces, 0.02).client(0.2) as client:
        assert len(client.ask(GET).body) == 100_000


def test_the_rate_is_reckoned_from_the_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    bounds = AnswerBounds(60, 0, limits.MIB)
    now += 3600  # how long the wait for the first byte is, the socket knows
    assert bounds.step_s() == 60
    bounds.received(1)
    now += 59
    assert 1 < bounds.step_s() < 1.1
    bounds.received(limits.PEER_LEAST_BYTES_PER_S * 10)
    assert 11 < bounds.step_s() < 11.1
    now += 12
    with pytest.raises(TimeoutError, match="slow"):
        bounds.step_s()
    hasty = AnswerBounds(60, 2, limits.MIB)
    assert hasty.step_s() == 2
    now += 2
    with pytest.raises(TimeoutError):
        hasty.step_s()


# --- quick ---------------------------------------------------------------------------------
ENDLESS = {
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers of an interim answer": (b"HTTP/1.1 100 Continue\r\n", b"a: b\r\n"),
    "headers": (OK, b"a: b\r\n"),
    "one header": (OK + b"X: ", b"y"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"a: b\r\n"),
    "a chunk length": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "body": (OK + b"\r\n", b"z"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nz\r\n"),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_nothing_in_an_answer_is_endless(talk: type_talk, what: str) -> None:
    talker = talk(lambda: endless(*ENDLESS[what]))
    with talker.client() as client, pytest.raises(NetworkProtocol):
        client.ask(GET)
    assert not talker.heard_out


def test_trailers_of_a_bucket_are_not_endless(talk: type_talk) -> None:
    talker = talk(lambda: endless(*ENDLESS["trailers"]))
    with talker.client() as client, pytest.raises(PeerUnavailable, match="does not end"):
        client.fetch(GET, read_all)
    assert not talker.heard_out


def test_what_a_proxy_says_before_the_tunnel_is_not_endless(talk: type_talk) -> None:
    talker = talk(lambda: endless(OK, b"a: b\r\n"))
    peer = Peer("there", "https://name.example/")
    proxy = read_proxy(talker.address)
    with (
        PeerClient(peer, timeout_s=20, tls=Tls(False), proxy=proxy) as client,
        pytest.raises(PeerUnavailable),
    ):
        client.ask(GET)
    assert not talker.heard_out


def test_a_body_of_any_length_is_fetched(talk: type_talk) -> None:
    size = 20 * limits.MIB
    head = OK + b"Content-Length: %d\r\n\r\n" % size
    pieces = [head, *[bytes(limits.MIB)] * 20]
    with talk(lambda: pieces).client() as client:
        assert client.fetch(GET, read_all) == size
