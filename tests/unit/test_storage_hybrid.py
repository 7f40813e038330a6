"""Two stores in one: who is asked, what is found, what is moved."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from blake3 import blake3

from tests.support.objects import FakeObjects, out_of_reach
from wherry import limits
from wherry.config.objects import Hybrid
from wherry.errors import CorruptedFile, MissingFile, StorageFull, Unavailable
from wherry.model import Attachment
from wherry.storage.base import ANYWHERE, SmallFile
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.hybrid import HybridStorage
from wherry.storage.outgoing import FileRange, read
from wherry.storage.places import FILE_SYSTEM, OBJECT_STORAGE

HERE, THERE = "", "object-storage:.dcm:"
DATA = bytes(range(256)) * 40


class Both:
    """A file system and an object store as one; ``known`` is what the index says."""

    def __init__(self, folder: Path, write_to: Hybrid = Hybrid.WRITE_TO_FILE_SYSTEM) -> None:
        self.local = FilesystemStorage(folder / "here")
        self.objects = FakeObjects(folder / "there")
        self.objects.fleeting = True
        self.known: dict[str, str] = {}
        self.noted: list[str] = []
        self.area = HybridStorage(
            self.local, self.objects, write_to, self.known.get, self.noted.append
        )

    def put(self, store: Any, data: bytes = DATA) -> str:
        writer = store.create(str(uuid4()))
        writer.write(data)
        writer.sync()
        writer.close()
        return str(writer.uuid)

    def read(self, uuid: str, place: str = ANYWHERE) -> bytes:
        reader = self.area.open(uuid, place)
        try:
            return reader.read_at(0, reader.size)
        finally:
            reader.close()

    def moved(self, uuid: str, place: str, target: str) -> str:
        return self.area.move(uuid, place, target, lambda size: None)


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "READ_CHUNK_BYTES", 1000)


@pytest.mark.parametrize("mode", [Hybrid.WRITE_TO_FILE_SYSTEM, Hybrid.WRITE_TO_OBJECT_STORAGE])
def test_new_files_go_where_the_mode_says(tmp_path: Path, mode: Hybrid) -> None:
    both = Both(tmp_path, mode)
    uuid = both.put(both.area)
    local = mode is Hybrid.WRITE_TO_FILE_SYSTEM
    assert both.area.shares_files is local
    assert both.area.open(uuid).place == (HERE if local else THERE)
    assert list(both.local.list(uuid[:4])) == ([uuid] if local else [])
    assert list(both.area.list(uuid[:4])) == [uuid]


def test_a_file_that_is_here_needs_no_object_store(both: Both) -> None:
    uuid = both.put(both.area)
    both.objects.down = out_of_reach()
    assert both.read(uuid, HERE) == both.read(uuid) == DATA
    assert both.area.size(uuid, HERE) == len(DATA)
    both.area.sync([uuid])
    both.area.delete(uuid, HERE)
    assert both.objects.calls == []


def test_an_object_needs_no_file_system(both: Both) -> None:
    uuid = both.put(both.objects)
    assert both.read(uuid, THERE) == DATA
    both.area.delete(uuid, THERE)
    with pytest.raises(MissingFile):
        both.area.size(uuid, THERE)


def test_objects_are_opened_ahead_whatever_the_mode(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits until a second one is being opened."""
    files = [Attachment(both.put(both.objects), 1, len(DATA), "", len(DATA), "") for _ in range(4)]
    files = [replace(file, place=THERE) for file in files]
    together = threading.Barrier(2)
    found = both.objects.open

    def open_it(uuid: str, place: str = ANYWHERE) -> Any:
        together.wait(10)
        return found(uuid, place)

    monkeypatch.setattr(both.objects, "open", open_it)
    ranges = [FileRange("", file, 0, file.uncompressed_size) for file in files]
    assert b"".join(read(both.area, ranges)) == DATA * 4


@pytest.mark.parametrize("mode", [Hybrid.WRITE_TO_FILE_SYSTEM, Hybrid.WRITE_TO_OBJECT_STORAGE])
def test_what_is_not_recorded_is_looked_for_first_where_new_files_go(
    tmp_path: Path, mode: Hybrid
) -> None:
    both = Both(tmp_path, mode)
    uuid = both.put(both.local, b"here")
    there = both.objects.create(uuid)
    there.write(b"there")
    there.sync()
    there.close()
    assert both.read(uuid) == (b"here" if mode is Hybrid.WRITE_TO_FILE_SYSTEM else b"there")
    both.area.delete(uuid)
    with pytest.raises(MissingFile):
        both.area.open(uuid)


@pytest.mark.parametrize(("said", "really"), [(HERE, THERE), (THERE, HERE)])
def test_a_file_that_was_moved_is_found_by_the_index(both: Both, said: str, really: str) -> None:
    uuid = both.put(both.objects if really == THERE else both.local)
    with pytest.raises(MissingFile):
        both.read(uuid, said)
    both.known[uuid] = f"{OBJECT_STORAGE}:.dcm:W1" if really == THERE else really
    assert both.read(uuid, said) == DATA
    assert both.area.size(uuid, said) == len(DATA)


def test_a_file_that_is_moved_while_it_is_looked_for(both: Both) -> None:
    uuid = both.put(both.objects)

    def come_here(method: str, name: str) -> None:
        if method == "open":
            both.objects.before = lambda method, name: None
            both.moved(uuid, THERE, HERE)
            both.known[uuid] = HERE
            both.objects.delete(uuid)

    both.objects.before = come_here
    assert both.read(uuid, THERE) == DATA


def test_a_file_that_comes_back_while_it_is_looked_for(both: Both) -> None:
    uuid = both.put(both.objects)

    def locate(name: str) -> str:
        both.moved(uuid, THERE, HERE)
        return HERE

    area = HybridStorage(both.local, both.objects, Hybrid.WRITE_TO_FILE_SYSTEM, locate)
    assert area.size(uuid, HERE) == len(DATA)


def test_only_not_found_leads_to_a_second_look(both: Both) -> None:
    uuid = both.put(both.objects)
    both.put(both.local)
    both.known[uuid] = HERE
    both.objects.down = out_of_reach()
    with pytest.raises(Unavailable):
        both.area.open(uuid, THERE)
    with pytest.raises(Unavailable):
        both.area.open(uuid)


@pytest.mark.parametrize("how", ["ranges", "map"])
def test_a_reader_follows_an_object_that_moves(both: Both, how: str) -> None:
    uuid = both.put(both.objects)
    reader = both.area.open(uuid, THERE)
    assert reader.read_at(0, 10) == DATA[:10]
    both.moved(uuid, THERE, HERE)
    both.known[uuid] = HERE
    both.objects.delete(uuid)
    if how == "map":
        with reader.map() as view:
            assert bytes(view) == DATA
    else:
        assert reader.read_at(10, 20_000) == DATA[10:]
    assert (reader.place, reader.size) == (HERE, len(DATA))
    reader.close()


def test_a_reader_of_what_is_gone_for_good(both: Both) -> None:
    uuid = both.put(both.objects)
    both.known[uuid] = THERE
    reader = both.area.open(uuid, THERE)
    both.objects.delete(uuid)
    with pytest.raises(MissingFile):
        reader.read_at(0, 1)
    reader.close()


@pytest.mark.parametrize(("place", "target"), [(HERE, THERE), (THERE, HERE)])
def test_a_move_copies_and_leaves_the_source(both: Both, place: str, target: str) -> None:
    source = both.objects if place == THERE else both.local
    uuid = both.put(source)
    pieces: list[int] = []
    digest = both.area.move(uuid, place, target, pieces.append)
    assert digest == blake3(DATA).hexdigest()
    assert sum(pieces) == 2 * len(DATA)
    assert both.read(uuid, place) == both.read(uuid, target) == DATA
    assert both.moved(uuid, place, target) == digest


@pytest.mark.parametrize("left", [b"", DATA[:5000], DATA[:-1] + b"x", DATA + b"more"])
@pytest.mark.parametrize(("place", "target"), [(HERE, THERE), (THERE, HERE)])
def test_what_an_interrupted_move_left_is_replaced(
    both: Both, place: str, target: str, left: bytes
) -> None:
    stores = {HERE: both.local, THERE: both.objects}
    uuid = both.put(stores[place])
    writer = stores[target].create(uuid)
    writer.write(left)
    writer.sync()
    writer.close()
    both.moved(uuid, place, target)
    assert both.read(uuid, target) == DATA


def test_a_copy_that_is_there_already_is_synced_before_it_counts(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = both.put(both.objects)
    writer = both.local.create(uuid)
    writer.write(DATA)
    writer.close()
    synced: list[str] = []
    sync = both.local.sync

    def noted(uuids: Iterable[str]) -> None:
        synced.extend(names := [*uuids])
        sync(names)

    monkeypatch.setattr(both.local, "sync", noted)
    both.moved(uuid, THERE, HERE)
    assert {*synced} == {uuid}


def test_a_copy_that_is_not_what_was_written_is_refused(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = both.put(both.local)
    read: Callable[[str, int, int], bytes] = both.objects.range_of
    monkeypatch.setattr(
        both.objects,
        "range_of",
        lambda uuid, offset, size: read(uuid, offset, size).replace(b"\x07", b"\x08"),
    )
    with pytest.raises(CorruptedFile):
        both.moved(uuid, HERE, THERE)
    assert both.read(uuid, HERE) == DATA


def test_a_full_disk_takes_nothing_back(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    uuid = both.put(both.objects)
    monkeypatch.setattr(limits, "FREE_DISK_BYTES", 1 << 62)
    with pytest.raises(StorageFull):
        both.moved(uuid, THERE, HERE)
    with pytest.raises(MissingFile):
        both.local.open(uuid)


def test_who_is_told_may_stop_a_move(both: Both) -> None:
    uuid = both.put(both.local)

    def stop(size: int) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        both.area.move(uuid, HERE, THERE, stop)
    assert both.read(uuid, HERE) == DATA


def test_places_keep_their_seal(both: Both) -> None:
    place_in = both.area.place_in
    assert place_in(OBJECT_STORAGE, "", 1) == "object-storage:.dcm:"
    assert place_in(OBJECT_STORAGE, "", 1024) == "object-storage:.unk:"
    assert place_in(OBJECT_STORAGE, "file-system::W1=x", 1) == "object-storage:.dcm.enc:W1=x"
    assert place_in(FILE_SYSTEM, "object-storage:.dcm.enc:A1", 1) == "file-system::A1"
    assert place_in(FILE_SYSTEM, "object-storage:/:", 1) == ""
    assert place_in(OBJECT_STORAGE, "object-storage:/:", 1) == "object-storage:/:"
    assert place_in(FILE_SYSTEM, "", 1) == ""


def test_a_small_file_that_was_moved_since_does_not_come_back(both: Both) -> None:
    file = SmallFile(str(uuid4()), DATA, hashlib.md5(DATA).hexdigest())
    both.area.put([file])
    assert [*both.area.logs()]
    both.moved(file.uuid, HERE, THERE)
    both.known[file.uuid] = THERE
    both.area.delete(file.uuid, HERE)
    both.objects.down = out_of_reach()
    assert not both.area.restore(file)
    both.area.sync([file.uuid])
    both.known[file.uuid] = HERE
    assert both.area.restore(file)
    assert both.read(file.uuid, HERE) == DATA


def test_each_file_that_is_opened_is_noted(both: Both) -> None:
    uuid = both.put(both.area)
    both.read(uuid)
    assert both.noted == [uuid]


def test_leftovers_here_are_listed_when_new_files_are_objects(tmp_path: Path) -> None:
    both = Both(tmp_path, Hybrid.WRITE_TO_OBJECT_STORAGE)
    here, twice = both.put(both.local), both.put(both.local)
    assert [*both.area.list(here[:4])] == [here]
    both.moved(twice, HERE, THERE)
    assert [*both.area.list(twice)] == [twice]


def test_to_list_what_is_here_needs_no_object_store(both: Both) -> None:
    uuid = both.put(both.local)
    both.objects.down = out_of_reach()
    assert [*both.area.list(uuid)] == [uuid]
