"""C-MOVE: letting a modality send what it has to somebody (PS3.4 §C.4.2).

Not here: what is received, when that somebody is this server (``dimse``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wherry.dicom.attributes import write
from wherry.dicom.preamble import EXPLICIT, IMPLICIT
from wherry.dicom.wire.commands import CommandField
from wherry.errors import MoveNotSupported, NetworkProtocol, NoAcceptableContext
from wherry.modalities.asking.identifiers import retrieval_identifier
from wherry.modalities.associations.association import Association, Context
from wherry.modalities.associations.connection import Target
from wherry.modalities.associations.operation import (
    PENDING,
    Conversation,
    Operation,
    type_check,
    wanted,
)
from wherry.modalities.retrieving.suboperations import Ending, share_of, type_progress
from wherry.model import Level

PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1.2"
STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2.2"

_SYNTAXES: Final = (EXPLICIT, IMPLICIT)


class Mover(Conversation):
    """One association on which things are moved."""

    def __init__(self, target: Target) -> None:
        """Raises ``ModalityUnavailable``, ``MoveNotSupported``, ``NetworkProtocol``."""
        self._title = target.called
        proposed = [(model, _SYNTAXES) for model in (STUDY_ROOT, PATIENT_ROOT)]
        try:
            association = Association(target, proposed)
        except NoAcceptableContext:
            raise self._not_supported() from None
        super().__init__(association)

    def retrieve(
        self,
        level: Level,
        known: Mapping[int, str],
        destination: str,
        check: type_check = wanted,
        progress: type_progress = lambda share: None,
    ) -> Ending:
        """Let it send the thing of which this is ``known`` to the application entity
        ``destination``.

        Raises ``BadRequest`` when that is not enough to name it, ``MoveNotSupported``,
        ``NetworkProtocol``, what ``check`` raises.
        """
        context = self._context(level)
        named = retrieval_identifier(
            level, known, patient_root=context.abstract_syntax == PATIENT_ROOT
        )
        identifier = write(named, context.transfer_syntax)
        moving = Operation(
            self._association,
            context,
            CommandField.C_MOVE_RQ,
            identifier,
            check,
            move_destination=destination,
        )
        for message in moving.messages():
            answer = message.command
            if answer.field is not CommandField.C_MOVE_RSP:
                raise NetworkProtocol(f"{self._association} asks while it is being asked")
            if answer.status not in PENDING:
                return Ending(answer)
            if (share := share_of(answer)) is not None:
                progress(share)
        raise NetworkProtocol(f"{self._association} has not answered")  # never: it was the last

    def _context(self, level: Level) -> Context:
        """Of the model that has the level; there are no patients in the one of studies."""
        models = (STUDY_ROOT, PATIENT_ROOT) if level is not Level.PATIENT else (PATIENT_ROOT,)
        for model in models:
            for one in self._association.contexts:
                if one.abstract_syntax == model:
                    return one
        raise self._not_supported()

    def _not_supported(self) -> MoveNotSupported:
        return MoveNotSupported(f"Remote AET is {self._title}")
