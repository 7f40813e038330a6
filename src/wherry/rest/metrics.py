"""Figures for a monitor, in the text format of Prometheus and under Orthanc's names.

What is counted as it happens comes from the rooms where it happens; what can be asked for is asked
when somebody looks. There is no cache of parsed files or of buckets: their figures stand at 0.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import clock, limits
from wherry.http import threads
from wherry.http.answers import empty_answer, text_answer
from wherry.http.services import Services, services
from wherry.index import resources, totals, transfers
from wherry.model import JobState
from wherry.rest.words import read_switch

_PROMETHEUS = b"text/plain; version=0.0.4"

_COUNTED = (
    "orthanc_jobs_total_completed",
    "orthanc_jobs_total_success",
    "orthanc_jobs_total_failed",
    "orthanc_storage_read_bytes",
    "orthanc_storage_written_bytes",
    "orthanc_transfers_created_push_count",
    "orthanc_transfers_committed_push_count",
    "orthanc_transfers_aborted_push_count",
    "orthanc_transfers_push_total_received_bytes_count",
    "orthanc_transfers_push_total_time_spent_in_commit_ms",
    "orthanc_transfers_push_total_time_spent_in_reception_ms",
)
"""Shown as 0 before the first."""

_NO_CACHE = (
    "orthanc_dicom_cache_count",
    "orthanc_dicom_cache_size_mb",
    "orthanc_transfers_cache_hit_count",
    "orthanc_transfers_cache_miss_count",
    "orthanc_transfers_used_cache_size",
)


def routes() -> list[Route]:
    """Routes of the metrics."""
    return [
        Route("/tools/metrics", switch, methods=["GET"]),
        Route("/tools/metrics", set_switch, methods=["PUT"]),
        Route("/tools/metrics-prometheus", figures),
    ]


async def switch(request: Request) -> Response:
    """GET /tools/metrics: 0 or 1."""
    return text_answer(str(int(services(request).metrics.enabled)))


async def set_switch(request: Request) -> Response:
    """PUT /tools/metrics: 0 or 1, until the server begins anew."""
    services(request).metrics.enabled = await read_switch(request)
    return empty_answer()


def figures(request: Request) -> Response:
    """GET /tools/metrics-prometheus: one figure a line; nothing when they are switched off."""
    rooms = services(request)
    metrics = rooms.metrics
    if metrics.enabled:
        for name in _COUNTED:
            metrics.add(name, 0)
        for name, value in _present(rooms).items():
            metrics.set(name, value)
    return text_answer(metrics.render(), content_type=_PROMETHEUS)


def _present(rooms: Services) -> dict[str, float]:
    """What is asked for now."""
    with rooms.index.read() as tx:
        stored = resources.statistics(tx)
        last_change = totals.load(tx).change_seq
        open_pushes = transfers.count_open(tx, "push")
    found: dict[str, float] = {
        "orthanc_available_http_threads_count": threads.least_available(),
        "orthanc_count_patients": stored.patients,
        "orthanc_count_studies": stored.studies,
        "orthanc_count_series": stored.series,
        "orthanc_count_instances": stored.instances,
        "orthanc_disk_size_mb": stored.disk_bytes / limits.MIB,
        "orthanc_uncompressed_size_mb": stored.uncompressed_bytes / limits.MIB,
        "orthanc_last_change": last_change,
        "orthanc_logged_warnings_count": rooms.warnings.count,
        "orthanc_storage_cache_count": len(rooms.files),
        "orthanc_storage_cache_hit_count": rooms.files.hits,
        "orthanc_storage_cache_miss_count": rooms.files.misses,
        "orthanc_storage_cache_size_mb": rooms.files.held_bytes / limits.MIB,
        "orthanc_transfers_available_push_count": max(
            0, rooms.config.transfers.max_push_transactions - open_pushes
        ),
        "orthanc_up_time_s": int(clock.monotonic() - rooms.metrics.started_at),
        **dict.fromkeys(_NO_CACHE, 0),
        **_jobs(rooms),
    }
    if rooms.config.postgresql:
        found["orthanc_index_active_connections_count"] = rooms.index.active_readers
    return found


def _jobs(rooms: Services) -> dict[str, float]:
    jobs = rooms.jobs.counts()
    success, failed = jobs.get(JobState.SUCCESS, 0), jobs.get(JobState.FAILURE, 0)
    return {
        "orthanc_jobs_pending": jobs.get(JobState.PENDING, 0) + jobs.get(JobState.RETRY, 0),
        "orthanc_jobs_running": jobs.get(JobState.RUNNING, 0) + jobs.get(JobState.PAUSED, 0),
        "orthanc_jobs_success": success,
        "orthanc_jobs_failed": failed,
        "orthanc_jobs_completed": success + failed,
    }
