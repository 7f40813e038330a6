"""Blocking work off the event loop: one pool of worker threads for every face.

Why not ``loop.run_in_executor``: that costs two futures and one wake-up of the loop per call; here
a call costs one future, and results that become ready together share a wake-up.

Not here: what the work is. It must not touch the loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from wherry import clock
from wherry.metrics import Peak

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class _Inbox:
    """Results on their way back to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._waking = False

    def put(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        """From any thread. Appends before it looks at the flag, so that no result is left."""
        self._ready.append((future, result, error))
        if not self._waking:
            self._waking = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed: nobody waits any more
                self._ready.clear()

    def _deliver(self) -> None:
        self._waking = False
        while self._ready:
            future, result, error = self._ready.popleft()
            if future.done():  # cancelled meanwhile
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


type_settle = Callable[[Any, BaseException | None], None]
type_work = tuple[
    _Inbox | None,
    "asyncio.Future[Any] | None",
    Callable[..., Any],
    tuple[Any, ...],
    dict[str, Any],
]


class Pool:
    """A fixed number of daemon threads that take work from one queue, first come first served."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._queue: SimpleQueue[type_work | None] = SimpleQueue()
        self._inboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Inbox] = WeakKeyDictionary()
        self._busy = [0] * size
        self._busiest = Peak()
        self._threads = [
            threading.Thread(
                target=self._work, args=(number,), name=f"worker-{number}", daemon=True
            )
            for number in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def promise(
        self,
    ) -> tuple[asyncio.Future[Any], type_settle]:
        """See the function of the same name."""
        inbox, future = self._expect()
        return future, partial(inbox.put, future)

    def submit(
        self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> asyncio.Future[T]:
        """Queue ``fn``; called on an event loop, whose future it answers."""
        inbox, future = self._expect()
        self._queue.put((inbox, future, fn, args, kwargs))
        return future

    def _expect(self) -> tuple[_Inbox, asyncio.Future[Any]]:
        loop = asyncio.get_running_loop()
        inbox = self._inboxes.get(loop)
        if inbox is None:
            inbox = self._inboxes[loop] = _Inbox(loop)
        return inbox, loop.create_future()

    def post(self, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Queue ``fn``, which answers to nobody and must not raise."""
        self._queue.put((None, None, fn, args, {}))

    def stop(self) -> None:
        """Finish what is queued, then end the threads."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def least_available(self) -> int:
        """The smallest number of threads without work in the last ten seconds."""
        busiest = self._busiest.largest(int(clock.monotonic()))
        return self.size - max(int(busiest), sum(self._busy))

    def _work(self, number: int) -> None:
        while (work := self._queue.get()) is not None:
            self._busy[number] = 1
            self._busiest.put(sum(self._busy), int(clock.monotonic()))
            self._do(work)
            del work  # a waiting thread keeps nothing alive
            self._busy[number] = 0

    @staticmethod
    def _do(work: type_work) -> None:
        inbox, future, fn, args, kwargs = work
        if future is not None and future.cancelled():
            return
        try:
            result = fn(*args, **kwargs)
        except BaseException as error:
            if inbox is None or future is None:
                _log.exception("Posted work failed")
            else:
                inbox.put(future, None, error)
        else:
            if inbox is not None and future is not None:
                inbox.put(future, result, None)


_pool: Pool | None = None
_pool_lock = threading.Lock()


def configure(size: int = 0) -> Pool:
    """Make the shared pool, or the one that follows it when the size differs.

    ``size`` 0 = twice the processors, at least 4. Work queued before is finished by the old one.
    """
    global _pool
    size = size or max(4, 2 * (os.cpu_count() or 1))
    with _pool_lock:
        old, pool = _pool, _pool
        if pool is None or pool.size != size:
            _pool = pool = Pool(size)
    if old is not None and old is not pool:
        old.stop()
    return pool


def post(fn: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Run ``fn`` on the shared pool; it settles a ``promise``, or nobody waits for it."""
    (_pool or configure()).post(partial(fn, **kwargs) if kwargs else fn, args)


def promise() -> tuple[asyncio.Future[Any], type_settle]:
    """A future of the running loop, and the function that settles it from any thread, once."""
    return (_pool or configure()).promise()


def stop() -> None:
    """End the shared pool after its queued work."""
    global _pool
    with _pool_lock:
        pool, _pool = _pool, None
    if pool is not None:
        pool.stop()


def least_available() -> int:
    """The smallest number of threads of the shared pool that were free in the last ten seconds."""
    return (_pool or configure()).least_available()


def run_in_thread(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """Start ``fn`` on the shared pool now; the future gives its result or raises its error."""
    return (_pool or configure()).submit(fn, args, kwargs)


async def in_thread(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking code on the shared pool and wait for it. Cancelling the wait does not stop
    work that has begun."""
    return await (_pool or configure()).submit(fn, args, kwargs)
