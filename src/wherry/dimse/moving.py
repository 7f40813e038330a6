"""C-MOVE (PS3.4 §C.4.2): instances are sent to a third system, a modality that is known by title.

The sending is a job of its own kind with workers of its own, which sends over several associations
at once. With ``SynchronousCMove`` the caller hears how far it is until it is done, and may cancel
it; without, it hears success at once and ``/jobs`` tells the rest.

Not here: which instances are meant (``retrieving``), the sending (``modalities.store``).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Final

from wherry import limits
from wherry.dimse.requests import CANCELLED, PENDING, SUCCESS, Request
from wherry.dimse.retrieving import UNKNOWN_DESTINATION, Suboperations, meant
from wherry.errors import JobCanceled, WherryError
from wherry.http.threads import in_thread
from wherry.index import sending
from wherry.modalities.sending.order import StoreOrder, instances_of
from wherry.modalities.sending.store import MOVE_TYPE, TYPE
from wherry.model import Job, JobState, Modality

MOVE_CLASSES: Final = (
    "1.2.840.10008.5.1.4.1.2.1.2",
    "1.2.840.10008.5.1.4.1.2.2.2",
    "1.2.840.10008.5.1.4.1.2.3.2",
)
"""Patient root, study root, and the retired patient/study only."""


async def move(request: Request) -> None:
    """Answer a C-MOVE."""
    destination = await in_thread(_destination, request)
    if destination is None:
        await request.respond(UNKNOWN_DESTINATION, comment="Nobody is known by this title")
        return
    order, count = await in_thread(_order, request, destination)
    counts = Suboperations(count)
    if not count:
        await request.respond(SUCCESS, **counts.members())
        return
    if not request.rooms.config.dimse.synchronous_move:
        await in_thread(_submit, request, order, TYPE, None)
        await request.respond(SUCCESS, **counts.members())
        return
    await _follow(request, order, counts)


def _destination(request: Request) -> Modality | None:
    title = request.command.move_destination or ""
    return next(iter(request.rooms.modalities.with_title(title)), None) if title else None


def _order(request: Request, destination: Modality) -> tuple[StoreOrder, int]:
    with request.rooms.index.read() as tx:
        order = StoreOrder(
            destination.name,
            meant(request, tx),
            originator_aet=request.caller.calling,
            originator_id=request.command.message_id,
            description="C-MOVE",
        )
        return order, len(instances_of(tx, order))


def _submit(
    request: Request, order: StoreOrder, type: str, ended: asyncio.Future[Job] | None
) -> str:
    def tell(job: Job) -> None:
        if ended is not None:
            ended.get_loop().call_soon_threadsafe(settle, job)

    def settle(job: Job) -> None:
        if ended is not None and not ended.done():
            ended.set_result(job)

    return request.rooms.jobs.submit(type, order.parameters(), ended=tell, may_retry=type == TYPE)


async def _follow(request: Request, order: StoreOrder, counts: Suboperations) -> None:
    """Say how far it is until it is done."""
    ended: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
    job_id = await in_thread(_submit, request, order, MOVE_TYPE, ended)
    told: Suboperations | None = None
    while not ended.done():
        await asyncio.wait([ended], timeout=limits.MOVE_LOOK_S)
        if ended.done():
            break
        if request.cancelled:
            await in_thread(_cancel, request, job_id)
        job = await in_thread(_look, request, job_id)
        if ended.done():
            break
        if job is None or job.state in (JobState.SUCCESS, JobState.FAILURE):
            await _conclude(request, job, counts)  # another process has run it
            return
        _count(counts, job)
        if counts != told and not request.cancelled:
            told = replace(counts)
            await request.respond(PENDING, **counts.members(remaining=True))
    await _conclude(request, ended.result(), counts)


def _look(request: Request, job_id: str) -> Job | None:
    return request.rooms.jobs.get(job_id)


def _cancel(request: Request, job_id: str) -> None:
    with suppress(WherryError):  # it has ended just now
        request.rooms.jobs.cancel(job_id)


def _count(counts: Suboperations, job: Job) -> None:
    """What a job says of itself, in sub-operations. Its content and progress may be a moment old,
    but never run backwards."""
    total = counts.remaining + counts.completed + counts.failed
    failed = int(job.content.get("FailedInstancesCount", 0))
    done = total if job.state is JobState.SUCCESS else round(job.progress * total)
    if done - failed >= counts.completed and failed >= counts.failed:
        counts.completed, counts.failed = done - failed, failed
        counts.remaining = total - done


async def _conclude(request: Request, job: Job | None, counts: Suboperations) -> None:
    """The last answer."""
    if job is not None:
        _count(counts, job)
        counts.failed_uids = await in_thread(_failed_uids, request, job)
        if job.error_code == JobCanceled.code:
            await request.respond(CANCELLED, counts.identifier(), **counts.members(remaining=True))
            return
        if job.state is JobState.FAILURE:
            counts.failed += counts.remaining
    else:  # those that succeed are forgotten at once
        counts.completed += counts.remaining
    counts.remaining = 0
    comment = job.error_details if job is not None and counts.failed else ""
    await request.respond(counts.status, counts.identifier(), comment=comment, **counts.members())


def _failed_uids(request: Request, job: Job) -> list[str]:
    names = [one["ID"] for one in job.content.get("FailedInstances", [])]
    with request.rooms.index.read() as tx:
        return [uid for _, uid in sending.sop_pairs(tx, names[: limits.FAILED_UIDS])]
