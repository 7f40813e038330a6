"""A worker process: takes a task from its socket, does it, answers, until the socket is closed.

It has no environment, no terminal and no way to anything but the files it is handed. Its memory is
bounded by ``RLIMIT_AS``, its time by the server, which kills it. While it works, the end of the
server kills it too, even inside a native loop: the kernel sends SIGIO when the other end of the
socket goes, which nobody here handles.

``process`` starts it; ``work`` says what a task is.
"""

from __future__ import annotations

import fcntl
import gc
import mmap
import os
import resource
import select
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from wherry import clock, limits
from wherry.errors import UndecodableImage, WherryError
from wherry.imaging.messages import receive, send, type_document
from wherry.imaging.work import Work, type_task

_known: dict[str, type_task] = {}


def main(descriptor: int, memory_bytes: int) -> None:
    """Serve the socket ``descriptor`` with at most ``memory_bytes`` of address space, not counting
    the input."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold a patient's images
    line = socket.socket(fileno=descriptor)
    fcntl.fcntl(line, fcntl.F_SETOWN, os.getpid())
    while True:
        order = receive(line, files=2)
        if order is None:
            return
        document, files = order
        try:
            with _dying_with(line):
                answer = _answer(line, document, files, memory_bytes)
        finally:
            for file in files:
                os.close(file)
        if "error" in answer:
            gc.collect()  # what a traceback still holds of the input counts as memory
        answer["last"] = _has_grown()
        send(line, answer)
        if answer["last"]:
            return


def _answer(
    line: socket.socket, document: type_document, files: list[int], memory_bytes: int
) -> type_document:
    """What came of one task: ``result``, or the class and details of an error."""
    try:
        with _mapped(files[0], document["offset"], document["size"], memory_bytes) as source:
            work = Work(
                document["arguments"],
                source,
                files[1],
                document["at"],
                document["most"],
                _Pulse(line).beat,
            )
            return {"result": _function(document["function"])(work)}
    except WherryError as error:
        return {"error": type(error).__name__, "details": error.details}
    except MemoryError:
        return {"error": UndecodableImage.__name__, "details": "it needs too much memory"}
    except Exception as error:
        return {"error": UndecodableImage.__name__, "details": "", "defect": _place_of(error)}


class _Pulse:
    """Says that the task goes on, about once a second: more would fill the socket."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._last = clock.monotonic()

    def beat(self) -> None:
        now = clock.monotonic()
        if now - self._last >= 1:
            self._last = now
            send(self._line, {"alive": 1})


def _function(path: str) -> type_task:
    if path not in _known:
        module, name = path.split(":")
        _known[path] = getattr(import_module(module), name)
    return _known[path]


@contextmanager
def _mapped(file: int, offset: int, size: int, memory_bytes: int) -> Iterator[memoryview]:
    """A range of the input; the bound on memory is for everything else."""
    end = offset + size
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    bound = memory_bytes + end if hard < 0 else min(memory_bytes + end, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
    if not size:
        yield memoryview(b"")
        return
    content = mmap.mmap(file, end, prot=mmap.PROT_READ)
    if end > limits.MAPPED_AHEAD_BYTES:
        content.madvise(mmap.MADV_RANDOM)
    view = memoryview(content)[offset:end]
    try:
        yield view
    finally:
        try:
            view.release()
            content.close()
        except BufferError:  # a traceback still holds parts of it, and lets them go with itself
            pass


@contextmanager
def _dying_with(line: socket.socket) -> Iterator[None]:
    """SIGIO, and so the end, when the server goes: it says nothing else during a task."""
    flags = fcntl.fcntl(line, fcntl.F_GETFL)
    fcntl.fcntl(line, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        poll = select.poll()
        poll.register(line, select.POLLHUP)
        if poll.poll(0):  # it went before we asked to be told
            os._exit(1)
        yield
    finally:
        fcntl.fcntl(line, fcntl.F_SETFL, flags)


def _has_grown() -> bool:
    """Whether it holds more memory than an idle worker should. (The peak that ``getrusage`` tells
    may be that of the server, from before ``exec``.)"""
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return resident * resource.getpagesize() > limits.IMAGING_IDLE_BYTES


def _place_of(error: Exception) -> str:
    """Class and places of an unexpected error, without its text: that may hold patient data."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = ", ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__} at {places}"
