"""The jobs that edit (``ResourceModification``, ``SplitStudy``, ``MergeStudy``): all or nothing.

    list of sources ─▶ files in the job's block, checkpoints ─▶ ONE transaction ─▶ visible

Sources are edited in order of arrival. The checkpoint says how many are done, and which run has
made which files; a later run, in whatever process, reads these again and goes on behind them. If
the sources have changed meanwhile, or a file is not what it was, everything is made anew, in
another block.

What happens to the sources meanwhile is never lost: see ``committing``.

Not here: a run (``run``), one edit (``dicom.editing``), bodies of requests (``rest.modification``).
"""

from __future__ import annotations

from collections.abc import Callable

from wherry import limits
from wherry.editing.committing import Meanwhile
from wherry.editing.making import type_edit
from wherry.editing.order import EditOrder, from_parameters
from wherry.editing.run import Run
from wherry.errors import Conflict, MissingFile, TooLarge
from wherry.index import editing
from wherry.index.database import Index
from wherry.ingest.ingest import Ingest
from wherry.ingest.recovery import sweep_block
from wherry.jobs.handler import JobControl
from wherry.model import Job, type_json
from wherry.storage.base import StorageArea

_ATTEMPTS = 5
"""While others change what is edited."""


class EditJobs:
    """Runs jobs of one type."""

    def __init__(
        self,
        type: str,
        index: Index,
        storage: StorageArea,
        ingest: Ingest,
        editor: Callable[[EditOrder], type_edit],
    ) -> None:
        """``editor``: what an order does to a file."""
        self.type = type
        self._index = index
        self._storage = storage
        self._ingest = ingest
        self._editor = editor

    def run(self, control: JobControl) -> None:
        """Edit everything that the job names; see ``JobHandler``."""
        checkpoint = control.job.checkpoint
        if not checkpoint.get("Whole"):
            checkpoint = self._edit_all(from_parameters(control.job.parameters), control)
        if checkpoint["Block"]:
            sweep_block(self._index, self._storage, checkpoint["Block"])

    def _edit_all(self, order: EditOrder, control: JobControl) -> dict[str, type_json]:
        """The last checkpoint."""
        edit = self._editor(order)
        checkpoint = control.job.checkpoint
        missing: MissingFile | None = None
        sources: list[editing.Source] = []
        for _ in range(_ATTEMPTS):
            before = sources
            with self._index.read() as tx:
                sources = editing.sources(tx, order.resources, lenient=order.permissive)
            if missing is not None and sources == before:
                raise missing
            if len(sources) > limits.EDITED_INSTANCES:
                raise TooLarge(f"At most {limits.EDITED_INSTANCES} instances at once")
            run = Run(self._index, self._storage, self._ingest, edit, order, control, sources)
            run.take_up(checkpoint)
            missing = None
            try:
                run.make()
                return run.commit()
            except Meanwhile:
                pass
            except MissingFile as error:  # it was replaced or removed, or has been lost
                missing = error
            checkpoint = run.checkpoint()
        raise Conflict("What is edited is changed by others again and again")

    def settle(self, job: Job) -> None:
        """Give back the space."""
        block = job.checkpoint.get("Block")
        if block:
            sweep_block(self._index, self._storage, block)
