"""A job as read from a server's answer: whatever is missing or odd becomes a blank.

All texts are safe to print. Not here: what the content of its type says (``contents``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wherry.cli.jobs.server import type_raw
from wherry.cli.jobs.words import harmless, parse_date
from wherry.errors import JobCanceled
from wherry.model import JobState

_ENDED = (JobState.SUCCESS, JobState.FAILURE)
_HIGHEST = 10.0**18
_NAME_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class JobView:
    """One look at a job."""

    raw: type_raw
    """As it came."""
    id: str
    type: str
    state: str
    """One of ``JobState``, unless the server knows another."""
    priority: int
    percent: int
    runtime_s: float
    created: datetime | None
    at: datetime | None
    """The moment of this look, by the server's clock."""
    left_s: float | None
    """Until it is done, as the server estimates; while it runs."""
    error: str
    """Why it failed, or was put off; else empty."""
    attempts: int
    """How often it was tried, when it is to be tried again; 0 = not said."""
    retry_s: float | None
    """Until it is tried again."""
    content: dict[str, Any]

    @property
    def ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.state in _ENDED

    @property
    def running(self) -> bool:
        """Whether it makes progress."""
        return self.state == JobState.RUNNING

    @property
    def succeeded(self) -> bool:
        """Whether it is over, and well."""
        return self.state == JobState.SUCCESS

    @property
    def cancelled(self) -> bool:
        """Whether it is over because somebody wished so."""
        return self.state == JobState.FAILURE and self.raw.get("ErrorCode") == JobCanceled.code


def read_job(raw: type_raw) -> JobView:
    """What ``raw`` says."""
    state = _text(raw.get("State"))
    at = parse_date(raw.get("Timestamp"))
    content = raw.get("Content")
    return JobView(
        raw=raw,
        id=raw["ID"],
        type=_text(raw.get("Type")),
        state=state,
        priority=int(number(raw.get("Priority")) or 0),
        percent=int(min(max(number(raw.get("Progress")) or 0, 0), 100)),
        runtime_s=max(number(raw.get("EffectiveRuntime")) or 0.0, 0.0),
        created=parse_date(raw.get("CreationTime")),
        at=at,
        left_s=_until(raw, "EstimatedTimeOfArrival", at) if state == JobState.RUNNING else None,
        error=_error(raw) if state in (JobState.FAILURE, JobState.RETRY) else "",
        attempts=int(number(raw.get("Attempts")) or 0) if state == JobState.RETRY else 0,
        retry_s=_until(raw, "NextAttempt", at) if state == JobState.RETRY else None,
        content=content if isinstance(content, dict) else {},
    )


def number(value: Any) -> float | None:
    """A number, also one that is written as a text, as Orthanc writes sizes; else None."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) < _HIGHEST else None


def _error(raw: type_raw) -> str:
    if raw.get("ErrorCode") == JobCanceled.code:
        return "cancelled"
    texts = (raw.get("ErrorDetails"), raw.get("ErrorDescription"))
    return next((harmless(text) for text in texts if isinstance(text, str) and text), "")


def _until(raw: type_raw, name: str, at: datetime | None) -> float | None:
    then = parse_date(raw.get(name))
    return None if then is None or at is None else max((then - at).total_seconds(), 0.0)


def _text(value: Any) -> str:
    return harmless(value[:_NAME_CHARACTERS]) if isinstance(value, str) else ""
