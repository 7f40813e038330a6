"""C-GET: letting a modality send what it has, on the association that asks for it (PS3.4 §C.4.3).

For the time of that we are the SCP of the storage classes (role selection, PS3.7 §D.3.3.4). Each
instance is answered when it is durable and visible, with the status of what went wrong otherwise.
When the store itself can take nothing more, the rest is called off.

Not here: which classes are proposed (``proposals``), how one instance is stored (``arriving``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from wherry import limits
from wherry.dicom.attributes import write
from wherry.dicom.preamble import EXPLICIT, IMPLICIT
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.messages import Head
from wherry.dicom.wire.pdu import Roles
from wherry.errors import (
    BadFileFormat,
    CannotWriteFile,
    DatabaseError,
    NetworkProtocol,
    NoAcceptableContext,
    Unavailable,
    WherryError,
)
from wherry.modalities.asking.identifiers import retrieval_identifier
from wherry.modalities.associations.association import Association, Context, Message, Sink
from wherry.modalities.associations.connection import Target
from wherry.modalities.associations.operation import (
    PENDING,
    Conversation,
    Operation,
    type_check,
    wanted,
)
from wherry.modalities.retrieving.arriving import Arrival
from wherry.modalities.retrieving.proposals import type_proposal
from wherry.modalities.retrieving.suboperations import Ending, share_of, type_progress
from wherry.model import Level, Origin, Stored

if TYPE_CHECKING:
    from wherry.ingest.ingest import Ingest

PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2.3"

_SYNTAXES: Final = (EXPLICIT, IMPLICIT)
_SUCCESS: Final = 0x0000
_UNKNOWN_CLASS: Final = 0x0122

type_stored = Callable[[Stored], None]
"""Hears of each instance that is stored."""


class Getter(Conversation):
    """One association on which things are got."""

    def __init__(
        self,
        target: Target,
        ingest: Ingest,
        level: Level,
        storage: Sequence[type_proposal],
    ) -> None:
        """``storage``: the contexts for what is to come, at most one less than there may be.

        Raises ``ModalityUnavailable``, ``NetworkProtocol``.
        """
        self._target = target
        self._ingest = ingest
        self._level = level
        self._model = PATIENT_ROOT if level is Level.PATIENT else STUDY_ROOT
        classes = dict.fromkeys(sop_class for sop_class, _ in storage)
        try:
            association = Association(
                target,
                [(self._model, _SYNTAXES), *storage],
                [Roles(one, scu=False, scp=True) for one in classes],
            )
        except NoAcceptableContext:
            raise self._not_supported() from None
        super().__init__(association)
        self._contexts = {one.id: one for one in association.contexts}

    def retrieve(
        self,
        known: Mapping[int, str],
        check: type_check = wanted,
        progress: type_progress = lambda share: None,
        stored: type_stored = lambda stored: None,
    ) -> Ending:
        """Let it send the thing of which this is ``known``.

        Raises ``BadRequest`` when that is not enough to name it, ``NetworkProtocol``, what
        ``check`` raises, and what makes that nothing more can be stored.
        """
        context = next(
            (one for one in self._contexts.values() if one.abstract_syntax == self._model), None
        )
        if context is None:
            raise self._not_supported()
        named = retrieval_identifier(self._level, known)
        receiving = _Receiving(self._association, self._ingest, self._contexts, self._origin())

        def look() -> None:
            check()
            receiving.check()

        getting = Operation(
            self._association,
            context,
            CommandField.C_GET_RQ,
            write(named, context.transfer_syntax),
            look,
        )
        try:
            for message in getting.messages(receiving.sink):
                answer = message.command
                if answer.field is CommandField.C_STORE_RQ:
                    receiving.answer(message, stored)
                elif answer.field is not CommandField.C_GET_RSP:
                    raise NetworkProtocol(f"{self._association} asks while it is being asked")
                elif answer.status not in PENDING:
                    return receiving.ending(answer)
                elif (share := share_of(answer)) is not None:
                    progress(share)
        finally:
            receiving.abort()
        raise NetworkProtocol(f"{self._association} has not answered")  # never: it was the last

    def _origin(self) -> Origin:
        return Origin(
            "DicomProtocol",
            self._association.connection.remote_ip,
            remote_aet=self._target.called,
            called_aet=self._target.calling,
        )

    def _not_supported(self) -> NetworkProtocol:
        return NetworkProtocol(
            f'The C-GET command is not supported by the remote SCP (AET "{self._target.called}")'
        )


class _Receiving:
    """The instances of one C-GET."""

    def __init__(
        self,
        association: Association,
        ingest: Ingest,
        contexts: Mapping[int, Context],
        origin: Origin,
    ) -> None:
        self._association = association
        self._ingest = ingest
        self._contexts = contexts
        self._origin = origin
        self._arrival: Arrival | None = None
        self._refused = 0
        self._full: WherryError | None = None

    def check(self) -> None:
        """Raises when nothing more can be stored."""
        if self._full is not None:
            raise self._full

    def sink(self, head: Head) -> Sink | None:
        """Who takes the data set that follows."""
        if head.command.field is not CommandField.C_STORE_RQ:
            return None
        context = self._contexts.get(head.context_id)
        syntax = EXPLICIT if context is None else context.transfer_syntax
        self._arrival = Arrival(self._ingest, self._origin, syntax, head.command)
        if context is None or context.abstract_syntax != head.command.affected_sop_class:
            self._arrival.refuse(_NotAgreed("A C-STORE of a class that was not agreed on"))
        return self._arrival

    def answer(self, message: Message, stored: type_stored) -> None:
        """Store what has come, and answer."""
        arrival, self._arrival = self._arrival, None
        status, comment = _SUCCESS, ""
        try:
            if arrival is None:
                raise BadFileFormat("A C-STORE without a data set")
            stored(arrival.finish())
        except WherryError as error:
            self._refused += 1
            if isinstance(error, CannotWriteFile | DatabaseError | Unavailable):
                self._full = error
            status, comment = error.dimse_status, error.details
        command = message.command
        response = Command(
            CommandField.C_STORE_RSP,
            affected_sop_class=command.affected_sop_class,
            responded_to=command.message_id,
            status=status,
            error_comment=comment[: limits.ERROR_COMMENT_CHARACTERS] or None,
            affected_sop_instance=command.affected_sop_instance,
        )
        self._association.send(message.context_id, response)

    def ending(self, answer: Command) -> Ending:
        """How it ended: what we refused has failed, whatever the modality makes of it."""
        self.check()
        return Ending(answer, self._refused)

    def abort(self) -> None:
        """Forget what is incomplete."""
        if self._arrival is not None:
            self._arrival.abort()
            self._arrival = None


class _NotAgreed(BadFileFormat):
    """An instance of a class for which no presentation context was accepted."""

    dimse_status = _UNKNOWN_CLASS
