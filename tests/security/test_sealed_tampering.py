"""Whoever can write where sealed files lie, but has no key, can lose them, not change them.

Each case changes what is stored and is refused: whole reads never give a byte, and a part is either
refused or is what was stored there (a chunk that nobody touched).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.sealed import MASTER, new_master, sealed_keys, wrapped_as
from wherry.errors import CorruptedFile
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.sealed import w1
from wherry.storage.sealed.area import SealedStorage
from wherry.storage.sealed.keys import Keys
from wherry.storage.sealed.ring import with_new_key

CHUNK = 256
EACH = CHUNK + 16
HEADER = w1.HEADER_BYTES
SIZE = 5 * CHUNK + 100
PLAIN = bytes((17 * n + n // 251) % 256 for n in range(SIZE))
MINE, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
RING = with_new_key((), MASTER)

type_change = Callable[["Store"], bytes]


@dataclass
class Store:
    """A sealed file, another one, and an older version of the first."""

    folder: Path
    storage: SealedStorage
    place: str
    mine: bytes
    other: bytes
    older: bytes

    def put(self, data: bytes) -> None:
        next(self.folder.glob(f"??/*/{MINE}")).write_bytes(data)


def made(folder: Path, keys: Keys, name: str, plain: bytes) -> tuple[str, bytes]:
    storage = SealedStorage(FilesystemStorage(folder), keys, CHUNK)
    writer = storage.create(name)
    writer.write(plain)
    writer.sync()
    writer.close()
    return writer.place, next(folder.glob(f"??/*/{name}")).read_bytes()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    keys = sealed_keys(known=RING)
    _, older = made(tmp_path / "older", keys, MINE, PLAIN[::-1])
    _, other = made(tmp_path / "now", keys, OTHER, PLAIN[::-1])
    place, mine = made(tmp_path / "now", keys, MINE, PLAIN)
    folder = tmp_path / "now"
    storage = SealedStorage(FilesystemStorage(folder), keys, CHUNK)
    return Store(folder, storage, place, mine, other, older)


def flip(at: int, bit: int) -> type_change:
    def change(store: Store) -> bytes:
        data = bytearray(store.mine)
        data[at] ^= 1 << bit
        return bytes(data)

    return change


def cut(at: int) -> type_change:
    return lambda store: store.mine[:at]


def longer(tail: bytes) -> type_change:
    return lambda store: store.mine + tail


def chunks(data: bytes) -> list[bytes]:
    return [data[at : at + EACH] for at in range(HEADER, len(data), EACH)]


def ordered(*order: int) -> type_change:
    def change(store: Store) -> bytes:
        own = chunks(store.mine)
        return store.mine[:HEADER] + b"".join(own[number] for number in order)

    return change


def spliced(number: int, source: str) -> type_change:
    """One chunk of another file in the same place."""

    def change(store: Store) -> bytes:
        own = chunks(store.mine)
        own[number] = chunks(getattr(store, source))[number]
        return store.mine[:HEADER] + b"".join(own)

    return change


def header_of(source: str, start: int = 0, end: int = HEADER) -> type_change:
    """A part of the header of another file, all chunks of this one."""
    return lambda store: store.mine[:start] + getattr(store, source)[start:end] + store.mine[end:]


def replaced(at: int, data: bytes) -> type_change:
    return lambda store: store.mine[:at] + data + store.mine[at + len(data) :]


LENGTH = HEADER + SIZE + 6 * 16
EDGES = sorted({HEADER + n * EACH + beside for n in range(6) for beside in (0, 1, CHUNK, EACH - 1)})
EVERYWHERE: dict[str, type_change] = {
    # of the header every bit of a few bytes, and one bit of every byte
    **{
        f"header bit {bit} of byte {at}": flip(at, bit) for at in range(HEADER) for bit in (at % 8,)
    },
    **{f"key id bit {bit}": flip(15, bit) for bit in range(8)},
    **{f"chunk size bit {bit}": flip(8 + bit // 8, bit % 8) for bit in range(32)},
    **{f"cut at {at}": cut(at) for at in (0, 1, 7, 8, 60, HEADER - 1, HEADER, LENGTH - 1)},
    **{f"cut at {at}": cut(at) for at in EDGES if at < LENGTH},
    **{f"cut within, at {at}": cut(at) for at in range(HEADER + 5, LENGTH, 97)},
    **{f"longer by {n} zeros": longer(bytes(n)) for n in (1, 15, 16, 17, CHUNK, EACH, 5 * EACH)},
    "longer by its last chunk": lambda store: store.mine + chunks(store.mine)[-1],
    "longer by its first chunk": lambda store: store.mine + chunks(store.mine)[0],
    "twice": lambda store: store.mine + store.mine,
    "its chunks twice": lambda store: store.mine + store.mine[HEADER:],
    "empty": lambda _: b"",
    "zeros": lambda store: bytes(len(store.mine)),
    "in clear": lambda _: PLAIN,
    "the magic and clear bytes": lambda _: w1.MAGIC + PLAIN,
    "another file": lambda store: store.other,
    "an older version": lambda store: store.older,
    "header of another file": header_of("other"),
    "header of an older version": header_of("older"),
    "data key of another file": header_of("other", 20, 60),
    "data key of an older version": header_of("older", 20, 60),
    "commitment of another file": header_of("other", 60),
    "commitment of an older version": header_of("older", 60),
    "no key in the header": replaced(20, bytes(40)),
    "no commitment": replaced(60, bytes(32)),
    "another key of the ring": replaced(12, b"\x00" * 8),
    "without its last chunk": ordered(0, 1, 2, 3, 4),
    "without the first": ordered(1, 2, 3, 4, 5),
    "the last one first": ordered(5, 0, 1, 2, 3, 4),
    "nothing but the last": ordered(5),
    "the last but one at the end": ordered(0, 1, 2, 3, 4, 4),
}
"""Refused whatever is read."""

PARTLY: dict[str, type_change] = {
    **{
        f"bit {(at * 7) % 8} of chunk byte {at}": flip(at, (at * 7) % 8)
        for at in [*EDGES, *range(HEADER, LENGTH, 53)]
        if at < LENGTH
    },
    **{f"without chunk {n}": ordered(*(k for k in range(6) if k != n)) for n in range(1, 5)},
    **{
        f"chunks {a} and {b} exchanged": ordered(
            *(b if k == a else a if k == b else k for k in range(6))
        )
        for a in range(5)
        for b in range(a + 1, 6)
    },
    **{
        f"chunk {n} instead of {at}": ordered(*(n if k == at else k for k in range(6)))
        for n in range(5)
        for at in range(5)
        if n != at
    },
    **{f"chunk {n} twice": ordered(*range(n + 1), *range(n, 6)) for n in range(5)},
    "backwards": ordered(4, 3, 2, 1, 0, 5),
    **{
        f"chunk {n} of {source}": spliced(n, source)
        for n in range(6)
        for source in ("other", "older")
    },
    **{f"zeros for chunk {n}": replaced(HEADER + n * EACH, bytes(EACH)) for n in range(5)},
}
"""Refused where it is read, and as a whole."""


def reads(store: Store, storage: SealedStorage | None = None) -> list[tuple[slice, bytes | None]]:
    """What comes out, None where it is refused: each read with a reader of its own."""
    found: list[tuple[slice, bytes | None]] = []
    ranges = [(0, SIZE), (0, 1), (SIZE - 1, 1), (SIZE, 1), *((n * CHUNK, CHUNK) for n in range(6))]
    for offset, size in ranges:
        found.append((slice(offset, offset + size), read(store, offset, size, storage)))
    return found


def read(
    store: Store, offset: int, size: int, storage: SealedStorage | None = None
) -> bytes | None:
    try:
        reader = (storage or store.storage).open(MINE, store.place)
    except CorruptedFile:
        return None
    try:
        return reader.read_at(offset, size)
    except CorruptedFile:
        return None
    finally:
        reader.close()


def mapped(store: Store) -> bytes | None:
    try:
        reader = store.storage.open(MINE, store.place)
    except CorruptedFile:
        return None
    try:
        with reader.map() as view:
            return bytes(view)
    except CorruptedFile:
        return None
    finally:
        reader.close()


def test_there_are_enough_cases() -> None:
    assert len(EVERYWHERE) + len(PARTLY) > 300


def test_what_nobody_touched_is_read(store: Store) -> None:
    assert mapped(store) == PLAIN
    assert all(data == PLAIN[part] for part, data in reads(store))


@pytest.mark.parametrize("case", EVERYWHERE)
def test_refused_everywhere(store: Store, case: str) -> None:
    changed = EVERYWHERE[case](store)
    assert changed != store.mine
    store.put(changed)
    assert mapped(store) is None
    assert [data for _, data in reads(store) if data is not None] == []


@pytest.mark.parametrize("case", PARTLY)
def test_refused_where_it_was_changed(store: Store, case: str) -> None:
    changed = PARTLY[case](store)
    assert changed != store.mine
    store.put(changed)
    assert mapped(store) is None
    found = reads(store)
    assert found[0][1] is None
    assert all(data is None or data == PLAIN[part] for part, data in found)


def test_an_older_version_is_refused_only_because_the_index_remembers(store: Store) -> None:
    """Else the case above would prove nothing: by itself the older file is sound."""
    store.put(store.older)
    reader = store.storage.open(MINE, "*")
    assert reader.read_at(0, SIZE) == PLAIN[::-1]
    reader.close()


@pytest.mark.parametrize("name", range(2, 12))
def test_a_file_is_no_other(store: Store, name: int) -> None:
    """Its bytes under another name, also when nothing is recorded of that."""
    other = str(uuid.UUID(int=name << 64))
    path = store.folder / other[:2] / other[2:4] / other
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(store.mine)
    for place in (store.place, "*", "file-system::W1"):
        with pytest.raises(CorruptedFile):
            store.storage.open(other, place)


def test_another_key(store: Store) -> None:
    """Of a ring that says the same names, as somebody without the master key could make it."""
    stranger = new_master(MASTER.id)
    (fake,) = with_new_key((), stranger)
    keys = sealed_keys(master=stranger, known=(wrapped_as(fake, RING[0].id, stranger),))
    there = SealedStorage(FilesystemStorage(store.folder), keys, CHUNK)
    assert [data for _, data in reads(store, there) if data is not None] == []


# --- the container of Orthanc: what it can promise ---------------------------------------------
A1_LENGTH = SIZE + 86


@pytest.fixture
def a1_store(tmp_path: Path) -> Store:
    keys = sealed_keys("A1")
    place, mine = made(tmp_path, keys, MINE, PLAIN)
    _, other = made(tmp_path, keys, OTHER, PLAIN[::-1])
    return Store(
        tmp_path, SealedStorage(FilesystemStorage(tmp_path), keys), place, mine, other, b""
    )


A1_CASES: dict[str, type_change] = {
    **{f"bit of byte {at}": flip(at, at % 8) for at in [*range(86), *range(86, A1_LENGTH, 41)]},
    **{f"bit of tag byte {at}": flip(at, at % 8) for at in range(A1_LENGTH - 16, A1_LENGTH)},
    **{f"cut at {at}": cut(at) for at in [0, 1, 69, 70, 85, 86, *range(100, A1_LENGTH, 111)]},
    **{f"longer by {n}": longer(bytes(n)) for n in (1, 16, 100)},
    "header of another file": header_of("other", 0, 70),
    "in clear": lambda _: PLAIN,
}


@pytest.mark.parametrize("case", A1_CASES)
def test_a1_is_refused_as_a_whole(a1_store: Store, case: str) -> None:
    a1_store.put(A1_CASES[case](a1_store))
    assert mapped(a1_store) is None
    assert [data for _, data in reads(a1_store) if data is not None] == []
