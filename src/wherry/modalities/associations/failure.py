"""A modality answers an operation with a status that is no success (PS3.7 Annex C, PS3.4 §C.4)."""

from __future__ import annotations

from typing import Final

from wherry import limits
from wherry.dicom.wire.commands import Command, CommandField
from wherry.errors import NetworkProtocol

OUT_OF_RESOURCES: Final = (0xA700, 0xA701)
"""What may pass. Not 0xA702 (sub-operations cannot be performed): that is said of whatever cannot
be sent."""
NOT_PROCESSED: Final = 0xC000

_OPERATIONS: Final = {
    CommandField.C_FIND_RSP: ("C-FIND", "invalid query ?"),
    CommandField.C_MOVE_RSP: ("C-MOVE", "resource not found ?"),
    CommandField.C_GET_RSP: ("C-GET", "resource not found ?"),
}


class DimseFailure(NetworkProtocol):
    """The status says no. Worded as Orthanc words it, and what the modality remarks on it."""

    def __init__(self, title: str, answer: Command, failed: int = 0) -> None:
        """``title``: whose answer it is; ``failed``: instances that did not arrive."""
        self.status = answer.status or 0
        self.temporary = self.status in OUT_OF_RESOURCES
        operation, guess = _OPERATIONS[answer.field]
        details = (
            f'{operation} SCU to AET "{title}" has failed with DIMSE status 0x{self.status:04X}'
        )
        if self.status == NOT_PROCESSED:
            details += f" (unable to process - {guess})"
        if failed:
            details += f", {failed} instances did not arrive"
        if answer.error_comment and not self.temporary:  # what is tried again is logged
            details += f": {_printable(answer.error_comment)}"
        super().__init__(details)


class QueryNotProcessed(DimseFailure):
    """A C-FIND that the modality does not understand: the client's doing, as Orthanc sees it."""

    http_status = 422


def failure(title: str, answer: Command, failed: int = 0) -> DimseFailure:
    """The error that this last answer to a C-FIND, C-MOVE or C-GET is."""
    if answer.field is CommandField.C_FIND_RSP and answer.status == NOT_PROCESSED:
        return QueryNotProcessed(title, answer)
    return DimseFailure(title, answer, failed)


def _printable(text: str) -> str:
    shown = text[: limits.ERROR_COMMENT_CHARACTERS]
    return "".join(letter if letter.isprintable() else "?" for letter in shown)
