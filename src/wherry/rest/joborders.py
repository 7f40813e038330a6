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


async def answer_job(
    request: Request,
    type: str,
    parameters: dict[str, type_json],
    content: dict[str, type_json],
    options: JobOptions,
) -> Response:
    """Submit a job; wait for its end and answer its content, or answer where to look for it.

    A job that fails becomes the error of the request. A client that goes away does not stop it.
    """
    jobs = services(request).jobs
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[Job] = loop.create_future()
    job_id = await submit(
        request,
        type,
        parameters,
        priority=options.priority,
        content=content,
        user_data=options.user_data,
        may_retry=not options.synchronous,  # who waits for it hears at once what is wrong
        ended=partial(_tell, loop, waiting) if options.synchronous else None,
    )
    if not options.synchronous:
        return json_answer({"ID": job_id, "Path": f"/jobs/{job_id}"})
    try:
        job = await _end_of(request, job_id, waiting)
    finally:
        jobs.ignore(job_id)
    if job.state is JobState.FAILURE:
        raise error_of(job)
    return json_answer(job.content)


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
