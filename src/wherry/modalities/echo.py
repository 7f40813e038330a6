"""C-ECHO: whether a modality is there and speaks DICOM (PS3.4 Annex A, PS3.7 §9.1.5); if wanted,
whether it answers queries too."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from wherry import clock, limits
from wherry.dicom.attributes import of_texts, write
from wherry.dicom.preamble import EXPLICIT, IMPLICIT
from wherry.dicom.wire.commands import Command, CommandField
from wherry.errors import FindNotSupported, NetworkProtocol, NoAcceptableContext
from wherry.modalities.associations.association import Association
from wherry.modalities.associations.connection import Target

VERIFICATION: Final = "1.2.840.10008.1.1"
_STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
_SYNTAXES: Final = (EXPLICIT, IMPLICIT)
_PENDING: Final = frozenset((0xFF00, 0xFF01))


def echo(target: Target, *, check_find: bool = False) -> None:
    """Ask it. Blocking. Raises ``NetworkProtocol`` when the answer is anything but yes;
    ``check_find``: also ``FindNotSupported``."""
    proposed = [(VERIFICATION, _SYNTAXES)]
    if check_find:
        proposed.append((_STUDY_ROOT_FIND, _SYNTAXES))
    with Association(target, proposed) as association:
        message_id = association.next_message_id()
        association.send(
            association.context_of(VERIFICATION).id,
            Command(CommandField.C_ECHO_RQ, affected_sop_class=VERIFICATION, message_id=message_id),
        )
        status = _status(association, CommandField.C_ECHO_RSP, message_id)
        if status:
            raise NetworkProtocol(f"{association} answers the status 0x{status:04x}")
        if check_find:
            _find_nothing(association)


def _find_nothing(association: Association) -> None:
    """A C-FIND for a study that cannot be there."""
    try:
        context = association.context_of(_STUDY_ROOT_FIND)
    except NoAcceptableContext:
        raise FindNotSupported(f"{association} accepts no queries") from None
    query = of_texts(
        {
            0x00080052: "STUDY",
            0x00100020: "",
            0x0020000D: f"2.25.{UUID(clock.new_uuid()).int}",
        }
    )
    message_id = association.next_message_id()
    command = Command(
        CommandField.C_FIND_RQ,
        has_data_set=True,
        affected_sop_class=_STUDY_ROOT_FIND,
        message_id=message_id,
        priority=0,
    )
    association.send(context.id, command, write(query, context.transfer_syntax))
    for _ in range(limits.LEFTOVER_MESSAGES):  # who finds something all the same is no worse
        status = _status(association, CommandField.C_FIND_RSP, message_id)
        if status not in _PENDING:
            break
    if status:
        raise NetworkProtocol(f"{association} answers a query with the status 0x{status:04x}")


def _status(association: Association, field: CommandField, message_id: int) -> int:
    """Of the next message, which must be this answer to this one."""
    answer = association.receive().command
    if answer.field is not field or answer.responded_to != message_id or answer.status is None:
        raise NetworkProtocol(f"{association} answers something else than was asked")
    return answer.status
