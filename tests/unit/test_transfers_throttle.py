"""How fast a transfer may be, by the clock."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import pytest

from wherry import clock
from wherry.config.links import LinkLimits, link_limits
from wherry.config.place import Place, Source
from wherry.errors import ConfigurationError
from wherry.transfers.throttle import Throttle, Throttles

PLACE = Place(Source("here.json", Path()), "Transfers.Peers")


def read(**entry: Any) -> LinkLimits:
    return link_limits({"there": entry}, PLACE)["there"]


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, 28, hour, minute)  # noqa: DTZ001 (local time is meant)


class Time:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.moment = datetime(2026, 11, 28, 12, tzinfo=UTC)
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        monkeypatch.setattr(clock, "now", lambda: self.moment)

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_a_limit_by_the_hour() -> None:
    limits = read(
        RateLimit=100,
        Schedule=[
            {"From": "22:00", "To": "06:00", "RateLimit": 1000},
            {"From": "08:00", "To": "18:30", "RateLimit": 8},
            {"From": "12:00", "To": "24:00", "RateLimit": 0},
        ],
    )
    assert limits.at(at(23)) == limits.at(at(0)) == limits.at(at(5, 59)) == 125_000_000
    assert limits.at(at(6)) == limits.at(at(7, 59)) == 12_500_000
    assert limits.at(at(12)) == 1_000_000
    assert limits.at(at(18, 30)) == limits.at(at(21, 59)) == 0
    assert read().at(at(3)) is None
    assert read(RateLimit=0.5).bytes_per_s == 62_500
    assert (
        read(Schedule=[{"From": "00:00", "To": "24:00", "RateLimit": 1}]).schedule[0].hold(time(13))
    )


@pytest.mark.parametrize(
    "entry",
    [
        {"Rate": 1},
        {"RateLimit": "fast"},
        {"RateLimit": True},
        {"RateLimit": 0},
        {"RateLimit": -1},
        {"RateLimit": 1e9},
        {"Schedule": {}},
        {"Schedule": [{}]},
        {"Schedule": [{"From": "8", "To": "9", "RateLimit": 1}]},
        {"Schedule": [{"From": "08:00", "To": "25:00", "RateLimit": 1}]},
        {"Schedule": [{"From": "08:00", "To": "09:00", "RateLimit": 1, "Days": []}]},
        {"Schedule": [{"From": "08:00", "To": "09:00", "RateLimit": 1e-6}]},
    ],
)
def test_what_is_no_limit(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"Transfers\.Peers\.there"):
        read(**entry)


def test_bytes_pass_at_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    time_ = Time(monkeypatch)
    throttle = Throttle(LinkLimits(1_000_000.0))
    for _ in range(100):
        throttle.pass_on(50_000, time_.wait)
    assert 4.9 <= time_.now - 100.0 <= 5.0


def test_what_was_not_used_is_not_saved_up(monkeypatch: pytest.MonkeyPatch) -> None:
    time_ = Time(monkeypatch)
    throttle = Throttle(LinkLimits(1_000_000.0))
    throttle.pass_on(1, time_.wait)
    time_.now = 1000.0
    for _ in range(100):
        throttle.pass_on(50_000, time_.wait)
    assert time_.now - 1000.0 >= 4.9


def test_reading_is_slowed_down_too(monkeypatch: pytest.MonkeyPatch) -> None:
    time_ = Time(monkeypatch)
    throttled = Throttles({"there": LinkLimits(1_000_000.0)}).of("there", time_.wait)
    slow = throttled.read(len)
    room = memoryview(bytearray(1_000_000))
    passed = 0
    while passed < 5_000_000:
        passed += slow(room)
    assert 4.9 <= time_.now - 100.0 <= 5.2


def test_at_rate_0_everybody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    time_ = Time(monkeypatch)
    hours = read(Schedule=[{"From": "00:00", "To": "24:00", "RateLimit": 0}])
    waits = []

    class Enough(Exception):
        pass

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise Enough

    with pytest.raises(Enough):
        Throttles({"there": hours}).of("there", wait).wait_until_open()
    assert time_.now == 100.0


def test_peers_without_limits_are_not_slowed_down() -> None:
    free = Throttles({}).of("there", lambda _: None)
    assert free.pass_on is None
    assert free.read(len) is len
