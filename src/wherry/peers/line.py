"""One connection to a peer: the way there, and what became of it.

Not here: which connection a request takes, what is sent (``client``).
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from wherry import clock, limits
from wherry.peers.addresses import ForbiddenAddress, Guard
from wherry.peers.bounds import AnswerBounds, BoundedResponse
from wherry.peers.proxy import Proxy


@dataclass(frozen=True, slots=True)
class Way:
    """Where a peer is, and how one gets there."""

    host: str
    port: int | None
    """None = that of the scheme."""
    context: ssl.SSLContext | None
    """None = without TLS."""
    proxy: Proxy | None
    guard: Guard


class Line:
    """A connection. Not safe: one request at a time."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self.token = ""
        """What the answer has to name; empty: nothing."""
        self.bounds = AnswerBounds(0, 0, 0)
        """Of the request under way."""
        self.idle_since = 0.0
        self.sent = 0
        """Bytes of the last body."""
        self.http = self._made()

    @property
    def stale(self) -> bool:
        """Idle for long, or closed by the peer: an idle connection has nothing to say."""
        if clock.monotonic() - self.idle_since > limits.PEER_IDLE_CONNECTION_S:
            return True
        poll = select.poll()  # not select(): that knows no descriptor beyond 1,023
        poll.register(self.http.sock, select.POLLIN)
        return bool(poll.poll(0))

    def connect(self, longest_s: float) -> None:
        """Raises ``OSError``, ``ForbiddenAddress``."""
        self._way.guard.check_literal(self._way.host)
        self.http.timeout = longest_s
        self.http.connect()

    def _made(self) -> http.client.HTTPConnection:
        way, proxy = self._way, self._way.proxy
        host, port = (way.host, way.port) if proxy is None else (proxy.host, proxy.port)
        connection: Any
        if way.context is None:
            connection = http.client.HTTPConnection(host, port)
        else:
            connection = http.client.HTTPSConnection(host, port, context=way.context)
            if proxy is not None:
                connection.set_tunnel(way.host, way.port, proxy.headers)
        connection.response_class = self._response
        connection._create_connection = self._dial
        assert isinstance(connection, http.client.HTTPConnection)
        return connection

    def _response(self, sock: socket.socket, *args: Any, **kwargs: Any) -> BoundedResponse:
        return BoundedResponse(self.bounds, sock, *args, **kwargs)

    def _dial(self, address: tuple[str, int], *_timeout_and_source: object) -> socket.socket:
        """Connect to the first address that answers of those that a name has and that are not
        forbidden. What was checked is what is connected to: the name is not looked up again."""
        problem: OSError | ForbiddenAddress = OSError("its name has no address")
        for family, kind, protocol, _, found in socket.getaddrinfo(
            *address, type=socket.SOCK_STREAM
        ):
            try:
                if self._way.proxy is None:  # of a proxy, the configuration names the address
                    self._way.guard.check(str(found[0]))
                return self._connected(socket.socket(family, kind, protocol), found)
            except (OSError, ForbiddenAddress) as error:
                problem = error
        raise problem

    def _connected(self, sock: socket.socket, address: Any) -> socket.socket:
        try:
            longest_s = self.http.timeout
            assert longest_s is not None
            sock.settimeout(min(longest_s, self.bounds.step_s()))
            sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return sock
