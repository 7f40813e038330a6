"""The associations of a job that retrieves, one after the other.

For C-MOVE one does for everything. For C-GET it must have the presentation contexts of what is to
come, so it changes when that does.

Not here: the operations (``moving``, ``getting``), when an association is given up
(``job``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from wherry.modalities.asking.levels import PATIENT_ID, STUDY_UID
from wherry.modalities.associations.connection import Target
from wherry.modalities.associations.operation import type_check
from wherry.modalities.retrieving.classes import ask_classes
from wherry.modalities.retrieving.getting import Getter, type_stored
from wherry.modalities.retrieving.moving import Mover
from wherry.modalities.retrieving.proposals import storage_proposals
from wherry.modalities.retrieving.retrieval import Retrieval, classes_of, type_resource
from wherry.modalities.retrieving.suboperations import Ending, type_progress
from wherry.model import Level

if TYPE_CHECKING:
    from wherry.ingest.ingest import Ingest
    from wherry.receiving import Receiving


class Line(Protocol):
    """An association on which resources are retrieved."""

    def retrieve(
        self,
        resource: type_resource,
        check: type_check,
        progress: type_progress,
        stored: type_stored,
    ) -> Ending:
        """One of them."""

    def release(self) -> None:
        """End it in good order."""

    def abort(self) -> None:
        """End it at once."""


class Lines(Protocol):
    """Associations of one run, one after the other."""

    def line(self, current: Line | None, resource: type_resource, check: type_check) -> Line:
        """The one for this resource: ``current`` when that will do, else a new one in its place.
        Raises ``NetworkProtocol``, what ``check`` raises."""


class MoveLines:
    """For C-MOVE."""

    def __init__(self, order: Retrieval, called: Target) -> None:
        self._order = order
        self._called = called

    def line(self, current: Line | None, resource: type_resource, check: type_check) -> Line:
        """See ``Lines``."""
        if current is not None:
            return current
        return _Moving(Mover(self._called), self._order.level, self._order.target_aet)


class GetLines:
    """For C-GET: each association has the contexts of the SOP classes that are to come."""

    def __init__(
        self, order: Retrieval, called: Target, ingest: Ingest, receiving: Receiving
    ) -> None:
        self._order = order
        self._called = called
        self._ingest = ingest
        self._receiving = receiving
        self._of_studies: dict[str, list[str]] = {}
        """What was asked for already; study → SOP classes."""
        self._proposed: frozenset[str] | None = None
        """SOP classes of the present association; None = all that are usual."""

    def line(self, current: Line | None, resource: type_resource, check: type_check) -> Line:
        """See ``Lines``."""
        classes = classes_of(resource) or self._ask(resource, check)
        if current is not None:
            if self._proposed is None and not classes:
                return current
            if self._proposed is not None and classes and self._proposed.issuperset(classes):
                return current
            current.release()
        self._proposed = frozenset(classes) if classes else None
        proposals = storage_proposals(
            classes, self._receiving.sop_classes(), self._receiving.transfer_syntaxes
        )
        return Getter(self._called, self._ingest, self._order.level, proposals)

    def _ask(self, resource: type_resource, check: type_check) -> list[str]:
        name = resource.get(STUDY_UID) or resource.get(PATIENT_ID) or ""
        if name not in self._of_studies:
            self._of_studies[name] = ask_classes(self._called, resource, check)
        return self._of_studies[name]


class _Moving:
    """A ``Mover`` that knows the level and where to send things."""

    def __init__(self, mover: Mover, level: Level, destination: str) -> None:
        self._mover = mover
        self._level = level
        self._destination = destination
        self.release = mover.release
        self.abort = mover.abort

    def retrieve(
        self,
        resource: type_resource,
        check: type_check,
        progress: type_progress,
        stored: type_stored,
    ) -> Ending:
        """Nothing is stored by this association."""
        return self._mover.retrieve(self._level, resource, self._destination, check, progress)
