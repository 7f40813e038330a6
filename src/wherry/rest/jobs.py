"""Jobs: shown, steered and forgotten; what they have brought forth.

Not here: following them (``jobevents``), starting them (``joborders``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import clock, limits
from wherry.errors import InexistentItem, MissingFile, ParameterOutOfRange
from wherry.http.answers import (
    JsonListAnswer,
    content_answer,
    empty_answer,
    json_answer,
    literal_json,
)
from wherry.http.services import services
from wherry.index.job_rows import JobFilter
from wherry.jobs.description import describe
from wherry.jobs.engine import JobEngine
from wherry.model import JobState
from wherry.rest.arguments import flag, number
from wherry.rest.files import inert_name


def routes() -> list[Route]:
    """Routes of jobs."""
    actions = ("cancel", "pause", "resume", "resubmit")
    return [
        Route("/jobs", listing),
        Route("/jobs/{id}", single, methods=["GET"]),
        Route("/jobs/{id}", remove, methods=["DELETE"]),
        Route("/jobs/{id}/{key}", output, methods=["GET"]),
        Route("/jobs/{id}/{key}", remove_output, methods=["DELETE"]),
        *[
            Route(f"/jobs/{{id}}/{name}", partial(act, action=name), methods=["POST"])
            for name in actions
        ],
        *[
            Route(f"/jobs/{{id}}/{name}", partial(work, key=name), methods=[method])
            for name in actions
            for method, work in (("GET", output), ("DELETE", remove_output))
        ],
    ]


def listing(request: Request) -> Response:
    """GET /jobs: identifiers, ``?expand`` whole jobs. ``?state=`` and ``?type=`` (one or several,
    separated by commas) choose among them; ``?limit=`` asks for the newest, newest first."""
    jobs = services(request).jobs
    wanted = JobFilter(_states(request), frozenset(_words(request, "type")))
    expand = flag(request, "expand")
    limit = number(request, "limit")
    if limit is not None:
        found = jobs.newest(wanted, min(limit, limits.JOBS_LISTED))
        now = clock.now()
        return json_answer([describe(job, now) if expand else job.id for job in found])
    if not expand:
        return json_answer(jobs.ids(wanted))
    return JsonListAnswer(_described(jobs, wanted))


def _described(jobs: JobEngine, wanted: JobFilter) -> Iterator[list[Any]]:
    for page in jobs.pages(wanted):
        now = clock.now()
        yield [describe(job, now) for job in page]


def _words(request: Request, name: str) -> list[str]:
    text = request.query_params.get(name, "")
    return [word.strip() for word in text.split(",") if word.strip()]


def _states(request: Request) -> frozenset[JobState]:
    try:
        return frozenset(map(JobState, _words(request, "state")))
    except ValueError:
        names = ", ".join(JobState)
        raise ParameterOutOfRange(f"The state of a job is one of {names}") from None


def single(request: Request) -> Response:
    """GET /jobs/{id}; 404 without a body when unknown."""
    job = services(request).jobs.get(request.path_params["id"])
    return empty_answer(404) if job is None else json_answer(describe(job, clock.now()))


def act(request: Request, action: str) -> Response:
    """POST /jobs/{id}/{action}; 400 without a body when unknown or not allowed now."""
    accepted: bool = getattr(services(request).jobs, action)(request.path_params["id"])
    return literal_json() if accepted else empty_answer(400)


def remove(request: Request) -> Response:
    """DELETE /jobs/{id}: forget a job that has ended, and what it has brought forth."""
    if not services(request).jobs.remove(request.path_params["id"]):
        raise InexistentItem
    return empty_answer()


def output(request: Request, key: str = "") -> Response:
    """GET /jobs/{id}/{key}: what a job has brought forth, such as ``archive``; ``Range`` is
    honoured."""
    rooms = services(request)
    key = key or request.path_params["key"]
    found = rooms.jobs.output(request.path_params["id"], key)
    if found is None:
        raise InexistentItem(f"Job has no such output: {key}")
    headers = {"Content-Disposition": f'filename="{inert_name(found.file_name)}"'}
    try:
        reader = rooms.storage.open(found.uuid, found.place)
    except MissingFile:  # it has just made room for another one
        raise InexistentItem(f"Job has no such output: {key}") from None
    return content_answer(
        request, reader, found.size, found.media_type, headers, tag=f'"{found.uuid}"'
    )


def remove_output(request: Request, key: str = "") -> Response:
    """DELETE /jobs/{id}/{key}: give back its space."""
    key = key or request.path_params["key"]
    if not services(request).jobs.remove_output(request.path_params["id"], key):
        raise InexistentItem(f"Job has no such output: {key}")
    return empty_answer()
