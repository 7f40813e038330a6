from __future__ import annotations

import asyncio
import threading

import pytest

from wherry.http import threads


def test_results_and_errors_come_back() -> None:
    async def main() -> None:
        assert await threads.in_thread(lambda a, b=0: a + b, 1, b=2) == 3
        with pytest.raises(ZeroDivisionError):
            await threads.in_thread(lambda: 1 / 0)

    asyncio.run(main())


def test_many_at_once_and_two_loops() -> None:
    async def main() -> list[int]:
        return await asyncio.gather(*[threads.in_thread(lambda n=n: n * n) for n in range(500)])

    def run(results: list[list[int]]) -> None:
        results.append(asyncio.run(main()))

    results: list[list[int]] = []
    others = [threading.Thread(target=run, args=[results]) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert results == [[n * n for n in range(500)]] * 3


def test_work_that_nobody_waits_for_any_more() -> None:
    release = threading.Event()

    async def main() -> None:
        task = asyncio.create_task(threads.in_thread(release.wait))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        assert await threads.in_thread(lambda: 1) == 1

    asyncio.run(main())


def test_a_result_for_a_closed_loop_is_dropped() -> None:
    release, done = threading.Event(), threading.Event()

    def work() -> None:
        release.wait()
        done.set()

    async def main() -> None:
        threads.run_in_thread(work)

    asyncio.run(main())
    release.set()
    assert done.wait(10)
    assert asyncio.run(threads.in_thread(lambda: 2)) == 2


def test_a_promise_is_kept_from_any_thread() -> None:
    async def main() -> None:
        future, settle = threads.promise()
        threading.Thread(target=settle, args=[5, None]).start()
        assert await future == 5

    asyncio.run(main())


def test_configure_changes_the_size_and_finishes_old_work() -> None:
    done: list[int] = []
    first = threads.configure(2)

    async def main() -> None:
        threads.run_in_thread(done.append, 1)
        assert threads.configure(3) is not first
        assert done == [1]
        assert threads.configure(3).size == 3

    asyncio.run(main())
    threads.stop()


def test_the_fewest_free_threads_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(threads.clock, "monotonic", lambda: now[0])
    pool = threads.Pool(3)
    started, go = threading.Barrier(3), threading.Event()

    def hold() -> None:
        started.wait()
        go.wait()

    try:
        assert pool.least_available() == 3
        for _ in range(2):
            pool.post(hold, ())
        started.wait()
        assert pool.least_available() == 1
        now[0] += 60  # they still work
        assert pool.least_available() == 1
    finally:
        go.set()
        pool.stop()
    assert pool.least_available() == 3
