"""Jobs: shown, steered and forgotten."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import clock
from wherry.errors import InexistentItem
from wherry.http.answers import empty_answer, json_answer, literal_json
from wherry.http.services import services
from wherry.jobs.description import describe
from wherry.rest.arguments import flag


def routes() -> list[Route]:
    """Routes of jobs."""
    actions = ("cancel", "pause", "resume", "resubmit")
    return [
        Route("/jobs", listing),
        Route("/jobs/{id}", single, methods=["GET"]),
        Route("/jobs/{id}", remove, methods=["DELETE"]),
        Route("/jobs/{id}/{key}", output),
        *[
            Route(f"/jobs/{{id}}/{name}", partial(act, action=name), methods=["POST"])
            for name in actions
        ],
        *[Route(f"/jobs/{{id}}/{name}", partial(output, key=name)) for name in actions],
    ]


def listing(request: Request) -> Response:
    """GET /jobs: identifiers, ``?expand`` whole jobs."""
    jobs = services(request).jobs
    if not flag(request, "expand"):
        return json_answer(jobs.ids())
    now = clock.now()
    return json_answer([describe(job, now) for job in jobs.list()])


def single(request: Request) -> Response:
    """GET /jobs/{id}; 404 without a body when unknown."""
    job = services(request).jobs.get(request.path_params["id"])
    return empty_answer(404) if job is None else json_answer(describe(job, clock.now()))


def act(request: Request, action: str) -> Response:
    """POST /jobs/{id}/{action}; 400 without a body when unknown or not allowed now."""
    accepted: bool = getattr(services(request).jobs, action)(request.path_params["id"])
    return literal_json() if accepted else empty_answer(400)


def remove(request: Request) -> Response:
    """DELETE /jobs/{id}: forget a job that has ended."""
    if not services(request).jobs.remove(request.path_params["id"]):
        raise InexistentItem
    return empty_answer()


def output(request: Request, key: str = "") -> Response:
    """GET /jobs/{id}/{key}: no kind of job has an output yet."""
    raise InexistentItem(f"Job has no such output: {key or request.path_params['key']}")
