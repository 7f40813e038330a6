"""Writes that the kernel does by itself, and what happens where it does not."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.storage.direct import write_all
from wherry.storage.submitted import Submitter, Writing

SIZE = 8192


@pytest.fixture
def buffer() -> memoryview:
    return memoryview(mmap.mmap(-1, 2 * SIZE))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT | os.O_DSYNC)
    os.pwrite(fd, bytes(4 * SIZE), 0)
    yield fd
    os.close(fd)


class Again:
    """Writes in the ordinary way, and counts how often it had to."""

    def __init__(self, fd: int, buffer: memoryview, offset: int) -> None:
        self._parts = fd, buffer[:SIZE], offset
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        write_all(*self._parts)


@pytest.mark.parametrize("machine", ["", "vax"])
def test_the_bytes_are_there_after_the_wait(
    monkeypatch: pytest.MonkeyPatch, buffer: memoryview, file: int, machine: str
) -> None:
    if machine:
        monkeypatch.setattr("platform.machine", lambda: machine)
    submitter = Submitter(buffer)
    for number in range(4):
        buffer[:SIZE] = bytes([number + 1]) * SIZE
        again = Again(file, buffer, number * SIZE)
        writing = submitter.begin(file, SIZE, number * SIZE, again)
        writing.wait()
        writing.wait()
        assert again.count == bool(machine)
        assert os.pread(file, SIZE, number * SIZE) == bytes([number + 1]) * SIZE
    submitter.close()
    submitter.close()


def test_a_kernel_that_gives_no_context_away(
    monkeypatch: pytest.MonkeyPatch, buffer: memoryview, file: int
) -> None:
    """A sandbox forbids it, or all of ``/proc/sys/fs/aio-max-nr`` are in use."""
    monkeypatch.setattr("wherry.storage.submitted._syscall", lambda *_: -1)
    again = Again(file, buffer, 0)
    Submitter(buffer).begin(file, SIZE, 0, again).wait()
    assert again.count == 1


def test_what_the_kernel_does_not_take_is_written_again(buffer: memoryview, file: int) -> None:
    submitter = Submitter(buffer)
    again = Again(file, buffer, 0)
    submitter.begin(-1, SIZE, 0, again).wait()
    assert again.count == 1


def test_what_the_kernel_writes_in_part_is_written_again(
    buffer: memoryview, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitter = Submitter(buffer)
    again = Again(file, buffer, 0)
    with monkeypatch.context() as patch:
        patch.setattr("wherry.storage.submitted._syscall", lambda *_: 1)  # of 0 bytes
        submitter.begin(file, SIZE, 0, again).wait()
    assert again.count == 1


def test_an_error_is_told_to_everybody_who_waits() -> None:
    started = threading.Event()
    go_on = threading.Event()

    def fail() -> None:
        started.set()
        go_on.wait(10)
        raise OSError("the disk is gone")

    writing = Writing(fail)
    told: list[BaseException] = []

    def wait() -> None:
        try:
            writing.wait()
        except OSError as error:
            told.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    go_on.set()
    for thread in threads:
        thread.join()
    assert [str(one) for one in told] == ["the disk is gone"] * 3
    with pytest.raises(OSError, match="gone"):
        writing.wait()
