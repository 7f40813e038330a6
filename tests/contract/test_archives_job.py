"""Archives that jobs make, on both databases: the bytes of the stream, whoever goes on with them;
nothing left of those that fail; outputs that come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.support.archives import MOMENT, Store, Watched, members, noisy
from tests.support.jobs import eventually, reaches
from wherry import clock, limits
from wherry.archives.job import OUTPUT, PASSING
from wherry.archives.making import Making
from wherry.archives.order import ARCHIVE, MEDIA, ArchiveOrder
from wherry.errors import DatabaseUnavailable
from wherry.index import job_rows, jobs
from wherry.index.database import Index, Transaction
from wherry.jobs.engine import JobEngine
from wherry.jobs.handler import Interrupted, JobControl
from wherry.model import Compression, Identifiers, Job, JobState, Level

PENDING, RUNNING, SUCCESS = JobState.PENDING, JobState.RUNNING, JobState.SUCCESS
FAILURE, PAUSED = JobState.FAILURE, JobState.PAUSED
FILES = [noisy(number, 12_288) for number in (1, 2, 3)]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in several pieces, each member is a step, time stands still."""
    monkeypatch.setattr(limits, "READ_CHUNK_BYTES", 4096)
    monkeypatch.setattr(limits, "ARCHIVE_STEP_BYTES", 0)
    monkeypatch.setattr(limits, "ARCHIVE_STEP_S", 3600.0)
    monkeypatch.setattr(clock, "now", lambda: MOMENT)


@pytest.fixture(params=["shared", "own"])
def store(request: pytest.FixtureRequest, index: Index, tmp_path: Path) -> Iterator[Store]:
    """... of files that several writers may fill, or that have one."""
    store = Store(index, tmp_path / "storage", shares_files=request.param == "shared")
    yield store
    store.close()


in_shared_files = pytest.mark.parametrize("store", ["shared"], indirect=True)
in_own_files = pytest.mark.parametrize("store", ["own"], indirect=True)


@pytest.fixture
def stored(store: Store) -> list[Identifiers]:
    return store.put(*FILES)


@pytest.fixture
def order(stored: list[Identifiers]) -> ArchiveOrder:
    return ArchiveOrder((stored[0].study,))


def submit(engine: JobEngine, order: ArchiveOrder) -> str:
    return engine.submit(order.type, order.parameters())


def make(store: Store, order: ArchiveOrder, **options: int) -> Job:
    """A job that has run to its end, whatever that was, and is settled."""
    with store.running(**options) as engine:
        job_id = submit(engine, order)
        return settled(engine, job_id)


def settled(engine: JobEngine, job_id: str) -> Job:
    reaches(engine, job_id, SUCCESS, FAILURE)

    def done() -> bool:
        job = engine.get(job_id)
        return job is not None and job.requested == ""

    eventually(done, "settling")
    job = engine.get(job_id)
    assert job is not None
    return job


READ, WRITTEN = ("open", "map", "read"), ("reopen", "create", "write", "sync")


class Happening:
    """Counts what happens to files that are read, or to those that are written, and does something
    before the ``number``-th of it, once."""

    def __init__(
        self,
        number: int = 0,
        do: Callable[[], object] = lambda: None,
        what: tuple[str, ...] = WRITTEN,
    ) -> None:
        self.count = 0
        self._number, self._do, self._what = number, do, what

    def __call__(self, what: str, uuid: str) -> None:
        if what in self._what:
            self.count += 1
            if self.count == self._number:
                self._do()


def happenings(store: Store, order: ArchiveOrder, what: tuple[str, ...] = WRITTEN) -> int:
    """How much happens to files while this archive is made by a job."""
    store.storage.happens = seen = Happening(what=what)
    with store.running(keep=0) as engine:
        reaches(engine, submit(engine, order), SUCCESS)
    store.storage.happens = Happening()
    store.check(outputs=0)
    return seen.count


def lengths(store: Store, order: ArchiveOrder) -> list[int]:
    """Bytes that the archive has before each member, before what comes behind them, and in all."""
    making = Making(store.storage, store.contents(order), MOMENT)
    found = [0]
    for _ in store.contents(order).items:
        found.append(found[-1] + sum(map(len, making.member())))
    making.close()
    return [*found, len(store.stream(order))]


# --- to the end --------------------------------------------------------------------------------
@pytest.mark.parametrize("compression", [*Compression])
@pytest.mark.parametrize("kind", ["archive", "media", "extended"])
def test_the_output_is_the_stream(
    index: Index, tmp_path: Path, kind: str, compression: Compression
) -> None:
    store = Store(index, tmp_path / "storage", compression=compression)
    found = store.put(*FILES)
    order = ArchiveOrder(
        (found[0].patient,), kind != "archive", kind == "extended", file_name="a.zip"
    )
    expected = store.stream(order)
    with store.running() as engine:
        job = settled(engine, submit(engine, order))
        output, data = store.output_of(engine, job.id)
    assert (job.state, job.type, job.progress) == (
        SUCCESS,
        ARCHIVE if kind == "archive" else MEDIA,
        1,
    )
    assert (job.error_code, job.checkpoint) == (0, {})
    assert data == expected
    files = [data for name, data in members(data).items() if name != "DICOMDIR"]
    assert files == FILES
    assert (output.size, output.media_type, output.file_name) == (
        len(data),
        "application/zip",
        "a.zip",
    )
    size = sum(map(len, FILES))
    assert job.content == {
        "ArchiveSize": str(len(data)),
        "ArchiveSizeMB": 0,
        "Description": "REST API",
        "InstancesCount": 3,
        "UncompressedSize": str(size),
        "UncompressedSizeMB": 0,
    }
    store.check(outputs=1)
    store.close()


def test_an_archive_of_nothing(store: Store) -> None:
    order = ArchiveOrder(())
    with store.running() as engine:
        job = settled(engine, submit(engine, order))
        _, data = store.output_of(engine, job.id)
    assert members(data) == {}
    assert data == store.stream(order)
    assert (job.content["InstancesCount"], job.content["UncompressedSize"]) == (0, "0")
    store.check(outputs=1)


@in_shared_files
def test_progress_is_told(store: Store, order: ArchiveOrder) -> None:
    told: list[tuple[float, int]] = []
    starts = lengths(store, order)[:-1]
    engine = store.engine()
    job_id = submit(engine, order)

    def happens(what: str, uuid: str) -> None:
        if what == "sync":  # what was told before this step
            job = reaches(engine, job_id, RUNNING)
            told.append((job.progress, int(job.content["ArchiveSize"])))

    store.storage.happens = happens
    engine.start()
    reaches(engine, job_id, SUCCESS)
    engine.stop()
    shares = [0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1]
    assert told == [*zip(shares, starts, strict=True)]


# --- interrupted and taken up ------------------------------------------------------------------
def interrupt(store: Store, order: ArchiveOrder, number: int, reason: str) -> str:
    """A run that is told to end before the ``number``-th thing happens to a file; its job."""
    engine = store.engine("first")
    job_id = submit(engine, order)

    def do() -> None:
        engine._shop.stop() if reason == "stop" else engine.pause(job_id)

    store.storage.happens = Happening(number, do)
    engine.start()
    try:
        if reason == "pause":
            reaches(engine, job_id, PAUSED, SUCCESS)
        else:
            eventually(engine._shop.stopping.is_set, "the stop")
    finally:
        engine.stop()
    store.storage.happens = Happening()
    assert store.storage.opened == 0
    return job_id


@in_shared_files
@pytest.mark.parametrize("reason", ["stop", "pause"])
@pytest.mark.parametrize("media", [False, True])
def test_another_engine_goes_on_where_it_was(
    store: Store, stored: list[Identifiers], reason: str, media: bool
) -> None:
    """All members that are complete stay, those that were noted last and those since."""
    order = ArchiveOrder((stored[0].study,), media)
    expected, items = store.stream(order), store.contents(order).items
    starts = lengths(store, order)[:-1]
    interrupted = set()
    for number in range(1, happenings(store, order) + 1):
        store.storage.written.clear()
        job_id = interrupt(store, order, number, reason)
        other = store.again()
        with store.running("second", storage=other) as engine:
            job = engine.get(job_id)
            assert job is not None
            was_paused = job.state is PAUSED and engine.resume(job_id)
            assert was_paused or reason == "stop" or job.state is SUCCESS
            reaches(engine, job_id, SUCCESS)
            output, data = store.output_of(engine, job_id)
            assert engine.remove(job_id)
        assert data == expected, number
        if other.written:
            _, left = store.storage.written.get(output.uuid, (0, 0))
            begun, _ = other.written[output.uuid]
            done = max(place for place, start in enumerate(starts) if start <= left)
            assert begun == starts[done], "nothing that was complete is written again"
            wanted = {item.attachment.uuid: item.member.size for item in items[done:]}
            assert other.read_bytes == wanted, "nor read"
            interrupted.add(done)
        assert [*other.written] == [output.uuid] * bool(other.written)
        assert other.opened == 0
        store.check(outputs=0)
    assert interrupted == {0, 1, 2, 3}, "before each member, and behind the last"


class Died(Exception):
    """The process is no more."""


def die(store: Store, order: ArchiveOrder, number: int) -> str:
    """A run by a process that dies before the ``number``-th thing happens to a file; its job."""
    engine = store.engine("first")
    job_id = submit(engine, order)

    def do() -> None:
        raise Died

    store.storage.happens = Happening(number, do)
    assert not runs(store, "first")
    store.storage.happens = Happening()
    return job_id


def claimed(store: Store, owner: str) -> Job:
    job = store.index.write(lambda tx: jobs.claim(tx, owner, [ARCHIVE, MEDIA], [], clock.now()))
    assert job is not None
    return job


def runs(store: Store, owner: str) -> bool:
    """Let the handler run to its end, and no further: nobody writes down that the job ended."""
    job = claimed(store, owner)
    (handler,) = (one for one in store.handlers() if one.type == job.type)
    try:
        handler.run(JobControl(store.index, job, lambda run: None))
    except Died:
        return False
    return True


@in_shared_files
@pytest.mark.parametrize("steps", [True, False])
def test_a_crash_costs_a_step_at_most(
    store: Store, order: ArchiveOrder, monkeypatch: pytest.MonkeyPatch, steps: bool
) -> None:
    if not steps:
        monkeypatch.setattr(limits, "ARCHIVE_STEP_BYTES", limits.GIB)
    expected, starts = store.stream(order), lengths(store, order)[:-1]
    for number in range(1, happenings(store, order) + 1):
        store.storage.written.clear()
        job_id = die(store, order, number)
        other = store.again()
        engine = store.engine("second", storage=other)
        assert engine.adopt(["first"]) == 1
        engine.start()
        reaches(engine, job_id, SUCCESS)
        output, data = store.output_of(engine, job_id)
        engine.remove(job_id)
        engine.stop()
        assert data == expected, number
        _, left = store.storage.written.get(output.uuid, (0, 0))
        begun, _ = other.written[output.uuid]
        done = sum(start <= left for start in starts) - 1
        if steps:  # what it wrote last may not have been noted
            assert begun in (starts[max(0, done - 1)], starts[done])
        else:
            assert begun == 0
        assert other.opened == 0
        store.check(outputs=0)


@in_own_files
@pytest.mark.parametrize("how", ["stop", "pause", "crash"])
def test_where_a_file_has_one_writer_it_begins_anew(
    store: Store, stored: list[Identifiers], how: str
) -> None:
    order = ArchiveOrder((stored[0].study,), True)
    expected, begun_anew = store.stream(order), 0
    moments = happenings(store, order)
    for number in range(1, moments + 1):
        store.storage.written.clear()
        if how == "crash":
            job_id = die(store, order, number)
        else:
            job_id = interrupt(store, order, number, how)
        other = store.again()
        engine = store.engine("second", storage=other)
        engine.adopt(["first"])
        engine.resume(job_id)
        engine.start()
        reaches(engine, job_id, SUCCESS)
        output, data = store.output_of(engine, job_id)
        engine.remove(job_id)
        engine.stop()
        assert data == expected, number
        assert [*other.written] == [output.uuid] * bool(other.written)
        begun_anew += output.uuid in other.written
        assert other.opened == 0
        store.check(outputs=0)
    assert begun_anew >= moments - 1, "all but what was interrupted behind the last write"


@in_own_files
def test_who_has_lost_the_job_meanwhile_leaves_no_file(store: Store, order: ArchiveOrder) -> None:
    """It was taken for dead while it synced the whole archive."""
    expected = store.stream(order)
    engine, other = store.engine("first"), store.engine("second", storage=store.again())
    job_id = submit(engine, order)

    def taken_over() -> None:
        other.adopt(["first"])
        other.start()
        reaches(other, job_id, SUCCESS)

    store.storage.happens = Happening(1, taken_over, ("sync",))
    job = claimed(store, "first")
    (handler,) = (one for one in store.handlers() if one.type == job.type)
    with pytest.raises(Interrupted):
        handler.run(JobControl(store.index, job, lambda run: None))
    assert store.output_of(other, job_id)[1] == expected
    other.stop()
    store.check(outputs=1)


# --- what changed meanwhile --------------------------------------------------------------------
def middle(store: Store, order: ArchiveOrder) -> int:
    return happenings(store, order) // 2


def paused(store: Store, order: ArchiveOrder) -> tuple[str, str]:
    """A job that is paused in the middle, and the name of its file."""
    job_id = interrupt(store, order, middle(store, order), "pause")
    with store.index.read() as tx:
        job = job_rows.get(tx, job_id)
    assert job is not None
    assert job.state is PAUSED
    assert len(job.checkpoint["Crcs"]) > 0
    return job_id, job.checkpoint["File"]


def finished(store: Store, job_id: str) -> tuple[Job, str, bytes, Watched]:
    """The paused job, gone on with: it, the name of its output, the bytes, what was read."""
    other = store.again()
    with store.running("second", storage=other) as engine:
        assert engine.resume(job_id)
        job = settled(engine, job_id)
        assert job.state is SUCCESS, job.error_details
        output, data = store.output_of(engine, job_id)
    return job, output.uuid, data, other


@pytest.mark.parametrize("change", ["deleted", "added", "packed"])
def test_it_begins_anew_when_something_else_goes_in(
    store: Store, stored: list[Identifiers], order: ArchiveOrder, change: str
) -> None:
    job_id, file = paused(store, order)
    if change == "deleted":
        store.delete(stored[0].instance)
    elif change == "added":
        store.put(noisy(4, 12_288))
    else:
        attachments = store.ingest.attachments
        attachments.recompress(Level.INSTANCE, stored[2].instance, 1, compress=True)
    expected = store.stream(order)
    job, output, data, _ = finished(store, job_id)
    assert output != file
    assert data == expected
    assert job.content["InstancesCount"] == len(members(data))
    assert job.content["ArchiveSize"] == str(len(data))
    store.check(outputs=1)


@in_shared_files
def test_it_goes_on_when_something_else_changes(store: Store, order: ArchiveOrder) -> None:
    expected = store.stream(order)
    job_id, file = paused(store, order)
    store.put(noisy(9, study=7))
    _, output, data, other = finished(store, job_id)
    assert (output, data) == (file, expected)
    assert other.written[output][0] > 0
    store.check(outputs=1)


@in_shared_files
@pytest.mark.parametrize("harm", ["lost", "shorter", "longer"])
def test_a_file_that_is_not_as_it_was_left(store: Store, order: ArchiveOrder, harm: str) -> None:
    """Lost by a file system, or written on by a run that packed otherwise."""
    expected = store.stream(order)
    job_id, file = paused(store, order)
    path = store.path(file)
    if harm == "lost":
        path.unlink()
    elif harm == "shorter":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        path.write_bytes(path.read_bytes() + bytes(len(expected)))
    _, output, data, _ = finished(store, job_id)
    assert output != file
    assert data == expected
    store.check(outputs=1)


# --- cancelled ---------------------------------------------------------------------------------
@pytest.mark.parametrize("media", [False, True])
def test_a_cancel_at_any_moment_gives_the_space_back(
    store: Store, stored: list[Identifiers], media: bool
) -> None:
    order = ArchiveOrder((stored[0].study,), media)
    cancelled = 0
    moments = [
        (number, what)
        for what in (READ, WRITTEN)
        for number in range(1, happenings(store, order, what) + 1)
    ]
    for number, what in moments:
        engine = store.engine()
        job_id = submit(engine, order)
        store.storage.happens = Happening(number, partial(engine.cancel, job_id), what)
        engine.start()
        job = settled(engine, job_id)
        if job.state is FAILURE:
            assert (job.error_code, job.checkpoint) == (37, {})
            assert engine.output(job_id, OUTPUT) is None
            cancelled += 1
        engine.remove(job_id)
        engine.stop()
        store.check(outputs=0)
    assert cancelled >= len(moments) - 2, "all but those behind the last write"


@pytest.mark.parametrize("how", ["paused", "stopped", "crashed"])
def test_a_cancel_of_what_waits_gives_the_space_back(
    store: Store, order: ArchiveOrder, how: str
) -> None:
    number = middle(store, order)
    if how == "crashed":
        job_id = die(store, order, number)
    else:
        job_id = interrupt(store, order, number, "pause" if how == "paused" else "stop")
    assert store.blocks() == [f"job:{job_id}"]
    assert len(store.files()) == len(FILES) + store.storage.shares_files
    engine = store.engine("second")
    engine.adopt(["first"])
    assert engine.cancel(job_id)
    engine.start()
    assert settled(engine, job_id).error_code == 37
    engine.stop()
    store.check(outputs=0)


# --- failures ----------------------------------------------------------------------------------
def harm_missing(store: Store, instance: str) -> None:
    store.path(store.file(instance).uuid).unlink()


def harm_damaged(store: Store, instance: str) -> None:
    path = store.path(store.file(instance).uuid)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


def harm_shortened(store: Store, instance: str) -> None:
    path = store.path(store.file(instance).uuid)
    path.write_bytes(path.read_bytes()[:-1])


def harm_garbage(store: Store, instance: str) -> None:
    path = store.path(store.file(instance).uuid)
    path.write_bytes(b"nonsense" * (path.stat().st_size // 8 + 1))


def harm_empty(store: Store, instance: str) -> None:
    store.path(store.file(instance).uuid).write_bytes(b"")


@pytest.mark.parametrize("media", [False, True])
@pytest.mark.parametrize("compression", [*Compression])
@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (harm_missing, 2006),
        (harm_damaged, 20),
        (harm_shortened, 20),
        (harm_garbage, None),
        (harm_empty, 20),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    index: Index,
    tmp_path: Path,
    harm: Callable[[Store, str], None],
    code: int | None,
    media: bool,
    compression: Compression,
) -> None:
    """Damaged, or of a medium perhaps no DICOM any more."""
    store = Store(index, tmp_path / "storage", compression=compression)
    stored = store.put(*FILES)
    bad = stored[1].instance
    kept = store.path(store.file(bad).uuid).read_bytes()
    harm(store, bad)
    order = ArchiveOrder((stored[0].study,), media)
    with store.running() as engine:
        job = settled(engine, submit(engine, order))
        expected = code or (15 if media and compression is Compression.NONE else 20)
        assert (job.state, job.error_code) == (FAILURE, expected), job.error_details
        assert job.error_details.startswith(f"Instance {bad}: "), job.error_details
        assert engine.output(job.id, OUTPUT) is None
        store.path(store.file(bad).uuid).write_bytes(kept)
        store.check(outputs=0)
        assert engine.resubmit(job.id)
        again = settled(engine, job.id)
        assert again.state is SUCCESS
        _, data = store.output_of(engine, job.id)
    assert [*members(data).values()][:3] == FILES
    store.check(outputs=1)
    store.close()


@pytest.mark.parametrize("room_bytes", [0, 100, 15_000])
def test_a_full_disk(store: Store, order: ArchiveOrder, room_bytes: int) -> None:
    store.storage.room_bytes = room_bytes
    job = make(store, order)
    assert (job.state, job.error_code) == (FAILURE, 19)
    assert job.error_details == "No space left in the storage area"
    store.check(outputs=0)
    store.storage.room_bytes = None
    assert make(store, order).state is SUCCESS
    store.check(outputs=1)


def test_room_is_left_for_the_index(
    store: Store, order: ArchiveOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.storage, "free_bytes", lambda: limits.FREE_DISK_BYTES - 1)
    job = make(store, order)
    assert (job.state, job.error_code) == (FAILURE, 19)
    assert job.error_details == "No space is left for the archive"
    store.check(outputs=0)


def test_what_is_gone_when_its_turn_comes(
    store: Store, stored: list[Identifiers], order: ArchiveOrder
) -> None:
    engine = store.engine()
    job_id = submit(engine, order)
    store.delete(stored[0].instance)
    store.delete(stored[1].instance)
    store.delete(stored[2].instance)
    engine.start()
    job = settled(engine, job_id)
    engine.stop()
    assert (job.state, job.error_code, job.error_details) == (FAILURE, 17, "")
    store.check(outputs=0)


def test_an_index_out_of_reach_for_a_moment(
    store: Store, order: ArchiveOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOB_POLL_S", 0.01)
    expected = store.stream(order)
    real, failures = store.index.write, threading.Semaphore(3)

    def write(work: Callable[[Transaction], object]) -> object:
        if threading.current_thread().name.startswith("jobs-work") and failures.acquire(
            blocking=False
        ):
            raise DatabaseUnavailable("gone")
        return real(work)

    def begin() -> None:
        monkeypatch.setattr(store.index, "write", write)

    number = middle(store, order)
    store.storage.happens = Happening(number, begin)
    with store.running() as engine:
        job_id = submit(engine, order)
        reaches(engine, job_id, SUCCESS)
        _, data = store.output_of(engine, job_id)
    assert not failures.acquire(blocking=False)
    assert data == expected
    store.check(outputs=1)


# --- outputs come and go -----------------------------------------------------------------------
def test_the_newest_outputs_stay(store: Store, stored: list[Identifiers]) -> None:
    orders = [ArchiveOrder((one.instance,), media) for one in stored for media in (False, True)]
    with store.running(keep=2) as engine:
        names = [submit(engine, order) for order in orders]
        for name in names:
            assert settled(engine, name).state is SUCCESS
        kept = [name for name in names if engine.output(name, OUTPUT) is not None]
        assert kept == names[-2:]
        assert [*members(store.output_of(engine, kept[0])[1]).values()] == [FILES[2]]
        store.check(outputs=2)


def test_what_somebody_waits_for_is_not_counted(
    store: Store, stored: list[Identifiers], order: ArchiveOrder
) -> None:
    """It displaces no output, and none displaces it."""
    passing = replace(order, passing=True)
    with store.running(keep=1) as engine:
        kept, waited, newer = (submit(engine, one) for one in (order, passing, passing))
        settled(engine, newer)
        assert engine.output(kept, OUTPUT) is not None
        newest = submit(engine, order)
        settled(engine, newest)
        assert engine.output(kept, OUTPUT) is None
        for name in (waited, newer):
            assert engine.output(name, OUTPUT) is None
            assert engine.output(name, PASSING) is not None
        store.check(outputs=3)
        assert engine.remove_output(waited, PASSING)
        assert engine.remove(newer)
        store.check(outputs=1)
        assert engine.output(newest, OUTPUT) is not None


def test_no_output_stays(store: Store, order: ArchiveOrder) -> None:
    with store.running(keep=0) as engine:
        job = settled(engine, submit(engine, order))
        assert job.state is SUCCESS
        assert engine.output(job.id, OUTPUT) is None
        store.check(outputs=0)


def test_an_output_goes_with_its_job(store: Store, order: ArchiveOrder) -> None:
    with store.running() as engine:
        job_id = submit(engine, order)
        settled(engine, job_id)
        store.check(outputs=1)
        assert engine.remove(job_id)
        store.check(outputs=0)
        assert engine.get(job_id) is None


def test_an_output_may_go_before_its_job(store: Store, order: ArchiveOrder) -> None:
    with store.running() as engine:
        job_id = submit(engine, order)
        settled(engine, job_id)
        assert not engine.remove_output(job_id, "other")
        assert engine.remove_output(job_id, OUTPUT)
        assert not engine.remove_output(job_id, OUTPUT)
        store.check(outputs=0)
        assert reaches(engine, job_id, SUCCESS).id == job_id


def test_an_output_goes_when_history_forgets_its_job(store: Store, order: ArchiveOrder) -> None:
    with store.running(history_size=2) as engine:
        names = []
        for _ in range(4):
            names.append(submit(engine, order))
            settled(engine, names[-1])
        eventually(lambda: engine.ids() == sorted(names[2:]), "trimming")
        store.check(outputs=2)


def test_history_that_keeps_nothing_keeps_no_output(store: Store, order: ArchiveOrder) -> None:
    with store.running(history_size=0) as engine:
        submit(engine, order)
        eventually(lambda: not engine.ids(), "trimming")
        store.check(outputs=0)


# --- between publishing and the end ------------------------------------------------------------
def test_a_crash_behind_the_last_step(store: Store, order: ArchiveOrder) -> None:
    expected = store.stream(order)
    job_id = submit(store.engine("first"), order)
    assert runs(store, "first")
    store.check(outputs=1)
    other = store.again()
    engine = store.engine("second", storage=other)
    assert engine.output(job_id, OUTPUT) is None, "the job has not ended"
    engine.adopt(["first"])
    engine.start()
    job = reaches(engine, job_id, SUCCESS)
    output, data = store.output_of(engine, job_id)
    engine.stop()
    assert data == expected
    assert job.content["ArchiveSize"] == str(output.size)
    assert not other.read_bytes
    store.check(outputs=1)


def test_a_cancel_behind_the_last_step(store: Store, order: ArchiveOrder) -> None:
    job_id = submit(store.engine("first"), order)
    assert runs(store, "first")
    engine = store.engine("second")
    engine.adopt(["first"])
    assert engine.cancel(job_id)
    engine.start()
    job = settled(engine, job_id)
    engine.stop()
    assert (job.state, job.error_code) == (FAILURE, 37)
    store.check(outputs=0)


def test_who_lost_the_job_publishes_nothing(store: Store, order: ArchiveOrder) -> None:
    """A process that was taken for dead comes back while another one is at work."""
    expected = store.stream(order)
    total = happenings(store, order)
    engine = store.engine("second", storage=Watched(store.folder))
    job_id = submit(engine, order)

    def overtake() -> None:
        engine.adopt(["first"])
        engine.start()
        reaches(engine, job_id, SUCCESS)

    store.storage.happens = Happening(total // 2, overtake)
    with pytest.raises(Exception, match="lost"):
        runs(store, "first")
    _, data = store.output_of(engine, job_id)
    engine.stop()
    assert data == expected
    store.check(outputs=1)
