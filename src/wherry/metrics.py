"""Figures about the running server, in the text format of Prometheus.

Cheap enough for every request: no lock on the way in. Two threads that observe the same name at
the same instant may lose the smaller of two maxima, or an increment that is not taken with
``add``; a metric is no account book.

Not here: which figures are taken, and where (each room names its own).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType
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
REQUEST_BUCKETS: Final = (0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0)
"""... and of what happens within one request: to the timeout of a commit."""
NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})


class Histogram:
    """How often values fell below each bound; exact when guarded by the registry's lock."""

    __slots__ = ("at", "below", "bounds", "count", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds``: of its buckets, ascending."""
        self.bounds = bounds
        self.below = [0] * len(bounds)
        self.count = 0
        self.total = 0.0
        self.at = 0.0

    def put(self, value: float, at: float) -> None:
        """Take ``value`` into account."""
        for number, bound in enumerate(self.bounds):
            if value <= bound:
                self.below[number] += 1
        self.count += 1
        self.total += value
        self.at = at

    def rows(self, name: str, labels: str) -> list[tuple[str, float, float]]:
        """Name with labels, value and time of each figure."""
        bounds = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        counts = [*self.below, self.count]
        before, alone = (f"{labels},", f"{{{labels}}}") if labels else ("", "")
        return [
            *(
                (f'{name}_bucket{{{before}le="{bound}"}}', count, self.at)
                for bound, count in zip(bounds, counts, strict=True)
            ),
            (f"{name}_sum{alone}", self.total, self.at),
            (f"{name}_count{alone}", self.count, self.at),
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

    def measure(
        self,
        name: str,
        value: float,
        labels: Mapping[str, str] = NO_LABELS,
        bounds: Sequence[float] = BUCKETS,
    ) -> None:
        """Put ``value`` into the histogram ``name`` of these labels: few, and words of ours. The
        ``bounds`` of its buckets are always the same."""
        key = (name, ",".join(f'{label}="{text}"' for label, text in labels.items()))
        with self._lock:
            histogram = self._histograms.setdefault(key, Histogram(bounds))
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
