"""Storage commitment as SCU: a modality is asked to keep instances for good (PS3.4 §J.3.2).

Its report comes later, mostly over an association that it asks for. Some modalities report over the
association of the request, at once and only there; so that one stays open for a moment.

Not here: what a report means (``reports``), commitment that others want from us
(``scp``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

from wherry import clock, limits
from wherry.dicom.attributes import write
from wherry.dicom.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_ACTION,
    CommitmentRequest,
    Reference,
    write_request,
)
from wherry.dicom.preamble import EXPLICIT, IMPLICIT
from wherry.dicom.wire.commands import Command, CommandField
from wherry.errors import NetworkProtocol, TooLarge, UnknownResource, WherryError
from wherry.index import commitments, resources, sop_instances
from wherry.index.commitments import AskedInstance
from wherry.index.database import Index, Transaction
from wherry.index.sop_instances import SopInstance
from wherry.modalities.associations.association import Association, Context, Message
from wherry.modalities.associations.connection import Target
from wherry.modalities.commitment.reports import take_report
from wherry.model import Level, Modality

if TYPE_CHECKING:
    from wherry.config import Config

_SYNTAXES: Final = (EXPLICIT, IMPLICIT)
_LOOK_S: Final = 0.02
"""Between two looks whether the report came over another association."""


def new_transaction() -> str:
    """A UID for a transaction. Who must be able to repeat a request keeps it before."""
    return f"2.25.{UUID(clock.new_uuid()).int}"


def ask(
    config: Config,
    index: Index,
    modality: Modality,
    goal: Target,
    instances: Sequence[AskedInstance],
    transaction: str = "",
) -> str:
    """Ask ``modality``, which is called as ``goal`` says, to commit these; the UID of the
    transaction, under which ``index`` will have the report. Blocking.

    The transaction is known before the modality is asked, so that the report may come at any time;
    it is forgotten when the request fails. Raises ``NetworkProtocol``, ``TooLarge``.
    """
    check_count(len(instances))
    transaction = transaction or new_transaction()
    keep = config.dimse.commitment_reports
    index.write(lambda tx: commitments.add(tx, transaction, modality.aet, instances, keep))
    references = tuple(Reference(one.sop_class, one.sop_instance) for one in instances)
    try:
        with Association(goal, [(PUSH_MODEL, _SYNTAXES)]) as association:
            conversation = _Conversation(index, modality, association)
            conversation.ask(CommitmentRequest(transaction, references))
            conversation.linger(transaction)
    except BaseException:
        index.write(lambda tx: commitments.remove(tx, transaction))
        raise
    return transaction


def ask_to_commit(
    config: Config,
    index: Index,
    modality: Modality,
    goal: Target,
    names: Sequence[tuple[str, str]],
) -> str:
    """``ask`` for instances (SOP class, SOP instance) that were sent to ``modality`` just now, in
    the order in which they once came here."""
    with index.read() as tx:
        stored = instances_named(tx, [Reference(*one) for one in names])
    return ask(config, index, modality, goal, stored)


def instances_below(tx: Transaction, orthanc_ids: Sequence[str]) -> list[AskedInstance]:
    """The instances that these resources, of any level, have. Raises ``UnknownResource``,
    ``TooLarge``."""
    levels = resources.locate(tx, orthanc_ids)
    if len(levels) < len(set(orthanc_ids)):
        raise UnknownResource
    below = resources.kin(tx, [(level, one) for one, level in levels.items()], Level.INSTANCE)
    check_count(len(below))
    return _asked(sop_instances.of_resources(tx, below))


def instances_named(tx: Transaction, references: Sequence[Reference]) -> list[AskedInstance]:
    """These, each once: those that are stored here in order of arrival, then the others. Raises
    ``TooLarge``."""
    check_count(len(references))
    wanted = dict.fromkeys(references)
    here = sop_instances.named(tx, [one.sop_instance for one in references])
    found = {Reference(*one[:2]): one for one in _asked(here)}
    stored = [one for reference, one in found.items() if reference in wanted]
    return stored + [AskedInstance(*one) for one in wanted if one not in found]


def check_count(instances: int) -> None:
    """Raises ``TooLarge`` when they are too many for one transaction."""
    if instances > limits.COMMITMENT_INSTANCES:
        raise TooLarge(f"At most {limits.COMMITMENT_INSTANCES} instances can be committed at once")


def _asked(stored: Sequence[SopInstance]) -> list[AskedInstance]:
    """Resources with the same names become one instance with several files."""
    found: dict[Reference, list[str]] = {}
    for one in stored:
        reference = Reference(one.sop_class, one.sop_instance)
        found.setdefault(reference, []).append(one.file.digest)
    return [AskedInstance(*reference, tuple(digests)) for reference, digests in found.items()]


class _Conversation:
    """What is said over one association."""

    def __init__(self, index: Index, modality: Modality, association: Association) -> None:
        self._index = index
        self._modality = modality
        self._association = association
        self._context: Context = association.context_of(PUSH_MODEL)

    def ask(self, request: CommitmentRequest) -> None:
        """Returns when the modality has said yes. Raises ``NetworkProtocol``."""
        association = self._association
        message_id = association.next_message_id()
        command = Command(
            CommandField.N_ACTION_RQ,
            has_data_set=True,
            requested_sop_class=PUSH_MODEL,
            message_id=message_id,
            requested_sop_instance=PUSH_MODEL_INSTANCE,
            action_type=REQUEST_ACTION,
        )
        data = write(write_request(request), self._context.transfer_syntax)
        association.send(self._context.id, command, data)
        answer = self._next_answer()
        if answer.field is not CommandField.N_ACTION_RSP or answer.responded_to != message_id:
            raise NetworkProtocol(f"{association} answers something else than an N-ACTION")
        if answer.status:
            why = f": {answer.error_comment}" if answer.error_comment else ""
            raise NetworkProtocol(
                f"{association} refuses storage commitment with the status"
                f" 0x{answer.status:04x}{why}"
            )

    def linger(self, transaction: str) -> None:
        """Hear what the modality reports at once. When it does not, or is gone, or reports over
        another association, this one is not needed any more."""
        if not self._modality.allow_event_report:
            return
        until = clock.monotonic() + limits.COMMITMENT_LINGER_S
        try:
            while self._is_awaited(transaction) and clock.monotonic() < until:
                if self._association.ready(_LOOK_S):
                    self._hear(self._association.receive())
        except WherryError:
            self._association.abort()

    def _is_awaited(self, transaction: str) -> bool:
        with self._index.read() as tx:
            known = commitments.get(tx, transaction)
        return known is not None and known.status == commitments.PENDING

    def _next_answer(self) -> Command:
        while True:
            message = self._association.receive()
            if message.command.field is not CommandField.N_EVENT_REPORT_RQ:
                return message.command
            self._hear(message)  # of an earlier transaction, or sooner than its answer

    def _hear(self, message: Message) -> None:
        """Take a report and answer it."""
        request = message.command
        if request.field is not CommandField.N_EVENT_REPORT_RQ:
            raise NetworkProtocol(f"{self._association} sends something else than a report")
        status = 0
        try:
            take_report(
                self._index,
                request,
                message.data_set,
                self._context.transfer_syntax,
                lambda asked: asked == self._modality.aet,
            )
        except WherryError as error:
            status = error.dimse_status
        answer = Command(
            CommandField.N_EVENT_REPORT_RSP,
            affected_sop_class=PUSH_MODEL,
            responded_to=request.message_id,
            status=status,
            affected_sop_instance=PUSH_MODEL_INSTANCE,
            event_type=request.event_type,
        )
        self._association.send(message.context_id, answer)
