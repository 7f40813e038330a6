"""What is to be moved, and where to, as a request says it and as a job keeps it.

Not here: bodies of requests (``rest.moving``), which files that is (``index.moves``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from wherry.index import moves, sending
from wherry.index.database import Transaction
from wherry.model import Level, type_json

MOVE: Final = "MoveStorage"
"""Type of the jobs that people order."""
POLICY: Final = "StoragePolicy"
"""Type of those that the server gives itself."""

_LISTS: Final = {level: level.plural.capitalize() for level in reversed(Level)}


@dataclass(frozen=True, slots=True)
class MoveOrder:
    """One order."""

    target: str
    """``places.FILE_SYSTEM`` or ``places.OBJECT_STORAGE``."""
    resources: Mapping[Level, Sequence[str]]
    """Orthanc identifiers, as they were named: some perhaps twice."""
    rule: str = ""
    """Of the storage policy that wants it; empty = a person does."""

    def parameters(self) -> dict[str, type_json]:
        """What the job keeps."""
        return {"TargetStorage": self.target, "Rule": self.rule, "Resources": self._lists()}

    def content(self) -> dict[str, type_json]:
        """What the job shows: Orthanc's lists, and who wanted it when that was no person."""
        if not self.rule:
            return self._lists()
        return {"Rule": self.rule, "TargetStorage": self.target, **self._lists()}

    def rows(self, tx: Transaction) -> list[int]:
        """The rows of these resources and of all below them, each once, in a settled order."""
        found: set[int] = set()
        for level, ids in self.resources.items():
            for portion in sending.portions(ids):
                found.update(moves.rows_below(tx, level, portion))
        return sorted(found)

    def studies(self, tx: Transaction, *, whole: bool) -> list[int]:
        """The rows of the studies that are moved; those that are wholly moved, or also in part."""
        found: set[int] = set()
        for level, ids in self.resources.items():
            if level <= Level.STUDY or not whole:
                for portion in sending.portions(ids):
                    found.update(moves.studies_of(tx, level, portion))
        return sorted(found)

    def _lists(self) -> dict[str, type_json]:
        return {
            name: [*self.resources[level]]
            for level, name in _LISTS.items()
            if self.resources.get(level)
        }


def from_parameters(parameters: Mapping[str, type_json]) -> MoveOrder:
    """The order that a job keeps."""
    lists = parameters["Resources"]
    return MoveOrder(
        parameters["TargetStorage"],
        {level: lists[name] for level, name in _LISTS.items() if name in lists},
        parameters["Rule"],
    )
