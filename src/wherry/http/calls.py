"""Requests that wait for another machine for as long as their client does.

The work runs on threads of its own, since a slow machine must not hold up short work. A client
that goes away, and a server that stops, end it.

Not here: what is said to the other machine.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from wherry import limits
from wherry.errors import Unavailable
from wherry.http.services import services

T = TypeVar("T")


class Abandoned(Unavailable):
    """Nobody waits for the answer of the other machine any more."""


async def call(request: Request, work: Callable[[Callable[[], None]], T]) -> T:
    """What ``work`` returns. It is given a function that raises ``Abandoned`` once nobody wants
    that any more, and should call it often."""
    rooms = services(request)
    over = threading.Event()

    def check() -> None:
        if over.is_set():
            raise Abandoned("Nobody waits for the answer any more")

    future = rooms.calls.submit(work, (check,), {})
    future.add_done_callback(_seen)
    try:
        while not (await asyncio.wait([future], timeout=limits.CALLER_LOOK_S))[0]:
            if await request.is_disconnected():
                over.set()
                raise ClientDisconnect
            if rooms.lifecycle.ending:
                over.set()
    except asyncio.CancelledError:
        over.set()
        raise
    return future.result()


def _seen(future: asyncio.Future[Any]) -> None:
    """What nobody waits for any more is no defect either."""
    if not future.cancelled():
        future.exception()
