"""What is particular to the file system: Orthanc's layout, a full disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from wherry.errors import CannotWriteFile, StorageFull
from wherry.storage.filesystem import FilesystemStorage

NAME = "abcd1234-5678-4abc-8abc-123456789abc"


def test_files_lie_where_orthanc_looks_for_them(tmp_path: Path) -> None:
    writer = FilesystemStorage(tmp_path).create(NAME)
    writer.write(b"x")
    writer.close()
    assert (tmp_path / "ab" / "cd" / NAME).read_bytes() == b"x"


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:3], offset))
    writer = FilesystemStorage(tmp_path).create(NAME)
    writer.write(b"0123456789")
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
