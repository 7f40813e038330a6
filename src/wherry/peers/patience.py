"""Trying a request to a peer again: bounded, with growing pauses, and never what cannot help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from wherry import clock, limits
from wherry.errors import PeerUnavailable, WherryError
from wherry.peers.refusal import PeerRefusal

T = TypeVar("T")

_FINAL = (
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
)
_BUSY = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often, and how to wait: ``wait`` raises when there is no point in going on."""

    wait: Callable[[float], None]
    retries: int = limits.PEER_RETRIES
    """Extra attempts after a broken connection or a 5xx."""
    busy_s: float = limits.PEER_BUSY_S
    """Longest wait, in all, for a peer that is busy (503, 429)."""
    doubting: bool = False
    """Whether an answer below 500 that explains itself may still be due to a damaged request."""
    again: Callable[[], None] = lambda: None
    """Told of each further attempt, before it is made."""

    def __call__(
        self,
        work: Callable[[], T],
        also: tuple[type[WherryError], ...] = (),
        progress: Callable[[], object] = lambda: None,
    ) -> T:
        """The result of ``work``; of its errors, the last one.

        A peer that is busy is waited for as it asks. Of other answers below 500, those that a
        request damaged on its way may have got are asked for a second time. ``also``:
        errors of our own that a second attempt may cure, such as a damaged body. ``progress``: as
        long as its result changes, attempts bring something, and are not counted.
        """
        curable: tuple[type[WherryError], ...] = (PeerUnavailable, *also)
        attempts, waited_s, before = 0, 0.0, progress()
        while True:
            try:
                return work()
            except PeerRefusal as error:
                if error.status in _BUSY:
                    pause = error.retry_after_s or 1.0
                    waited_s += pause
                    if waited_s > self.busy_s:
                        raise
                    self.wait(_blurred(pause))
                    self.again()
                    continue
                if attempts >= self._retries_after(error):
                    raise
            except curable:
                if progress() != before:
                    attempts, before = 0, progress()
                if attempts >= self.retries:
                    raise
            pause = min(limits.PEER_RETRY_S * 2**attempts, limits.PEER_RETRY_LONGEST_S)
            self.wait(_blurred(pause))
            attempts += 1
            self.again()

    def _retries_after(self, error: PeerRefusal) -> int:
        if error.misheard or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return self.retries
        if error.status in _FINAL or (error.peer_code is not None and not self.doubting):
            return 0
        return min(1, self.retries)


def _blurred(pause: float) -> float:
    """About so long: those who were refused together do not come again together."""
    return pause * (0.75 + clock.random_share() / 2)
