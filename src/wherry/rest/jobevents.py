"""``/jobs/events``: what becomes of jobs, as server-sent events (WHATWG HTML §9.2).

An event for each change of state, numbered, from the log of the index: whoever ran the job, in
whatever process. A client that was away sends the last number it saw (``Last-Event-ID``, as
browsers do by themselves) and misses nothing that the log still has. Between them, without a
number: ``progress`` of jobs that run.

Our addition: Orthanc has its clients ask again and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from wherry import clock, limits
from wherry.errors import BadParameterType, Unavailable
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.index.job_rows import JobFilter
from wherry.jobs.description import describe
from wherry.model import JobEvent, JobState

_RUNNING: Final = JobFilter(states=frozenset({JobState.RUNNING}))
_HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_STREAMS: Final = asyncio.Semaphore(limits.JOB_EVENT_STREAMS)
"""Never waited for: only ``locked`` and then taken."""


def routes() -> list[Route]:
    """/jobs/events."""
    return [Route("/jobs/events", events)]


async def events(request: Request) -> Response:
    """GET /jobs/events: a stream of server-sent events, from now on or behind ``Last-Event-ID``
    (or ``?since=``); ``?job=ID`` of one job only."""
    if _STREAMS.locked():
        raise Unavailable("Too many clients follow the events of jobs already", 5)
    after = _since(request)
    if after is None:
        after = await in_thread(services(request).jobs.last_event)
    return EventStream(after, request.query_params.get("job", ""))


def _since(request: Request) -> int | None:
    text = request.headers.get("last-event-id") or request.query_params.get("since")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadParameterType("The number of an event has digits only")
    return int(text)


class EventStream(Response):
    """Goes on until the client leaves or the server ends."""

    def __init__(self, after: int, job_id: str) -> None:
        """Events behind number ``after``, of ``job_id`` or, if that is empty, of all jobs."""
        self.status_code = 200
        self.body = b""
        self.background = None
        self.raw_headers = _HEADERS
        self._after = after
        self._job_id = job_id
        self._shown: dict[str, tuple[int, Any]] = {}
        """Progress and content of the running jobs as they were sent last."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look twice a second, and send what is new."""
        request = Request(scope, receive)
        rooms = services(request)
        async with _STREAMS:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await _say(send, b"retry: 2000\n\n")
            spoke = clock.monotonic()
            while not (rooms.lifecycle.ending or await request.is_disconnected()):
                text = await in_thread(self._news, rooms)
                if not text and clock.monotonic() - spoke >= limits.JOB_EVENT_SILENCE_S:
                    text = b": still here\n\n"
                if text:
                    await _say(send, text)
                    spoke = clock.monotonic()
                await asyncio.sleep(limits.JOB_REPORT_S)
            await send({"type": "http.response.body", "body": b""})

    def _news(self, rooms: Services) -> bytes:
        happened = rooms.jobs.events(self._after)
        if happened:
            self._after = happened[-1].seq
        running = rooms.jobs.newest(_RUNNING, limits.JOB_EVENTS_PAGE)
        return b"".join([*self._changes(happened), *self._progress(running)])

    def _changes(self, happened: Iterable[JobEvent]) -> Iterable[bytes]:
        for event in happened:
            if self._job_id in ("", event.job_id):
                yield _event(event.state.value.lower(), _described(event), event.seq)

    def _progress(self, running: Iterable[Any]) -> Iterable[bytes]:
        shown, now = {}, clock.now()
        for job in running:
            if self._job_id not in ("", job.id):
                continue
            shown[job.id] = (job.progress, job.content)
            if self._shown.get(job.id) != shown[job.id]:
                yield _event("progress", describe(job, now))
        self._shown = shown


def _described(event: JobEvent) -> dict[str, Any]:
    return {
        "Date": clock.orthanc_date_precise(event.happened_at),
        "ErrorCode": event.error_code,
        "ErrorDetails": event.error_details,
        "ID": event.job_id,
        "Path": f"/jobs/{event.job_id}",
        "State": event.state.value,
        "Type": event.type,
    }


def _event(name: str, data: dict[str, Any], number: int | None = None) -> bytes:
    head = b"" if number is None else b"id: %d\n" % number
    return b"%sevent: %s\ndata: %s\n\n" % (head, name.encode("ascii"), orjson.dumps(data))


async def _say(send: Send, text: bytes) -> None:
    await send({"type": "http.response.body", "body": text, "more_body": True})
