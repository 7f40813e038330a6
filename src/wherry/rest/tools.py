"""Small tools: the time, and figures for a monitor."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import clock
from wherry.http.answers import text_answer
from wherry.http.services import services
from wherry.index import resources
from wherry.model import JobState

_PROMETHEUS = b"text/plain; version=0.0.4"


def routes() -> list[Route]:
    """Routes below /tools that belong to no other theme."""
    return [
        Route("/tools/now", now),
        Route("/tools/now-local", now_local),
        Route("/tools/metrics-prometheus", metrics),
    ]


async def now(request: Request) -> Response:
    """GET /tools/now: the time in UTC."""
    return text_answer(clock.orthanc_date(clock.now()))


async def now_local(request: Request) -> Response:
    """GET /tools/now-local: the time of this machine."""
    return text_answer(clock.now().astimezone().strftime("%Y%m%dT%H%M%S"))


def metrics(request: Request) -> Response:
    """GET /tools/metrics-prometheus; empty when ``MetricsEnabled`` is false."""
    rooms = services(request)
    if not rooms.config.metrics_enabled:
        return text_answer("", content_type=_PROMETHEUS)
    with rooms.index.read() as tx:
        totals = resources.statistics(tx)
    jobs = rooms.jobs.counts()
    waiting = jobs.get(JobState.PENDING, 0) + jobs.get(JobState.RETRY, 0)
    running = jobs.get(JobState.RUNNING, 0) + jobs.get(JobState.PAUSED, 0)
    success, failed = jobs.get(JobState.SUCCESS, 0), jobs.get(JobState.FAILURE, 0)
    for name, value in {
        "orthanc_count_patients": totals.patients,
        "orthanc_count_studies": totals.studies,
        "orthanc_count_series": totals.series,
        "orthanc_count_instances": totals.instances,
        "orthanc_disk_size_mb": totals.disk_bytes / (1 << 20),
        "orthanc_uncompressed_size_mb": totals.uncompressed_bytes / (1 << 20),
        "orthanc_jobs_pending": waiting,
        "orthanc_jobs_running": running,
        "orthanc_jobs_success": success,
        "orthanc_jobs_failed": failed,
        "orthanc_jobs_completed": success + failed,
    }.items():
        rooms.metrics.set(name, value)
    return text_answer(rooms.metrics.render(), content_type=_PROMETHEUS)
