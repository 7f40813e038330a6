"""Handing a job to the engine for a request: when too many wait already, it waits for room.

``LimitJobs`` bounds the jobs that wait. A burst passes through without an error; what lasts longer
is answered 503 with ``Retry-After``.

Not here: bodies that order a job (``rest.joborders``, ``transfers.orders``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from starlette.requests import Request

from wherry import clock, limits
from wherry.errors import Unavailable
from wherry.http.auth import username
from wherry.http.services import services
from wherry.http.threads import in_thread
from wherry.model import type_json

_LOOK_S: Final = 0.1
_SUBMITTERS: Final = asyncio.Semaphore(limits.JOB_SUBMITTERS)
"""Never waited for: only ``locked`` and then taken, on one event loop after the other."""


async def submit(
    request: Request, type: str, parameters: Mapping[str, type_json], **options: Any
) -> str:
    """The identifier of the new job, durable; ``options`` are those of ``JobEngine.submit``.

    Raises what that raises: ``Unavailable`` only after ``limits.JOB_SUBMIT_WAIT_S``.
    """
    work = partial(
        services(request).jobs.submit,
        type,
        parameters,
        username=username(request.scope),
        **options,
    )
    until = clock.monotonic() + limits.JOB_SUBMIT_WAIT_S
    while True:
        try:
            return await in_thread(work)
        except Unavailable:
            if clock.monotonic() >= until or _SUBMITTERS.locked():
                raise
        async with _SUBMITTERS:
            await asyncio.sleep(_LOOK_S)
