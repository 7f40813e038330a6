"""The bytes of ZIP archives, read back by Python's ``zipfile`` and from front to back; any list of
members, whatever their sizes and positions; continued at any member."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from wherry.archives.zipstream import COMMENT, Member, ZipStream
from wherry.errors import CorruptedFile
from wherry.limits import GIB, MIB

MOMENT = datetime(2026, 2, 3, 4, 5, 6)  # noqa: DTZ001  as a ZIP has it: without a zone

type_file = tuple[str, list[bytes]]
"""Name, and the pieces that it comes in."""

names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)
pieces = st.binary(max_size=300) | st.builds(
    lambda seed, size: Random(seed).randbytes(size), st.integers(0, 99), st.integers(0, 200_000)
)
contents = st.lists(pieces | pieces.map(lambda piece: bytes(len(piece))), max_size=4)
files = st.lists(st.tuples(names, contents), max_size=8, unique_by=lambda file: file[0])


def members_of(found: Iterable[type_file]) -> list[Member]:
    return [Member(name, sum(map(len, content))) for name, content in found]


def archive(found: list[type_file]) -> bytes:
    stream, members = ZipStream(MOMENT), members_of(found)
    made = [
        *chain.from_iterable(
            stream.member(member, content)
            for member, (_, content) in zip(members, found, strict=True)
        ),
        *stream.end(members),
    ]
    assert stream.position == sum(map(len, made))
    return b"".join(made)


def front_to_back(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The members as one reads them who has no directory yet: by local headers and descriptors."""
    position = 0
    while data[position : position + 4] == b"PK\3\4":
        head = struct.unpack_from("<4sHHHHHLLLHH", data, position)
        assert head[2] & 0x0008
        position += 30
        name = data[position : position + head[9]].decode("utf-8" if head[2] & 0x800 else "ascii")
        position += head[9] + head[10]
        inflater = zlib.decompressobj(-15)
        content = inflater.decompress(data[position:]) + inflater.flush()
        packed = len(data) - position - len(inflater.unused_data)
        descriptor = struct.pack("<4sLLL", b"PK\7\x08", zlib.crc32(content), packed, len(content))
        position += packed
        assert data[position : position + len(descriptor)] == descriptor
        position += len(descriptor)
        yield name, content


# --- what goes in comes out --------------------------------------------------------------------
@given(files)
@settings(max_examples=150, deadline=None)
def test_what_goes_in_comes_out(found: list[type_file]) -> None:
    data = archive(found)
    expected = [(name, b"".join(content)) for name, content in found]
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.comment == COMMENT
        assert [(info.filename, opened.read(info)) for info in opened.infolist()] == expected
        for info in opened.infolist():
            assert (info.compress_type, info.extra) == (zipfile.ZIP_DEFLATED, b"")
            assert (info.date_time, info.external_attr) == ((2026, 2, 3, 4, 5, 6), 0o100644 << 16)
    assert [*front_to_back(data)] == expected


@given(files)
@settings(max_examples=60, deadline=None)
def test_it_goes_on_at_every_member(found: list[type_file]) -> None:
    whole, members = archive(found), members_of(found)
    stream = ZipStream(MOMENT)
    for number in range(len(members) + 1):
        other = ZipStream(MOMENT)
        other.take_up(stream.state(), members)
        assert (other.count, other.position) == (number, stream.position)
        rest = [
            *chain.from_iterable(
                other.member(members[later], found[later][1])
                for later in range(number, len(members))
            ),
            *other.end(members),
        ]
        assert b"".join(rest) == whole[stream.position :]
        if number < len(members):
            for _ in stream.member(members[number], found[number][1]):
                pass


@given(files.filter(bool), st.data())
@settings(max_examples=60, deadline=None)
def test_a_member_that_was_left_is_not_counted(found: list[type_file], data: st.DataObject) -> None:
    """Stopped at any piece, the state is that before the member."""
    members = members_of(found)
    number = data.draw(st.integers(0, len(found) - 1))
    stream = ZipStream(MOMENT)
    for member, (_, content) in zip(members[:number], found, strict=False):
        for _ in stream.member(member, content):
            pass
    state, position = stream.state(), stream.position
    begun = stream.member(members[number], found[number][1])
    sizes = [len(next(begun))]
    for _ in range(data.draw(st.integers(0, 2))):
        if stream.count > number:
            break
        sizes.append(len(next(begun)))
    if stream.count == number:
        assert stream.state() == state
        assert stream.position == position + sum(sizes)
        other = ZipStream(MOMENT)
        other.take_up(stream.state(), members)
        assert other.position == position


@given(st.binary(max_size=1000), st.integers(0, 1000))
@settings(deadline=None)
def test_a_file_of_another_size_is_refused(content: bytes, size: int) -> None:
    stream = ZipStream(MOMENT)
    if size == len(content):
        size += 1
    with pytest.raises(CorruptedFile):
        for _ in stream.member(Member("a", size), [content]):
            pass
    assert stream.count == 0


def test_a_state_of_something_else_is_refused() -> None:
    stream = ZipStream(MOMENT)
    members = [Member("a", 1), Member("b", 1)]
    for crcs, packed, sizes in ((1, 0, 1), (0, 1, 1), (3, 3, 3), (1, 2, 2), (1, 1, 0)):
        with pytest.raises(ValueError, match="not the state"):
            stream.take_up((bytes(4 * crcs), bytes(8 * packed), bytes(8 * sizes)), members)
    for state in ((b"abc", bytes(8), bytes(8)), (bytes(4), b"abc", bytes(8))):
        with pytest.raises(ValueError):
            stream.take_up(state, members)


@pytest.mark.parametrize("year", [1970, 1980, 2107, 2108])
def test_years_that_a_zip_does_not_know(year: int) -> None:
    stream, members = ZipStream(datetime(year, 12, 31, 23, 59, 59)), [Member("a", 0)]  # noqa: DTZ001
    data = b"".join([*stream.member(members[0], []), *stream.end(members)])
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        found = opened.infolist()[0].date_time
    assert found == (min(max(year, 1980), 2107), 12, 31, 23, 59, 58)


# --- beyond 16 and 32 bits ---------------------------------------------------------------------
@pytest.mark.parametrize("count", [0xFFFE, 0xFFFF, 0x10000, 0x10001])
def test_many_members(count: int) -> None:
    found: list[type_file] = [(f"{number:06d}", []) for number in range(count)]
    data = archive(found)
    large = count >= 0xFFFF
    assert (b"PK\6\6" in data[-200:], b"PK\6\7" in data[-200:]) == (large, large)
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.namelist() == [name for name, _ in found]
        for name in (found[0][0], found[-1][0]):
            assert opened.read(name) == b""


class Sparse(io.RawIOBase):
    """A file of which only what was written is held; the rest reads as zeros."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, bytes]] = []
        self._size = self._position = 0

    def put(self, position: int, data: bytes) -> None:
        self._parts.append((position, data))
        self._size = max(self._size, position + len(data))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = (0, self._position, self._size)[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = max(0, min(len(buffer), self._size - self._position))
        found = bytearray(size)
        for start, data in self._parts:
            first, last = (
                max(start, self._position),
                min(start + len(data), self._position + size),
            )
            if first < last:
                place = first - self._position
                found[place : place + last - first] = data[first - start : last - start]
        buffer[:size] = found
        self._position += size
        return size


edges = st.sampled_from([0, 0xFEFFFFFF, 0xFF000000, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 32, 9 * GIB])
near = st.builds(lambda edge, more: max(0, edge + more), edges, st.integers(-200, 200)) | edges
others = st.lists(st.tuples(st.text("aä/", max_size=20), near, near), min_size=1, max_size=5)


@given(others)
@settings(max_examples=200, deadline=None)
def test_sizes_and_positions_of_any_number_of_bits(found: list[tuple[str, int, int]]) -> None:
    """Members of these sizes, plain and packed, are taken for written; behind each stands a small
    one that the directory has to find."""
    members, file, stream = list[Member](), Sparse(), ZipStream(MOMENT)
    for number, (name, size, packed) in enumerate(found):
        if size < 0xFF000000:  # what is packed hardly grows
            packed = min(packed, size + size // 1000 + 100)
        members.append(Member(f"{number}-{name}", size))
        crcs, lengths, sizes = stream.state()
        added = struct.pack("<Q", packed), struct.pack("<Q", size)
        stream.take_up((crcs + bytes(4), lengths + added[0], sizes + added[1]), members)
        members.append(Member(f"small-{number}", 5))
        for piece in stream.member(members[-1], [b"%05d" % number]):
            file.put(stream.position - len(piece), piece)
    for piece in stream.end(members):
        file.put(stream.position - len(piece), piece)
    with zipfile.ZipFile(file) as opened:
        infos = opened.infolist()
        assert [(info.filename, info.file_size) for info in infos] == members
        for number, (_, size, packed) in enumerate(found):
            assert opened.read(f"small-{number}") == b"%05d" % number
            large, small = infos[2 * number], infos[2 * number + 1]
            if size >= 0xFF000000:
                assert large.compress_size == packed
                assert large.extract_version == 45
            head = 30 + len(large.filename.encode()) + 20 * (size >= 0xFF000000)
            tail = 24 if size >= 0xFF000000 else 16
            assert small.header_offset == large.header_offset + head + large.compress_size + tail


def zeros(size: int) -> Iterator[bytes]:
    piece = bytes(MIB)
    for _ in range(size // MIB):
        yield piece
    yield bytes(size % MIB)


@pytest.fixture
def quick_zipfile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's ``zipfile`` inflates 4 GiB in a second, not in ten."""
    monkeypatch.setattr(zipfile, "zlib", isal_zlib)
    monkeypatch.setattr(zipfile, "crc32", isal_zlib.crc32)


@pytest.mark.usefixtures("quick_zipfile")
def test_a_file_of_more_than_4_gib(tmp_path: Path) -> None:
    """Zeros: a few MB when they are packed."""
    size = 4 * GIB + 12_345
    members, stream = [Member("large", size), Member("ä", 3)], ZipStream(MOMENT)
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.writelines(stream.member(members[0], zeros(size)))
        file.writelines(stream.member(members[1], [b"abc"]))
        file.writelines(stream.end(members))
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
        first, second = opened.infolist()
        assert [(info.filename, info.file_size) for info in (first, second)] == members
    data = path.read_bytes()
    assert data[4:6] == struct.pack("<H", 45)
    assert data[26:30] == struct.pack("<HH", 5, 20)
    assert data[35:39] == struct.pack("<HH", 1, 16), "§4.3.9.2: the descriptor has 8 byte sizes"
    descriptor = struct.pack("<4sLQQ", b"PK\7\x08", first.CRC, first.compress_size, size)
    assert data[second.header_offset - 24 : second.header_offset] == descriptor


def test_unzip_finds_what_lies_behind_4_gib(tmp_path: Path) -> None:
    """A sparse file: what is in front is taken for written."""
    if shutil.which("unzip") is None:
        pytest.skip("there is no unzip: apt-get install unzip")
    path, stream = tmp_path / "sparse.zip", ZipStream(MOMENT)
    members = [Member("large", 5 * GIB), Member("small", 5)]
    size = struct.pack("<Q", 5 * GIB)
    stream.take_up((bytes(4), size, size), members)
    with path.open("wb") as file:
        file.seek(stream.position)
        file.writelines(stream.member(members[1], [b"small"]))
        file.writelines(stream.end(members))
    shown = subprocess.run(["unzip", "-p", path, "small"], capture_output=True, timeout=60)
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, b"small", b"")
    listed = subprocess.run(["unzip", "-Zl", path], capture_output=True, timeout=60, text=True)
    assert listed.returncode == 0
    assert str(5 * GIB) in listed.stdout
