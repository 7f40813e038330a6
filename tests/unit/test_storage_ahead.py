"""Files that are opened before they are wanted: in order, and bounded for all streams together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing

import pytest

from wherry import limits
from wherry.storage.ahead import Ahead


class Files:
    """Counts those that are held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.held = self.most = 0
        self.threads: set[str] = set()

    def open(self, number: int) -> int:
        with self._lock:
            self.threads.add(threading.current_thread().name)
            self.held += 1
            self.most = max(self.most, self.held)
        return number

    def close(self, _number: int) -> None:
        with self._lock:
            self.held -= 1

    def stream(self, ahead: Ahead, count: int) -> Generator[int, None, None]:
        with closing(ahead.in_order(works(self.open, count), self.close)) as results:
            for number in results:
                try:
                    yield number
                finally:
                    self.close(number)


def works(work: Callable[[int], int], count: int) -> list[Callable[[], int]]:
    return [lambda number=number: work(number) for number in range(count)]  # type: ignore[misc]


def free(ahead: Ahead) -> int:
    """Once all threads are idle."""
    ahead._pool.shutdown()
    return ahead._free


def test_many_streams_hold_a_bounded_number() -> None:
    ahead, files, streams = Ahead(8), Files(), 30
    with ExitStack() as stack:
        open_streams = [stack.enter_context(closing(files.stream(ahead, 20))) for _ in range(30)]
        for number in range(10):
            assert [next(stream) for stream in open_streams] == [number] * streams
        assert files.most <= 8 + streams
        assert [*open_streams[0]] == [*range(10, 20)]
    assert free(ahead) == 8
    assert files.held == 0
    assert len([name for name in files.threads if name.startswith("files-ahead")]) <= 8


def test_one_stream_leaves_places_to_others() -> None:
    ahead, files = Ahead(8), Files()
    with closing(files.stream(ahead, 100)) as first, closing(files.stream(ahead, 100)) as second:
        next(first)
        assert ahead._free == 4
        next(second)
        assert ahead._free == 2
    assert free(ahead) == 8


def test_one_stream_has_its_own_bound() -> None:
    ahead, files = Ahead(1000), Files()
    with closing(files.stream(ahead, 100)) as stream:
        next(stream)
        assert ahead._free == 1000 - limits.FILES_AHEAD
    assert free(ahead) == 1000


def test_who_closes_waits_for_nobody() -> None:
    ahead, go, undone = Ahead(8), threading.Event(), list[int]()

    def slow(number: int) -> int:
        if number:
            go.wait(30)
        return number

    stream = ahead.in_order(works(slow, 50), undone.append)
    assert next(stream) == 0
    stream.close()
    assert not go.is_set()
    assert ahead._free < 8
    other = ahead.in_order(works(lambda number: number, 3), undone.append)
    assert [*other] == [0, 1, 2]
    go.set()
    assert free(ahead) == 8
    assert undone
    assert 0 not in undone


def test_what_goes_wrong_is_told_in_its_turn() -> None:
    ahead, undone = Ahead(8), list[int]()

    def work(number: int) -> int:
        if number >= 2:
            raise ValueError(number)
        return number

    stream = ahead.in_order(works(work, 50), undone.append)
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(ValueError, match="2"):
        next(stream)
    assert free(ahead) == 8
    assert undone == []


def test_streams_of_many_threads() -> None:
    ahead, files, done = Ahead(4), Files(), list[int]()

    def run() -> None:
        with closing(files.stream(ahead, 200)) as stream:
            done.append(sum(1 for number in stream))

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert done == [200] * 16
    assert files.most <= 4 + 16
    assert free(ahead) == 4
    assert files.held == 0
