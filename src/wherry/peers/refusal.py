"""An answer of a peer that is not 200, as an error."""

from __future__ import annotations

import http.client

from wherry import limits
from wherry.errors import NetworkProtocol
from wherry.peers.complaint import read_error

_RETRY_AFTER_LONGEST_S = 60
_TEMPORARY = (429, 502, 503, 504)
"""Answers of a server, or of a proxy in front of it, that has trouble of its own."""


class PeerRefusal(NetworkProtocol):
    """The peer answered, but not 200."""

    def __init__(
        self,
        details: str,
        *,
        status: int,
        peer_code: int | None,
        retry_after_s: float | None,
        misheard: bool = False,
    ) -> None:
        super().__init__(details)
        self.status = status
        self.peer_code = peer_code
        """``OrthancStatus`` of its answer."""
        self.misheard = misheard
        """It answers to another path than was asked for: a line or a proxy changed it."""
        self.unknown = status == http.client.NOT_FOUND and not misheard
        """What was asked for is not there."""
        self.retry_after_s = retry_after_s
        self.temporary = status in _TEMPORARY


def refusal(peer: str, what: str, target: str, response: http.client.HTTPResponse) -> PeerRefusal:
    """The error for what ``peer`` answered to the request for ``target``, in words ``what``."""
    found = read_error(response.read(limits.PEER_ANSWER_BYTES))
    text = found.text or response.reason or "no reason given"
    if 300 <= response.status < 400:
        text = "redirects are not followed; put the final address into OrthancPeers"
    after = response.headers.get("Retry-After", "")
    known = after.isascii() and after.isdecimal() and len(after) < 9
    return PeerRefusal(
        f"{what}: peer {peer} answered {response.status}: {text}",
        status=response.status,
        peer_code=found.code,
        retry_after_s=float(min(int(after), _RETRY_AFTER_LONGEST_S)) if known else None,
        misheard=not found.is_about(target),
    )
