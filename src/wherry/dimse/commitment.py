"""Storage commitment over DIMSE (PS3.4 Annex J): requests for it, and reports on ours.

A request is answered as soon as a job is written down for it; the report comes from that job.

Not here: the job, and what a report changes (``modalities``).
"""

from __future__ import annotations

from wherry.dicom.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_ACTION,
    read_request,
)
from wherry.dicom.wire.refusals import (
    NoSuchAction,
    NoSuchSopClass,
    NoSuchSopInstance,
    NotAuthorized,
)
from wherry.dimse.requests import SUCCESS, Request
from wherry.http.threads import in_thread
from wherry.modalities.commitment.reports import take_report
from wherry.modalities.commitment.scp import CommitmentOrder, submit
from wherry.model import Modality


async def action(request: Request) -> None:
    """N-ACTION: a modality wants to know whether instances are kept (§J.3.2)."""
    modality = request.caller.modality
    if modality is None or not modality.allow_n_action:
        raise NotAuthorized("Storage commitment is for modalities that are known and allowed to")
    command = request.command
    if command.requested_sop_class != PUSH_MODEL:
        raise NoSuchSopClass
    if command.requested_sop_instance != PUSH_MODEL_INSTANCE:
        raise NoSuchSopInstance
    if command.action_type != REQUEST_ACTION:
        raise NoSuchAction
    await in_thread(_submit, request, modality)
    await request.respond(SUCCESS)


async def event(request: Request) -> None:
    """N-EVENT-REPORT: a modality tells what has become of a request of ours (§J.3.3)."""
    modality = request.caller.modality
    if modality is None or not modality.allow_event_report:
        raise NotAuthorized("Reports are taken from modalities that are known and allowed to")
    same_title = request.rooms.modalities.same_title
    await in_thread(
        take_report,
        request.rooms.index,
        request.command,
        request.data_set,
        request.context.transfer_syntax,
        lambda asked: same_title(asked, modality.aet),
    )
    await request.respond(SUCCESS)


def _submit(request: Request, modality: Modality) -> None:
    caller = request.caller
    wanted = read_request(request.data_set, request.context.transfer_syntax)
    submit(
        request.rooms.jobs,
        CommitmentOrder(modality.name, caller.calling, caller.called, wanted),
    )
