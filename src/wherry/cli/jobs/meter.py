"""How fast a number grows, from looks at it."""

from __future__ import annotations

from collections import deque

_WINDOW_S = 15.0
"""So much of the past counts: long enough for servers that count in mebibytes."""

_LEAST_S = 0.5


class Meter:
    """The speed over the last seconds."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, float]] = deque()

    def look(self, at_s: float, amount: float) -> None:
        """It is ``amount`` now. A number that has fallen begins anew."""
        looks = self._looks
        if looks and (amount < looks[-1][1] or at_s < looks[-1][0]):
            looks.clear()
        looks.append((at_s, amount))
        while len(looks) > 2 and looks[1][0] <= at_s - _WINDOW_S:
            looks.popleft()

    def forget(self) -> None:
        """Nothing moves now: when it does again, the pause does not count."""
        self._looks.clear()

    @property
    def speed(self) -> float | None:
        """Per second; None = not known yet."""
        if not self._looks:
            return None
        (began_s, first), (last_s, last) = self._looks[0], self._looks[-1]
        seconds = last_s - began_s
        return (last - first) / seconds if seconds >= _LEAST_S and last > first else None
