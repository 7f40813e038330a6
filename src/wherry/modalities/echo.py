"""C-ECHO: whether a modality is there and speaks DICOM (PS3.4 Annex A, PS3.7 §9.1.5)."""

from __future__ import annotations

from typing import Final

from wherry.dicom.preamble import EXPLICIT, IMPLICIT
from wherry.dicom.wire.commands import Command, CommandField
from wherry.errors import NetworkProtocol
from wherry.modalities.association import Association, Target

VERIFICATION: Final = "1.2.840.10008.1.1"


def echo(target: Target) -> None:
    """Ask it. Blocking. Raises ``NetworkProtocol`` when the answer is anything but yes."""
    with Association(target, [(VERIFICATION, (EXPLICIT, IMPLICIT))]) as association:
        message_id = association.next_message_id()
        association.send(
            association.context_of(VERIFICATION).id,
            Command(CommandField.C_ECHO_RQ, affected_sop_class=VERIFICATION, message_id=message_id),
        )
        answer = association.receive().command
        if answer.field is not CommandField.C_ECHO_RSP or answer.responded_to != message_id:
            raise NetworkProtocol(f"{association} answers something else than a C-ECHO")
        if answer.status:
            raise NetworkProtocol(f"{association} answers the status 0x{answer.status:04x}")
