"""Receiving a transfer on every index, in a real file system and where files are not shared: all or
nothing, whatever happens."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import os
import random
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.areas import Area
from tests.support.dicom_files import make_instance, make_series
from wherry import clock, limits
from wherry.dicom.scan import scan
from wherry.errors import (
    BadFileFormat,
    BadSequenceOfCalls,
    CorruptedFile,
    DatabaseUnavailable,
    NetworkProtocol,
    NoRoom,
    ParameterOutOfRange,
    StorageFull,
    StorageUnavailable,
    TooLarge,
    Unavailable,
    UnknownResource,
    WherryError,
)
from wherry.index import changes, deletions, recycling, resources, staging, transfers
from wherry.index.database import Index, Transaction
from wherry.index.opening import IndexSettings, open_index
from wherry.index.recycling import Bounds
from wherry.ingest.ingest import Ingest
from wherry.ingest.recovery import Janitor, reclaim, restore
from wherry.model import (
    Bucket,
    Chunk,
    Compression,
    Level,
    Manifest,
    ManifestInstance,
    StagedInstance,
)
from wherry.storage.base import SmallFile
from wherry.storage.content import open_content
from wherry.storage.smalllog import Record, SmallLog
from wherry.storage.submitted import Writing
from wherry.transfers import buckets as layout
from wherry.transfers import incoming
from wherry.transfers.declaring import Quota
from wherry.transfers.receipts import Receipts
from wherry.transfers.reception import Reception
from wherry.transfers.sealing import Sealer
from wherry.transfers.stages import Stage

UNIT = 3000


in_a_folder = pytest.mark.parametrize("area", ["folder"], indirect=True)


class House:
    """Index, storage and door of one process."""

    def __init__(
        self,
        index: Index,
        area: Area,
        name: str = "process-1",
        *,
        compression: Compression = Compression.NONE,
        bounds: Bounds | None = None,
        announces: bool = True,
    ) -> None:
        self.index = index
        self.area = area
        self.storage = area.storage(name)
        self.files = area.files
        self.janitor = Janitor(index, self.storage)
        self.ingest = Ingest(
            index,
            self.storage,
            self.janitor,
            owner=name,
            overwrite=False,
            max_instance_bytes=limits.GIB,
            compression=compression,
            bounds=bounds,
        )
        self.reception = Reception(
            index,
            self.storage,
            self.ingest,
            Quota(),
            Receipts(index, "here", lambda: "me"),
            announces=announces,
        )

    def visible(self) -> set[str]:
        with self.index.read() as tx:
            return set(resources.list_ids(tx, Level.INSTANCE))

    def content(self) -> dict[str, bytes]:
        found = {}
        for name in self.visible():
            with self.index.read() as tx:
                attachment = resources.attachment(tx, Level.INSTANCE, name)
            assert attachment is not None
            reader = open_content(self.storage, attachment)
            found[name] = reader.read_at(0, reader.size)
            reader.close()
        return found

    def bare(self) -> bool:
        """Whether nothing is left but what is visible, once behind what has ended is cleared up."""
        self.reception.expire()
        with self.index.read() as tx:
            rows = tx.one("SELECT COUNT(*) FROM transfer_instances")
            more = tx.one("SELECT COUNT(*) FROM transfer_buckets")
        return (rows, more) == ((0,), (0,)) and len(self.files()) == len(self.visible())


@pytest.fixture
def house(index: Index, area: Area) -> Iterator[House]:
    house = House(index, area)
    yield house
    house.ingest.close()


@pytest.fixture(params=[Compression.ZLIB, Compression.ZSTD])
def packing_house(index: Index, area: Area, request: pytest.FixtureRequest) -> Iterator[House]:
    """One with ``StorageCompression``."""
    house = House(index, area, compression=request.param)
    yield house
    house.ingest.close()


class Study:
    """Instances to be sent."""

    def __init__(self, files: Sequence[bytes], compression: str = "none", unit: int = UNIT) -> None:
        self.files = {scan(data).identifiers.instance: data for data in files}
        self.instances = tuple(
            ManifestInstance(name, len(data), hashlib.md5(data).hexdigest())
            for name, data in sorted(self.files.items())
        )
        self.manifest = Manifest(self.instances, layout.cut(self.instances, unit), compression)

    def part(self, chunk: Chunk) -> bytes:
        return self.files[chunk.orthanc_id][chunk.offset : chunk.offset + chunk.size]

    def body(self, position: int) -> bytes:
        data = b"".join(map(self.part, self.manifest.buckets[position].chunks))
        return gzip.compress(data, 1) if self.manifest.compression == "gzip" else data

    def seal(self, position: int) -> bytes:
        """What ends a bucket with parts when the compression is ``auto``."""
        chunks = self.manifest.buckets[position].chunks
        sealer = Sealer((chunk.orthanc_id, chunk.offset, chunk.size) for chunk in chunks)
        for chunk in chunks:
            sealer.update(self.part(chunk))
        return sealer.seal()

    @property
    def positions(self) -> range:
        return range(len(self.manifest.buckets))


def put(house: House, transfer: str, position: int, body: bytes, piece: int = 1000) -> None:
    bucket = house.reception.bucket(transfer, position)
    try:
        for start in range(0, len(body), piece):
            bucket.write(body[start : start + piece])
        bucket.finish()
    finally:
        bucket.abort()


def put_all(house: House, study: Study, transfer: str, *, skip: int | None = None) -> None:
    for position in study.positions:
        if position != skip:
            put(house, transfer, position, study.body(position))


MIXED = [
    *make_series(7),
    make_instance(number=20, pixel_bytes=4000),
    make_instance(number=21, pixel_bytes=40_000),
    make_instance(number=22, pixel_bytes=30_001),
]
"""Small ones that share buckets, one alone in its bucket, two that are cut."""


# --- the good way --------------------------------------------------------------------------
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("piece", [997, 10_000_000])
def test_everything_becomes_visible_at_once(house: House, compression: str, piece: int) -> None:
    study = Study(MIXED, compression)
    transfer = house.reception.open_push(study.manifest)
    order = list(study.positions)
    random.Random(3).shuffle(order)
    for position in order:
        put(house, transfer, position, study.body(position), piece)
        assert house.visible() == set()
    house.reception.commit(transfer)
    assert house.content() == study.files
    assert house.bare()


def test_the_end_of_a_transfer_tells_how_far_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that only the end can verify, then all of them."""
    monkeypatch.setattr(limits, "VERIFY_WITH_BUCKET_BYTES", 35_000)
    monkeypatch.setattr(limits, "INDEX_ROWS_AT_ONCE", 4)
    study = Study(MIXED)
    transfer = house.reception.open_push(study.manifest)
    put_all(house, study, transfer)
    told: list[Stage] = []

    def tell(stage: Stage) -> None:
        told.append(stage)
        assert house.reception.stage(transfer) == stage

    house.reception.commit(transfer, tell=tell)
    written = [0, 4, 8, 10]
    assert told == [
        Stage("Verifying", 0, 1),
        *(Stage("Committing", count, len(MIXED)) for count in written),
    ]
    assert house.reception.stage(transfer) is None


@pytest.mark.parametrize(("small", "buffer"), [(128 * 1024, 1 << 20), (0, 1 << 20), (0, 4096)])
def test_what_arrives_is_stored_compressed(
    packing_house: House, small: int, buffer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the handful, as a whole, and as it comes."""
    monkeypatch.setattr(limits, "SMALL_FILE_BYTES", small)
    monkeypatch.setattr(limits, "DIRECT_BUFFER_BYTES", buffer)
    study = Study(MIXED)
    transfer = packing_house.reception.open_push(study.manifest)
    put_all(packing_house, study, transfer)
    packing_house.reception.commit(transfer)
    assert packing_house.content() == study.files
    with packing_house.index.read() as tx:
        assert tx.all("SELECT DISTINCT compression FROM attachments") == [
            (packing_house.ingest.compression,)
        ]
    assert packing_house.bare()


def test_a_crash_before_the_packed_file_is_known(
    packing_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was verified, and not recorded, is verified and packed again by the commit."""
    study = Study(MIXED[-1:])
    transfer = packing_house.reception.open_push(study.manifest)
    *first, last = study.positions
    for position in first:
        put(packing_house, transfer, position, study.body(position))

    def die(*_: object) -> None:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(transfers, "stage", die)
    with pytest.raises(DatabaseUnavailable):
        put(packing_house, transfer, last, study.body(last))
    monkeypatch.undo()
    put(packing_house, transfer, last, study.body(last))
    packing_house.reception.commit(transfer)
    assert packing_house.content() == study.files
    assert packing_house.bare()


SIZES = [
    make_instance(number=number, pixel_bytes=size)
    for number, size in enumerate([2000, 100_000, 400_000, 900_000, 1_500_000, 3_000_000], 1)
]
"""Gathered in memory and synced together or alone, or written as it comes, or cut in two."""


@in_a_folder
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("piece", [300_000, 10_000_000])
def test_an_acknowledged_bucket_survives_a_power_cut(
    house: House, area: Area, compression: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the index hears of a bucket, every byte of it was synced before, and every name, or they
    are in the log of small files."""
    house.ingest.standing()
    synced: set[tuple[int, int]] = set()

    def mark(found: os.stat_result) -> tuple[int, int]:
        # Folders get names later, of files in the log: some file systems count them.
        return found.st_ino, 0 if stat.S_ISDIR(found.st_mode) else found.st_size

    fsync, append, write = os.fsync, SmallLog.append, house.index.write

    def note(file: int | Path) -> None:
        synced.add(mark(os.stat(file)))

    def sync(fd: int) -> None:
        fsync(fd)
        note(fd)

    def log(smalllog: SmallLog, files: Sequence[SmallFile]) -> Record:
        record = append(smalllog, files)

        def finish() -> None:
            record.writing.wait()
            for file in files:
                note(area.folder / file.uuid[:2] / file.uuid[2:4] / file.uuid)

        return record._replace(writing=Writing(finish))

    def check(work: Callable[[Any], Any]) -> Any:
        for path in area.folder.glob("??/**"):
            assert mark(path.stat()) in synced, path
        return write(work)

    study = Study(SIZES, compression, unit=1_400_000)
    transfer = house.reception.open_push(study.manifest)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", sync)
        patch.setattr(SmallLog, "append", log)
        patch.setattr(house.index, "write", check)
        for position in study.positions:
            put(house, transfer, position, study.body(position), piece)
    house.reception.commit(transfer)
    assert house.content() == study.files
    assert house.bare()


def nothing_promised(tx: Transaction, batch: Sequence[StagedInstance]) -> None:
    """Transfers promise nothing: the index has what was acknowledged."""
    raise AssertionError("nothing was promised")


@in_a_folder
@pytest.mark.parametrize("ended", ["committed", "open"])
def test_small_files_come_back_from_the_log(
    house: House, other: House, area: Area, ended: str
) -> None:
    """Their process dies with the power, and the file system has lost them."""
    study = Study(make_series(9))
    transfer = house.reception.open_push(study.manifest)
    put_all(house, study, transfer)
    if ended == "committed":
        house.reception.commit(transfer)
    for path in area.folder.glob("??/*/*"):
        path.unlink()
    reclaim(other.index, other.storage, ["process-1"])
    assert restore(other.index, other.storage, "process-1", nothing_promised) == len(study.files)
    other.reception.commit(transfer)
    assert other.content() == study.files
    assert other.bare()


@in_a_folder
def test_who_was_taken_for_dead_does_not_acknowledge_what_only_its_log_has(
    house: House, other: House
) -> None:
    """It may have been dropped. What is sent again is synced by itself, without the log."""
    study = Study(make_series(3))
    transfer = house.reception.open_push(study.manifest)
    bucket = house.reception.bucket(transfer, 0)
    bucket.write(study.body(0))
    reclaim(other.index, other.storage, ["process-1"])
    with pytest.raises(Unavailable):
        bucket.finish()
    assert house.files() == set()
    assert house.reception.missing(transfer) == list(study.positions)
    put_all(house, study, transfer)
    house.reception.commit(transfer)
    assert house.content() == study.files
    house.storage.close()
    assert restore(other.index, other.storage, "process-1", nothing_promised) == 0


def test_a_second_commit_is_answered_like_the_first(house: House) -> None:
    study = Study(MIXED)
    transfer = house.reception.open_push(study.manifest)
    put_all(house, study, transfer)
    house.reception.commit(transfer)
    house.reception.commit(transfer)
    assert house.content() == study.files
    with pytest.raises(UnknownResource):
        house.reception.discard(transfer)
    with pytest.raises(UnknownResource):
        house.reception.bucket(transfer, 0)


def test_commits_at_the_same_time_are_one(house: House) -> None:
    study = Study(MIXED)
    transfer = house.reception.open_push(study.manifest)
    put_all(house, study, transfer)
    errors = in_parallel([lambda: house.reception.commit(transfer)] * 4)
    assert errors == []
    assert house.content() == study.files


def test_what_is_stored_already_leaves_no_second_file(house: House) -> None:
    study = Study(MIXED)
    for files in (MIXED[:4], MIXED, MIXED):
        part = Study(files)
        transfer = house.reception.open_push(part.manifest)
        put_all(house, part, transfer)
        house.reception.commit(transfer)
    assert house.content() == study.files
    assert house.bare()


def test_a_transfer_makes_room_for_itself_or_waits_for_it(index: Index, area: Area) -> None:
    house = House(index, area, bounds=Bounds(maximum_patients=2))
    first, *others = [
        Study([make_instance(patient_id=name), make_instance(number=2, patient_id=name)])
        for name in "1234"
    ]

    def patients() -> list[str]:
        with index.read() as tx:
            return [row[0] for row in tx.all("SELECT patient_id FROM patients ORDER BY id")]

    for study in (first, *others[:2]):
        transfer = house.reception.open_push(study.manifest)
        put_all(house, study, transfer)
        house.reception.commit(transfer)
    assert patients() == ["2", "3"]
    with index.read() as tx:
        ids = resources.list_ids(tx, Level.PATIENT)
        assert len(deletions.pending(tx, 10)) == 2
    for orthanc_id in ids:
        index.write(lambda tx, one=orthanc_id: recycling.protect(tx, one, True))
    transfer = house.reception.open_push(others[2].manifest)
    put_all(house, others[2], transfer)
    with pytest.raises(NoRoom):
        house.reception.commit(transfer)
    assert patients() == ["2", "3"]
    index.write(lambda tx: recycling.protect(tx, ids[0], False))
    house.reception.commit(transfer)  # nothing is sent again
    assert patients() == ["3", "4"]
    assert house.content() == others[1].files | others[2].files
    house.ingest.close()


def test_what_was_here_and_has_to_go_for_the_rest_is_noticed(index: Index, area: Area) -> None:
    """A study of two patients: one was here, and is recycled for the other in the same commit."""
    house = House(index, area, bounds=Bounds(maximum_patients=1))
    here, other = (Study([make_instance(patient_id=name)]) for name in "12")
    transfer = house.reception.open_push(here.manifest)
    put_all(house, here, transfer)
    house.reception.commit(transfer)
    both = Manifest((*here.instances, *other.instances), layout.cut(other.instances, UNIT), "none")
    transfer = house.reception.open_push(both)
    put(house, transfer, 0, other.body(0))
    with pytest.raises(UnknownResource):
        house.reception.commit(transfer)
    assert house.content() == here.files
    house.ingest.close()


def kinds(house: House) -> list[str]:
    """What happened to studies and what is above and below them, but for instances."""
    with house.index.read() as tx:
        found = changes.page(tx, 0, 1000).changes
    return [one.change_type.name for one in found if one.level is not Level.INSTANCE]


def test_a_committed_study_is_received_and_stable(house: House) -> None:
    """... also when some, or all of it, was here before."""
    study = Study(MIXED)
    new = ["NewSeries", "NewStudy", "NewPatient"]
    stable = ["StableSeries", "StableStudy", "StablePatient"]
    part = Study(MIXED[:3])
    transfer = house.reception.open_push(part.manifest)
    put_all(house, part, transfer)
    house.reception.commit(transfer)
    assert kinds(house) == [*new, "StudyReceived", *stable]
    rest = [one for one in study.instances if one.orthanc_id not in part.files]
    whole = Manifest(study.instances, layout.cut(rest, UNIT), "none")
    transfer = house.reception.open_push(whole)
    for position, bucket in enumerate(whole.buckets):
        put(house, transfer, position, b"".join(study.part(chunk) for chunk in bucket.chunks))
    house.reception.commit(transfer)
    assert kinds(house) == [*new, *2 * ["StudyReceived", *stable]]
    transfer = house.reception.open_push(Manifest(study.instances, (), "none"))
    house.reception.commit(transfer)
    house.reception.commit(transfer)  # once more, as one does when the answer was lost
    assert kinds(house) == [*new, *2 * ["StudyReceived", *stable], "StudyReceived"]


def test_nothing_is_announced_when_that_is_not_wanted(index: Index, area: Area) -> None:
    house = House(index, area, announces=False)
    study = Study(MIXED)
    transfer = house.reception.open_push(study.manifest)
    put_all(house, study, transfer)
    house.reception.commit(transfer)
    assert kinds(house) == ["NewSeries", "NewStudy", "NewPatient"]
    house.ingest.close()


def test_nothing_is_committed_too(house: House) -> None:
    transfer = house.reception.open_push(Manifest((), (), "none"))
    house.reception.commit(transfer)
    assert house.visible() == set()


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_parts_of_one_instance_arrive_at_the_same_time(house: House, compression: str) -> None:
    data = make_instance(pixel_bytes=200_000)
    study = Study([data], compression, unit=2500)
    assert len(study.positions) > 30
    transfer = house.reception.open_push(study.manifest)
    works = [
        lambda position=position: put(house, transfer, position, study.body(position))
        for position in study.positions
    ]
    assert in_parallel(works) == []
    with house.index.read() as tx:
        assert transfers.unverified(tx, transfer, 10) == []
    house.reception.commit(transfer)
    assert house.content() == study.files


def test_buckets_that_complete_an_instance_together(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each looks before the other is acknowledged; the index tells the later one."""
    study = Study([make_instance(pixel_bytes=7000)], unit=2100)
    assert len(study.positions) == 2
    transfer = house.reception.open_push(study.manifest)
    both_looked = threading.Barrier(2)
    record = incoming.Incoming._record

    def late(*args: object) -> object:
        both_looked.wait(30)
        return record(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(incoming.Incoming, "_record", late)
    works = [
        lambda position=position: put(house, transfer, position, study.body(position))
        for position in study.positions
    ]
    assert in_parallel(works) == []
    with house.index.read() as tx:
        assert transfers.unverified(tx, transfer, 10) == []


def test_two_processes_share_a_transfer(
    house: House, index_settings: IndexSettings, area: Area
) -> None:
    second_index = open_index(index_settings)
    other = House(second_index, area, "process-2")
    study = Study([*MIXED, make_instance(number=30, pixel_bytes=100_000)])
    transfer = house.reception.open_push(study.manifest)
    works = [
        lambda position=position: put(
            (house, other)[position % 2], transfer, position, study.body(position)
        )
        for position in study.positions
    ]
    assert in_parallel(works) == []
    other.reception.commit(transfer)
    house.reception.commit(transfer)
    assert house.content() == study.files
    other.ingest.close()
    second_index.close()


@pytest.fixture
def other(index_settings: IndexSettings, area: Area) -> Iterator[House]:
    """A second process, on the index and the storage area of ``house``."""
    index = open_index(index_settings)
    other = House(index, area, "process-2")
    yield other
    other.ingest.close()
    index.close()


CUT = make_instance(number=30, pixel_bytes=40_000)


@pytest.mark.parametrize("committer", ["house", "other"])
@pytest.mark.parametrize("when", ["before the commit", "after the commit"])
def test_what_one_process_writes_late_touches_nothing_that_another_has_acknowledged(
    house: House, other: House, committer: str, when: str
) -> None:
    """The sender came back to another node, and its first connection is not dead."""
    study = Study([CUT])
    *first, last = study.positions
    transfer = house.reception.open_push(study.manifest)
    for position in first:
        put(house, transfer, position, study.body(position))
    slow = house.reception.bucket(transfer, last)
    put(other, transfer, last, study.body(last))
    altered = bytes(byte ^ 1 for byte in study.body(last))

    def write_late() -> None:
        with suppress(Unavailable):
            slow.write(altered)

    if when == "before the commit":
        write_late()
    {"house": house, "other": other}[committer].reception.commit(transfer)
    if when == "after the commit":
        write_late()
    slow.abort()
    assert house.content() == study.files
    house.reception.expire()
    assert house.bare()


def test_a_late_bucket_with_other_bytes_spoils_nothing(house: House, other: House) -> None:
    """... also when it gets as far as its own acknowledgement."""
    study = Study([CUT])
    *first, last = study.positions
    transfer = house.reception.open_push(study.manifest)
    late = house.reception.bucket(transfer, 0)
    late.write(bytes(byte ^ 1 for byte in study.body(0)))
    for position in first:
        put(other, transfer, position, study.body(position))
    late.finish()
    put(house, transfer, last, study.body(last))
    house.reception.commit(transfer)
    assert house.content() == study.files
    assert house.bare()


@pytest.mark.parametrize("verifier", ["house", "other"])
def test_what_is_wanted_again_goes_to_another_file(
    house: House, other: House, verifier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance is verified and then, with a late bucket, found damaged elsewhere: what the
    sender repeats now, with other bytes, must not reach the file that was verified."""
    study = Study([CUT])
    *first, last = study.positions
    transfer = house.reception.open_push(study.manifest)
    for position in first:
        put(house, transfer, position, study.body(position))
    bad = other.reception.bucket(transfer, last)
    bad.write(bytes(byte ^ 1 for byte in study.body(last)))
    with monkeypatch.context() as patch:
        if verifier == "other":
            patch.setattr(limits, "VERIFY_WITH_BUCKET_BYTES", 0)
        put(house, transfer, last, study.body(last))
        row, _ = other.reception.look(transfer)
        other.reception._commits._verify_rest(row, lambda stage: None)  # as a commit does
    with pytest.raises(CorruptedFile):
        bad.finish()
    assert house.reception.missing(transfer) == list(study.positions)
    for position in study.positions[1:]:
        put(house, transfer, position, bytes(byte ^ 1 for byte in study.body(position)))
    house.reception.commit(transfer)
    assert house.content() == study.files
    assert house.bare()


@in_a_folder
def test_parts_that_an_earlier_version_has_acknowledged_count(house: House, other: House) -> None:
    """It kept them in the one file that the instance names."""
    study = Study([CUT])
    *first, last = study.positions
    transfer = house.reception.open_push(study.manifest)
    for position in first:
        put(house, transfer, position, study.body(position))
    (name,) = house.files()

    def as_before(tx: Transaction) -> None:
        tx.run("UPDATE transfer_buckets SET files = NULL")
        tx.run("UPDATE transfer_instances SET uuid = ?", (name,))

    house.index.write(as_before)
    put(other, transfer, last, study.body(last))
    other.reception.commit(transfer)
    assert house.content() == study.files


def test_a_damaged_instance_is_brought_again_through_two_processes(
    house: House, other: House
) -> None:
    study = Study([CUT, make_instance(number=31, pixel_bytes=30_000)])
    transfer = house.reception.open_push(study.manifest)
    houses = (house, other)
    for position in study.positions:
        body = bytearray(study.body(position))
        body[-1] ^= position == 3
        with suppress(CorruptedFile):
            put(houses[position % 2], transfer, position, bytes(body))
    again = house.reception.missing(transfer)
    assert again
    for position in again:
        put(houses[position % 3 > 0], transfer, position, study.body(position))
    other.reception.commit(transfer)
    assert house.content() == study.files
    assert house.bare()


def test_it_goes_on_after_everything_was_opened_again(
    index_settings: IndexSettings, area: Area
) -> None:
    study = Study(MIXED)
    transfer = ""
    for position in study.positions:
        index = open_index(index_settings)
        house = House(index, area)
        house.reception.expire()
        transfer = transfer or house.reception.open_push(study.manifest)
        assert house.reception.missing(transfer) == list(study.positions)[position:]
        put(house, transfer, position, study.body(position))
        house.ingest.close()
        index.close()
    index = open_index(index_settings)
    house = House(index, area)
    house.reception.commit(transfer)
    assert house.content() == study.files
    assert house.bare()
    house.ingest.close()
    index.close()


def test_what_a_crash_left_unverified_the_commit_verifies(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study([make_instance(pixel_bytes=50_000)])
    transfer = house.reception.open_push(study.manifest)
    monkeypatch.setattr(limits, "VERIFY_WITH_BUCKET_BYTES", 0)  # as if it had died before
    put_all(house, study, transfer)
    with house.index.read() as tx:
        assert len(transfers.unverified(tx, transfer, 10)) == 1
    house.reception.commit(transfer)
    assert house.content() == study.files


# --- the same bucket again -----------------------------------------------------------------
def test_a_bucket_may_come_twice(house: House) -> None:
    study = Study(MIXED)
    transfer = house.reception.open_push(study.manifest)
    for _ in range(2):
        put_all(house, study, transfer)
    house.reception.commit(transfer)
    assert house.content() == study.files
    assert house.bare()


def test_a_bad_second_copy_changes_nothing(house: House) -> None:
    study = Study(MIXED)
    transfer = house.reception.open_push(study.manifest)
    put_all(house, study, transfer)
    for position in study.positions:
        body = bytearray(study.body(position))
        body[-1] ^= 1
        try:
            put(house, transfer, position, bytes(body))
        except CorruptedFile:
            continue
        assert len(study.manifest.buckets[position].chunks) == 1  # part of one that was cut
    house.reception.commit(transfer)
    assert house.content() == study.files


def test_a_later_attempt_takes_the_place_of_an_earlier_one(house: House) -> None:
    study = Study([make_instance(pixel_bytes=7000)], unit=2100)
    transfer = house.reception.open_push(study.manifest)
    earlier = house.reception.bucket(transfer, 0)
    earlier.write(study.body(0)[:100])
    later = house.reception.bucket(transfer, 0)
    with pytest.raises(Unavailable):
        earlier.write(b"\xff" * 100)
    earlier.abort()
    later.write(study.body(0))
    later.finish()
    put(house, transfer, 1, study.body(1))
    house.reception.commit(transfer)
    assert house.content() == study.files


# --- what must not pass --------------------------------------------------------------------
def refused(house: House, transfer: str, position: int, body: bytes) -> WherryError:
    with pytest.raises(WherryError) as error:
        put(house, transfer, position, body)
    assert position in (house.reception.missing(transfer) or [])
    return error.value


@pytest.mark.parametrize("stored", range(4))
def test_a_file_that_cannot_be_stored_refuses_its_bucket(
    house: House, stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones by the handful, others alone, and parts: the first of them, or one of the next."""
    monkeypatch.setattr(limits, "SMALL_FILE_BYTES", 2500)
    study = Study(MIXED[:4] + [make_instance(number=n, pixel_bytes=3000 * n) for n in range(5, 8)])
    cut, *others = study.instances
    chunks = (Chunk(cut.orthanc_id, 0, 100), *(Chunk(o.orthanc_id, 0, o.size) for o in others))
    rest = Bucket((Chunk(cut.orthanc_id, 100, cut.size - 100),))
    study.manifest = Manifest(study.instances, (Bucket(chunks), rest), "none")
    transfer = house.reception.open_push(study.manifest)
    calls = itertools.count()

    def full(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            if next(calls) >= stored:
                raise StorageFull
            return method(*args)

        return call

    with monkeypatch.context() as patch:
        for name in ("create", "put", "reopen"):
            patch.setattr(house.storage, name, full(getattr(house.storage, name)))
        assert isinstance(refused(house, transfer, 0, study.body(0)), StorageFull)
    assert len(house.files()) <= house.storage.shares_files  # the file that parts share stays
    put_all(house, study, transfer)


@pytest.mark.parametrize("area", ["objects"], indirect=True)
@pytest.mark.parametrize("what", ["instances", "parts"])
def test_a_store_that_is_out_of_reach_holds_nobody_up(
    house: House, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was stored of a bucket when it went stays, and goes with the transfer."""
    monkeypatch.setattr(limits, "SMALL_FILE_BYTES", 0)
    study = Study(make_series(4) if what == "instances" else [CUT], unit=20_000)
    transfer = house.reception.open_push(study.manifest)

    def gone(*_: object) -> None:
        raise StorageUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(house.storage, "delete", gone)
        patch.setattr(transfers, "acknowledge", gone)
        assert isinstance(refused(house, transfer, 0, study.body(0)), Unavailable)
    assert house.reception.running.transfers() == set()
    assert house.files()
    put_all(house, study, transfer)
    with monkeypatch.context() as patch:
        patch.setattr(house.storage, "delete", gone)
        assert house.reception._commits.commit(transfer)
    assert house.content() == study.files
    assert house.bare()


@pytest.mark.parametrize("area", ["objects"], indirect=True)
def test_several_files_of_a_bucket_are_stored_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SMALL_FILE_BYTES", 0)
    study = Study(make_series(8), unit=100_000)
    transfer = house.reception.open_push(study.manifest)
    together, create = threading.Barrier(4), house.storage.create

    def late(*args: Any) -> Any:
        together.wait(30)
        return create(*args)

    monkeypatch.setattr(house.storage, "create", late)
    put_all(house, study, transfer)
    house.reception.commit(transfer)
    assert house.content() == study.files


@pytest.mark.parametrize("place", [0, 700, -1])
def test_a_corrupted_bucket_names_the_instance(house: House, place: int) -> None:
    study = Study(make_series(7))
    transfer = house.reception.open_push(study.manifest)
    body = bytearray(study.body(0))
    body[place] ^= 0x40
    error = refused(house, transfer, 0, bytes(body))
    assert isinstance(error, CorruptedFile)
    chunks = study.manifest.buckets[0].chunks
    assert chunks[0 if place >= 0 else -1].orthanc_id in error.details
    assert house.files() == set()
    with pytest.raises(CorruptedFile, match=study.instances[0].orthanc_id):
        house.reception.commit(transfer)
    put_all(house, study, transfer)
    house.reception.commit(transfer)
    assert house.content() == study.files


def test_a_corrupted_part_names_the_instance(house: House) -> None:
    study = Study([make_instance(pixel_bytes=20_000)])
    name = study.instances[0].orthanc_id
    transfer = house.reception.open_push(study.manifest)
    body = bytearray(study.body(1))
    body[500] ^= 1
    put(house, transfer, 1, bytes(body))
    for position in study.positions[2:]:
        put(house, transfer, position, study.body(position))
    error = refused(house, transfer, 0, study.body(0))
    assert isinstance(error, CorruptedFile)
    assert name in error.details
    assert house.reception.missing(transfer) == list(study.positions)  # whose fault, who knows
    with pytest.raises(CorruptedFile, match=name):
        house.reception.commit(transfer)
    assert house.visible() == set()
    put_all(house, study, transfer)
    house.reception.commit(transfer)
    assert house.content() == study.files


def test_a_missing_bucket_names_an_instance_and_nothing_is_visible(house: House) -> None:
    study = Study(MIXED)
    for skipped in study.positions:
        transfer = house.reception.open_push(study.manifest)
        put_all(house, study, transfer, skip=skipped)
        names = "|".join(chunk.orthanc_id for chunk in study.manifest.buckets[skipped].chunks)
        with pytest.raises(CorruptedFile, match=names):
            house.reception.commit(transfer)
        assert house.visible() == set()
        house.reception.discard(transfer)
        assert house.files() == set()
    transfer = house.reception.open_push(study.manifest)
    put_all(house, study, transfer)
    house.reception.commit(transfer)
    assert house.bare()


@pytest.mark.parametrize("pixel_bytes", [1000, 20_000])
def test_an_instance_that_is_another_one_is_refused(house: House, pixel_bytes: int) -> None:
    data = make_instance(number=1, pixel_bytes=pixel_bytes)
    real = scan(data).identifiers.instance
    wrong = scan(make_instance(number=2)).identifiers.instance
    promised = (ManifestInstance(wrong, len(data), hashlib.md5(data).hexdigest()),)
    study = Study([data])
    study.files = {wrong: data}
    study.manifest = Manifest(promised, layout.cut(promised, UNIT), "none")
    transfer = house.reception.open_push(study.manifest)
    for position in study.positions[:-1]:
        put(house, transfer, position, study.body(position))
    error = refused(house, transfer, study.positions[-1], study.body(study.positions[-1]))
    assert isinstance(error, CorruptedFile)
    assert wrong in error.details
    assert real in error.details
    with pytest.raises(CorruptedFile, match=wrong):
        house.reception.commit(transfer)
    assert house.visible() == set()


def test_what_is_not_dicom_is_refused(house: House) -> None:
    data = b"hello" * 100
    name = "0a1b2c3d-00000000-11111111-22222222-33333333"
    promised = (ManifestInstance(name, len(data), hashlib.md5(data).hexdigest()),)
    manifest = Manifest(promised, layout.cut(promised, UNIT), "none")
    transfer = house.reception.open_push(manifest)
    error = refused(house, transfer, 0, data)
    assert isinstance(error, BadFileFormat)
    assert name in error.details
    assert house.files() == set()


@pytest.mark.parametrize(
    "change", [lambda body: body[:-1], lambda body: body + b"x", lambda _: b""]
)
def test_a_body_of_another_size_is_refused(house: House, change: Callable[[bytes], bytes]) -> None:
    study = Study(make_series(3))
    transfer = house.reception.open_push(study.manifest)
    error = refused(house, transfer, 0, change(study.body(0)))
    assert isinstance(error, NetworkProtocol)
    assert str(study.manifest.buckets[0].size) in error.details
    with pytest.raises(NetworkProtocol):
        house.reception.bucket(transfer, 0).check_length(17)
    assert house.files() == set()


def bad_gzip(kind: str, body: bytes) -> bytes:
    plain = gzip.decompress(body)
    return {
        "not gzip": plain,
        "zlib": __import__("zlib").compress(plain),
        "crc": body[:-8] + b"\0\0\0\0" + body[-4:],
        "truncated": body[:-3],
        "tiny": b"\x1f\x8b",
        "empty": b"",
        "short": gzip.compress(plain[:-1]),
        "long": gzip.compress(plain + b"x"),
        "two members": body + gzip.compress(b""),
        "garbage": body + b"garbage",
        "bomb": gzip.compress(plain + bytes(50_000_000)),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("not gzip", 500, -1),
        ("zlib", 500, -1),
        ("crc", 500, -1),
        ("truncated", 400, 15),
        ("tiny", 400, 15),
        ("empty", 400, 15),
        ("short", 500, 9),
        ("long", 500, 9),
        ("two members", 500, 9),
        ("garbage", 500, 9),
        ("bomb", 500, 9),
    ],
)
@pytest.mark.parametrize("files", [make_series(3), [make_instance(pixel_bytes=6000)]])
def test_a_bad_gzip_is_refused(
    house: House, kind: str, status: int, code: int, files: list[bytes]
) -> None:
    study = Study(files, "gzip", unit=3500)
    transfer = house.reception.open_push(study.manifest)
    error = refused(house, transfer, 0, bad_gzip(kind, study.body(0)))
    assert (error.http_status, error.code) == (status, code)


def declared(chunks: Sequence[Sequence[Chunk]], data: bytes) -> Manifest:
    name = scan(data).identifiers.instance
    instance = ManifestInstance(name, len(data), hashlib.md5(data).hexdigest())
    return Manifest((instance,), tuple(Bucket(tuple(bucket)) for bucket in chunks), "none")


def test_what_upstream_notices_when_the_bucket_comes(house: House) -> None:
    data = make_instance()
    name = scan(data).identifiers.instance
    manifest = declared(
        [[Chunk("nobody", 0, 1)], [Chunk(name, 0, len(data) + 1)], [Chunk(name, len(data), 1)], []],
        data,
    )
    transfer = house.reception.open_push(manifest)
    with pytest.raises(UnknownResource, match="Unknown instance"):
        house.reception.bucket(transfer, 0)
    for position in (1, 2, 4, 2**63, 2**64 - 1):
        with pytest.raises(ParameterOutOfRange):
            house.reception.bucket(transfer, position)
    put(house, transfer, 3, b"")
    with pytest.raises(CorruptedFile, match=name):
        house.reception.commit(transfer)


def test_a_strange_layout_is_served_if_every_byte_comes(house: House) -> None:
    """Overlaps, an instance that lies whole in two buckets, empty ranges."""
    data = make_instance()
    name = scan(data).identifiers.instance
    size = len(data)
    manifest = declared(
        [
            [Chunk(name, 0, 0), Chunk(name, 0, 700), Chunk(name, 0, 0)],
            [Chunk(name, 100, size - 100)],
            [Chunk(name, 0, size)],
        ],
        data,
    )
    transfer = house.reception.open_push(manifest)
    put(house, transfer, 1, data[100:])
    put(house, transfer, 2, data)
    with pytest.raises(CorruptedFile, match=name):
        house.reception.commit(transfer)
    put(house, transfer, 0, data[:700])
    house.reception.commit(transfer)
    assert house.content() == {name: data}


def test_a_bucket_carries_parts_of_several_instances(house: House, other: House) -> None:
    """... and a whole one between them, and one of them twice."""
    study = Study([make_instance(number=number) for number in range(3)])
    one, two, whole = study.instances
    layouts = [
        [
            Chunk(one.orthanc_id, 0, 300),
            Chunk(whole.orthanc_id, 0, whole.size),
            Chunk(two.orthanc_id, 200, two.size - 200),
            Chunk(one.orthanc_id, 300, 400),
        ],
        [Chunk(two.orthanc_id, 0, 200), Chunk(one.orthanc_id, 700, one.size - 700)],
    ]
    buckets = tuple(Bucket(tuple(chunks)) for chunks in layouts)
    study.manifest = Manifest(study.instances, buckets, "none")
    for first, second in ((house, other), (other, other)):
        transfer = house.reception.open_push(study.manifest)
        put(first, transfer, 1, study.body(1))
        put(second, transfer, 0, study.body(0))
        house.reception.commit(transfer)
        assert house.content() == study.files
        assert house.bare()


def test_a_cut_bucket_goes_on_only_where_its_beginning_is(house: House, other: House) -> None:
    study = Study([CUT], "auto", unit=20_000)
    transfer = house.reception.open_push(study.manifest)
    bucket = house.reception.bucket(transfer, 0)
    bucket.write(study.body(0)[:5000])
    bucket.cut_off()
    assert other.reception.taken(transfer, 0) == 0
    with pytest.raises(BadSequenceOfCalls):
        other.reception.resume(transfer, 0, 5000)
    assert house.reception.taken(transfer, 0) == 5000
    there = other.reception.bucket(transfer, 0)
    here = house.reception.resume(transfer, 0, 5000)
    for one, start in ((here, 5000), (there, 0)):
        one.write(study.body(0)[start:] + study.seal(0))
        one.finish()
    for position in study.positions[1:]:
        put(other, transfer, position, study.body(position) + study.seal(position))
    house.reception.commit(transfer)
    assert house.content() == study.files
    assert house.bare()


def test_a_gap_is_noticed(house: House) -> None:
    data = make_instance()
    name = scan(data).identifiers.instance
    size = len(data)
    manifest = declared([[Chunk(name, 0, 500)], [Chunk(name, 501, size - 501)]], data)
    transfer = house.reception.open_push(manifest)
    put(house, transfer, 0, data[:500])
    assert isinstance(refused(house, transfer, 1, data[501:]), CorruptedFile)
    assert house.visible() == set()


@pytest.mark.parametrize(
    "transfer", ["", "x", "..", "0" * 36, "A1B2C3D4-0000-4000-8000-000000000000", "\0"]
)
def test_unknown_transfers(house: House, transfer: str) -> None:
    for call in (
        lambda: house.reception.bucket(transfer, 0),
        lambda: house.reception.commit(transfer),
        lambda: house.reception.discard(transfer),
        lambda: house.reception.look(transfer),
    ):
        with pytest.raises(UnknownResource):
            call()


# --- bounds, slots, ends -------------------------------------------------------------------
def big(size: int, count: int = 1) -> Manifest:
    made = tuple(
        ManifestInstance(f"{n:08x}-00000000-11111111-22222222-33333333", size, "0" * 32)
        for n in range(count)
    )
    return Manifest(made, (), "none")


def test_a_declaration_beyond_the_quota_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_bucket = (Bucket((Chunk("x", 0, limits.BUCKET_BYTES + 1),)),)
    for manifest in (
        big(limits.INSTANCE_BYTES + 1),
        big(limits.INSTANCE_BYTES, 17),
        big(1, limits.TRANSFER_INSTANCES + 1),
        Manifest((), one_bucket, "none"),
    ):
        with pytest.raises(TooLarge):
            house.reception.open_push(manifest)
    monkeypatch.setattr(
        type(house.storage), "free_bytes", lambda _self: limits.FREE_DISK_BYTES + 1000
    )
    with pytest.raises(StorageFull):
        house.reception.open_push(big(1001))
    house.reception.open_push(big(1000))
    assert house.files() == set()
    bounded = Quota(store_bytes=2000)
    bounded.check(big(1000, 2), limits.GIB)
    with pytest.raises(NoRoom):
        bounded.check(big(1001, 2), limits.GIB)


def test_room_is_promised_to_those_who_came_first(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(MIXED)
    size = sum(one.size for one in study.instances)
    free = limits.FREE_DISK_BYTES + size + size // 2
    monkeypatch.setattr(type(house.storage), "free_bytes", lambda _self: free)
    first = house.reception.open_push(study.manifest)
    other = big(size, 1)
    with pytest.raises(Unavailable) as error:
        house.reception.open_push(other)
    assert (error.value.http_status, error.value.retry_after_s > 0) == (503, True)
    pull = house.reception.declare(other, kind="pull")
    with pytest.raises(Unavailable):
        house.index.write(pull.write)
    with pytest.raises(StorageFull):
        house.reception.open_push(big(2 * size))
    house.reception.open_push(big(size // 3))  # this one fits beside the first
    put_all(house, study, first)
    house.reception.open_push(other)  # what has arrived counts as used, not as promised
    assert house.reception.missing(first) == []


def test_the_silent_give_way_when_there_is_no_room(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = limits.FREE_DISK_BYTES + 1000
    monkeypatch.setattr(type(house.storage), "free_bytes", lambda _self: free)
    silent = [house.reception.open_push(big(400)) for _ in range(2)]
    later = clock.timestamp() + limits.TRANSFER_SLOT_IDLE_S + 1
    monkeypatch.setattr(clock, "timestamp", lambda: later)
    house.reception.open_push(big(500))
    assert [house.reception.missing(one) is None for one in silent] == [True, False]


def test_a_transfer_expires_when_it_is_configured_to(
    index: Index, area: Area, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(index, area)
    house.reception.quota = Quota(idle_s=60)
    transfer = house.reception.open_push(Study(MIXED).manifest)
    assert house.reception.expire() == 0
    later = clock.timestamp() + 61
    monkeypatch.setattr(clock, "timestamp", lambda: later)
    assert house.reception.expire() == 1
    assert house.reception.missing(transfer) is None
    house.ingest.close()


def test_slots_are_not_taken_from_the_living(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(MIXED)
    opened = [house.reception.open_push(study.manifest) for _ in range(Quota().pushes)]
    put(house, opened[0], 0, study.body(0))
    with pytest.raises(Unavailable) as error:
        house.reception.open_push(study.manifest)
    assert error.value.http_status == 503
    assert error.value.retry_after_s > 0
    pull = house.reception.declare(study.manifest, kind="pull")
    house.index.write(pull.write)
    later = clock.timestamp() + limits.TRANSFER_SLOT_IDLE_S + 1
    monkeypatch.setattr(clock, "timestamp", lambda: later)
    for transfer in opened[1:]:
        put(house, transfer, 0, study.body(0))
    house.reception.open_push(study.manifest)
    assert house.reception.missing(opened[0]) is None
    assert house.reception.missing(opened[1]) is not None
    house.reception.expire()
    assert len(house.files()) == sum(len(study.manifest.buckets[0].chunks) for _ in opened[1:])


def test_a_push_belongs_to_the_user_who_opened_it(house: House) -> None:
    study = Study(MIXED)
    transfer = house.reception.open_push(study.manifest, username="alice")
    pull = house.reception.declare(study.manifest, kind="pull")
    house.index.write(pull.write)
    for call in (house.reception.commit, house.reception.discard, house.reception.look):
        with pytest.raises(UnknownResource):
            call(transfer, "bob")
        with pytest.raises(UnknownResource):
            call(pull.transfer.id, "")
    with pytest.raises(UnknownResource):
        house.reception.bucket(transfer, 0, "bob")
    assert house.reception.look(transfer, "alice")[1] == []
    house.reception.discard(transfer, "alice")


def test_discarding_removes_everything(house: House) -> None:
    study = Study(MIXED)
    transfer = house.reception.open_push(study.manifest)
    put_all(house, study, transfer, skip=0)
    house.reception.discard(transfer)
    assert house.bare()
    assert house.visible() == set()
    for call in (house.reception.discard, house.reception.commit):
        with pytest.raises(UnknownResource):
            call(transfer)


def test_a_bucket_under_way_does_not_survive_the_end(house: House) -> None:
    study = Study(MIXED)
    transfer = house.reception.open_push(study.manifest)
    bucket = house.reception.bucket(transfer, study.positions[-1])
    bucket.write(study.body(study.positions[-1])[:2500])
    house.reception.discard(transfer)
    with pytest.raises(Unavailable):
        bucket.write(b"more")
    with pytest.raises(Unavailable):
        bucket.finish()
    assert house.files() == set()


def test_a_bucket_in_another_process_does_not_survive_the_end(
    house: House, index_settings: IndexSettings, area: Area, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(MIXED)
    second_index = open_index(index_settings)
    other = House(second_index, area, "process-2")
    transfer = house.reception.open_push(study.manifest)
    last = study.positions[-1]
    finishing = house.reception.bucket(transfer, last)
    finishing.write(study.body(last))
    killed = house.reception.bucket(transfer, 0)
    killed.write(study.body(0)[:-1])
    other.reception.discard(transfer)
    with pytest.raises(UnknownResource):
        finishing.finish()
    later = clock.timestamp() + limits.TRANSFER_GRACE_S + 1
    other.reception.expire()
    with second_index.read() as tx:
        assert staging.blocks(tx, f"transfer:{transfer}")
    monkeypatch.setattr(clock, "timestamp", lambda: later)
    other.reception.expire()
    assert house.files() == set()
    with second_index.read() as tx:
        assert not staging.blocks(tx, f"transfer:{transfer}")
        assert transfers.get(tx, transfer) is None
    other.ingest.close()
    second_index.close()


def test_idle_transfers_are_discarded_and_old_ones_forgotten(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(MIXED)
    done, idle, used, receiving = (house.reception.open_push(study.manifest) for _ in range(4))
    put_all(house, study, done)
    house.reception.commit(done)
    put(house, idle, 0, study.body(0))
    bucket = house.reception.bucket(receiving, 0)
    now = clock.timestamp()
    monkeypatch.setattr(clock, "timestamp", lambda: now + limits.TRANSFER_IDLE_S + 1)
    put(house, used, 0, study.body(0))
    assert house.reception.expire() == 1
    assert house.reception.missing(idle) is None
    assert house.reception.missing(used) is not None
    assert house.reception.missing(receiving) is not None
    bucket.abort()
    house.reception.commit(done)
    monkeypatch.setattr(clock, "timestamp", lambda: now + limits.TRANSFER_MEMORY_S * 2)
    assert house.reception.expire() == 2
    with pytest.raises(UnknownResource):
        house.reception.commit(done)
    assert house.content() == study.files
    assert house.bare()


def test_an_acknowledgement_of_unknown_outcome_keeps_its_files(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection to the database breaks during COMMIT: it may have happened."""
    study = Study(MIXED)
    transfer = house.reception.open_push(study.manifest)
    write = house.index.write

    def broken(work: Callable[[object], object]) -> object:
        write(work)  # type: ignore[arg-type]
        raise DatabaseUnavailable("connection lost")

    last = study.positions[-1]
    with monkeypatch.context() as patch:
        patch.setattr(house.index, "write", broken)
        with pytest.raises(DatabaseUnavailable):
            put(house, transfer, last, study.body(last))
    put_all(house, study, transfer)
    house.reception.commit(transfer)
    assert house.content() == study.files


def in_parallel(works: Sequence[Callable[[], None]]) -> list[BaseException]:
    errors: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors
