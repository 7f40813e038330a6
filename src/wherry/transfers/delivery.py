"""One bucket on its way to the peer, in as many attempts as it takes.

When a connection breaks, a Wherry is asked how much of the bucket has come, and gets the rest.
"""

from __future__ import annotations

from dataclasses import replace

from wherry.errors import BadSequenceOfCalls, CorruptedFile, PeerUnavailable
from wherry.peers.bodies import RestBody
from wherry.peers.client import PeerClient, Request
from wherry.peers.refusal import PeerRefusal
from wherry.transfers import protocol


class Lost(Exception):
    """The peer does not know the transaction."""


class Damaged(Exception):
    """An instance in several buckets does not have its digest: one of them was damaged."""

    def __init__(self, refusal: PeerRefusal) -> None:
        super().__init__(refusal.details)
        self.refusal = refusal


class Delivery:
    """Of one bucket. One thread at a time."""

    def __init__(self, client: PeerClient, request: Request, *, wherry: bool, part: bool) -> None:
        """``request`` brings it whole; ``wherry``: whether the peer is one; ``part``: whether the
        bucket has a part of an instance that is cut over several."""
        self._client = client
        self._request = request
        self._part = part
        body = request.body
        self._resumable = wherry and body is not None and "Content-Length" in body.headers
        self._broken = False
        self.furthest = 0
        """Bytes that the peer had at most when it was asked: a bucket that begins anew again and
        again gets nowhere."""

    def attempt(self) -> int:
        """Try once; the number of bytes that were sent.

        Raises ``Lost``, ``Damaged`` when sending this one again cannot help, and as
        ``PeerClient.ask`` does.
        """
        request = self._request
        if self._broken:
            taken = self._ask_taken()
            if taken is None:
                return 0
            self.furthest = max(self.furthest, taken)
            request = self._rest(taken)
        try:
            return self._client.ask(request).sent_bytes
        except PeerUnavailable:
            self._broken = self._resumable
            raise
        except PeerRefusal as error:
            self._broken = False
            if error.unknown:
                raise Lost from None
            if error.peer_code == CorruptedFile.code and self._part:
                raise Damaged(error) from error
            if error.peer_code == BadSequenceOfCalls.code and request is not self._request:
                raise PeerUnavailable(error.details) from error  # from its beginning, then
            raise

    def _ask_taken(self) -> int | None:
        question = Request(
            "GET",
            self._request.target,
            f"how much of {self._request.what} is there",
            headers=self._request.headers,
            tied=True,
        )
        try:
            return protocol.read_taken(self._client.ask(question).body)
        except PeerRefusal as error:
            if error.unknown:
                raise Lost from None
            raise

    def _rest(self, taken: int) -> Request:
        body = self._request.body
        if not taken or body is None:
            return self._request
        headers = {**self._request.headers, protocol.OFFSET: str(taken)}
        return replace(self._request, body=RestBody(body, taken), headers=headers)
