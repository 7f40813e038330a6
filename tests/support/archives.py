"""A store whose files a test may watch and disturb, and archives that are made of it."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

from tests.support.dicom_files import make_instance
from tests.support.jobs import eventually
from wherry import limits
from wherry.archives.contents import Contents, list_contents
from wherry.archives.job import OUTPUT, ArchiveJobs
from wherry.archives.making import Making
from wherry.archives.order import ARCHIVE, MEDIA, ArchiveOrder
from wherry.errors import StorageFull
from wherry.index import deletions, resources, staging
from wherry.index.database import Index
from wherry.ingest.ingest import Ingest
from wherry.ingest.recovery import Janitor
from wherry.jobs.engine import JobEngine
from wherry.jobs.shop import Rules
from wherry.model import (
    DICOM_CONTENT,
    NO_ATTACHMENT,
    Attachment,
    Compression,
    Identifiers,
    JobOutput,
    Origin,
)
from wherry.storage.base import ANYWHERE, FileReader, FileWriter, type_buffer
from wherry.storage.filesystem import FilesystemStorage

MOMENT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
ME = "process-0"


def noise(size: int, seed: int) -> bytes:
    """Bytes that do not get smaller when they are packed."""
    return Random(seed).randbytes(size)


def noisy(
    number: int, size: int = 20_480, study: int = 1, series: int = 1, **tags: object
) -> bytes:
    """An instance whose pixels are noise."""
    pixels = noise(size, 1000 * study + 100 * series + number)
    return make_instance(study, series, number, pixel_bytes=size, PixelData=pixels, **tags)  # type: ignore[arg-type]


class Watched(FilesystemStorage):
    """Says what is done to files, before it is done."""

    def __init__(self, root: Path, *, shares_files: bool = True) -> None:
        """Unless it ``shares_files``, nothing of one is there before it is synced."""
        super().__init__(root)
        self.shares_files = shares_files
        self.happens: Callable[[str, str], None] = lambda what, uuid: None
        """Is told ``open``, ``map``, ``read``, ``reopen`` (or ``create``), ``write``, ``sync``, and
        the file."""
        self.read_bytes: Counter[str] = Counter()
        """Of each file, without what was mapped."""
        self.written: dict[str, tuple[int, int]] = {}
        """Of each file of a job, the first byte written, and behind the last one."""
        self.room_bytes: int | None = None
        """Of the file that is written; None = enough."""
        self.open_files: set[object] = set()
        """Readers and writers that are not closed."""

    @property
    def opened(self) -> int:
        """How many of them there are."""
        return len(self.open_files)

    def open(self, uuid: str, place: str = ANYWHERE) -> FileReader:
        self.happens("open", uuid)
        return _Reader(self, uuid, super().open(uuid, place))

    def reopen(self, uuid: str, offset: int = 0) -> FileWriter:
        assert self.shares_files
        self.happens("reopen", uuid)
        return _Writer(self, super().reopen(uuid))

    def create(self, uuid: str, content_type: int = DICOM_CONTENT) -> FileWriter:
        if content_type != NO_ATTACHMENT:
            return super().create(uuid, content_type)
        self.happens("create", uuid)
        return _Writer(self, _Unsynced(partial(super().create, uuid), uuid))


class _Reader:
    def __init__(self, storage: Watched, uuid: str, inner: FileReader) -> None:
        self._storage, self._uuid, self._inner = storage, uuid, inner
        self.size, self.place = inner.size, inner.place
        storage.open_files.add(self)

    def read_at(self, offset: int, size: int) -> bytes:
        self._storage.happens("read", self._uuid)
        found = self._inner.read_at(offset, size)
        self._storage.read_bytes[self._uuid] += len(found)
        return found

    @contextmanager
    def map(self) -> Iterator[memoryview]:
        self._storage.happens("map", self._uuid)
        with self._inner.map() as content:
            yield content

    def fileno(self) -> int | None:
        return self._inner.fileno()

    def close(self) -> None:
        self._storage.open_files.discard(self)
        self._inner.close()


class _Unsynced:
    """A file that is not there before it is synced."""

    place = ""

    def __init__(self, create: Callable[[], FileWriter], uuid: str) -> None:
        self.uuid = uuid
        self._create = create
        self._content = bytearray()

    def write_at(self, data: type_buffer, offset: int) -> None:
        assert offset == len(self._content)
        self._content += data

    def sync(self) -> None:
        with closing(self._create()) as writer:
            writer.write(self._content)
            writer.sync()

    def close(self) -> None:
        pass


class _Writer:
    def __init__(self, storage: Watched, inner: FileWriter | _Unsynced) -> None:
        self._storage, self._inner = storage, inner
        self.uuid, self.place = inner.uuid, inner.place
        self._written = 0
        storage.open_files.add(self)

    def write(self, data: type_buffer) -> None:
        self.write_at(data, self._written)
        self._written += len(data)

    def write_at(self, data: type_buffer, offset: int) -> None:
        self._storage.happens("write", self.uuid)
        room = self._storage.room_bytes
        if room is not None and offset + len(data) > room:
            self._inner.write_at(memoryview(data)[: max(0, room - offset)], offset)
            raise StorageFull("No space left in the storage area")
        self._inner.write_at(data, offset)
        first, last = self._storage.written.get(self.uuid, (offset, offset))
        self._storage.written[self.uuid] = (min(first, offset), max(last, offset + len(data)))

    def sync(self) -> None:
        self._storage.happens("sync", self.uuid)
        self._inner.sync()

    def close(self) -> None:
        self._storage.open_files.discard(self)
        self._inner.close()


class Store:
    """An index, files, and the way in."""

    def __init__(
        self,
        index: Index,
        folder: Path,
        *,
        compression: Compression = Compression.NONE,
        shares_files: bool = True,
    ) -> None:
        self.index = index
        self.folder = folder
        self.storage = Watched(folder, shares_files=shares_files)
        self.janitor = Janitor(index, self.storage)
        self.ingest = Ingest(
            index,
            self.storage,
            self.janitor,
            owner=ME,
            overwrite=False,
            max_instance_bytes=limits.GIB,
            compression=compression,
        )
        self.janitor.start()

    def again(self) -> Watched:
        """The same files, of another process."""
        return Watched(self.folder, shares_files=self.storage.shares_files)

    def close(self) -> None:
        self.ingest.close()
        self.janitor.close()
        self.storage.close()

    # --- what is stored ------------------------------------------------------------------------
    def put(self, *files: bytes) -> list[Identifiers]:
        """Store these, in this order."""
        staged = []
        for data in files:
            staging_ = self.ingest.stage(Origin("RestApi"))
            staging_.write(data)
            staged.append(staging_.finish())
        return [stored.identifiers for stored in self.ingest.commit(staged)]

    def delete(self, instance: str) -> None:
        """With its file."""
        self.index.write(lambda tx: resources.delete_many(tx, [instance]))
        self.janitor.wake()
        self.tidy()

    def file(self, instance: str) -> Attachment:
        with self.index.read() as tx:
            return resources.files_of(tx, [instance])[instance]

    def path(self, uuid: str) -> Path:
        return self.folder / uuid[:2] / uuid[2:4] / uuid

    def size(self, *instances: str) -> int:
        return sum(self.file(instance).uncompressed_size for instance in instances)

    # --- archives ------------------------------------------------------------------------------
    def contents(self, order: ArchiveOrder, *, utf8: bool = False) -> Contents:
        with self.index.read() as tx:
            return list_contents(tx, order, utf8=utf8)

    def stream(self, order: ArchiveOrder) -> bytes:
        """The archive, made at ``MOMENT``."""
        making = Making(self.storage, self.contents(order), MOMENT)
        return b"".join(making.whole())

    def handlers(self, keep: int = 10, storage: Watched | None = None) -> list[ArchiveJobs]:
        return [
            ArchiveJobs(
                type,
                self.index,
                storage or self.storage,
                self.janitor.wake,
                keep=keep,
                utf8=False,
            )
            for type in (ARCHIVE, MEDIA)
        ]

    def engine(
        self,
        process_id: str = "process-a",
        *,
        keep: int = 10,
        history_size: int = 100,
        storage: Watched | None = None,
    ) -> JobEngine:
        """Not started yet."""
        return JobEngine(
            self.index,
            self.handlers(keep, storage),
            Rules(concurrency=1, history_size=history_size),
            process_id=process_id,
            removed=self.janitor.wake,
        )

    @contextmanager
    def running(
        self, process_id: str = "process-a", **options: int | Watched
    ) -> Iterator[JobEngine]:
        engine = self.engine(process_id, **options)  # type: ignore[arg-type]
        engine.start()
        try:
            yield engine
        finally:
            engine.stop()

    def output_of(self, engine: JobEngine, job_id: str) -> tuple[JobOutput, bytes]:
        """The row of an output, and its bytes."""
        found = engine.output(job_id, OUTPUT)
        assert found is not None
        return found, self.path(found.uuid).read_bytes()

    # --- what is left --------------------------------------------------------------------------
    def files(self) -> set[str]:
        return {path.name for path in self.folder.glob("??/*/*")}

    def rows(self) -> set[str]:
        """Files that the index knows."""
        with self.index.read() as tx:
            found = tx.all("SELECT uuid FROM attachments UNION ALL SELECT uuid FROM job_outputs")
        return {row[0] for row in found}

    def blocks(self) -> list[str]:
        """Who has named files that may be there or not, besides this process."""
        with self.index.read() as tx:
            return [owner for owner in staging.owners(tx) if owner != ME]

    def tidy(self) -> None:
        """Wait until the janitor has cleared its journal."""

        def cleared() -> bool:
            with self.index.read() as tx:
                return not deletions.pending(tx, 1)

        self.janitor.wake()
        eventually(cleared, "the end of the janitor's work")

    def check(self, outputs: int) -> None:
        """Every file is known, every known one is there, and nothing is held."""
        self.tidy()
        assert self.files() == self.rows()
        assert self.blocks() == []
        assert self.storage.opened == 0
        with self.index.read() as tx:
            assert tx.one("SELECT count(*) FROM job_outputs") == (outputs,)


def members(data: bytes) -> dict[str, bytes]:
    """Name → file of an archive that must be whole."""
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}
