"""Trying a request to a peer again: bounded, with growing pauses, and never what cannot help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from wherry import limits
from wherry.errors import PeerUnavailable, WherryError
from wherry.peers.client import PeerRefusal

T = TypeVar("T")

_BUSY = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often, and how to wait: ``wait`` raises when there is no point in going on."""

    wait: Callable[[float], None]
    retries: int = limits.PEER_RETRIES
    """Extra attempts after a broken connection or a 5xx."""
    busy_s: float = limits.PEER_BUSY_S
    """Longest wait, in all, for a peer that is busy (503, 429)."""

    def __call__(self, work: Callable[[], T], also: tuple[type[WherryError], ...] = ()) -> T:
        """The result of ``work``; of its errors, the last one.

        A peer that is busy is waited for as it asks. Other answers below 500 are final; a request
        that seems to have reached the peer as another one is sent once more. ``also``: errors of
        our own that a second attempt may cure, such as a damaged body.
        """
        broken: tuple[type[WherryError], ...] = (PeerUnavailable, *also)
        attempts, waited_s = 0, 0.0
        while True:
            try:
                return work()
            except PeerRefusal as error:
                if error.status in _BUSY:
                    pause = error.retry_after_s or 1.0
                    waited_s += pause
                    if waited_s > self.busy_s:
                        raise
                    self.wait(pause)
                    continue
                curable = _trouble(error) or (_garbled(error) and not attempts)
                if not curable or attempts >= self.retries:
                    raise
            except broken:
                if attempts >= self.retries:
                    raise
            self.wait(min(limits.PEER_RETRY_S * 2**attempts, limits.PEER_RETRY_LONGEST_S))
            attempts += 1


def _trouble(error: PeerRefusal) -> bool:
    return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _garbled(error: PeerRefusal) -> bool:
    """Whether the peer's HTTP made nothing of the request (its answers to a bad request have a
    code), or found another path in it, one that has no such method; or the answer is no refusal at
    all and yet not 200, which no server of DICOM says here."""
    if error.peer_code is not None:
        return False
    refused = HTTPStatus.BAD_REQUEST, HTTPStatus.METHOD_NOT_ALLOWED
    return error.status in refused or error.status <= HTTPStatus.MULTIPLE_CHOICES
