"""The one door in, on every index: nothing is visible before it is durable, nothing is left."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest
from blake3 import blake3

from tests.support.dicom_files import make_instance, make_series
from tests.support.memory import MemoryStorage
from wherry import clock, limits
from wherry.errors import (
    BadFileFormat,
    BadSequenceOfCalls,
    CannotWriteFile,
    DatabaseError,
    InexistentTag,
    MismatchedDataSet,
    MissingFile,
    NoRoom,
    StorageFull,
    TooLarge,
)
from wherry.index import deletions, resources, staging
from wherry.index.database import Index, Transaction
from wherry.index.recycling import Bounds
from wherry.index.staging import PREFIX_LENGTH
from wherry.ingest.ingest import Ingest
from wherry.ingest.names import NameBlocks, name_in, new_prefix
from wherry.ingest.recovery import Janitor, reclaim, sweep_block
from wherry.model import Level, Origin, StagedInstance, Stored, StoreStatus
from wherry.storage.base import SmallFile
from wherry.storage.filesystem import FilesystemStorage

REST = Origin(kind="RestApi")
ME = "process-1"


@pytest.fixture
def storage(tmp_path: Path) -> FilesystemStorage:
    return FilesystemStorage(tmp_path / "storage")


@pytest.fixture
def janitor(index: Index, storage: FilesystemStorage) -> Iterator[Janitor]:
    janitor = Janitor(index, storage)
    janitor.start()
    yield janitor
    janitor.close()


def open_ingest(
    index: Index,
    storage: FilesystemStorage,
    janitor: Janitor,
    *,
    overwrite: bool = False,
    bounds: Bounds | None = None,
) -> Ingest:
    return Ingest(
        index,
        storage,
        janitor,
        owner=ME,
        overwrite=overwrite,
        bounds=bounds,
        max_instance_bytes=1_000_000,
    )


@pytest.fixture
def ingest(index: Index, storage: FilesystemStorage, janitor: Janitor) -> Iterator[Ingest]:
    ingest = open_ingest(index, storage, janitor)
    yield ingest
    ingest.close()


def stage(ingest: Ingest, data: bytes, piece: int = 1000) -> StagedInstance:
    staging_ = ingest.stage(REST)
    for start in range(0, len(data), piece):
        staging_.write(data[start : start + piece])
    return staging_.finish()


def files(storage: FilesystemStorage, tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "storage").glob("??/*/*")}


def visible(index: Index) -> list[str]:
    with index.read() as tx:
        return resources.list_ids(tx, Level.INSTANCE)


@pytest.mark.parametrize("piece", [700, 1_000_000])
def test_staging_knows_the_file(
    ingest: Ingest, index: Index, tmp_path: Path, storage: FilesystemStorage, piece: int
) -> None:
    data = make_instance()
    staged = stage(ingest, data, piece)
    assert staged.attachment.digest == blake3(data).hexdigest()
    assert staged.attachment.uncompressed_size == len(data)
    assert staged.summary.tags_at(Level.PATIENT)["0010,0020"] == "PATIENT1"
    assert files(storage, tmp_path) == {staged.attachment.uuid}
    assert visible(index) == []


def test_a_batch_becomes_visible_at_once(
    ingest: Ingest, index: Index, storage: FilesystemStorage, tmp_path: Path
) -> None:
    batch = [stage(ingest, data) for data in make_series(20)]
    assert visible(index) == []
    stored = ingest.commit(batch)
    assert [result.status for result in stored] == [StoreStatus.SUCCESS] * 20
    assert len(visible(index)) == 20
    assert len(files(storage, tmp_path)) == 20


def test_a_second_copy_leaves_no_file(
    ingest: Ingest, index: Index, storage: FilesystemStorage, tmp_path: Path
) -> None:
    first = stage(ingest, make_instance())
    ingest.commit([first])
    stored = ingest.commit([stage(ingest, make_instance(pixel_bytes=4096))])
    assert stored[0].status is StoreStatus.ALREADY_STORED
    assert files(storage, tmp_path) == {first.attachment.uuid}


def test_overwriting_removes_the_old_file(
    index: Index, storage: FilesystemStorage, tmp_path: Path
) -> None:
    janitor = Janitor(index, storage)
    ingest = open_ingest(index, storage, janitor, overwrite=True)
    ingest.commit([stage(ingest, make_instance())])
    second = stage(ingest, make_instance(pixel_bytes=4096))
    assert ingest.commit([second])[0].status is StoreStatus.SUCCESS
    janitor.start()
    while files(storage, tmp_path) != {second.attachment.uuid}:
        threading.Event().wait(0.01)  # the janitor is a thread of its own
    janitor.close()
    with index.read() as tx:
        assert deletions.pending(tx, 10) == []
    ingest.close()


def test_single_instances_share_commits(
    ingest: Ingest, index: Index, storage: FilesystemStorage, tmp_path: Path
) -> None:
    answers: SimpleQueue[tuple[Stored | None, BaseException | None]] = SimpleQueue()
    batch = [stage(ingest, data) for data in make_series(50)]
    for staged in batch:
        ingest.submit(staged, lambda stored, error: answers.put((stored, error)))
    results = [answers.get(timeout=30) for _ in batch]
    assert {stored.status for stored, _ in results if stored} == {StoreStatus.SUCCESS}
    assert len(visible(index)) == 50


def together(
    index: Index, ingest: Ingest, batch: list[StagedInstance]
) -> list[tuple[Stored | None, BaseException | None]]:
    """Commit instances that wait while the index is busy, so that they share a transaction."""
    answers: SimpleQueue[tuple[Stored | None, BaseException | None]] = SimpleQueue()
    busy, begun = threading.Event(), threading.Event()
    index.submit(lambda tx: (begun.set(), busy.wait(30)), lambda result, error: None)
    assert begun.wait(30)
    for staged in batch:
        ingest.submit(staged, lambda stored, error: answers.put((stored, error)))
    busy.set()
    return [answers.get(timeout=30) for _ in batch]


def test_instances_that_share_a_commit_make_room_one_after_the_other(
    index: Index, storage: FilesystemStorage, tmp_path: Path
) -> None:
    janitor = Janitor(index, storage)
    janitor.start()
    ingest = open_ingest(index, storage, janitor, bounds=Bounds(maximum_patients=2))
    batch = [stage(ingest, make_instance(patient_id=str(number))) for number in range(5)]
    answers = together(index, ingest, batch)
    assert [stored is not None for stored, _ in answers] == [True] * 5
    ingest.close()
    janitor.close()
    with index.read() as tx:
        left = resources.list_ids(tx, Level.PATIENT)
        journaled = {uuid for uuid, _ in deletions.pending(tx, 10)}
    assert left == [one.summary.identifiers.patient for one in batch[3:]]
    kept = {one.attachment.uuid for one in batch[3:]}
    assert files(storage, tmp_path) - journaled == kept


def test_of_instances_that_share_a_commit_only_those_are_refused_that_do_not_fit(
    index: Index, storage: FilesystemStorage, janitor: Janitor, tmp_path: Path
) -> None:
    bounds = Bounds(maximum_patients=2, recycle=False)
    ingest = open_ingest(index, storage, janitor, bounds=bounds)
    batch = [stage(ingest, make_instance(patient_id=str(number))) for number in range(4)]
    answers = together(index, ingest, batch)
    assert [stored is not None for stored, _ in answers] == [True, True, False, False]
    assert all(isinstance(error, NoRoom) for stored, error in answers if stored is None)
    ingest.close()
    assert files(storage, tmp_path) == {one.attachment.uuid for one in batch[:2]}
    with index.read() as tx:
        assert staging.blocks(tx, ME) == []


@pytest.mark.parametrize("data", [b"", b"hello", make_instance()[:-1], b"\0" * 5000])
@pytest.mark.parametrize("piece", [100, 1_000_000])
def test_what_is_not_dicom_is_refused_and_leaves_nothing(
    ingest: Ingest, storage: FilesystemStorage, tmp_path: Path, data: bytes, piece: int
) -> None:
    with pytest.raises((BadFileFormat, InexistentTag)):
        stage(ingest, data, piece)
    assert files(storage, tmp_path) == set()


@pytest.mark.parametrize("piece", [100_000, 2_000_000])
def test_an_instance_has_a_bound(
    ingest: Ingest, storage: FilesystemStorage, tmp_path: Path, piece: int
) -> None:
    with pytest.raises(TooLarge):
        stage(ingest, make_instance(pixel_bytes=1_100_000), piece)
    assert files(storage, tmp_path) == set()


def test_abort_forgets(ingest: Ingest, storage: FilesystemStorage, tmp_path: Path) -> None:
    staging_ = ingest.stage(REST)
    staging_.write(b"some")
    staging_.write(b"bytes")
    staging_.abort()
    staging_.abort()
    assert files(storage, tmp_path) == set()


def test_a_full_disk_is_said_and_nothing_is_left(
    ingest: Ingest, storage: FilesystemStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FilesystemStorage, "free_bytes", lambda _self: 1000)
    with pytest.raises(StorageFull):
        stage(ingest, make_instance())
    assert files(storage, tmp_path) == set()


def test_what_cannot_be_synced_is_refused_and_leaves_nothing(
    ingest: Ingest, storage: FilesystemStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CannotWriteFile):
        stage(ingest, make_instance())
    assert files(storage, tmp_path) == set()


def test_a_failed_transaction_makes_nothing_visible(
    ingest: Ingest,
    index: Index,
    storage: FilesystemStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_tx: Transaction, *_: object, **__: object) -> list[Stored]:
        raise DatabaseError("no")

    batch = [stage(ingest, data) for data in make_series(3)]
    monkeypatch.setattr(resources, "add_instances", fail)
    with pytest.raises(DatabaseError):
        ingest.commit(batch)
    answers: SimpleQueue[BaseException | None] = SimpleQueue()
    ingest.submit(stage(ingest, make_instance(number=9)), lambda _, error: answers.put(error))
    assert isinstance(answers.get(timeout=30), DatabaseError)
    assert visible(index) == []
    assert files(storage, tmp_path) == set()


def test_a_process_taken_for_dead_commits_nothing(
    ingest: Ingest, index: Index, storage: FilesystemStorage, tmp_path: Path
) -> None:
    staged = stage(ingest, make_instance())
    assert reclaim(index, storage, [ME]) == 1
    with pytest.raises((BadSequenceOfCalls, MissingFile)):
        ingest.commit([staged])
    assert visible(index) == []
    ingest.commit([stage(ingest, make_instance())])
    assert len(visible(index)) == 1


def test_leftovers_of_a_crash_are_swept_and_attachments_stay(
    ingest: Ingest, index: Index, storage: FilesystemStorage, tmp_path: Path
) -> None:
    kept = stage(ingest, make_instance(number=1))
    ingest.commit([kept])
    stage(ingest, make_instance(number=2))
    writer = storage.create(name_in(kept.attachment.uuid[:PREFIX_LENGTH]))
    writer.close()
    assert reclaim(index, storage, [ME]) == 2
    assert files(storage, tmp_path) == {kept.attachment.uuid}
    with index.read() as tx:
        assert staging.owners(tx) == []


def test_what_a_dead_process_sent_may_be_there_late(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store had all bytes of the object when the process died, and was slow."""
    prefix = new_prefix()
    early, late = name_in(prefix), name_in(prefix)
    index.write(lambda tx: staging.open_block(tx, prefix, "somebody"))
    storage = MemoryStorage()
    storage.put([SmallFile(early, b"", "")])
    assert reclaim(index, storage, ["somebody"]) == 1
    storage.put([SmallFile(late, b"", "")])
    assert reclaim(index, storage, []) == 0
    then = clock.timestamp() + limits.LATE_FILES_S + 1
    monkeypatch.setattr(clock, "timestamp", lambda: then)
    assert reclaim(index, storage, []) == 1
    assert storage.files == {}
    with index.read() as tx:
        assert staging.owners(tx) == []


def test_sweeping_may_be_repeated(index: Index, storage: FilesystemStorage) -> None:
    prefix = new_prefix()
    index.write(lambda tx: staging.open_block(tx, prefix, "somebody"))
    storage.create(name_in(prefix)).close()
    assert sweep_block(index, storage, prefix) == 1
    assert sweep_block(index, storage, prefix) == 0


def test_blocks_are_journaled_before_use_and_closed_when_settled(
    index: Index, storage: FilesystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.limits.STAGING_BLOCK_FILES", 3)
    names = NameBlocks(index, storage, ME)
    taken = [names.take() for _ in range(7)]
    prefixes = {name[:PREFIX_LENGTH] for name in taken}
    assert len(set(taken)) == 7
    assert len(prefixes) == 3
    with index.read() as tx:
        assert set(staging.blocks(tx, ME)) == prefixes
    for name in taken:
        names.settle(name)
    names.close()
    with index.read() as tx:
        assert staging.blocks(tx, ME) == []


def test_new_blocks_do_not_wait_for_commits_that_wait_for_them(
    ingest: Ingest, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.limits.STAGING_BLOCK_FILES", 2)
    answers: SimpleQueue[BaseException | None] = SimpleQueue()

    def client(first: int) -> None:
        for number in range(first, first + 20):
            staged = stage(ingest, make_instance(number=number), piece=1_000_000)
            ingest.submit(staged, lambda _, error: answers.put(error))

    clients = [threading.Thread(target=client, args=(n * 20 + 1,)) for n in range(4)]
    for thread in clients:
        thread.start()
    assert [answers.get(timeout=60) for _ in range(80)] == [None] * 80
    for thread in clients:
        thread.join()
    assert len(visible(index)) == 80


def test_several_threads_store_at_once(ingest: Ingest, index: Index) -> None:
    """Each in its own thread when nobody else is busy, else by the handful."""
    looked_at: SimpleQueue[str] = SimpleQueue()
    errors: SimpleQueue[BaseException | None] = SimpleQueue()

    def client(first: int) -> None:
        try:
            for number in range(first, first + 20):
                size = 200_000 if number % 5 == 0 else 2048
                stored = ingest.store_now(
                    make_instance(number=number, pixel_bytes=size),
                    Origin("DicomProtocol"),
                    lambda summary: looked_at.put(summary.identifiers.instance),
                )
                assert stored.identifiers.instance in visible(index)
            errors.put(None)
        except BaseException as error:
            errors.put(error)

    clients = [threading.Thread(target=client, args=(n * 20 + 1,)) for n in range(4)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert [errors.get(timeout=30) for _ in clients] == [None] * 4
    assert len(visible(index)) == looked_at.qsize() == 80


def test_what_a_check_refuses_leaves_nothing(
    ingest: Ingest, index: Index, storage: FilesystemStorage, tmp_path: Path
) -> None:
    def refuse(_: object) -> None:
        raise MismatchedDataSet("another one")

    for size in (2048, 200_000):
        with pytest.raises(MismatchedDataSet):
            ingest.store_now(make_instance(pixel_bytes=size), Origin("DicomProtocol"), refuse)
    assert not visible(index) and not files(storage, tmp_path)


def test_clearing_up_that_fails_keeps_nobody_waiting(
    ingest: Ingest, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest.commit([stage(ingest, make_instance())])
    again, batched = stage(ingest, make_instance()), stage(ingest, make_instance())

    def fail(_self: object, *_: str) -> None:
        raise CannotWriteFile("no")

    monkeypatch.setattr(FilesystemStorage, "delete", fail)
    answers: SimpleQueue[Stored | None] = SimpleQueue()
    ingest.submit(again, lambda stored, _: answers.put(stored))
    stored = answers.get(timeout=30)
    assert stored is not None
    assert stored.status is StoreStatus.ALREADY_STORED
    assert ingest.commit([batched])[0].status is StoreStatus.ALREADY_STORED
