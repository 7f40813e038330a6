"""Sending many answers to one C-FIND: in small groups, with an eye on who has had enough.

Not here: where the answers come from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from wherry import limits
from wherry.dimse.requests import CANCELLED, PENDING, Request


class Sender:
    """Sends the answers to one request, and the last word when they end before they are all."""

    def __init__(self, request: Request, limit: int) -> None:
        """``limit``: the most answers that the configuration allows; 0 = any number."""
        self._request = request
        self._limit = limit
        self._sent = 0

    async def send(self, data_sets: Sequence[bytes]) -> bool:
        """Send these. False when nothing more is to be sent: it was cancelled, or there are more
        than there may be, and the request has been answered so."""
        for start in range(0, len(data_sets), limits.FIND_ANSWERS_SENT):
            await asyncio.sleep(0)  # a C-CANCEL may have come
            if self._request.cancelled:
                break
            group = data_sets[start : start + limits.FIND_ANSWERS_SENT]
            left = self._limit - self._sent if self._limit else len(group)
            await self._request.respond_each(PENDING, group[:left])
            self._sent += min(left, len(group))
            if left < len(group):
                comment = f"More than {self._limit} matches"
                await self._request.respond(CANCELLED, comment=comment)
                return False
        if self._request.cancelled:
            await self._request.respond(CANCELLED)
        return not self._request.cancelled
