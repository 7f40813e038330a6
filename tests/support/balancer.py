"""A load balancer without any stickiness: each request goes to the next server, whatever connection
or session it belongs to. One that does not listen is passed over; one that dies under a request
makes it a 502.
"""

from __future__ import annotations

import http.client
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.proxy import Proxy


class Balancer(Proxy):
    """In front of the servers on ``ports``."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._turns = itertools.count()
        super().__init__(ports[0])

    def _connection(self) -> http.client.HTTPConnection:
        first = next(self._turns)
        for turn in range(len(self._ports)):
            port = self._ports[(first + turn) % len(self._ports)]
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                connection.connect()
            except OSError:
                continue
            return connection
        return connection


@contextmanager
def balanced(ports: Sequence[int]) -> Iterator[Balancer]:
    """A balancer in front of ``ports``."""
    balancer = Balancer(ports)
    try:
        yield balancer
    finally:
        balancer.close()
