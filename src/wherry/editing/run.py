"""One run of a job that edits, over one list of sources: what is done, and the checkpoint of it.

Not here: the files (``making``), what the last transaction writes beside them (``committing``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from wherry import clock, limits
from wherry.editing.committing import (
    Meanwhile,
    finish,
    labels_to_keep,
    storable,
    type_labels,
)
from wherry.editing.making import Made, Making, name_of, read_again, type_edit
from wherry.editing.order import EditOrder
from wherry.editing.outcome import Pair, Sharing, content
from wherry.errors import (
    BadFileFormat,
    BadSequenceOfCalls,
    CorruptedFile,
    InexistentTag,
    MissingFile,
    Unavailable,
)
from wherry.index import staging
from wherry.index.database import Index, Transaction
from wherry.index.editing import Source
from wherry.ingest.ingest import Ingest
from wherry.ingest.names import new_prefix
from wherry.ingest.recovery import sweep_block
from wherry.jobs import ranges
from wherry.jobs.handler import Interrupted, JobControl
from wherry.model import Compression, Stored, type_json
from wherry.storage.base import StorageArea

_READ_TOGETHER = 16


class Run:
    """One run over one list of sources."""

    def __init__(
        self,
        index: Index,
        storage: StorageArea,
        ingest: Ingest,
        edit: type_edit,
        order: EditOrder,
        control: JobControl,
        sources: Sequence[Source],
    ) -> None:
        self._index = index
        self._storage = storage
        self._ingest = ingest
        self._edit = edit
        self._order = order
        self._control = control
        self._sources = sources
        self._digest = _digest(sources)
        self._sharing = Sharing()
        self._saved_at = self._told_at = clock.monotonic()
        self._useless = ""
        """The block of an earlier run of which nothing is of use."""
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._block = ""
        self._pairs: list[Pair] = []
        self._failed: set[int] = set()
        self._runs: list[tuple[str, int, int]] = []
        """Earlier runs: name, the first position that is not theirs, compression."""
        self._chain = ""
        """Digest of all digests so far: what is read again must be what was written."""
        self._unsaved: list[Made] = []

    @property
    def _done(self) -> int:
        return len(self._pairs) + len(self._failed)

    # --- where to begin ------------------------------------------------------------------------
    def take_up(self, checkpoint: Mapping[str, type_json]) -> None:
        """Go on behind the checkpoint of an earlier run, if all is as it was; else in another
        block: whoever removes files of the old one, however late, removes none of the new ones."""
        block = checkpoint.get("Block", "")
        if block and not (checkpoint["Sources"] == self._digest and self._read_again(checkpoint)):
            self._useless = block
            self._begin_anew()
        name = clock.random_hex(16)
        self._making = Making(
            self._storage,
            self._ingest,
            self._edit,
            self._order,
            self._control.check,
            block=self._block or new_prefix(),
            run=name,
        )
        self._name = name

    def _read_again(self, checkpoint: Mapping[str, type_json]) -> bool:
        """Whether everything that earlier runs have made is there."""
        self._block = checkpoint["Block"]
        failed = ranges.parse(checkpoint["Failed"], len(self._sources))
        wanted = []
        start = 0
        for name, end, compression in checkpoint["Runs"]:
            for position in range(start, end):
                uuid = name_of(self._block, name, position)
                wanted.append((position, uuid, Compression(compression)))
            self._runs.append((name, end, compression))
            start = end
        works = (
            partial(self._read_some, wanted[place : place + _READ_TOGETHER], failed)
            for place in range(0, len(wanted), _READ_TOGETHER)
        )
        try:
            for made in self._ingest.side_by_side(works, lambda made: None):
                self._take(made)
        except (MissingFile, CorruptedFile, BadFileFormat, InexistentTag):
            return False
        return bool(self._chain == checkpoint["Chain"])

    def _read_some(
        self, some: Sequence[tuple[int, str, Compression]], failed: set[int]
    ) -> list[Made]:
        self._control.check()
        return [
            Made(
                position,
                None
                if position in failed
                else read_again(self._storage, uuid, compression, self._order),
            )
            for position, uuid, compression in some
        ]

    # --- making --------------------------------------------------------------------------------
    def make(self) -> None:
        """Edit what is not done yet."""
        if self._done == len(self._sources):
            return
        if not self._block:
            self._block = self._making.block
            self._save(self._change_blocks)
            if self._useless:
                sweep_block(self._index, self._storage, self._useless)
                self._useless = ""
        try:
            for made in self._making.make(self._sources, self._done):
                self._take(made)
                self._unsaved += made
                self._step()
                self._control.check()
        except Interrupted as interrupted:
            if interrupted.reason in ("pause", "stop"):
                self._save()
            elif interrupted.reason == "lost":
                self._making.discard(self._unsaved)
            raise

    def _change_blocks(self, tx: Transaction) -> None:
        staging.open_block(tx, self._block, f"job:{self._control.job.id}")
        if self._useless:
            staging.abandon(tx, self._useless, clock.timestamp())

    def _step(self) -> None:
        """Save or tell how far it is, if that was not done a moment ago."""
        now = clock.monotonic()
        staged = (one.staged for one in self._unsaved)
        size = sum(one.attachment.compressed_size for one in staged if one is not None)
        if now - self._saved_at >= limits.EDITED_STEP_S or size >= limits.EDITED_STEP_BYTES:
            self._save()
        elif now - self._told_at >= limits.JOB_REPORT_S:
            self._control.report(self._content(), self._share())
            self._told_at = now

    def _take(self, made: Sequence[Made]) -> None:
        for one in made:
            if one.staged is None:
                self._failed.add(one.position)
                digest = "failed"
            else:
                staged = self._sharing.of(one.staged)
                self._pairs.append(Pair(self._sources[one.position], staged))
                digest = staged.attachment.stored_digest
            self._chain = hashlib.sha256(f"{self._chain}{digest}".encode()).hexdigest()

    def _save(self, also: Callable[[Transaction], None] = lambda tx: None) -> None:
        """What is done so far will be there for a later run."""

        def work(tx: Transaction) -> None:
            self._check_standing(tx)
            also(tx)

        self._control.save(self.checkpoint(), self._content(), self._share(), work)
        self._unsaved = []
        self._saved_at = self._told_at = clock.monotonic()

    def checkpoint(self) -> dict[str, type_json]:
        """What a later run needs."""
        mine = (self._name, self._done, int(self._ingest.compression))
        return {
            "Block": self._block,
            "Sources": self._digest,
            "Runs": [*self._runs, mine],
            "Failed": ranges.to_text(self._failed),
            "Chain": self._chain,
        }

    def _check_standing(self, tx: Transaction) -> None:
        """Raises ``Unavailable`` when small files may not survive a power cut: to be made again."""
        for standing in tuple(self._making.standings):  # others may be adding one
            try:
                self._ingest.check_standing(tx, standing)
            except BadSequenceOfCalls as error:
                raise Unavailable(error.details) from None

    def _content(self) -> dict[str, type_json]:
        return self._order.content(len(self._sources), len(self._failed))

    def _share(self) -> float:
        return self._done / (len(self._sources) + 1)  # the commit is a step too

    # --- making visible ------------------------------------------------------------------------
    def commit(self) -> dict[str, type_json]:
        """Make everything visible, in one transaction that also says that the job is done; its last
        checkpoint. Raises ``Meanwhile``, ``CannotStoreInstance``."""
        with self._index.read() as tx:
            kept = self._storable(tx)
        failed = len(self._sources) - len(kept)
        pairs = [self._pairs[place] for place in kept]
        clean = not (self._runs or self._making.stray or len(kept) < len(self._pairs))
        block = self._useless or ("" if clean else self._block)
        last = {"Whole": True, "Block": block}
        labels: type_labels = {}

        def also(tx: Transaction) -> None:
            nonlocal labels
            self._control.save_within(tx, last, content(self._order, pairs, failed), 1.0)
            self._check_standing(tx)
            if self._storable(tx) != kept:
                raise Meanwhile
            labels = labels_to_keep(tx, self._order, pairs)

        def then(tx: Transaction, stored: list[Stored]) -> None:
            finish(tx, self._order, pairs, labels)
            if clean and self._block:
                staging.close_block(tx, self._block)

        self._ingest.commit_block([pair.staged for pair in pairs], also, then, overwrite=True)
        self._ingest.wake_janitor()
        return last

    def _storable(self, tx: Transaction) -> list[int]:
        return storable(tx, self._order, self._pairs, overwrite=self._ingest.overwrite)


def _digest(sources: Sequence[Source]) -> str:
    """Of what is to be edited."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.identifiers.instance} {source.file.uuid}\n".encode())
    return digest.hexdigest()
