"""How long the sender of a body may still keep us waiting.

A longest silence alone lets a byte a minute hold a slot for ever. So there is a time in all too,
which what is sent makes longer, at some least rate. Only waiting counts: a slow disk is not the
sender's fault.
"""

from __future__ import annotations

from wherry import limits
from wherry.errors import RequestTimeout


class Credit:
    """Of one sender."""

    def __init__(self) -> None:
        self._left_s = limits.REQUEST_IDLE_S

    @property
    def longest_s(self) -> float:
        """How long the next bytes may take; 0 when they may not."""
        return min(limits.REQUEST_IDLE_S, max(0.0, self._left_s))

    def took(self, waited_s: float, count: int) -> None:
        """So many bytes came after so long."""
        self._left_s += count / limits.REQUEST_LEAST_BYTES_PER_S - waited_s

    def over(self) -> RequestTimeout:
        """The error when the next bytes took longer."""
        if self.longest_s < limits.REQUEST_IDLE_S:
            return RequestTimeout("The body comes too slowly")
        return RequestTimeout(f"No byte for {limits.REQUEST_IDLE_S:.0f} seconds")
