from __future__ import annotations

import threading

import pytest

from wherry import clock
from wherry.metrics import Metrics


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        monkeypatch.setattr(clock, "timestamp", lambda: 1_700_000_000 + self.now)


def test_sorted_lines_of_three_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    metrics = Metrics()
    assert metrics.render() == ""
    metrics.set("b", 2)
    metrics.observe("c_ms", 1.25)
    metrics.set("a", 0.5)
    assert metrics.render() == (
        "a 0.500 1700001000000\nb 2 1700001000000\nc_ms 1.250 1700001000000\n"
    )


def test_the_maximum_of_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Clock(monkeypatch)
    metrics = Metrics()

    def shown() -> str:
        return metrics.render().split(" ")[1]

    metrics.observe("m", 5)
    metrics.observe("m", 3)
    time.now += 4
    metrics.observe("m", 2)
    assert shown() == "5"
    time.now += 5
    assert shown() == "5"
    time.now += 1
    assert shown() == "2"
    time.now += 10
    assert shown() == "0"
    metrics.observe("m", 1)
    assert shown() == "1"


def test_counting_from_many_threads() -> None:
    metrics = Metrics()

    def count() -> None:
        for _ in range(1000):
            metrics.add("n")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.render().startswith("n 4000 ")
