"""Jobs that edit, on a store whose files a test may watch, with an editor that does little."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pydicom

from tests.support.areas import Area
from tests.support.jobs import eventually, reaches
from wherry import limits
from wherry.editing.job import EditJobs
from wherry.editing.making import type_edit
from wherry.editing.order import MODIFICATION, TYPES, EditOrder
from wherry.editing.seeds import Seed
from wherry.errors import BadFileFormat
from wherry.index import deletions, resources, staging
from wherry.index.database import Index
from wherry.ingest.ingest import Ingest
from wherry.ingest.recovery import Janitor
from wherry.jobs.engine import JobEngine
from wherry.jobs.shop import Rules
from wherry.model import Compression, Identifiers, Job, JobState, Level, Origin, Resource
from wherry.storage.base import StorageArea

ENDED = (JobState.SUCCESS, JobState.FAILURE)
_UIDS = {
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.INSTANCE: "SOPInstanceUID",
}


@dataclass
class _Edited:
    data: bytes
    syntax: str = "1.2.840.10008.1.2.1"

    @property
    def size(self) -> int:
        return len(self.data)

    def pieces(self, read: object = None) -> Iterator[bytes | memoryview]:
        half = len(self.data) // 2
        yield self.data[:half]
        yield memoryview(self.data)[half:]


class LittleEditor:
    """``rules``: ``Renew``: levels (numbers) whose UIDs become others, by seed; ``Replace``: values
    by keyword; ``Refuse``: Instance Numbers that cannot be edited."""

    def __init__(self) -> None:
        self.edited: list[str] = []
        """SOP Instance UIDs, in order."""
        self.before: Callable[[int], None] = lambda count: None
        """Is called before each edit, with the number of those before it."""
        self._lock = threading.RLock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is edited meanwhile."""
        with self._lock:
            yield

    def of(self, order: EditOrder) -> type_edit:
        """What an order does to a file."""

        def edit(data: memoryview) -> _Edited:
            with self._lock:
                self.before(len(self.edited))
                dataset = pydicom.dcmread(io.BytesIO(data))
                self.edited.append(dataset.SOPInstanceUID)
            if dataset.InstanceNumber in order.rules.get("Refuse", ()):
                raise BadFileFormat("This one cannot be edited")
            for level in order.rules.get("Renew", ()):
                keyword = _UIDS[Level(level)]
                digest = hashlib.sha256(f"{order.seed.random}{dataset[keyword].value}".encode())
                setattr(dataset, keyword, f"2.25.{int(digest.hexdigest()[:30], 16)}")
            for keyword, value in order.rules.get("Replace", {}).items():
                setattr(dataset, keyword, value)
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            buffer = io.BytesIO()
            dataset.save_as(buffer)
            return _Edited(buffer.getvalue())

        return edit


def order_of(*ids: str, level: Level | None = Level.STUDY, **options: Any) -> EditOrder:
    """Modify these; without ``rules``, their descriptions."""
    renew = range(level or Level.INSTANCE, Level.INSTANCE + 1)
    rules = {
        "Renew": [one for one in renew if one > Level.PATIENT],
        "Replace": {"StudyDescription": "edited"},
    }
    options.setdefault("type", MODIFICATION)
    options.setdefault("seed", Seed("5eed" * 16, 7))
    options.setdefault("rules", rules)
    return EditOrder(resources=ids, level=level, **options)


class Store:
    """One process: index, files, the way in, and jobs that edit."""

    def __init__(
        self,
        index: Index,
        area: Area,
        *,
        process_id: str = "process-0",
        compression: Compression = Compression.NONE,
        overwrite: bool = False,
    ) -> None:
        self.index = index
        self.area = area
        self.process_id = process_id
        self.storage: StorageArea = area.storage(process_id)
        self.janitor = Janitor(index, self.storage)
        self.ingest = Ingest(
            index,
            self.storage,
            self.janitor,
            owner=process_id,
            overwrite=overwrite,
            max_instance_bytes=limits.GIB,
            compression=compression,
        )
        self.editor = LittleEditor()
        self.janitor.start()

    def close(self) -> None:
        self.ingest.close()
        self.janitor.close()
        self.storage.close()

    # --- what is stored ------------------------------------------------------------------------
    def put(self, *files: bytes, overwrite: bool = False) -> list[Identifiers]:
        """Store these, in this order."""
        staged = []
        for data in files:
            staging_ = self.ingest.stage(Origin("RestApi"))
            staging_.write(data)
            staged.append(staging_.finish())
        self.ingest.overwrite, before = overwrite or self.ingest.overwrite, self.ingest.overwrite
        try:
            return [stored.identifiers for stored in self.ingest.commit(staged)]
        finally:
            self.ingest.overwrite = before

    def ids(self, level: Level) -> list[str]:
        with self.index.read() as tx:
            return resources.list_ids(tx, level)

    def get(self, level: Level, orthanc_id: str) -> Resource:
        with self.index.read() as tx:
            found = resources.get(tx, level, orthanc_id)
        assert found is not None
        return found

    def read(self, instance: str) -> pydicom.Dataset:
        """The file of an instance."""
        with self.index.read() as tx:
            file = resources.files_of(tx, [instance])[instance]
        from wherry.storage.content import mapped

        with mapped(self.storage, file) as data:
            return pydicom.dcmread(io.BytesIO(bytes(data)))

    # --- jobs ----------------------------------------------------------------------------------
    def engine(self) -> JobEngine:
        """Not started yet."""
        handlers = [
            EditJobs(type, self.index, self.storage, self.ingest, self.editor.of) for type in TYPES
        ]
        return JobEngine(
            self.index,
            handlers,
            Rules(concurrency=1, history_size=100),
            process_id=self.process_id,
            removed=self.janitor.wake,
        )

    @contextmanager
    def running(self) -> Iterator[JobEngine]:
        engine = self.engine()
        engine.start()
        try:
            yield engine
        finally:
            engine.stop()

    def carry_out(self, order: EditOrder) -> Job:
        """A job that has run to its end, whatever that was, and is settled."""
        with self.running() as engine:
            return settled(engine, submit(engine, order))

    # --- what is left --------------------------------------------------------------------------
    def clear(self) -> None:
        """Files that are to be removed are gone."""

        def cleared() -> bool:
            with self.index.read() as tx:
                return not deletions.pending(tx, 1)

        self.janitor.wake()
        eventually(cleared, "the end of the janitor's work")

    def check(self) -> None:
        """Every file is known, every known one is there, and nothing is held for jobs."""
        self.clear()
        with self.index.read() as tx:
            rows = {row[0] for row in tx.all("SELECT uuid FROM attachments")}
            owners = [one for one in staging.owners(tx) if one.startswith("job:")]
        assert self.area.files() == rows
        assert owners == []


def submit(engine: JobEngine, order: EditOrder) -> str:
    return engine.submit(order.type, order.parameters())


def settled(engine: JobEngine, job_id: str) -> Job:
    reaches(engine, job_id, *ENDED)

    def done() -> bool:
        job = engine.get(job_id)
        return job is not None and job.requested == ""

    eventually(done, "settling")
    job = engine.get(job_id)
    assert job is not None
    return job


def metadata_of(index: Index, level: Level, orthanc_id: str) -> Mapping[int, str]:
    """``ModifiedFrom`` and ``AnonymizedFrom`` of a resource."""
    from wherry.index import metadata

    with index.read() as tx:
        found = metadata.of_one(tx, level, orthanc_id)
    assert found is not None
    return {number: entry.value for number, entry in found.items() if number in (5, 6)}
