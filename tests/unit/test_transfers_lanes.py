"""Parts of an instance travel one after the other while there are others."""

from __future__ import annotations

from wherry.model import Bucket, Chunk
from wherry.transfers.lanes import Lanes


def part(name: str, number: int) -> Bucket:
    return Bucket((Chunk(name, number * 10, 10),))


BUCKETS = [part("a", 0), part("a", 1), part("a", 2), part("b", 0), part("b", 1)]
BUCKETS += [Bucket((Chunk("c", 0, 1), Chunk("d", 0, 1)))] * 2


def test_four_workers_have_four_lanes() -> None:
    lanes = Lanes(BUCKETS, range(7))
    assert [next(lanes) for _ in range(4)] == [0, 3, 5, 6]
    lanes.done(3)
    assert next(lanes) == 4
    lanes.done(0)
    assert next(lanes) == 1


def test_a_worker_without_a_lane_of_its_own_joins_another() -> None:
    lanes = Lanes(BUCKETS, [0, 1, 2])
    assert [next(lanes), next(lanes)] == [0, 1]
    lanes.done(0)
    assert next(lanes) == 2
    lanes.done(1)
    lanes.done(2)
    assert list(lanes) == []


def test_each_bucket_once() -> None:
    lanes = Lanes(BUCKETS, range(7))
    seen = []
    for position in lanes:
        seen.append(position)
        lanes.done(position)
    assert sorted(seen) == list(range(7))
