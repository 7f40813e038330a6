"""What is particular to the file system: Orthanc's layout, a full disk."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from wherry.errors import CannotWriteFile, StorageFull
from wherry.storage.filesystem import FilesystemStorage

NAME = "abcd1234-5678-4abc-8abc-123456789abc"


def test_files_lie_where_orthanc_looks_for_them(tmp_path: Path) -> None:
    writer = FilesystemStorage(tmp_path).create(NAME)
    writer.write(b"x")
    writer.sync()
    writer.close()
    assert (tmp_path / "ab" / "cd" / NAME).read_bytes() == b"x"


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:3], offset))
    writer = FilesystemStorage(tmp_path).create(NAME)
    writer.write(b"0123456789")
    writer.sync()
    writer.close()
    assert (tmp_path / "ab" / "cd" / NAME).read_bytes() == b"0123456789"


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, StorageFull), (errno.EIO, CannotWriteFile)]
)
def test_errors_of_the_disk_are_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, "no")

    writer = FilesystemStorage(tmp_path).create(NAME)
    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(expected) as caught:
        writer.write(b"x")
        writer.sync()
    assert str(tmp_path) not in str(caught.value)
    writer.close()


def test_a_folder_is_synced_with_its_parents_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FilesystemStorage(tmp_path)
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}").removeprefix(str(tmp_path)))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    writer = storage.create(NAME)
    writer.close()
    storage.sync([NAME])
    assert synced == [f"/ab/cd/{NAME}", "/ab/cd", "/ab", ""]
    synced.clear()
    storage.sync([NAME])
    assert synced == [f"/ab/cd/{NAME}", "/ab/cd"]


def test_a_file_system_without_direct_writes_takes_the_ordinary_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_fd: int, command: int, _flags: int = 0) -> int:
        if command == fcntl.F_SETFL:
            raise OSError(errno.EINVAL, "no")
        return 0

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    writer = FilesystemStorage(tmp_path).create(NAME)
    writer.write(b"0123456789" * 100_000)
    writer.sync()
    writer.close()
    assert (tmp_path / "ab" / "cd" / NAME).read_bytes() == b"0123456789" * 100_000


def test_large_files_go_around_the_page_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags: list[bool] = []
    real = os.pwrite

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        flags.append(bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT))
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    storage = FilesystemStorage(tmp_path)
    for size, prefix in ((1000, "aaaa"), (2_500_000, "bbbb")):
        writer = storage.create(prefix + NAME[4:])
        writer.write(b"x" * size)
        writer.sync()
        writer.close()
    assert flags == [False, True, True, True, False]  # the last: what is less than a block
