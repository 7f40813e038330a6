"""Commits that the log of small files promises: a power cut takes them from the index, and the next
start has them again, once and as they were."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_instance
from wherry import limits
from wherry.errors import (
    BadFileFormat,
    BadSequenceOfCalls,
    CannotWriteFile,
    DatabaseUnavailable,
    ParameterOutOfRange,
)
from wherry.index import changes, resources, staging
from wherry.index.database import Index, Transaction
from wherry.index.opening import IndexSettings, open_index
from wherry.index.recycling import Bounds
from wherry.ingest import promises
from wherry.ingest.handful import _Arrival
from wherry.ingest.ingest import Ingest
from wherry.ingest.promises import Promise
from wherry.ingest.recovery import Janitor, reclaim, restore, seize
from wherry.model import Level, Origin, StagedInstance, Stored, StoreStatus, Summary
from wherry.storage import smalllog
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.submitted import Writing

FIRST, HEIR = "process-1", "process-2"
ORIGIN = Origin("DicomProtocol", "10.0.0.1", "somebody", "CT1", "WHERRY")


def anything(_: Summary) -> None:
    """Every instance is the one that was announced."""


@dataclass
class House:
    """One process: its index, its files, its ingest."""

    index: Index
    storage: FilesystemStorage
    janitor: Janitor
    ingest: Ingest
    owner: str

    def store(self, number: int, origin: Origin = ORIGIN) -> StoreStatus:
        data = bytearray(make_instance(1, 1, number))
        return self.ingest.store_now(data, origin, anything).status

    def instances(self) -> list[str]:
        with self.index.read() as tx:
            return resources.list_ids(tx, Level.INSTANCE)

    def log(self) -> list[tuple[int, str, str]]:
        with self.index.read() as tx:
            return [
                (one.seq, str(one.change_type), one.orthanc_id)
                for one in changes.page(tx, 0, 1000).changes
            ]

    def received(self) -> list[tuple[str, Origin]]:
        with self.index.read() as tx:
            rows = tx.all(
                "SELECT reception_date, origin, remote_ip, username, remote_aet, called_aet"
                " FROM instances ORDER BY id"
            )
        return [(date, Origin(*origin)) for date, *origin in rows]

    def recover(self, dead: str = FIRST) -> int:
        seize(self.index, [dead])
        restored = restore(self.index, self.storage, dead, self.ingest.keep_promised)
        reclaim(self.index, self.storage, [])
        return restored


class Home:
    """Where processes live one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "wherry.db"

    @contextmanager
    def process(
        self, owner: str, *, overwrite: bool = False, bounds: Bounds | None = None
    ) -> Iterator[House]:
        index = open_index(IndexSettings(sqlite_path=self.database, postgresql=None))
        storage = FilesystemStorage(self.folder / "storage", owner)
        janitor = Janitor(index, storage)
        ingest = Ingest(
            index,
            storage,
            janitor,
            owner=owner,
            overwrite=overwrite,
            bounds=bounds,
            max_instance_bytes=1_000_000,
        )
        try:
            yield House(index, storage, janitor, ingest, owner)
        finally:
            index.close()

    def keep(self) -> None:
        """The disk has the index as it is now."""
        copy = self.folder / "durable"
        copy.mkdir(exist_ok=True)
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{self.database}{suffix}", copy / f"wherry.db{suffix}")

    def cut(self, spoil: Callable[[Path], object] = Path.unlink) -> None:
        """The power: the index is as it was kept, files that were not synced are spoiled."""
        for suffix in ("-shm", "-wal", ""):
            Path(f"{self.database}{suffix}").unlink(missing_ok=True)
        for path in (self.folder / "durable").iterdir():
            shutil.copyfile(path, self.folder / path.name)
        for path in (self.folder / "storage").glob("??/*/*"):
            spoil(path)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_what_was_answered_is_there_again_and_as_it_was(home: Home) -> None:
    with home.process(FIRST) as house:
        house.store(1)
        home.keep()
        for number in range(2, 80):
            assert house.store(number) is StoreStatus.SUCCESS
        before = house.instances(), house.log(), house.received()
    home.cut()
    with home.process(HEIR) as heir:
        assert heir.instances() == before[0][:1]
        assert heir.recover() == 79
        assert (heir.instances(), heir.log(), heir.received()) == before
        assert heir.received()[1][1] == ORIGIN
        assert heir.recover() == 0
        assert heir.instances() == before[0]
        with heir.index.read() as tx:
            assert staging.owners(tx) == []
        assert not heir.storage.logs()


def test_what_was_deleted_stays_away(home: Home) -> None:
    with home.process(FIRST) as house:
        house.store(1)
        house.store(2)
        [first, second] = house.instances()
        house.store(3)
        house.index.write(lambda tx: resources.delete(tx, Level.INSTANCE, second))
        home.keep()
        third = house.instances()[-1]
        house.store(4)
        fourth = house.instances()[-1]
    home.cut()
    with home.process(HEIR) as heir:
        heir.recover()
        assert heir.instances() == [first, third, fourth]


def test_a_commit_that_is_not_promised_keeps_those_before_it(home: Home) -> None:
    """What SQLite syncs, it syncs with all that came before."""
    with home.process(FIRST) as house:
        house.store(1)
        writer = house.index._writer
        assert writer is not None

        def level() -> object:
            return writer.one("PRAGMA synchronous")

        assert level() == (1,)
        house.index.write(lambda tx: tx.run("UPDATE totals SET export_seq = export_seq + 1"))
        assert level() == (2,)
        house.store(2)
        assert level() == (1,)


def test_to_secure_is_to_sync(home: Home) -> None:
    """A commit that changes nothing would not be synced, so it changes something."""
    with home.process(FIRST) as house:
        house.store(1)
        writer = house.index._writer
        assert writer is not None
        for _ in range(2):
            house.store(2)
            before = writer._raw.total_changes  # type: ignore[attr-defined]
            house.ingest._files.secure()
            assert writer.one("PRAGMA synchronous") == (2,)
            assert writer._raw.total_changes > before  # type: ignore[attr-defined]


@pytest.mark.parametrize("times", [1, 2, 5])
def test_recovery_may_be_interrupted(home: Home, times: int) -> None:
    """After any of its commits; another one goes on."""
    with home.process(FIRST) as house:
        house.store(1)
        home.keep()
        for number in range(2, 200):
            house.store(number)
        before = house.instances(), house.log()
    home.cut()
    with home.process(HEIR) as heir:
        seize(heir.index, [FIRST])
        left = times

        def insert_some(*given: object) -> None:
            nonlocal left
            if not left:
                raise CannotWriteFile("stopped")
            left -= 1
            heir.ingest.keep_promised(*given)  # type: ignore[arg-type]

        with pytest.raises(CannotWriteFile):
            restore(heir.index, heir.storage, FIRST, insert_some)
        heir.recover()
        assert (heir.instances(), heir.log()) == before


def test_what_the_index_refused_keeps_nothing_else_away(home: Home) -> None:
    """It was in a handful that the power cut met before it was stored one by one."""
    with home.process(FIRST) as house:
        house.store(1)
        home.keep()
        done: list[Stored | None] = []
        house.ingest._handfuls._store(
            [
                _Arrival(
                    bytearray(make_instance(1, 1, number)),
                    ORIGIN,
                    lambda stored, error: done.append(stored),
                )
                for number in range(2, 6)
            ]
        )
        assert len([one for one in done if one is not None]) == 4
        assert {one.record for one in house.storage.logged(FIRST)} == {1, 2}
        before = house.instances()
    home.cut()
    with home.process(HEIR) as heir:
        seize(heir.index, [FIRST])

        def insert(tx: Transaction, batch: Sequence[StagedInstance]) -> None:
            if any(one.summary.identifiers.instance == before[2] for one in batch):
                raise ParameterOutOfRange("A value cannot be represented in the index")
            heir.ingest.keep_promised(tx, batch)

        restore(heir.index, heir.storage, FIRST, insert)
        assert heir.instances() == [*before[:2], *before[3:]]
        heir.recover()
        assert heir.instances() == [*before[:2], *before[3:]]


def test_the_first_of_two_that_are_the_same_counts(home: Home) -> None:
    with home.process(FIRST) as house:
        house.store(1)
        home.keep()
        house.store(2)
        assert house.store(2) is StoreStatus.ALREADY_STORED
        house.store(3)
        before = house.instances(), house.log()
    home.cut()
    with home.process(HEIR) as heir:
        heir.recover()
        assert (heir.instances(), heir.log()) == before
        assert len(list((home.folder / "storage").glob("??/*/*"))) == 3


def test_the_log_forgets_nothing_that_is_not_synced(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes through its halves again and again; the index was synced each time before."""
    monkeypatch.setattr(limits, "SMALL_LOG_BYTES", limits.MIB)
    monkeypatch.setattr(limits, "SMALL_LOG_MOST_BYTES", limits.MIB)
    with home.process(FIRST) as house:
        secure = house.ingest._files.secure

        def secure_and_keep() -> None:
            secure()
            house.index.write(lambda tx: home.keep())  # nobody else writes meanwhile

        house.storage.before_forgetting(secure_and_keep)
        house.store(1)
        home.keep()
        number = 1
        for number in range(2, 700):
            house.store(number)
        before = house.instances(), house.log()
        assert len(before[0]) == number
    home.cut(lambda path: None)
    with home.process(HEIR) as heir:
        assert 1 < len(heir.instances()) < number
        heir.recover()
        assert (heir.instances(), heir.log()) == before


def test_a_clean_stop_leaves_no_promise(home: Home) -> None:
    with home.process(FIRST) as house:
        for number in range(5):
            house.store(number)
        house.ingest.close()
        home.keep()
        house.storage.close()
    home.cut(lambda path: None)
    with home.process(HEIR) as heir:
        assert not heir.storage.logs()
        assert len(heir.instances()) == 5


def test_nothing_is_promised_where_a_commit_takes_something_away(home: Home) -> None:
    """The file of what it takes away would go, and a power cut would bring the row back."""
    for settings in ({"overwrite": True}, {"bounds": Bounds(maximum_patients=1)}):
        with home.process(FIRST, **settings) as house:  # type: ignore[arg-type]
            house.store(1)
            assert not any(one.file.note for one in house.storage.logged(FIRST))
            assert house.index._writer is not None
            assert house.index._writer.one("PRAGMA synchronous") == (2,)


def test_a_note_that_is_too_long_is_no_promise(home: Home) -> None:
    with home.process(FIRST) as house:
        house.store(1, Origin("RestApi", username="x" * limits.SMALL_NOTE_BYTES))
        home.keep()
    home.cut()
    with home.process(HEIR) as heir:
        heir.recover()
        assert len(heir.instances()) == 1


def test_who_was_taken_for_dead_promises_nothing_more(home: Home) -> None:
    with home.process(FIRST) as house:
        house.store(1)
        with home.process(HEIR) as heir:
            heir.recover()
            with pytest.raises(BadSequenceOfCalls):
                house.store(2)
            assert house.store(2) is StoreStatus.SUCCESS  # synced by itself, in new blocks
            assert len(heir.instances()) == 2


def test_nothing_is_visible_before_the_record_is_durable(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on = threading.Event(), threading.Event()
    write = smalllog._Half.write

    def slow(half: smalllog._Half, *given: Any) -> Writing:
        writing = write(half, *given)

        def finish() -> None:
            started.set()
            assert go_on.wait(10)
            writing.wait()

        return Writing(finish)

    with home.process(FIRST) as house:
        house.store(1)
        monkeypatch.setattr(smalllog._Half, "write", slow)
        told: list[StoreStatus] = []
        thread = threading.Thread(target=lambda: told.append(house.store(2)))
        thread.start()
        assert started.wait(10)
        assert len(house.instances()) == 1
        assert not told
        go_on.set()
        thread.join()
        assert told == [StoreStatus.SUCCESS]
        assert len(house.instances()) == 2


def test_a_record_that_the_disk_refuses_is_not_committed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(errno.EIO, "no")

    with home.process(FIRST) as house:
        house.store(1)
        with monkeypatch.context() as patch:
            patch.setattr(smalllog._Half, "write", lambda half, *given: Writing(refuse))
            with pytest.raises(CannotWriteFile):
                house.store(2)
        assert len(house.instances()) == 1
        assert len(list((home.folder / "storage").glob("??/*/*"))) == 1
        assert house.store(2) is StoreStatus.SUCCESS


def test_a_commit_that_failed_is_not_made_after_all(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender sent it elsewhere, where it was deleted; then the process dies."""
    with home.process(FIRST) as house:
        house.store(1)
        with monkeypatch.context() as patch:

            def locked(*_: object) -> None:
                raise DatabaseUnavailable("not now")

            patch.setattr(house.ingest, "_insert", locked)
            with pytest.raises(DatabaseUnavailable):
                house.store(2)
        assert len(list(house.storage.logged(FIRST))) == 2
    with home.process(HEIR) as heir:
        heir.recover()
        assert len(heir.instances()) == 1
        assert len(list((home.folder / "storage").glob("??/*/*"))) == 1


def test_who_is_refused_as_dead_leaves_its_heir_the_files(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose promise it keeps: the record was there when the log was read."""
    with home.process(FIRST) as house, home.process(HEIR) as heir:
        house.store(1)
        write = house.index.write

        def late(work: Callable[[Transaction], Any], *, promised: bool = False) -> Any:
            if promised:
                monkeypatch.setattr(house.index, "write", write)
                heir.recover()
            return write(work, promised=promised)

        monkeypatch.setattr(house.index, "write", late)
        with pytest.raises(BadSequenceOfCalls):
            house.store(2)
        assert len(heir.instances()) == 2
        assert len(list((home.folder / "storage").glob("??/*/*"))) == 2


def test_who_is_refused_as_dead_is_not_stored_by_an_heir_later(home: Home) -> None:
    """The sender heard of an error, and may have it stored and deleted elsewhere."""
    with home.process(FIRST) as house, home.process(HEIR) as heir:
        house.store(1)
        seize(heir.index, [FIRST])
        with pytest.raises(BadSequenceOfCalls):
            house.store(2)
        heir.recover()
        assert len(heir.instances()) == 1
        assert len(list((home.folder / "storage").glob("??/*/*"))) == 1


def test_what_comes_after_the_end_of_reading_is_not_kept(home: Home) -> None:
    """By another heir, who has read the log when the first one was done with it."""
    with home.process(FIRST) as house:
        house.store(1)
        home.keep()
        house.store(2)
        found = list(house.storage.logged(FIRST))
    home.cut(lambda path: None)
    with home.process(HEIR) as heir:
        seize(heir.index, [FIRST])
        heir.index.write(lambda tx: staging.end_promises(tx, FIRST))
        with heir.index.read() as tx:
            assert promises.unkept(tx, found) == []
        assert promises.keep(heir.index, heir.storage, found[1:], heir.ingest.keep_promised) == []
        assert len(heir.instances()) == 1


def test_what_cannot_be_read_any_more_stays_in_the_log(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A version or a configuration that reads less: it starts all the same, and loses nothing."""
    with home.process(FIRST) as house:
        house.store(1)
        home.keep()
        for number in range(2, 100):
            house.store(number)
        before = house.instances(), house.log()
        third = bytes(make_instance(1, 1, 3))
    home.cut()
    scan = promises.scan

    def picky(data: Any) -> Summary:
        if bytes(data) == third:
            raise BadFileFormat("not today")
        return scan(data)

    with home.process(HEIR) as heir:
        with monkeypatch.context() as patch:
            patch.setattr(promises, "scan", picky)
            heir.recover()
            assert heir.instances() == before[0][:2]
            assert "stay in the log" in caplog.text
            heir.recover()
        heir.recover()
        assert (heir.instances(), heir.log()) == before


def test_a_file_that_was_deleted_meanwhile_is_not_left_behind(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a neighbour that lives, while the heir gives files back."""
    with home.process(FIRST) as house:
        house.store(1)
        house.store(2)
        [first, second] = house.instances()
    for path in (home.folder / "storage").glob("??/*/*"):
        path.unlink()
    with home.process(HEIR) as heir:
        sync = heir.storage.sync

        def late(uuids: Any) -> None:
            if heir.instances() == [first, second]:
                heir.index.write(lambda tx: resources.delete(tx, Level.INSTANCE, second))
            sync(uuids)

        monkeypatch.setattr(heir.storage, "sync", late)
        assert heir.recover() == 1
        assert heir.instances() == [first]
        assert len(list((home.folder / "storage").glob("??/*/*"))) == 1


def test_a_locked_index_does_not_split_a_handful(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them would wait for it again."""
    with home.process(FIRST) as house:
        tried: list[int] = []

        def locked(batch: Sequence[StagedInstance], *_: Any) -> list[Stored]:
            tried.append(len(batch))
            raise DatabaseUnavailable("not now")

        monkeypatch.setattr(house.ingest._handfuls, "_commit", locked)
        told: list[BaseException | None] = []
        house.ingest._handfuls._store(
            [
                _Arrival(
                    bytearray(make_instance(1, 1, n)),
                    ORIGIN,
                    lambda stored, error: told.append(error),
                )
                for n in range(3)
            ]
        )
        assert tried == [3]
        assert all(isinstance(error, DatabaseUnavailable) for error in told)


def test_names_of_a_block_that_was_seized_are_not_committed(home: Home) -> None:
    """Although the log stands in a block that is newer."""
    with home.process(FIRST) as house, home.process(HEIR) as heir:
        house.ingest._files.names.take()  # of this thread
        seize(heir.index, [FIRST])
        standing: list[str] = []
        thread = threading.Thread(target=lambda: standing.append(house.ingest.standing()))
        thread.start()
        thread.join()
        with pytest.raises(BadSequenceOfCalls):
            house.store(1)
        assert heir.instances() == []


def test_no_block_is_swept_before_its_log_is_read(home: Home) -> None:
    """The heir died while it read, and who follows does not know yet that the first is dead."""
    with home.process(FIRST) as house:
        house.store(1)
        home.keep()
        for number in range(2, 100):
            house.store(number)
        before = house.instances(), house.log()
    home.cut()
    with home.process(HEIR) as heir:
        seize(heir.index, [FIRST])

        def stop(*_: object) -> None:
            raise CannotWriteFile("stopped")

        with pytest.raises(CannotWriteFile):
            restore(heir.index, heir.storage, FIRST, stop)
    with home.process("process-3") as third:
        assert reclaim(third.index, third.storage, [HEIR]) == 0
        third.recover()
        assert (third.instances(), third.log()) == before
        with third.index.read() as tx:
            assert staging.owners(tx) == []


def test_a_handful_is_promised_wholly_or_not_at_all(home: Home) -> None:
    with home.process(FIRST) as house:
        house.store(1)
        long = Origin("RestApi", username="x" * limits.SMALL_NOTE_BYTES)
        house.ingest._handfuls._store(
            [
                _Arrival(bytearray(make_instance(1, 1, n)), origin, lambda stored, error: None)
                for n, origin in ((2, ORIGIN), (3, long))
            ]
        )
        assert len(house.instances()) == 3
        assert [bool(one.file.note) for one in house.storage.logged(FIRST)] == [True, False, False]


def test_a_note_says_who_brought_it() -> None:
    promise = Promise("abcd1234-5678", "20261129T120000", ORIGIN)
    assert Promise.of(promise.note()) == promise
