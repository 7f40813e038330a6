"""Speaking to a peer over HTTP: kept-alive connections, streamed bodies, honest errors.

Built on ``http.client`` in threads (the reasons and figures: docs/decisions/http-client.md), for
sockets stay in reach: a file goes out by ``sendfile``, a body comes in by ``readinto`` a buffer
that is used again, and a job that is cancelled cuts its connections at once.

``Accept-Encoding`` is never sent: old Orthanc servers would compress what is compressed already.
Redirects are not followed: credentials go to the configured address only.

Not here: one connection (``line``), how slow an answer may be and how long (``bounds``), trying
again (``patience``), what is said (``protocol``).
"""

from __future__ import annotations

import base64
import http.client
import itertools
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import TypeVar
from urllib.parse import urlsplit

from wherry import clock, limits
from wherry.config import Config
from wherry.config.networks import type_network
from wherry.digests import is_intact
from wherry.errors import NetworkProtocol, PeerUnavailable
from wherry.model import Peer
from wherry.peers.addresses import Guard
from wherry.peers.bodies import Body
from wherry.peers.bounds import AnswerBounds
from wherry.peers.line import Line, Way
from wherry.peers.outlet import Outlet, type_pass_on
from wherry.peers.proxy import Proxy, read_proxy
from wherry.peers.refusal import refusal
from wherry.peers.tls import Tls
from wherry.storage.base import type_read

T = TypeVar("T")

WHICH_REQUEST = "wherry-request"
"""Header of a request, and of the good answer to it."""

_BROKEN = (OSError, http.client.HTTPException)
_STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


@dataclass(frozen=True, slots=True)
class Answer:
    """A small answer with status 200."""

    body: bytes
    cookies: tuple[str, ...] = ()
    """``name=value`` of each ``Set-Cookie``."""
    sent_bytes: int = 0
    """Length of the body that was sent."""
    headers: Message = field(default_factory=Message)

    def header(self, name: str) -> str:
        """A header; empty when there is none."""
        return str(self.headers.get(name, ""))


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a peer."""

    method: str
    target: str
    """Path and query, beginning with ``/``, below the peer's URL."""
    what: str
    """In words, for errors: "bucket 3"."""
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 0
    """Longest silence; 0 = the peer's own."""
    whole_s: float = 0
    """Longest time of the whole request, with its connection; 0 = as long as the answer goes on at
    the least rate."""
    limit: int = limits.PEER_ANSWER_BYTES
    pass_on: type_pass_on | None = None
    """Slows its body down."""
    tied: bool = False
    """Whether a good answer must say to which request it belongs; only a Wherry does."""
    resend: bool = True
    """Whether it may be sent once more without a word, when a kept-alive connection turns out to
    be closed: not when it matters whether the peer may have seen the first one."""


class PeerClient:
    """Connections to one peer, shared by the threads of a job. Close it in the end."""

    def __init__(
        self,
        peer: Peer,
        *,
        timeout_s: float,
        tls: Tls,
        proxy: Proxy | None = None,
        forbidden: tuple[type_network, ...] = (),
    ) -> None:
        """``timeout_s``: longest silence, where the peer's entry says nothing else;
        ``forbidden``: networks that it must not lead into."""
        parts = urlsplit(peer.url)
        self.peer = peer
        self._prefix = parts.path.rstrip("/")
        self._timeout_s = peer.timeout_s or timeout_s
        context = tls.context(peer) if parts.scheme == "https" else None
        guard = Guard(peer.name, forbidden)
        self._way = Way(parts.hostname or "", parts.port, context, proxy, guard)
        self._headers = _standing_headers(peer)
        if proxy is not None and context is None:  # it reads the whole address
            self._prefix = f"http://{parts.netloc.rpartition('@')[2]}{self._prefix}"
            self._headers |= proxy.headers
        self._lock = threading.Lock()
        self._tokens = itertools.count(int(clock.random_share() * 2**32))
        self._idle: list[Line] = []
        self._busy: set[http.client.HTTPConnection] = set()
        self._aborted = False

    def __enter__(self) -> PeerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- requests --------------------------------------------------------------------------
    def ask(self, request: Request) -> Answer:
        """Send it and read its answer. Raises ``PeerUnavailable``, ``PeerRefusal`` for any status
        but 200, ``NetworkProtocol`` for an answer beyond ``request.limit``, ``ForbiddenAddress``
        when the peer is where none may be."""

        def read(line: Line, response: http.client.HTTPResponse) -> Answer:
            body = response.read(request.limit + 1)
            if len(body) > request.limit:
                raise self._nonsense(request, "its answer is longer than makes sense")
            if not is_intact(body, response.headers.get("Content-Digest", "")):
                raise http.client.HTTPException("its answer was damaged on its way")
            cookies = response.msg.get_all("Set-Cookie") or ()
            names = tuple(one.split(";", 1)[0].strip() for one in cookies)
            return Answer(body, names, line.sent, response.headers)

        return self._exchange(request, read)

    def fetch(self, request: Request, take: Callable[[type_read], T]) -> T:
        """Send it, and let ``take`` read its answer; the result of ``take``, whose errors go
        through: how much it reads is its own affair. A body that stops short is noticed here when
        its length was told."""

        def read(line: Line, response: http.client.HTTPResponse) -> T:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise self._nonsense(request, "its answer is encoded without having been asked to")
            taken = 0

            def readinto(buffer: memoryview) -> int:
                nonlocal taken
                line.bounds.most_bytes = _most_bytes(taken + len(buffer))
                count = response.readinto(buffer)
                taken += count
                return count

            return take(readinto)

        return self._exchange(request, read)

    def abort(self) -> None:
        """Cut every connection: requests under way fail at once, later ones too."""
        with self._lock:
            self._aborted = True
            lines = list(self._busy)
        for line in lines:
            sock = line.sock
            if sock is not None:
                try:
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not SSLSocket's: other threads
                except OSError:
                    pass

    def reopen(self) -> None:
        """After ``abort``, when no thread is inside any more: new requests may be made."""
        with self._lock:
            self._aborted = False

    def close(self) -> None:
        """Release the idle connections; requests under way release theirs."""
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.http.close()

    # --- inside ----------------------------------------------------------------------------
    def _exchange(self, request: Request, read: Callable[[Line, http.client.HTTPResponse], T]) -> T:
        while True:
            line, used = self._borrow()
            try:
                response = self._send(line, request)
            except _STALE as error:
                self._drop(line)
                if used and request.resend and not self._aborted:
                    continue  # the peer closed the idle connection as we began to write
                raise self._unavailable(request, error) from error
            except _BROKEN as error:
                self._drop(line)
                raise self._unavailable(request, error) from error
            except BaseException:
                self._drop(line)
                raise
            return self._read(line, request, response, read)

    def _send(self, line: Line, request: Request) -> http.client.HTTPResponse:
        connection, body = line.http, request.body
        try:
            self._send_head(line, request)
        except OSError:  # among them certificates, whose errors are ValueErrors too
            raise
        except ValueError as error:  # names and headers that no protocol has letters for
            raise self._nonsense(request, "its address or a header cannot be sent") from error
        if body is not None:
            outlet = Outlet(connection.sock, request.pass_on)
            try:
                body.send(outlet)
            except (BrokenPipeError, ConnectionResetError) as broken:
                return _early_answer(connection, broken)
            line.sent = outlet.sent
        return connection.getresponse()

    def _send_head(self, line: Line, request: Request) -> None:
        connection, timeout_s = line.http, request.timeout_s or self._timeout_s
        line.bounds = AnswerBounds(timeout_s, request.whole_s, _most_bytes(request.limit))
        if connection.sock is None:
            line.connect(min(timeout_s, self._timeout_s))
            self._check_alive()  # abort() found no socket to cut a moment ago
        connection.sock.settimeout(line.bounds.step_s())
        connection.putrequest(
            request.method, self._prefix + request.target, skip_accept_encoding=True
        )
        line.token = f"{next(self._tokens):x}" if request.tied else ""
        if line.token:
            connection.putheader(WHICH_REQUEST, line.token)
        for name, value in {
            **self._headers,
            **request.headers,
            **(request.body.headers if request.body is not None else {}),
        }.items():
            connection.putheader(name, value)
        connection.endheaders()

    def _read(
        self,
        line: Line,
        request: Request,
        response: http.client.HTTPResponse,
        read: Callable[[Line, http.client.HTTPResponse], T],
    ) -> T:
        try:
            self._check_status(line, request, response)
            result = read(line, response)
            _check_end(response)
            if not response.isclosed():
                response.read(1)
            reusable = response.isclosed() and not response.will_close
        except _BROKEN as error:
            self._drop(line)
            raise self._unavailable(request, error) from error
        except BaseException:
            self._drop(line)
            raise
        if reusable:
            self._give_back(line)
        else:
            self._drop(line)
        return result

    def _borrow(self) -> tuple[Line, bool]:
        """A connection, and whether it was used before."""
        while True:
            self._check_alive()
            with self._lock:
                line = self._idle.pop() if self._idle else None
                if line is not None:
                    self._busy.add(line.http)
            if line is None:
                return self._open(), False
            if not line.stale:
                return line, True
            self._drop(line)

    def _open(self) -> Line:
        line = Line(self._way)
        with self._lock:
            self._busy.add(line.http)
        return line

    def _give_back(self, line: Line) -> None:
        line.idle_since = clock.monotonic()
        with self._lock:
            self._busy.discard(line.http)
            self._idle.append(line)

    def _drop(self, line: Line) -> None:
        with self._lock:
            self._busy.discard(line.http)
        line.http.close()

    # --- errors ----------------------------------------------------------------------------
    def _check_alive(self) -> None:
        with self._lock:
            if self._aborted:
                raise PeerUnavailable("The connections to the peer were cut")

    def _check_status(
        self, line: Line, request: Request, response: http.client.HTTPResponse
    ) -> None:
        if response.status != http.client.OK:
            raise refusal(self.peer.name, request.what, request.target, response)
        if line.token and response.headers.get(WHICH_REQUEST) != line.token:
            raise http.client.HTTPException("an answer to another request")

    def _unavailable(self, request: Request, error: Exception) -> PeerUnavailable:
        cause = error.strerror if isinstance(error, OSError) else None
        cause = cause or str(error) or type(error).__name__
        return PeerUnavailable(f"{request.what}: peer {self.peer.name} is out of reach ({cause})")

    def _nonsense(self, request: Request, problem: str) -> NetworkProtocol:
        return NetworkProtocol(f"{request.what}: peer {self.peer.name}: {problem}")


def connect(config: Config, peer: Peer) -> PeerClient:
    """Connections to a peer, as the configuration says. Raises ``ConfigurationError`` for an
    unusable certificate."""
    tls = Tls(config.https_verify_peers, config.https_ca_certificates)
    proxy = read_proxy(config.http_proxy)
    return PeerClient(
        peer,
        timeout_s=config.http_timeout_s,
        tls=tls,
        proxy=proxy,
        forbidden=config.wherry.forbidden_peer_addresses,
    )


def _most_bytes(body: int) -> int:
    """Bytes of an answer whose body has at most so many: in chunks it may take twice as much."""
    return 2 * max(body, limits.PEER_ANSWER_BYTES) + limits.PEER_HEAD_BYTES


def _early_answer(
    connection: http.client.HTTPConnection, broken: OSError
) -> http.client.HTTPResponse:
    """A server that refuses a body answers before it has read all of it, then closes."""
    try:
        return connection.getresponse()
    except _BROKEN:
        raise broken from None


def _check_end(response: http.client.HTTPResponse) -> None:
    """``http.client`` does not mind a body that stops short when it is read in pieces."""
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


def _standing_headers(peer: Peer) -> dict[str, str]:
    headers = dict(peer.http_headers)
    if peer.username and peer.password:
        token = base64.b64encode(f"{peer.username}:{peer.password}".encode()).decode("ascii")
        headers["Authorization"] = f"Basic {token}"
    return headers
