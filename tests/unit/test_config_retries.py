"""``Wherry.JobRetries``, and what follows from it: when the next attempt comes."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from wherry import clock
from wherry.config import load
from wherry.config.retries import JobRetries, RetryPolicy
from wherry.errors import BadFileFormat, ConfigurationError, PeerUnavailable
from wherry.jobs.retrying import postponement
from wherry.model import Job, JobState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def read(tmp_path: Path, section: Any) -> JobRetries:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"Wherry": {"JobRetries": section}}))
    config, warnings = load([path], {})
    assert warnings == []
    return config.wherry.job_retries


def test_types_that_are_not_named_are_like_the_default(tmp_path: Path) -> None:
    section = {"Default": {"Attempts": 3}, "PushTransfer": {"FirstDelay": 7, "LongestDelay": 9}}
    retries = read(tmp_path, section)
    assert retries.policy("Other") == RetryPolicy(3, 2, 300)
    assert retries.policy("PushTransfer") == RetryPolicy(3, 7, 9)
    assert read(tmp_path, {}) == JobRetries()


@pytest.mark.parametrize(
    "section",
    [
        [],
        {"Default": 5},
        {"Default": {"Attempts": "3"}},
        {"Default": {"Attempts": -1}},
        {"PushTransfer": {"FirstDelay": 0}},
        {"PushTransfer": {"Delay": 1}},
    ],
)
def test_mistakes_are_named(tmp_path: Path, section: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Wherry\.JobRetries"):
        read(tmp_path, section)


def delay_s(policy: RetryPolicy, attempts: int, after_s: float | None = None) -> float | None:
    """Of the attempt that follows ``attempts`` failures in a row."""
    job = Job("x", "T", JobState.RUNNING, 0, {}, {}, {}, 0.5, NOW, NOW, 0.0, attempts=attempts)
    error = PeerUnavailable("gone")
    error.retry_after_s = after_s
    found = postponement(policy, job, error, 0.5)
    return None if found is None else (found.at - NOW).total_seconds()


def test_delays_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    policy = RetryPolicy(attempts=2000, first_delay_s=2, longest_delay_s=300)
    for share, factor in ((0.0, 0.5), (1.0, 1.0)):
        monkeypatch.setattr(clock, "random_share", lambda share=share: share)
        found = [delay_s(policy, attempts) for attempts in (0, 1, 2, 6, 7, 8, 1999)]
        assert found == [factor * due for due in (2, 4, 8, 128, 256, 300, 300)]
    assert delay_s(policy, 0, after_s=50.0) == 50.0
    assert delay_s(policy, 2000) is None


def test_chance_is_between_0_and_1() -> None:
    shares = [clock.random_share() for _ in range(1000)]
    assert 0.0 <= min(shares) < 0.1
    assert 0.9 < max(shares) <= 1.0
    assert math.isclose(sum(shares) / 1000, 0.5, abs_tol=0.1)


def test_other_errors_are_final() -> None:
    job = Job("x", "T", JobState.RUNNING, 0, {}, {}, {}, 0.5, NOW, NOW, 0.0)
    assert postponement(RetryPolicy(), job, BadFileFormat("no"), 0.5) is None
