"""How far a job is that retrieves: what its checkpoint keeps, and what it tells of itself.

Not here: the order (``retrieval``), the work (``job``).
"""

from __future__ import annotations

from typing import Final

from wherry import limits
from wherry.errors import WherryError
from wherry.jobs.handler import JobControl
from wherry.modalities.associations.failure import DimseFailure
from wherry.modalities.retrieving.retrieval import Retrieval
from wherry.modalities.retrieving.suboperations import Ending
from wherry.model import Stored, type_json

_CHECKPOINTS: Final = 100
"""Of a long job: its content may be long too."""


class Standing:
    """How far a job is. One thread."""

    def __init__(
        self, order: Retrieval, content: dict[str, type_json], control: JobControl
    ) -> None:
        """``content``: the public one at the beginning."""
        self._order = order
        self._content = content
        self._control = control
        self._count = len(order.resources)
        self.done = int(control.job.checkpoint.get("Done", 0))
        """Resources that are through, from the first on."""
        self._details: list[dict[str, type_json]] = control.job.checkpoint.get("Details", [])
        self._told = sum(len(one.get("ReceivedInstancesIds", ())) for one in self._details)
        self._save_after = max(1, self._count // _CHECKPOINTS)
        self._unsaved = 0
        self._received: list[str] | None = None
        self.report()

    def begin(self, *, receives: bool) -> None:
        """The next resource begins; ``receives``: its instances are stored by this job."""
        self._received = [] if receives else None

    def stored(self, stored: Stored) -> None:
        """An instance of it has arrived."""
        if self._received is not None and self._told < limits.RETRIEVED_INSTANCES_TOLD:
            self._told += 1
            self._received.append(stored.identifiers.instance)

    def progress(self, share: float) -> None:
        """So much of it is through, 0…1."""
        self._control.report(None, (self.done + share) / self._count)

    def through(self, ending: Ending | None, error: WherryError | None) -> None:
        """It is through: well, or not, which stops nobody."""
        if len(self._details) < limits.RETRIEVED_TOLD:
            self._details.append(self._detail(ending, error))
        self.done += 1
        self._unsaved += 1
        if self._unsaved >= self._save_after:
            self.save()
        else:
            self.report()

    def failed(self, ending: Ending | None, error: WherryError) -> None:
        """It failed, and that ends the run; a later one begins with it."""
        self._control.report(self._shown([*self._details, self._detail(ending, error)]), None)

    def save(self) -> None:
        """Returns when what is through is durable."""
        checkpoint = {"Done": self.done, "Details": self._details}
        self._control.save(checkpoint, self._shown(self._details), self._share())
        self._unsaved = 0

    def report(self) -> None:
        """Show how far it is."""
        self._control.report(self._shown(self._details), self._share())

    def _shown(self, details: list[dict[str, type_json]]) -> dict[str, type_json]:
        return self._content | {"Details": details}

    def _share(self) -> float:
        return self.done / self._count if self._count else 1.0

    def _detail(self, ending: Ending | None, error: WherryError | None) -> dict[str, type_json]:
        status = ending.status if ending is not None else None
        if isinstance(error, DimseFailure):
            status = error.status
        told: dict[str, type_json] = {
            "Query": self._order.shown(self._order.resources[self.done]),
            "DimseErrorStatus": status,
        }
        if ending is not None:
            told |= ending.counts()
        if self._received is not None:
            told["ReceivedInstancesIds"] = self._received
        if error is not None:
            told["Error"] = error.details or error.text
        return told
