"""The job ``StorageCommitmentScp``: a modality wants to know whether instances are kept here for
good (PS3.4 Annex J).

Their bytes are read (``check``), then the report goes to the host and port that are
declared for the modality. It goes over an association of its own, as in Orthanc: modalities mostly
release that of their request at once, and may do so at any time (§J.3.3.1.2), every one must take a
report over another (§J.3.3.1.3), and the request itself need not stay open while gigabytes are
read. This end proposes to be its SCP (PS3.7 §D.3.3.4).

A modality that is out of reach, or refuses the report, hears it later, by the rules for jobs. Who
dies between the answer of the modality and its note in the index reports once more.

Not here: the request (``dimse.commitment``), what we want others to commit (``requesting``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from wherry import limits
from wherry.dicom.attributes import write
from wherry.dicom.commitment import (
    ALL_COMMITTED,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    SOME_FAILED,
    CommitmentReport,
    CommitmentRequest,
    Failure,
    Reference,
    write_report,
)
from wherry.dicom.preamble import EXPLICIT, IMPLICIT
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.pdu import Roles
from wherry.dicom.wire.refusals import InvalidArgument, ResourceLimitation
from wherry.errors import Unavailable
from wherry.index import commitment_requests
from wherry.index.database import Index, Transaction
from wherry.ingest.attaching import Attaching
from wherry.jobs.crew import Crew
from wherry.jobs.engine import JobEngine
from wherry.jobs.handler import Interrupted, JobControl
from wherry.modalities.associations.association import Association
from wherry.modalities.associations.calling import target
from wherry.modalities.associations.connection import ModalityUnavailable, Target
from wherry.modalities.book import ModalityBook
from wherry.modalities.commitment.check import CommitmentCheck
from wherry.model import Job, Modality, type_json

if TYPE_CHECKING:
    from wherry.config import Config

TYPE: Final = "StorageCommitmentScp"


@dataclass(frozen=True, slots=True)
class CommitmentOrder:
    """What a modality has asked for."""

    modality: str
    """Its symbolic name: where the report goes is looked up when it is sent."""
    remote_aet: str
    called_aet: str
    """The title that it called us; it expects the report from there."""
    request: CommitmentRequest

    def parameters(self) -> dict[str, type_json]:
        """What the job keeps."""
        return {
            "Modality": self.modality,
            "RemoteAet": self.remote_aet,
            "CalledAet": self.called_aet,
            "TransactionUid": self.request.transaction,
            "Instances": [list(one) for one in self.request.references],
        }

    def content(self) -> dict[str, type_json]:
        """The job's public content."""
        return {
            "CalledAet": self.called_aet,
            "Description": "",
            "RemoteAet": self.remote_aet,
            "TransactionUid": self.request.transaction,
        }

    def digest(self) -> str:
        """Of the instances."""
        references = [list(one) for one in self.request.references]
        return hashlib.sha256(orjson.dumps(references)).hexdigest()


class _Known(Exception):
    """The same was asked before, and a job looks after it."""


def submit(jobs: JobEngine, order: CommitmentOrder) -> None:
    """Let a job look after it; durable when this returns. The same request twice is one, as long as
    the job lives. Blocking.

    Raises ``InvalidArgument`` when the transaction is known with other instances,
    ``ResourceLimitation`` when too many jobs wait.
    """
    digest = order.digest()
    uid = order.request.transaction

    def note(tx: Transaction, job_id: str) -> None:
        known = commitment_requests.alive(tx, order.remote_aet, uid)
        if known is None:
            commitment_requests.put(tx, order.remote_aet, uid, digest, job_id)
        elif known.digest == digest:
            raise _Known
        else:
            raise InvalidArgument("The TransactionUID is in use")

    try:
        jobs.submit(TYPE, order.parameters(), content=order.content(), also=note)
    except _Known:
        return
    except Unavailable as error:
        raise ResourceLimitation(error.details) from error


class CommitmentScp:
    """Runs jobs of type ``StorageCommitmentScp``."""

    type = TYPE

    def __init__(
        self, config: Config, index: Index, attachments: Attaching, modalities: ModalityBook
    ) -> None:
        self._config = config
        self._index = index
        self._attachments = attachments
        self._modalities = modalities

    def run(self, control: JobControl) -> None:
        """Check and report; see ``JobHandler``."""
        if control.job.checkpoint.get("Reported"):
            return
        order = _order(control.job.parameters)
        modality = self._modalities.get(order.modality)
        references = order.request.references
        check = CommitmentCheck(
            self._index, self._attachments, references, order.content(), control
        )
        report = _report(order.request, check.run())
        told = _Telling(self._goal(order, modality))
        try:
            Crew(1, control.check, told.abort).work([report], told.tell)
        except Interrupted:
            if told.done:  # lest it come twice
                control.save({"Reported": True}, check.content(), 1.0)
            raise
        control.save({"Reported": True}, check.content(), 1.0)

    def settle(self, job: Job) -> None:
        """The job holds nothing elsewhere."""

    def _goal(self, order: CommitmentOrder, modality: Modality) -> Target:
        patience_s = modality.timeout_s or self._config.dimse.scu_timeout_s
        return target(
            self._config,
            modality,
            local_aet=order.called_aet,
            timeout_s=patience_s or limits.COMMITMENT_REPORT_S,
        )


class _Telling:
    """One report, over an association of its own; ``abort`` from any thread."""

    def __init__(self, goal: Target) -> None:
        self._goal = goal
        self._association: Association | None = None
        self.done = False
        """The modality has said that it knows."""

    def tell(self, report: CommitmentReport) -> None:
        """Raises ``ModalityUnavailable`` when the modality may take it later."""
        roles = [Roles(PUSH_MODEL, scu=False, scp=True)]
        proposed = [(PUSH_MODEL, (EXPLICIT, IMPLICIT))]
        with Association(self._goal, proposed, roles, begun=self._begun) as association:
            send_report(association, report)
            self.done = True

    def abort(self) -> None:
        """Nobody waits for it any more."""
        if self._association is not None:
            self._association.abort()

    def _begun(self, association: Association) -> None:
        self._association = association


def send_report(association: Association, report: CommitmentReport) -> None:
    """One N-EVENT-REPORT (§J.3.3). Raises ``ModalityUnavailable`` when it is refused: some do not
    know their own request before they have read our answer to it."""
    context = association.context_of(PUSH_MODEL)
    message_id = association.next_message_id()
    command = Command(
        CommandField.N_EVENT_REPORT_RQ,
        has_data_set=True,
        affected_sop_class=PUSH_MODEL,
        message_id=message_id,
        affected_sop_instance=PUSH_MODEL_INSTANCE,
        event_type=SOME_FAILED if report.failed else ALL_COMMITTED,
    )
    association.send(context.id, command, write(write_report(report), context.transfer_syntax))
    answer = association.receive().command
    if answer.field is not CommandField.N_EVENT_REPORT_RSP or answer.responded_to != message_id:
        raise ModalityUnavailable(f"{association} answers something else than an N-EVENT-REPORT")
    if answer.status:
        raise ModalityUnavailable(
            f"{association} refuses the report of a storage commitment with the status"
            f" 0x{answer.status:04x}"
        )


def _report(request: CommitmentRequest, failures: dict[int, int]) -> CommitmentReport:
    instances = list(enumerate(request.references))
    return CommitmentReport(
        request.transaction,
        tuple(one for place, one in instances if place not in failures),
        tuple(Failure(one, failures[place]) for place, one in instances if place in failures),
    )


def _order(parameters: dict[str, type_json]) -> CommitmentOrder:
    return CommitmentOrder(
        parameters["Modality"],
        parameters["RemoteAet"],
        parameters["CalledAet"],
        CommitmentRequest(
            parameters["TransactionUid"],
            tuple(Reference(*one) for one in parameters["Instances"]),
        ),
    )
