"""The contract of ``StorageArea``: every backend passes this one suite."""

from __future__ import annotations

import errno
import hashlib
import struct
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from tests.support.storages import MAKERS, SHARING, made
from wherry import limits
from wherry.errors import (
    CannotWriteFile,
    DatabaseUnavailable,
    MissingFile,
    ParameterOutOfRange,
    StorageFull,
)
from wherry.storage import logrecords
from wherry.storage.base import ANYWHERE, Logged, SmallFile, StorageArea
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.smalllog import SmallLog
from wherry.storage.submitted import Submitter, Writing


def name(prefix: str = "") -> str:
    text = str(uuid.uuid4())
    return prefix + text[len(prefix) :]


@pytest.fixture(params=[*MAKERS])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageArea]:
    with made(request.param, request, tmp_path) as storage:
        yield storage


@pytest.fixture(params=SHARING)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageArea]:
    """One whose files several writers may fill."""
    with made(request.param, request, tmp_path) as storage:
        assert storage.shares_files
        yield storage


def put(storage: StorageArea, data: bytes, uuid_: str | None = None) -> str:
    writer = storage.create(uuid_ or name())
    writer.write(data)
    writer.sync()
    writer.close()
    return writer.uuid


def get(storage: StorageArea, uuid_: str, place: str = ANYWHERE) -> bytes:
    reader = storage.open(uuid_, place)
    try:
        return reader.read_at(0, reader.size)
    finally:
        reader.close()


def test_what_is_written_in_pieces_is_read_whole(storage: StorageArea) -> None:
    writer = storage.create(name())
    writer.write(b"one")
    writer.write(memoryview(b"two"))
    writer.write(bytearray(b"three"))
    writer.sync()
    writer.close()
    writer.close()
    storage.sync([writer.uuid])
    assert get(storage, writer.uuid) == b"onetwothree"
    assert storage.size(writer.uuid) == 11
    assert get(storage, writer.uuid, writer.place) == b"onetwothree"
    assert storage.size(writer.uuid, writer.place) == 11


@pytest.mark.parametrize("piece", [1000, 100_000, 1_048_576, 5_000_000])
@pytest.mark.parametrize("size", [1, 4096, 131_072, 131_073, 526_106, 1_048_576, 3_145_733])
def test_files_of_all_sizes_in_pieces_of_all_sizes(
    storage: StorageArea, size: int, piece: int
) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    writer = storage.create(name())
    for start in range(0, size, piece):
        writer.write(data[start : start + piece])
    with writer.map() as view:
        assert bytes(view) == data
    assert writer.read_at(size // 2, 1000) == data[size // 2 :][:1000]
    writer.sync()
    writer.close()
    assert get(storage, writer.uuid) == data
    assert storage.size(writer.uuid) == size


def test_more_files_at_once_than_there_are_buffers(storage: StorageArea) -> None:
    writers = [storage.create(name()) for _ in range(20)]
    for number, writer in enumerate(writers):
        for _ in range(3):
            writer.write(bytes([number]) * 100_000)
    for writer in writers:
        writer.sync()
        writer.close()
    for number, writer in enumerate(writers):
        assert get(storage, writer.uuid) == bytes([number]) * 300_000


def test_ranges_are_cut_at_the_end_of_the_file(storage: StorageArea) -> None:
    reader = storage.open(put(storage, b"0123456789"))
    assert reader.size == 10
    assert reader.read_at(3, 4) == b"3456"
    assert reader.read_at(8, 100) == b"89"
    assert reader.read_at(10, 5) == b""
    reader.close()
    reader.close()


@pytest.mark.parametrize("piece", [65_536, 524_288, 4_000_000])
def test_a_file_is_read_from_its_beginning_to_its_end(storage: StorageArea, piece: int) -> None:
    data = bytes(range(256)) * 20_000
    reader = storage.open(put(storage, data))
    read = [reader.read_at(at, piece) for at in range(0, len(data), piece)]
    assert b"".join(read) == data
    assert reader.read_at(100, 50) == data[100:150]
    assert reader.read_at(len(data) - 10, 50) == data[-10:]
    reader.close()


def test_the_map_of_a_reader_is_the_whole_file(storage: StorageArea) -> None:
    for data in (b"", b"abc", bytes(range(256)) * 20_000):
        reader = storage.open(put(storage, data))
        with reader.map() as view:
            assert bytes(view) == data
        reader.close()


def test_what_was_not_synced_is_not_there(storage: StorageArea) -> None:
    """Or at least goes away with ``delete``, which whoever gives a file up calls."""
    writer = storage.create(name())
    writer.write(bytes(300_000))
    writer.close()
    storage.delete(writer.uuid, writer.place)
    with pytest.raises(MissingFile):
        storage.open(writer.uuid)
    assert list(storage.list(writer.uuid[:13])) == []


def test_what_is_forgotten_is_still_there(storage: StorageArea) -> None:
    data = bytes(range(256)) * 20_000
    reader = storage.open(put(storage, data))
    assert reader.read_at(0, len(data)) == data
    reader.forget(0, len(data))
    reader.forget(4096, 10**9)
    assert reader.read_at(0, len(data)) == data
    reader.close()


def test_ranges_may_be_written_in_any_order_by_many_threads(shared: StorageArea) -> None:
    target = name()
    pieces = [bytes([number]) * 1000 for number in range(50)]

    def write(number: int) -> None:
        writer = shared.reopen(target)
        writer.write_at(pieces[number], number * 1000)
        writer.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in reversed(range(50))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert get(shared, target) == b"".join(pieces)


@pytest.mark.parametrize("size", [1000, 4096, 100_001, 1_300_000])
def test_parts_of_a_file_are_written_at_once(shared: StorageArea, size: int) -> None:
    """Whatever blocks they share, and of whatever sizes their pieces are."""
    target = name()
    parts = [bytes([number + 1]) * size for number in range(8)]

    def write(number: int) -> None:
        writer = shared.reopen(target, number * size)
        for start in range(0, size, 70_000):
            writer.write(parts[number][start : start + 70_000])
        writer.flush()
        writer.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in reversed(range(8))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.sync([target])
    assert get(shared, target) == b"".join(parts)


@pytest.mark.parametrize("size", [100, 200_000, 3_000_000])
def test_the_beginning_may_be_written_last(storage: StorageArea, size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    writer = storage.create(name())
    for start in range(8, size, 70_000):
        writer.write_at(data[start : start + 70_000], start)
    writer.write_at(data[:8], 0)
    with writer.map() as view:
        assert bytes(view) == data
    writer.sync()
    writer.close()
    assert get(storage, writer.uuid, writer.place) == data


@pytest.mark.parametrize("size", [1, 131_073, 1_048_576, 2_500_000])
def test_bytes_are_put_where_the_file_wants_them(storage: StorageArea, size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    writer = storage.create(name())
    written = 0
    while written < size:
        room = writer.room()
        count = min(len(room), size - written, 50_000)
        room[:count] = data[written : written + count]
        writer.filled(count)
        written += count
    writer.sync()
    writer.close()
    assert get(storage, writer.uuid) == data


@pytest.mark.parametrize("size", [0, 1, 4096, 131_073, 526_106, 1_048_576])
def test_a_buffer_becomes_a_file(storage: StorageArea, size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    buffers = [storage.take_buffer() for _ in range(17)]
    for buffer in buffers:
        assert len(buffer) == limits.DIRECT_BUFFER_BYTES
        buffer[:size] = data
        writer = storage.create(name())
        writer.adopt(buffer, size)
        writer.sync()
        writer.close()
        assert get(storage, writer.uuid) == data


def test_the_map_shows_what_was_written(storage: StorageArea) -> None:
    writer = storage.create(name())
    with writer.map() as view:
        assert bytes(view) == b""
    writer.write(b"abc")
    with writer.map() as view:
        assert bytes(view) == b"abc"
    writer.close()


def test_a_name_is_created_once(storage: StorageArea) -> None:
    taken = put(storage, b"first")
    with pytest.raises(CannotWriteFile):
        put(storage, b"second", taken)
    assert get(storage, taken) == b"first"


def test_deleting_is_idempotent_and_spares_open_readers(storage: StorageArea) -> None:
    gone = put(storage, b"still here")
    reader = storage.open(gone)
    storage.delete(gone, reader.place)
    storage.delete(gone, reader.place)
    storage.delete(gone)
    storage.sync_removals([gone, "abcd1234-5678"])
    assert reader.read_at(0, 100) == b"still here"
    reader.close()
    with pytest.raises(MissingFile):
        storage.open(gone)
    with pytest.raises(MissingFile):
        storage.size(gone)
    with pytest.raises(MissingFile):
        storage.sync([gone])


def test_listing_by_prefix(storage: StorageArea) -> None:
    mine = {put(storage, b"", name("abcd1234-5678")) for _ in range(5)}
    put(storage, b"", name("abcd9999"))
    put(storage, b"", name("ffff"))
    assert set(storage.list("abcd1234-5678")) == mine
    assert len(set(storage.list("abcd"))) == 6
    assert list(storage.list("0000")) == []


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "ABCD1234-5678-4abc-8abc-123456789abc",
        "abcd1234-5678-4abc-8abc-123456789abc/..",
        "abcd1234-5678-4abc-8abc-123456789abc\n",
        "abcd1234-5678-4abc-8abc-123456789ab\0",
    ],
)
def test_no_name_leaves_the_storage_area(storage: StorageArea, bad: str) -> None:
    reopen = [storage.reopen] if storage.shares_files else []
    for call in (storage.create, *reopen, storage.open, storage.delete, storage.size):
        with pytest.raises(ParameterOutOfRange):
            call(bad)
    with pytest.raises(ParameterOutOfRange):
        storage.sync([bad])
    if not all(character in "0123456789abcdef-" for character in bad) or len(bad) < 4:
        with pytest.raises(ParameterOutOfRange):
            list(storage.list(bad))


def test_there_is_room(storage: StorageArea) -> None:
    assert storage.free_bytes() > 0


# --- small files --------------------------------------------------------------------------------
def small(data: bytes, uuid_: str | None = None) -> SmallFile:
    """Some with the digest of a stock peer."""
    of_stock = len(data) % 3 == 0
    digest = hashlib.md5(data).hexdigest() if of_stock else blake3(data).hexdigest()
    return SmallFile(uuid_ or name(), data, digest)


def test_small_files_are_there_at_once(storage: StorageArea) -> None:
    files = [small(b"one"), small(b""), small(bytes(limits.SMALL_FILE_BYTES))]
    places = storage.put(files).places
    assert [get(storage, file.uuid) for file in files] == [file.data for file in files]
    for file, place in zip(files, places, strict=True):
        assert get(storage, file.uuid, place) == file.data


def test_small_files_are_all_there_or_none(storage: StorageArea) -> None:
    taken = put(storage, b"taken")
    files = [small(b"one"), small(b"two", taken), small(b"three")]
    with pytest.raises(CannotWriteFile):
        storage.put(files)
    assert get(storage, taken) == b"taken"
    for file in (files[0], files[2]):
        with pytest.raises(MissingFile):
            storage.open(file.uuid)


def test_the_log_gives_back_what_was_put(tmp_path: Path) -> None:
    storage = FilesystemStorage(tmp_path, "me")
    files = [[small(bytes([n]) * (n * 700 + k)) for k in range(5)] for n in range(40)]
    for number, handful in enumerate(files, 1):
        put = storage.put(handful)
        assert put.record == number
    put.wait()
    other = FilesystemStorage(tmp_path, "heir")
    assert set(other.logs()) == {"me"}
    assert [(one.record, one.file) for one in other.logged("me")] == [
        (number, file) for number, handful in enumerate(files, 1) for file in handful
    ]
    other.drop_log("me")
    assert not other.logs()
    assert list(other.logged("me")) == []


def test_a_full_log_goes_on_in_its_other_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SMALL_LOG_BYTES", limits.MIB)
    monkeypatch.setattr(limits, "SMALL_LOG_MOST_BYTES", 2 * limits.MIB)
    storage = FilesystemStorage(tmp_path, "me")
    secured: list[int] = []
    newest = 0
    storage.before_forgetting(lambda: secured.append(newest))
    files = [small(bytes([n]) * 100_000) for n in range(100)]
    for file in files:
        put = storage.put([file])
        put.wait()
        newest = put.record
    found = list(storage.logged("me"))
    assert [one.file for one in found][-5:] == files[-5:]
    numbers = [one.record for one in found]
    assert numbers == list(range(numbers[0], 101))
    assert numbers[0] <= max(secured) + 1  # what is forgotten was secured before
    assert sum(path.stat().st_size for path in tmp_path.glob("*/me.*")) <= 4 * limits.MIB
    assert [get(storage, file.uuid) for file in files] == [file.data for file in files]


def test_a_clean_end_leaves_no_log(tmp_path: Path) -> None:
    storage = FilesystemStorage(tmp_path, "me")
    file = small(b"one")
    storage.put([file])
    storage.close()
    assert not FilesystemStorage(tmp_path).logs()
    storage.put([small(b"two")])  # without a log, one by one
    assert not storage.logs()
    assert get(storage, file.uuid) == b"one"


@pytest.mark.parametrize(
    ("at", "lost"),
    [(0, 3), (30, 3), (200, 0), (4096 + 8, 3), (4096 + 200, 1), (8192 + 8, 2), (12288 + 40, 1)],
)
def test_a_torn_or_damaged_log_gives_what_is_whole(tmp_path: Path, at: int, lost: int) -> None:
    storage = FilesystemStorage(tmp_path, "me")
    files = [small(bytes([n]) * 1000) for n in range(3)]
    for file in files:
        storage.put([file]).wait()
    with next(tmp_path.glob("*/me.0")).open("r+b") as log:
        log.seek(at)
        log.write(b"\xff" * 8)
    found = [one.file for one in storage.logged("me")]
    assert all(file in files for file in found)
    assert len(found) == 3 - lost


@pytest.mark.parametrize(("magic", "digest_bytes"), [(b"WherryL1", 16), (b"WherryL2", 32)])
def test_a_log_of_an_earlier_version_is_read(
    tmp_path: Path, magic: bytes, digest_bytes: int
) -> None:
    files = [SmallFile(name(), data, hashlib.md5(data).hexdigest()) for data in (b"one", b"two")]
    entries = b"".join(
        struct.pack(
            f"<36s{digest_bytes}sI", one.uuid.encode(), bytes.fromhex(one.digest), len(one.data)
        )
        for one in files
    )
    total = 20 + len(entries) + 6
    head = struct.pack("<8sIII", magic, 2, total, zlib.crc32(entries))
    log = tmp_path / "small-files-log" / "me.0"
    log.parent.mkdir()
    log.write_bytes((head + entries + b"onetwo").ljust(8192, b"\0"))
    assert list(FilesystemStorage(tmp_path).logged("me")) == [Logged(0, file) for file in files]


def test_notes_are_kept_beside_the_files(tmp_path: Path) -> None:
    storage = FilesystemStorage(tmp_path, "me")
    files = [small(b"one")._replace(note=b"first"), small(b""), small(b"x")._replace(note=b"\0")]
    storage.put(files).wait()
    assert [one.file for one in storage.logged("me")] == files


def test_what_lies_behind_the_newest_record_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half that is used again holds older records behind the newest."""
    monkeypatch.setattr(limits, "SMALL_LOG_BYTES", limits.MIB)
    monkeypatch.setattr(limits, "SMALL_LOG_MOST_BYTES", limits.MIB)
    storage = FilesystemStorage(tmp_path, "me")
    for n in range(25):  # ten of them fill a half
        storage.put([small(bytes([n]) * 100_000)]).wait()
    assert [one.record for one in storage.logged("me")] == list(range(11, 26))


def test_bytes_of_a_file_do_not_pose_as_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lie where a record would begin, behind the newest one in a half that is used again."""
    monkeypatch.setattr(limits, "SMALL_LOG_BYTES", limits.MIB)
    monkeypatch.setattr(limits, "SMALL_LOG_MOST_BYTES", limits.MIB)
    storage = FilesystemStorage(tmp_path, "me")
    mine = small(b"what somebody would like to be here")
    forged = logrecords.head([mine], 2**40, bytes(32)) + bytes(mine.data)
    before = len(logrecords.head([mine], 1, bytes(32)))  # of a record of one file
    hostile = small((b"x" * (4096 - before) + forged).ljust(100_000, b"\0"))
    for file in (hostile, *(small(bytes([n]) * 100_000) for n in range(19)), small(b"short")):
        storage.put([file]).wait()
    log = (tmp_path / "small-files-log" / "me.0").read_bytes()
    assert log[8192:].startswith(forged)
    found = [one.file for one in storage.logged("me")]
    assert mine not in found
    assert found[-1].data == b"short"


def test_a_record_is_kept_until_its_promise_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SMALL_LOG_BYTES", limits.MIB)
    monkeypatch.setattr(limits, "SMALL_LOG_MOST_BYTES", limits.MIB)
    storage = FilesystemStorage(tmp_path, "me")
    secured = threading.Event()
    storage.before_forgetting(secured.set)
    promised = storage.put([small(bytes(100_000))._replace(note=b"a promise")])
    promised.wait()
    for n in range(12):
        storage.put([small(bytes([n]) * 100_000)]).wait()
    assert not secured.wait(0.2)
    promised.done()
    assert secured.wait(10)


def test_a_log_that_somebody_drops_meanwhile_has_an_end(tmp_path: Path) -> None:
    storage = FilesystemStorage(tmp_path, "me")
    files = [small(bytes([n]) * 1000) for n in range(3)]
    for file in files:
        storage.put([file]).wait()
    reading = storage.logged("me")
    assert next(reading).file == files[0]
    storage.drop_log("me")
    assert [one.file for one in reading] == files[1:]  # of the file that is open
    assert list(storage.logged("me")) == []


def test_a_sync_that_failed_is_not_believed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells of it once. What comes then is synced by itself, and the log stays."""
    monkeypatch.setattr(limits, "SMALL_LOG_BYTES", limits.MIB)
    monkeypatch.setattr(limits, "SMALL_LOG_MOST_BYTES", limits.MIB)
    storage = FilesystemStorage(tmp_path, "me")

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "no")

    logged: list[SmallFile] = []
    with monkeypatch.context() as patch:
        patch.setattr("wherry.storage.smalllog._sync_file_system", fail)
        for n in range(40):  # ten fill a half
            file = small(bytes([n]) * 100_000)
            try:
                put = storage.put([file])
            except CannotWriteFile:  # it found out
                continue
            put.wait()
            if put.record:
                logged.append(file)
    assert 10 <= len(logged) <= 20
    assert storage.put([small(b"alone")]).record == 0
    with pytest.raises(CannotWriteFile):
        storage.close()
    assert [one.file for one in storage.logged("me")] == logged


def test_what_is_given_back_takes_the_place_at_once(tmp_path: Path) -> None:
    """Two may do it, and one of them may die: nobody removes what is there."""
    file = small(b"one" * 1000)
    storage, other = FilesystemStorage(tmp_path, "a"), FilesystemStorage(tmp_path, "b")
    storage.put([file])
    path = tmp_path / file.uuid[:2] / file.uuid[2:4] / file.uuid
    path.write_bytes(b"damaged")
    reader = storage.open(file.uuid)
    assert other.restore(file)
    assert reader.read_at(0, 100) == b"damaged"  # another file is in its place
    reader.close()
    assert path.read_bytes() == file.data
    assert not other.restore(file)
    assert not list(tmp_path.glob("*/*.restored"))
    half_done = tmp_path / "small-files-log" / f"b.{file.uuid}.restored"
    half_done.write_bytes(b"")
    assert "b" in storage.logs()
    storage.drop_log("b")
    assert not half_done.exists()


def test_a_log_that_was_closed_takes_nothing_more(tmp_path: Path) -> None:
    log = SmallLog(str(tmp_path), "me")
    log.append([small(b"one")]).writing.wait()
    log.close()
    with pytest.raises(OSError, match="Stale"):
        log.append([small(b"two")])
    assert not list(tmp_path.glob("me.*"))


def test_what_cannot_be_secured_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SMALL_LOG_BYTES", limits.MIB)
    monkeypatch.setattr(limits, "SMALL_LOG_MOST_BYTES", limits.MIB)
    storage = FilesystemStorage(tmp_path, "me")
    trouble: list[Exception] = [DatabaseUnavailable("not now")]

    def secure() -> None:
        if trouble:
            raise trouble[0]

    storage.before_forgetting(secure)
    files = [small(bytes([n]) * 100_000) for n in range(20)]
    for file in files:
        storage.put([file]).wait()
    with pytest.raises(DatabaseUnavailable):
        storage.put([small(bytes(100_000))])
    with pytest.raises(DatabaseUnavailable):  # where it would fit is about to be used again
        storage.put([small(b"little")])
    assert [one.file for one in storage.logged("me")] == files
    trouble.clear()
    storage.put([small(bytes(100_000))]).wait()
    assert [one.file for one in storage.logged("me")][:10] == files[10:]


@pytest.mark.parametrize("submits", [True, False])
def test_a_record_that_the_disk_refuses_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, submits: bool
) -> None:
    """Neither its files nor a gap in the log, behind which nothing would be found."""
    storage = FilesystemStorage(tmp_path, "me")
    first = small(b"first")
    storage.put([first]).wait()
    if not submits:
        monkeypatch.setattr(Submitter, "begin", write_at_once)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    lost = small(b"lost")
    with monkeypatch.context() as patch:
        patch.setattr(Submitter, "_collect", full)
        patch.setattr("wherry.storage.smalllog.write_all", full)
        with pytest.raises(StorageFull):
            put = storage.put([lost])
            put.wait()
    with pytest.raises(MissingFile):
        storage.open(lost.uuid)
    last = small(b"last")
    storage.put([last]).wait()
    assert [one.file for one in storage.logged("me")] == [first, last]


def write_at_once(
    _: Submitter, fd: int, size: int, offset: int, again: Callable[[], None]
) -> Writing:
    again()
    return Writing(None)


def test_as_many_small_files_as_fit_in_a_record(storage: StorageArea) -> None:
    """Whatever a wrapper adds to each of them."""
    count = 200
    size = limits.SMALL_RECORD_BYTES // count - limits.SMALL_ENTRY_BYTES
    some = [bytes([number]) * size for number in range(count)]
    files = [SmallFile(name(), data, hashlib.md5(data).hexdigest()) for data in some]
    places = storage.put(files).places
    for file, place, data in zip(files, places, some, strict=True):
        reader = storage.open(file.uuid, place)
        assert reader.read_at(0, size + 1) == data
        reader.close()
