"""Figures about the running server, in the text format of Prometheus.

Cheap enough for every request: no lock on the way in. Two threads that observe the same name at
the same instant may lose the smaller of two maxima, or an increment that is not taken with
``add``; a metric is no account book.

Not here: which figures are taken, and where (each room names its own).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from wherry import clock

WINDOW_S = 10
"""Maxima are over the last ten seconds, as in Orthanc."""


class Peak:
    """The largest value of each of the last ten seconds, in a ring."""

    __slots__ = ("at", "seconds", "values")

    def __init__(self) -> None:
        self.seconds = [-WINDOW_S] * WINDOW_S
        self.values = [0.0] * WINDOW_S
        self.at = 0.0

    def put(self, value: float, second: int) -> None:
        """Take ``value`` into account; ``second`` of ``clock.monotonic``."""
        slot = second % WINDOW_S
        if self.seconds[slot] != second:
            self.seconds[slot] = second
            self.values[slot] = value
        elif value > self.values[slot]:
            self.values[slot] = value

    def largest(self, second: int) -> float:
        """The largest value of the ten seconds up to ``second``; 0 when there was none."""
        fresh = second - WINDOW_S
        return max(
            (v for s, v in zip(self.seconds, self.values, strict=True) if s > fresh), default=0.0
        )


BUCKETS: Final = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
"""Upper bounds of a histogram's buckets: from a click to an afternoon, in seconds."""


class Histogram:
    """How often values fell below each bound; exact when guarded by the registry's lock."""

    __slots__ = ("at", "below", "count", "total")

    def __init__(self) -> None:
        self.below = [0] * len(BUCKETS)
        self.count = 0
        self.total = 0.0
        self.at = 0.0

    def put(self, value: float, at: float) -> None:
        """Take ``value`` into account."""
        for number, bound in enumerate(BUCKETS):
            if value <= bound:
                self.below[number] += 1
        self.count += 1
        self.total += value
        self.at = at

    def rows(self, name: str, labels: str) -> list[tuple[str, float, float]]:
        """Name with labels, value and time of each figure."""
        bounds = [*(f"{bound:g}" for bound in BUCKETS), "+Inf"]
        counts = [*self.below, self.count]
        return [
            *(
                (f'{name}_bucket{{{labels},le="{bound}"}}', count, self.at)
                for bound, count in zip(bounds, counts, strict=True)
            ),
            (f"{name}_sum{{{labels}}}", self.total, self.at),
            (f"{name}_count{{{labels}}}", self.count, self.at),
        ]


class Metrics:
    """A registry of named figures. A metric appears once it has been recorded."""

    def __init__(self) -> None:
        self._maxima: dict[str, Peak] = {}
        self._gauges: dict[str, tuple[float, float]] = {}
        self._histograms: dict[tuple[str, str], Histogram] = {}
        self._lock = threading.Lock()
        self.enabled = True
        """Whether they are shown. They are taken all the same: that costs less than to ask."""
        self.started_at = clock.monotonic()

    def observe(self, name: str, value: float) -> None:
        """Record ``value``; the maximum of the last ten seconds is shown."""
        maximum = self._maxima.get(name)
        if maximum is None:
            maximum = self._maxima.setdefault(name, Peak())
        maximum.put(value, int(clock.monotonic()))
        maximum.at = clock.timestamp()

    def set(self, name: str, value: float) -> None:
        """Record ``value`` as the present one."""
        self._gauges[name] = (value, clock.timestamp())

    def add(self, name: str, delta: float = 1) -> None:
        """Count ``delta`` more; exact with any number of threads."""
        with self._lock:
            value, _ = self._gauges.get(name, (0, 0.0))
            self._gauges[name] = (value + delta, clock.timestamp())

    def measure(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Put ``value`` into the histogram ``name`` of these labels: few, and words of ours."""
        key = (name, ",".join(f'{label}="{text}"' for label, text in labels.items()))
        with self._lock:
            histogram = self._histograms.setdefault(key, Histogram())
            histogram.put(value, clock.timestamp())

    def render(self) -> str:
        """All figures, one a line: name, value, milliseconds since 1970; sorted by name, histograms
        last. Nothing when they are not to be shown."""
        if not self.enabled:
            return ""
        second = int(clock.monotonic())
        rows = [(name, m.largest(second), m.at) for name, m in list(self._maxima.items())]
        rows += [(name, value, at) for name, (value, at) in list(self._gauges.items())]
        rows.sort()
        with self._lock:
            for (name, labels), histogram in sorted(self._histograms.items()):
                rows += histogram.rows(name, labels)
        return "".join(f"{name} {_figure(v)} {int(at * 1000)}\n" for name, v, at in rows)


def _figure(value: float) -> str:
    """Whole numbers without a fraction, others with three digits."""
    return str(int(value)) if value == int(value) else f"{value:.3f}"
