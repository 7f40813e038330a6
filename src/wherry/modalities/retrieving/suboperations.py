"""How a C-MOVE or C-GET goes: one C-STORE for each instance, and what became of them
(PS3.4 §C.4.2.1.6, PS3.7 §9.1.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wherry.dicom.wire.commands import Command

_SUCCESS: Final = 0x0000
_SOME_FAILED: Final = 0xB000

type_progress = Callable[[float], None]
"""Hears what share of the instances is through, 0…1."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The last answer."""

    answer: Command
    refused: int = 0
    """Instances that were sent to us, and that we did not store."""

    @property
    def status(self) -> int:
        """0 = everything is there, 0xB000 = not everything, or with warnings."""
        return self.answer.status or 0

    @property
    def succeeded(self) -> bool:
        """Whether every instance has arrived. One that was stored with a warning has."""
        if self.answer.failed or self.refused:
            return False
        return self.status == _SUCCESS or (
            self.status == _SOME_FAILED and self.answer.failed is not None
        )

    @property
    def failed(self) -> int | None:
        """Instances that did not arrive; None when it is not told."""
        return max(self.answer.failed or 0, self.refused) if self.refused else self.answer.failed

    def counts(self) -> dict[str, int]:
        """Those that were told, by their names."""
        told = {
            "CompletedSuboperations": self.answer.completed,
            "FailedSuboperations": self.failed,
            "WarningSuboperations": self.answer.warning,
        }
        return {name: count for name, count in told.items() if count is not None}


def share_of(answer: Command) -> float | None:
    """What share is through; None when the answer does not tell."""
    through = sum(count or 0 for count in (answer.completed, answer.failed, answer.warning))
    if answer.remaining is None or not through + answer.remaining:
        return None
    return through / (through + answer.remaining)
