"""The jobs ``DicomMoveScu`` and ``DicomGetScu``: resources of a modality, one after the other.

The checkpoint tells how many are done, so that a later run goes on with the next one; what was
under way is retrieved again from its beginning.

Not here: what an order says (``retrieval``), how far it is (``standing``), its
associations (``lines``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from wherry.errors import CannotWriteFile, DatabaseError, Unavailable, WherryError
from wherry.jobs.handler import Interrupted, JobControl
from wherry.modalities.asking.querying import target_of
from wherry.modalities.associations.connection import Target
from wherry.modalities.associations.failure import failure
from wherry.modalities.book import ModalityBook
from wherry.modalities.retrieving.lines import GetLines, Line, Lines, MoveLines
from wherry.modalities.retrieving.retrieval import (
    GET,
    MOVE,
    Retrieval,
    from_parameters,
    type_resource,
)
from wherry.modalities.retrieving.standing import Standing
from wherry.modalities.retrieving.suboperations import Ending
from wherry.model import Job

if TYPE_CHECKING:
    from wherry.config import Config
    from wherry.ingest.ingest import Ingest
    from wherry.receiving import Receiving


_OURS = (CannotWriteFile, DatabaseError, Unavailable)
"""What goes wrong here is nothing to be permissive about."""


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
    def lines(self, order: Retrieval, called: Target) -> Lines:
        """The associations of one run."""


class MoveJobs(_Retrieving):
    """Runs jobs of type ``DicomMoveScu``."""

    type = MOVE

    def lines(self, order: Retrieval, called: Target) -> Lines:
        """For C-MOVE."""
        return MoveLines(order, called)


class GetJobs(_Retrieving):
    """Runs jobs of type ``DicomGetScu``."""

    type = GET

    def __init__(
        self, config: Config, modalities: ModalityBook, ingest: Ingest, receiving: Receiving
    ) -> None:
        super().__init__(config, modalities)
        self._ingest = ingest
        self._receiving = receiving

    def lines(self, order: Retrieval, called: Target) -> Lines:
        """For C-GET."""
        return GetLines(order, called, self._ingest, self._receiving)


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
        self._receives = jobs.type == GET
        self._order = order
        self._called = called
        self._standing = standing
        self._control = control
        self._lines = jobs.lines(order, called)
        self._line: Line | None = None

    def run(self) -> None:
        """Retrieve what is left."""
        try:
            for resource in self._order.resources[self._standing.done :]:
                self._control.check()
                self._standing.begin(receives=self._receives)
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
            if not self._order.permissive or isinstance(error, _OURS):
                self._standing.failed(ending, error)
                raise
            self._standing.through(ending, error)
        else:
            self._standing.through(ending, None)

    def _retrieve(self, resource: type_resource) -> Ending:
        check, standing = self._control.check, self._standing
        self._line = self._lines.line(self._line, resource, check)
        return self._line.retrieve(resource, check, standing.progress, standing.stored)

    def _drop(self) -> None:
        """The association is of no use any more."""
        line, self._line = self._line, None
        if line is not None:
            line.abort()
