"""How slow the answer of a peer may be, and how long.

A timeout of a socket bounds silence only: who sends a byte now and then would hold a job for ever.
So from its first byte on an answer has the time of a silence, and more as it goes on at some least
rate. What is waited for in front of somebody may have a bound for the whole request too. And
nothing in an answer may be endless, be it headers, interim answers, or what follows a last chunk.

Not here: the size of what is read from an answer (``client``).
"""

from __future__ import annotations

import http.client
import io
import math
import socket
from typing import Any

from wherry import clock, limits


class AnswerBounds:
    """Of one request, which one thread makes."""

    def __init__(self, silence_s: float, whole_s: float, most_bytes: int) -> None:
        """``silence_s``: longest silence; ``whole_s``: of the whole request, 0 = no bound;
        ``most_bytes``: of the answer with everything around its body."""
        self._silence_s = silence_s
        self._end = clock.monotonic() + whole_s if whole_s else math.inf
        self._answering_since = math.inf
        self._received = 0
        self.most_bytes = most_bytes
        """May be raised while the body is read."""

    def step_s(self) -> float:
        """How long the next step may take. Raises ``TimeoutError`` when the time is over."""
        earned_s = self._silence_s + self._received / limits.PEER_LEAST_BYTES_PER_S
        left_s = min(self._end, self._answering_since + earned_s) - clock.monotonic()
        if left_s <= 0:
            raise TimeoutError(
                "timed out" if math.isinf(self._answering_since) else "its answer is too slow"
            )
        return min(self._silence_s, left_s)

    def received(self, count: int) -> None:
        """So many bytes came. Raises ``http.client.HTTPException`` when they are too many."""
        if not self._received:
            self._answering_since = clock.monotonic()
        self._received += count
        if self._received > self.most_bytes:
            raise http.client.HTTPException("its answer does not end")


class BoundedFile(io.RawIOBase):
    """Reads a socket as ``bounds`` allows."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, bounds: AnswerBounds) -> None:
        """``raw``: the file of the socket, which is closed with this one."""
        self._sock = sock
        self._raw = raw
        self._bounds = bounds

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Bytes that came; 0 at the end. Raises ``OSError``, ``http.client.HTTPException``."""
        step_s = self._bounds.step_s()
        if step_s != self._sock.gettimeout():
            self._sock.settimeout(step_s)
        try:
            count = self._raw.readinto(buffer) or 0
        except TimeoutError:
            self._bounds.step_s()  # says what it was, when it was not mere silence
            raise
        self._bounds.received(count)
        return count

    def close(self) -> None:
        """Close the file of the socket too."""
        if not self.closed:
            self._raw.close()
        super().close()


class BoundedResponse(http.client.HTTPResponse):
    """An answer that is read as ``bounds`` allows."""

    def __init__(
        self, bounds: AnswerBounds, sock: socket.socket, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(BoundedFile(sock, self.fp.detach(), bounds))
