"""How a transfer finds its pace: which packing, and how many requests at once.

Nobody can tell beforehand whether the line, a processor or a disk at either end is what a transfer
waits for. So it is tried: the bytes that arrive in a second are measured with the settings as they
are, then with one of them a step up or down; what is better by a twentieth is kept. When no step
helps, the settings stay for a while.

Pure: times and sizes in, settings out. The caller guards it with a lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from wherry import limits

T = TypeVar("T")


@dataclass(slots=True)
class Knob(Generic[T]):
    """A setting with an order: its values from the least to the most."""

    values: Sequence[T]
    place: int

    @property
    def value(self) -> T:
        """The value that is set."""
        return self.values[self.place]


@dataclass(frozen=True, slots=True)
class _Step:
    knob: int
    by: int


@dataclass(slots=True)
class _Window:
    """What has arrived with the same settings. The first bucket only starts the clock: it may have
    waited behind others."""

    started: float | None = None
    ended: float = 0.0
    arrived_bytes: int = 0
    buckets: int = 0

    def add(self, size: int, now: float) -> None:
        if self.started is None:
            self.started = now
            return
        self.ended = now
        self.arrived_bytes += size
        self.buckets += 1

    def full(self, workers: int) -> bool:
        if self.started is None or self.buckets < limits.TUNED_BUCKETS * workers:
            return False
        return self.ended - self.started >= limits.TUNED_S or self.buckets >= 16 * workers

    @property
    def speed(self) -> float:
        assert self.started is not None
        return self.arrived_bytes / max(1e-6, self.ended - self.started)


@dataclass(slots=True)
class Tuner:
    """Turns ``knobs`` while buckets arrive."""

    knobs: Sequence[Knob[object]]
    mark: int = 0
    """Changes with the settings; what was begun with another mark says nothing about these."""
    _window: _Window = field(default_factory=_Window)
    _best: float = 0.0
    _trial: _Step | None = None
    _steps: list[_Step] = field(default_factory=list)
    _rest: int = 0

    def arrived(self, mark: int, size: int, now: float, workers: int) -> None:
        """A bucket of ``size`` plain bytes, begun under ``mark``, has arrived at ``now`` s."""
        if mark != self.mark:
            return
        self._window.add(size, now)
        if self._window.full(workers):
            speed, self._window = self._window.speed, _Window()
            self._judge(speed)

    def _judge(self, speed: float) -> None:
        if self._trial is None:
            self._best = speed
            if self._rest:
                self._rest -= 1
            else:
                self._steps = self._all_steps()
                self._try_next()
        elif speed > self._best * limits.TUNED_GAIN:
            self._best = speed
            again, self._trial = self._trial, None
            self._steps = [again, *(one for one in self._steps if one.knob != again.knob)]
            self._try_next()
        else:
            self._turn(_Step(self._trial.knob, -self._trial.by))
            self._trial = None
            self._try_next()

    def _try_next(self) -> None:
        while self._steps:
            step = self._steps.pop(0)
            knob = self.knobs[step.knob]
            if 0 <= knob.place + step.by < len(knob.values):
                self._trial = step
                self._turn(step)
                return
        self._rest = limits.TUNED_REST

    def _turn(self, step: _Step) -> None:
        self.knobs[step.knob].place += step.by
        self.mark += 1
        self._window = _Window()

    def _all_steps(self) -> list[_Step]:
        return [_Step(knob, by) for knob in reversed(range(len(self.knobs))) for by in (1, -1)]
