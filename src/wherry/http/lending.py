"""A large body that a worker thread reads from the socket itself.

On the event loop each piece of a body costs two hand-overs between threads and a buffer of its
own. A thread that may have the socket until the end of the body receives straight to where the
bytes belong. Only what is worth it is lent: a plain connection, a known length, much still to come.

Not here: how the connection goes on afterwards (``gathering``).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from wherry import clock, limits
from wherry.http.body import BODY_READ
from wherry.http.credit import Credit
from wherry.http.threads import Pool

T = TypeVar("T")

LEND = "wherry.lend"
"""In the ASGI scope: gives a ``Loan``, or None. On the event loop."""


class Loan:
    """The rest of a body. ``read`` is for one thread, the other methods for the event loop."""

    def __init__(
        self, begun: memoryview, left: int, fd: int, give_back: Callable[[int], None]
    ) -> None:
        """``begun``: bytes that are here already; ``left``: those that are still to come from the
        socket ``fd``."""
        self._begun = begun
        self._left = left
        self._socket = socket.socket(fileno=os.dup(fd))
        self._socket.settimeout(limits.REQUEST_IDLE_S)
        self._credit = Credit()
        self._give_back = give_back

    def read(self, room: memoryview) -> int:
        """The next bytes; 0 at the end. Raises ``ClientDisconnect``, ``RequestTimeout``."""
        if self._begun:
            size = min(len(room), len(self._begun))
            room[:size] = self._begun[:size]
            self._begun = self._begun[size:]
            return size
        if not self._left:
            return 0
        longest_s = self._credit.longest_s
        if longest_s != self._socket.gettimeout():
            if not longest_s:
                raise self._credit.over()
            self._socket.settimeout(longest_s)
        began = clock.monotonic()
        try:
            size = self._socket.recv_into(room[: self._left])
        except TimeoutError:
            raise self._credit.over() from None
        except OSError:
            raise ClientDisconnect from None
        if not size:
            raise ClientDisconnect
        self._credit.took(clock.monotonic() - began, size)
        self._left -= size
        return size

    def cut(self) -> None:
        """Nothing more shall come: a thread that waits in ``read`` is woken."""
        try:
            self._socket.shutdown(socket.SHUT_RD)
        except OSError:
            pass

    def end(self) -> bool:
        """No thread reads any more: the event loop goes on behind what was read. Whether that was
        the whole body."""
        self._socket.close()
        self._give_back(self._left)
        return not self._left


class Lender:
    """Worker threads that read bodies, so many at once."""

    def __init__(self, threads: int) -> None:
        self._pool = Pool(threads)
        self._free = threads

    def stop(self) -> None:
        """End the threads after their work."""
        self._pool.stop()

    def borrow(self, request: Request) -> Loan | None:
        """The body of this request, if it is worth it and a thread is free; for ``use``."""
        lend = request.scope.get(LEND)
        return lend() if lend is not None and self._free else None

    async def use(self, request: Request, loan: Loan, work: Callable[[Loan], T]) -> T:
        """Let ``work`` read the body in a thread. When this task is cancelled, its reading ends
        with ``ClientDisconnect``."""
        self._free -= 1
        done = self._pool.submit(work, (loan,), {})
        try:
            await _settled(done, loan)
        finally:
            self._free += 1
            request.scope[BODY_READ] = loan.end()
        return done.result()


async def _settled(done: asyncio.Future[T], loan: Loan) -> None:
    """Wait for the end of the work even when this task is being cancelled."""
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError as error:
            cancelled = error
            loan.cut()
    if not done.cancelled():
        done.exception()  # seen, even when another error is on its way out
    if cancelled is not None:
        raise cancelled
