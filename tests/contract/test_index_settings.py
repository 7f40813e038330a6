"""Settings that are changed while servers run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from wherry.index import settings
from wherry.index.database import Index


def test_a_counter_never_gives_the_same_twice(index: Index) -> None:
    def count(_: int) -> int:
        return index.write(lambda tx: settings.count(tx, "N"))

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(count, range(40))) == list(range(1, 41))
    assert index.write(lambda tx: settings.count(tx, "other")) == 1
