"""The jobs ``Archive`` and ``Media``: an archive in a file of the storage area, to be fetched.

    name journaled ─▶ members, one after the other ─▶ synced ─▶ row of the output

The file is named in a block that belongs to the job, before its first byte. Every second or so what
has been written is synced and noted in the checkpoint; a later run, in whatever process, goes on
behind the last member of the checkpoint. Where a file has one writer it cannot: there the archive
is begun anew. The output is there when its row is, in the transaction that closes the block.
Before, a failure or a cancel gives the space back.

Not here: the bytes (``making``), who fetches the file (``rest.jobs``).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import datetime
from functools import partial

from wherry import clock, limits
from wherry.archives.contents import Contents, list_contents
from wherry.archives.making import Making
from wherry.archives.order import ArchiveOrder, from_parameters
from wherry.errors import CorruptedFile, MissingFile, StorageFull, StorageUnavailable
from wherry.imaging.transcoding import Transcoder
from wherry.index import job_outputs, staging
from wherry.index.database import Index, Transaction
from wherry.ingest.names import name_in, new_prefix
from wherry.ingest.recovery import sweep_block
from wherry.jobs.handler import Interrupted, JobControl, type_also
from wherry.model import NO_ATTACHMENT, Job, JobOutput, type_json
from wherry.storage.base import FileWriter, StorageArea
from wherry.storage.outgoing import gathered

OUTPUT = "archive"
PASSING = "passing-archive"
"""Keys of outputs: those that are kept, and those that somebody waits for."""
_RUNS = 2


class ArchiveJobs:
    """Runs jobs of one type, ``Archive`` or ``Media``."""

    def __init__(
        self,
        type: str,
        index: Index,
        storage: StorageArea,
        removed: Callable[[], None],
        *,
        keep: int,
        utf8: bool,
        transcoder: Transcoder | None = None,
    ) -> None:
        """``keep``: outputs that stay; ``removed`` is told when others went. ``utf8``: whether
        names keep letters beyond ASCII."""
        self.type = type
        self._index = index
        self._storage = storage
        self._removed = removed
        self._keep = keep
        self._utf8 = utf8
        self._transcoder = transcoder

    def run(self, control: JobControl) -> None:
        """Make the archive; see ``JobHandler``."""
        if control.job.checkpoint.get("Whole"):
            return
        order = from_parameters(control.job.parameters)
        with self._index.read() as tx:
            contents = list_contents(tx, order, utf8=self._utf8)
        draft = _Draft(self._storage, control, order, contents, self._transcoder)
        try:
            draft.make()
            self._publish(draft, order, control)
        except Interrupted as interrupted:
            if interrupted.reason == "lost":
                draft.abandon()
            raise
        self._removed()

    def _publish(self, draft: _Draft, order: ArchiveOrder, control: JobControl) -> None:
        key, keep = (PASSING, None) if order.passing else (OUTPUT, self._keep)
        output = JobOutput(
            control.job.id,
            key,
            draft.uuid,
            draft.place,
            draft.size,
            "application/zip",
            order.file_name,
        )

        def publish(tx: Transaction) -> None:
            job_outputs.add(tx, output, keep)
            staging.close_block(tx, draft.block)

        control.save({"Whole": True}, draft.content(), 1.0, publish)

    def settle(self, job: Job) -> None:
        """Give back the space."""
        self._index.write(lambda tx: job_outputs.remove(tx, job.id))
        block = job.checkpoint.get("Block")
        if block:
            sweep_block(self._index, self._storage, block)
        self._removed()


class _Draft:
    """The file of an archive until it is whole."""

    def __init__(
        self,
        storage: StorageArea,
        control: JobControl,
        order: ArchiveOrder,
        contents: Contents,
        transcoder: Transcoder | None,
    ) -> None:
        self._storage = storage
        self._control = control
        self._order = order
        self._contents = contents
        self._digest = contents.digest()
        self._moment = clock.now()
        self._transcoder = transcoder
        self._making = self._new()
        self._saved_at = 0.0
        self._saved_bytes = 0
        self._done_bytes = 0
        self.block = ""
        self.uuid = ""
        self.place = ""

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._making.zip.position

    def content(self) -> dict[str, type_json]:
        """The job's public content."""
        contents = self._contents
        return self._order.content(len(contents.items), contents.size, self.size)

    def make(self) -> None:
        """From wherever an earlier run got to, to the end, synced."""
        begun = self._take_up(self._control.job.checkpoint)
        for _ in range(_RUNS):
            if not begun:
                self._start()
            self._fill()
            if self._storage.size(self.uuid, self.place) == self.size:
                return
            begun = False  # an earlier run, of a server that packed otherwise, wrote beyond this
        raise CorruptedFile("The archive has not the size that was written")

    def _new(self) -> Making:
        return Making(self._storage, self._contents, self._moment, self._transcoder)

    def abandon(self) -> None:
        """Another process has the job, and goes on with no file of this one unless it is shared."""
        if not self._storage.shares_files:
            with suppress(StorageUnavailable):
                self._storage.delete(self.uuid, self.place)

    # --- where to begin ----------------------------------------------------------------------
    def _take_up(self, checkpoint: dict[str, type_json]) -> bool:
        """Go on behind the checkpoint of an earlier run, if what is to be archived is the same."""
        self.block, self.uuid = checkpoint.get("Block", ""), checkpoint.get("File", "")
        if not self._storage.shares_files or checkpoint.get("Contents") != self._digest:
            return False
        self._moment = datetime.fromisoformat(checkpoint["Moment"])
        self._making = self._new()
        crcs, packed, sizes = (
            base64.b64decode(checkpoint.get(name, "")) for name in ("Crcs", "Packed", "Sizes")
        )
        try:
            self._making.take_up((crcs, packed, sizes))
        except ValueError:  # of a version that noted less
            return False
        try:
            return self._storage.size(self.uuid) >= self.size
        except MissingFile:
            return self.size == 0

    def _start(self) -> None:
        """Take a new file. Its name is durable before it is there."""
        also: type_also | None = None
        if self.block:
            self._storage.delete(self.uuid)
        else:
            self.block = new_prefix()
            owner = f"job:{self._control.job.id}"
            also = partial(staging.open_block, prefix=self.block, owner=owner)
        self.uuid = name_in(self.block)
        self._making = self._new()
        self._save(also)

    # --- filling it --------------------------------------------------------------------------
    def _fill(self) -> None:
        self._done_bytes = self._contents.size_of(self._making.next)
        self._saved_at, self._saved_bytes = clock.monotonic(), self.size
        if self._storage.shares_files:
            writer = self._storage.reopen(self.uuid)
        else:
            writer = self._storage.create(self.uuid, NO_ATTACHMENT)
        self.place = writer.place
        try:
            with closing(self._making):
                self._add_all(writer)
            writer.sync()
        finally:
            writer.close()

    def _add_all(self, writer: FileWriter) -> None:
        try:
            for item in self._contents.items[self._making.next :]:
                self._add(writer, self._making.member())
                self._done_bytes += item.member.size
                self._step(writer)
            self._add(writer, self._making.end())
        except Interrupted as interrupted:
            if interrupted.reason in ("pause", "stop"):
                self._keep(writer)
            raise

    def _add(self, writer: FileWriter, pieces: Iterator[bytes]) -> None:
        position = self.size
        for piece in gathered(pieces):
            if self._storage.free_bytes() < limits.FREE_DISK_BYTES:
                raise StorageFull("No space is left for the archive")
            if self._storage.shares_files:
                writer.write_at(piece, position)
                position += len(piece)
            else:
                writer.write(piece)
            self._control.check()  # behind the write: with its last piece a member is complete

    def _step(self, writer: FileWriter) -> None:
        """Between two members."""
        waited = clock.monotonic() - self._saved_at >= limits.ARCHIVE_STEP_S
        if waited or self.size - self._saved_bytes >= limits.ARCHIVE_STEP_BYTES:
            self._keep(writer)
        else:
            self._control.report(self.content(), self._share())

    def _keep(self, writer: FileWriter) -> None:
        """What is written of complete members will be there after a crash, if files are shared."""
        if self._storage.shares_files:
            writer.sync()
        self._save()
        self._saved_at, self._saved_bytes = clock.monotonic(), self.size

    def _save(self, also: type_also | None = None) -> None:
        crcs, packed, sizes = self._making.state()
        checkpoint = {
            "Block": self.block,
            "File": self.uuid,
            "Contents": self._digest,
            "Moment": self._moment.isoformat(),
            "Crcs": base64.b64encode(crcs).decode(),
            "Packed": base64.b64encode(packed).decode(),
            "Sizes": base64.b64encode(sizes).decode(),
        }
        self._control.save(checkpoint, self.content(), self._share(), also)

    def _share(self) -> float:
        return self._done_bytes / self._contents.size if self._contents.size else 1.0
