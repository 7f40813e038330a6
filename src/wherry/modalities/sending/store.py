"""The job ``DicomModalityStore``: every instance in one C-STORE to a modality.

Several associations at once, as many as it takes and the other end allows; the checkpoint tells
which instances it acknowledged (``jobs.standing``). An association that breaks costs an instance
nothing but another attempt: to store it twice is the same as once.

Not here: one C-STORE (``cstore``), which contexts are asked for (``negotiation``), the associations
of one run (``lanes``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from wherry.errors import WherryError
from wherry.imaging.transcoding import Transcoder
from wherry.index import sending
from wherry.index.database import Index
from wherry.jobs.handler import Interrupted, JobControl
from wherry.jobs.standing import Standing
from wherry.modalities.associations.connection import ModalityUnavailable, Target
from wherry.modalities.associations.lines import Lines
from wherry.modalities.associations.negotiation import recoding
from wherry.modalities.associations.pool import AssociationPool
from wherry.modalities.book import ModalityBook
from wherry.modalities.commitment.requesting import check_count
from wherry.modalities.sending.cstore import StoreBusy
from wherry.modalities.sending.lanes import Lanes
from wherry.modalities.sending.order import Instance, StoreOrder, from_parameters, instances_of
from wherry.model import Job, Modality
from wherry.storage.base import StorageArea

if TYPE_CHECKING:
    from wherry.config import Config

TYPE = "DicomModalityStore"
MOVE_TYPE = "DicomMoveScp"
"""The same for a C-MOVE that somebody waits for: an errand, with workers of its own."""

type_commit = Callable[[Modality, Target, Sequence[tuple[str, str]]], str]
"""The hook for storage commitment (PS3.4 Annex J): asks a modality to answer for these instances,
pairs of SOP class and SOP instance, and gives the UID of the transaction."""


class ModalityStore:
    """Runs jobs of type ``DicomModalityStore``, or of ``DicomMoveScp``."""

    def __init__(
        self,
        config: Config,
        index: Index,
        storage: StorageArea,
        modalities: ModalityBook,
        pool: AssociationPool,
        commit: type_commit,
        transcoder: Transcoder,
        type: str = TYPE,
    ) -> None:
        self.type = type
        self._config = config
        self._index = index
        self._storage = storage
        self._modalities = modalities
        self._pool = pool
        self._commit = commit
        self._transcoder = transcoder

    def run(self, control: JobControl) -> None:
        """Send everything that the job names; see ``JobHandler``."""
        order = from_parameters(control.job.parameters)
        modality = order.at(self._modalities.get(order.modality))
        target = order.target(self._config, modality)
        with self._index.read() as tx:
            instances = instances_of(tx, order)
            content = order.content(tx, target, len(instances))
        if order.storage_commitment:
            check_count(len(instances))
        names = [one.orthanc_id for one in instances]
        standing = Standing(names, content, control, sizes=False, behind=True)
        standing.report()
        try:
            Lanes(
                self._storage,
                Lines(self._pool, target),
                recoding(self._config, modality, self._transcoder),
                instances,
                standing,
                control,
                most=self._config.wherry.store_associations,
                originator=order.originator(target),
                tolerated=self._tolerated(order),
            ).run()
            self._commit_to(order, modality, target, instances, standing)
        except Interrupted as interrupted:
            if interrupted.reason in ("pause", "stop"):
                standing.save()
            raise
        except WherryError as error:
            if error.temporary:  # it will go on from here
                standing.save()
            control.report(standing.content(), None)
            raise
        finally:
            with suppress(Interrupted, WherryError):  # what counts is that nothing is written later
                standing.settle()

    def settle(self, job: Job) -> None:
        """The job holds nothing elsewhere."""

    def _tolerated(self, order: StoreOrder) -> Callable[[WherryError], bool]:
        """Whether the others go on after an instance has failed: for a C-MOVE, as long as its
        destination is there."""
        if order.permissive:
            return lambda error: True
        if self.type == TYPE:
            return lambda error: False
        return lambda error: (
            isinstance(error, StoreBusy) or not isinstance(error, ModalityUnavailable)
        )

    def _commit_to(
        self,
        order: StoreOrder,
        modality: Modality,
        target: Target,
        instances: Sequence[Instance],
        standing: Standing,
    ) -> None:
        """Let the modality answer for what it has stored."""
        if not order.storage_commitment:
            return
        names = [instances[place].orthanc_id for place in standing.done()]
        with self._index.read() as tx:
            pairs = sending.sop_pairs(tx, names)
        uid = self._commit(modality, target, pairs)
        standing.tell("StorageCommitmentTransactionUID", uid)
        standing.save()
