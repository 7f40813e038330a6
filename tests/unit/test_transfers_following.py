"""The digest that follows the parts of an instance, and when it must not be trusted."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from pathlib import Path

import pytest

from wherry.digests import new_md5
from wherry.storage.filesystem import FilesystemStorage
from wherry.transfers.following import Follower

DATA = bytes(range(256)) * 40
MD5 = hashlib.md5(DATA).hexdigest()
PARTS = [(0, 3000), (3000, 4000), (7000, 3240)]


class File:
    def __init__(self, folder: Path) -> None:
        self.storage = FilesystemStorage(folder)
        self.name = str(uuid.uuid4())
        self.follower = Follower(self.storage, self.name, new_md5)

    def write(self, offset: int, data: bytes) -> None:
        writer = self.storage.reopen(self.name, offset)
        writer.write(data)
        writer.flush()
        writer.close()

    def land(self, offset: int, size: int, data: bytes = DATA) -> None:
        digest = self.follower.begin(offset, size)
        piece = data[offset : offset + size]
        if digest is not None:
            digest.update(piece)
        self.write(offset, piece)
        self.follower.landed(offset, size, digest)


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


@pytest.mark.parametrize("order", list(itertools.permutations(PARTS)))
def test_parts_in_any_order(file: File, order: list[tuple[int, int]]) -> None:
    for part in order:
        assert file.follower.digest(len(DATA)) is None
        file.land(*part)
    assert file.follower.digest(len(DATA)) == MD5


def test_parts_that_are_under_way_together(file: File) -> None:
    first, second = file.follower.begin(0, 3000), file.follower.begin(3000, 4000)
    assert first is not None and second is None
    file.write(3000, DATA[3000:7000])
    file.follower.landed(3000, 4000, None)
    first.update(DATA[:3000])
    file.write(0, DATA[:3000])
    file.follower.landed(0, 3000, first)
    file.land(7000, 3240)
    assert file.follower.digest(len(DATA)) == MD5


def test_a_part_that_was_broken_off_comes_again(file: File) -> None:
    digest = file.follower.begin(0, 3000)
    assert digest is not None
    digest.update(b"half of it")
    file.follower.drop(0, digest)
    for part in PARTS:
        file.land(*part)
    assert file.follower.digest(len(DATA)) == MD5


@pytest.mark.parametrize("again", [(0, 3000), (100, 50), (2999, 10), (9000, 1)])
def test_a_range_that_comes_twice_makes_it_worthless(file: File, again: tuple[int, int]) -> None:
    """What was written over is not what was digested."""
    for part in PARTS:
        file.land(*part)
    file.land(*again, data=bytes(len(DATA)))
    assert file.follower.digest(len(DATA)) is None


def test_an_overlap_under_way_makes_it_worthless(file: File) -> None:
    digest = file.follower.begin(0, 3000)
    file.follower.begin(2000, 100)
    assert digest is not None
    digest.update(DATA[:3000])
    file.write(0, DATA[:3000])
    file.follower.landed(0, 3000, digest)
    file.follower.drop(2000, None)
    for part in PARTS[1:]:
        file.land(*part)
    assert file.follower.digest(len(DATA)) is None
