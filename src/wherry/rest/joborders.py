"""Bodies that order a job, and the answer: the job's content when it has ended, or its name.

``Synchronous`` (default true for most routes), ``Asynchronous``, ``Priority``, ``Permissive`` and
``UserData`` mean the same in every route that starts a job (rest-api §10).

Not here: what a kind of job wants besides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from wherry import limits
from wherry.errors import BadFileFormat, InexistentItem, ParameterOutOfRange
from wherry.http.answers import json_answer
from wherry.http.services import services
from wherry.http.submission import submit
from wherry.http.threads import in_thread
from wherry.jobs.description import error_of
from wherry.model import Job, JobState, type_json

_PRIORITY = 2**31
_ENDED = (JobState.SUCCESS, JobState.FAILURE)


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What every order of a job may say."""

    synchronous: bool = True
    permissive: bool = False
    priority: int = 0
    user_data: type_json = None
    """None = not given."""


def read_options(body: Mapping[str, type_json], *, synchronous: bool = True) -> JobOptions:
    """Raises ``BadFileFormat``, ``ParameterOutOfRange``. ``synchronous``: when neither is said."""
    if "Synchronous" in body:
        synchronous = read_boolean(body, "Synchronous")
    elif "Asynchronous" in body:
        synchronous = not read_boolean(body, "Asynchronous")
    priority = body.get("Priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise BadFileFormat("Integer value expected in field: Priority")
    if not -_PRIORITY <= priority < _PRIORITY:
        raise ParameterOutOfRange("The priority of a job has 32 bits")
    return JobOptions(synchronous, read_boolean(body, "Permissive"), priority, body.get("UserData"))


def read_boolean(body: Mapping[str, type_json], name: str) -> bool:
    """A member that is true or false; false when it is not there. Raises ``BadFileFormat``."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadFileFormat(f"Boolean value expected in field: {name}")
    return value


@dataclass(frozen=True, slots=True)
class JobOrder:
    """A job to be submitted."""

    type: str
    parameters: dict[str, type_json]
    content: dict[str, type_json]
    """What is shown until the job says something itself."""
    options: JobOptions


async def answer_job(request: Request, order: JobOrder) -> Response:
    """Wait for the end of a new job and answer its content, or answer where to look for it."""
    if order.options.synchronous:
        return json_answer((await carry_out(request, order)).content)
    return await put_off(request, order)


async def put_off(request: Request, order: JobOrder) -> Response:
    """Submit the job, and answer where to look for it."""
    job_id = await submit(request, order.type, order.parameters, **_options(order))
    return json_answer({"ID": job_id, "Path": f"/jobs/{job_id}"})


async def carry_out(request: Request, order: JobOrder) -> Job:
    """Submit the job, and wait for its end: Success. A client that goes away does not stop it.

    A job that fails becomes the error of the request; who waits for it hears at once what is wrong,
    so that it is not tried again.
    """
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[Job] = loop.create_future()
    job_id = await submit(
        request,
        order.type,
        order.parameters,
        **_options(order),
        may_retry=False,
        ended=partial(_tell, loop, waiting),
    )
    try:
        job = await _end_of(request, job_id, waiting)
    finally:
        services(request).jobs.ignore(job_id)
    if job.state is JobState.FAILURE:
        raise error_of(job)
    return job


def _options(order: JobOrder) -> dict[str, type_json]:
    options = order.options
    return {
        "priority": options.priority,
        "content": order.content,
        "user_data": options.user_data,
    }


async def _end_of(request: Request, job_id: str, waiting: asyncio.Future[Job]) -> Job:
    """The job when it has ended, in whatever process."""
    jobs = services(request).jobs
    while True:
        done, _ = await asyncio.wait([waiting], timeout=limits.JOB_POLL_S)
        if done:
            return waiting.result()
        job = await in_thread(jobs.get, job_id)
        if job is None and not waiting.done():
            raise InexistentItem(f"Job {job_id} has ended and is forgotten")
        if job is not None and job.state in _ENDED:
            return job


def _tell(loop: asyncio.AbstractEventLoop, waiting: asyncio.Future[Job], job: Job) -> None:
    """From any thread."""

    def settle() -> None:
        if not waiting.done():
            waiting.set_result(job)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:  # the loop is closed: nobody waits any more
        pass
