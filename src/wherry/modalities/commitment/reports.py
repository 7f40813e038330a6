"""What a modality says has become of the instances that it was asked to commit (PS3.4 §J.3.3).

An instance is committed when the report says so, and no other one does not: what it does not
mention is not. A report may be repeated, because its answer got lost; what failed once has failed.

Not here: the request (``requesting``), and over which association the report comes.
"""

from __future__ import annotations

from collections.abc import Callable

from wherry.dicom.commitment import (
    ALL_COMMITTED,
    PROCESSING_FAILURE,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    SOME_FAILED,
    CommitmentReport,
    Reference,
    read_report,
)
from wherry.dicom.wire.commands import Command
from wherry.dicom.wire.refusals import (
    InvalidArgument,
    NoSuchEventType,
    NoSuchSopClass,
    NoSuchSopInstance,
)
from wherry.index import commitments
from wherry.index.commitments import Commitment
from wherry.index.database import Index, Transaction


def take_report(
    index: Index, command: Command, data: bytes, syntax: str, asked: Callable[[str], bool]
) -> None:
    """Keep what an N-EVENT-REPORT says. Blocking.

    ``asked``: whether it was whoever reports that was asked, by the title that we called. Raises
    errors of ``refusals``; nothing has changed then.
    """
    _check(command)
    report = read_report(data, syntax)

    def work(tx: Transaction) -> bool:
        known = commitments.get(tx, report.transaction)
        if known is None or not asked(known.remote_aet):
            return False
        failures = {**known.failures, **failures_of(known, report)}
        commitments.settle(tx, known.uid, failures)
        return True

    if not index.write(work):
        raise InvalidArgument("No such transaction was asked for")


def failures_of(asked: Commitment, report: CommitmentReport) -> dict[int, int]:
    """Why which of the instances (by position) are not committed."""
    failed = {one.reference: one.reason for one in report.failed}
    committed = set(report.committed)
    found: dict[int, int] = {}
    for position, one in enumerate(asked.asked):
        reference = Reference(one.sop_class, one.sop_instance)
        if reference in failed:
            found[position] = failed[reference]
        elif reference not in committed:
            found[position] = PROCESSING_FAILURE
    return found


def _check(command: Command) -> None:
    if command.affected_sop_class != PUSH_MODEL:
        raise NoSuchSopClass
    if command.affected_sop_instance != PUSH_MODEL_INSTANCE:
        raise NoSuchSopInstance
    if command.event_type not in (ALL_COMMITTED, SOME_FAILED):
        raise NoSuchEventType
