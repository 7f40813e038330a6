"""The jobs ``DicomMoveScu`` and ``DicomGetScu``: resources of a modality, one after the other.

The checkpoint tells how many are done, so that a later run goes on with the next one; what was
under way is retrieved again from its beginning. One association serves as many as it survives.

Not here: what an order says (``retrieval``), the operations (``moving``, ``getting``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Protocol

from wherry import limits
from wherry.errors import WherryError
from wherry.jobs.handler import Interrupted, JobControl
from wherry.modalities.association import Target
from wherry.modalities.book import ModalityBook
from wherry.modalities.failure import DimseFailure, failure
from wherry.modalities.getting import Getter, type_stored
from wherry.modalities.moving import Mover
from wherry.modalities.operation import type_check
from wherry.modalities.proposals import storage_proposals
from wherry.modalities.querying import target_of
from wherry.modalities.retrieval import (
    GET,
    MOVE,
    Retrieval,
    classes_of,
    from_parameters,
    type_resource,
)
from wherry.modalities.suboperations import Ending, type_progress
from wherry.model import Job, Level, Stored, type_json

if TYPE_CHECKING:
    from wherry.config import Config
    from wherry.ingest.ingest import Ingest
    from wherry.receiving import Receiving

_CHECKPOINTS: Final = 100
"""Of a long job: its content may be long too."""


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


class _Retrieving(ABC):
    """What both kinds of jobs share."""

    type: str

    def __init__(self, config: Config, modalities: ModalityBook) -> None:
        self._config = config
        self._modalities = modalities

    def run(self, control: JobControl) -> None:
        """Retrieve what the job names; see ``JobHandler``."""
        order = from_parameters(control.job.parameters)
        modality = self._modalities.get(order.modality)
        called = target_of(self._config, modality, order.local_aet, order.timeout_s)
        standing = Standing(order, order.content(modality, called.calling), control)
        work = _Work(self, order, called, standing, control)
        try:
            work.run()
        except Interrupted as interrupted:
            if interrupted.reason in ("pause", "stop"):
                standing.save()
            raise

    def settle(self, job: Job) -> None:  # noqa: B027  nothing to do, for both
        """The job holds nothing elsewhere."""

    @abstractmethod
    def open(self, order: Retrieval, called: Target) -> Line:
        """A new association. Raises ``NetworkProtocol``."""


class MoveJobs(_Retrieving):
    """Runs jobs of type ``DicomMoveScu``."""

    type = MOVE

    def open(self, order: Retrieval, called: Target) -> Line:
        """For C-MOVE."""
        return _Moving(Mover(called), order.level, order.target_aet)


class GetJobs(_Retrieving):
    """Runs jobs of type ``DicomGetScu``."""

    type = GET

    def __init__(
        self, config: Config, modalities: ModalityBook, ingest: Ingest, receiving: Receiving
    ) -> None:
        super().__init__(config, modalities)
        self._ingest = ingest
        self._receiving = receiving

    def open(self, order: Retrieval, called: Target) -> Line:
        """For C-GET, with the storage classes that are to come."""
        proposals = storage_proposals(
            _classes(order), self._receiving.sop_classes(), self._receiving.transfer_syntaxes
        )
        return Getter(called, self._ingest, order.level, proposals)


def _classes(order: Retrieval) -> list[str]:
    """The SOP classes of all resources; none when that of one is not known."""
    told = [classes_of(one) for one in order.resources]
    return [one for classes in told for one in classes] if all(told) else []


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


class _Work:
    """One run of one job."""

    def __init__(
        self,
        jobs: _Retrieving,
        order: Retrieval,
        called: Target,
        standing: Standing,
        control: JobControl,
    ) -> None:
        self._jobs = jobs
        self._order = order
        self._called = called
        self._standing = standing
        self._control = control
        self._line: Line | None = None

    def run(self) -> None:
        """Retrieve what is left."""
        try:
            for resource in self._order.resources[self._standing.done :]:
                self._control.check()
                self._standing.begin(receives=self._jobs.type == GET)
                self._one(resource)
        except BaseException:
            self._drop()
            raise
        if self._line is not None:
            self._line.release()
        self._standing.save()

    def _one(self, resource: type_resource) -> None:
        ending = None
        try:
            ending = self._retrieve(resource)
            if not ending.succeeded:
                raise failure(self._called.called, ending.answer, ending.failed or 0)
        except WherryError as error:
            if ending is None:
                self._drop()
            if not self._order.permissive:
                self._standing.failed(ending, error)
                raise
            self._standing.through(ending, error)
        else:
            self._standing.through(ending, None)

    def _retrieve(self, resource: type_resource) -> Ending:
        if self._line is None:
            self._line = self._jobs.open(self._order, self._called)
        standing = self._standing
        return self._line.retrieve(
            resource, self._control.check, standing.progress, standing.stored
        )

    def _drop(self) -> None:
        """The association is of no use any more."""
        line, self._line = self._line, None
        if line is not None:
            line.abort()
