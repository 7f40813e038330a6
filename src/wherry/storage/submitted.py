"""A write that the disk does while its thread goes on: ``io_submit(2)``, as Linux has it.

A thread for it would cost what it saves: waking one, and getting the interpreter lock back, take as
long as the disk does. Where the kernel has no such call or does not give it away (a sandbox, too
many in use), ``begin`` writes before it returns.

Not here: what is written, and where.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import sys
import threading
from collections.abc import Callable
from typing import ClassVar, Final

_CALLS: Final = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2)}
"""Numbers of io_setup, io_destroy, io_getevents, io_submit."""
_PWRITE: Final = 1

type_again = Callable[[], None]
"""Writes the same in the ordinary way. Raises ``OSError``."""


class _Control(ctypes.Structure):
    """``struct iocb`` of ``linux/aio_abi.h`` where the low byte comes first."""

    _fields_: ClassVar = [
        ("data", ctypes.c_uint64),
        ("key", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("opcode", ctypes.c_uint16),
        ("priority", ctypes.c_int16),
        ("fd", ctypes.c_uint32),
        ("buffer", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("reserved", ctypes.c_uint64),
        ("more_flags", ctypes.c_uint32),
        ("event_fd", ctypes.c_uint32),
    ]


class _Event(ctypes.Structure):
    """``struct io_event``."""

    _fields_: ClassVar = [
        ("data", ctypes.c_uint64),
        ("control", ctypes.c_uint64),
        ("result", ctypes.c_int64),
        ("second_result", ctypes.c_int64),
    ]


class Writing:
    """A write that is under way. Safe from any thread."""

    def __init__(self, finish: type_again | None) -> None:
        """``finish`` waits for it; None: it is done."""
        self._finish = finish
        self._error: OSError | None = None
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Until the bytes are where they belong. Raises ``OSError``, each time."""
        with self._lock:
            if self._finish is not None:
                try:
                    self._finish()
                except OSError as error:
                    self._error = error
                self._finish = None
        if self._error is not None:
            raise self._error


class Submitter:
    """Writes the beginning of one buffer, one write at a time.

    Used by one thread at a time; a write must have been waited for before the next begins, and
    before the buffer is changed or goes away.
    """

    def __init__(self, buffer: memoryview) -> None:
        self._calls = _CALLS.get(platform.machine()) if sys.platform == "linux" else None
        self._context = ctypes.c_ulong(0)
        self._able = self._calls is not None and self._setup()
        self._control = _Control(
            opcode=_PWRITE, buffer=ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        )
        self._controls = (ctypes.POINTER(_Control) * 1)(ctypes.pointer(self._control))
        self._event = _Event()

    def begin(self, fd: int, size: int, offset: int, again: type_again) -> Writing:
        """Write the first ``size`` bytes of the buffer at ``offset``; ``again`` is called when it
        does not work this way. Raises what ``again`` raises."""
        if self._able:
            self._control.fd = fd
            self._control.size = size
            self._control.offset = offset
            if self._call(3, self._context, _ONE, self._controls) == 1:
                return Writing(lambda: self._collect(size, again))
        again()
        return Writing(None)

    def close(self) -> None:
        """After the last write."""
        if self._able:
            self._able = False
            self._call(1, self._context)

    def _setup(self) -> bool:
        return self._call(0, ctypes.c_uint(1), ctypes.byref(self._context)) == 0

    def _collect(self, size: int, again: type_again) -> None:
        event, one_event = ctypes.byref(self._event), (_ONE, _ONE)
        while (found := self._call(2, self._context, *one_event, event, None)) != 1:
            if found < 0 and ctypes.get_errno() != errno.EINTR:  # a signal, nothing else, may be
                break
        if found != 1 or self._event.result != size:
            again()

    def _call(self, which: int, *arguments: object) -> int:
        assert self._calls is not None
        return int(_syscall(ctypes.c_long(self._calls[which]), *arguments))


_ONE = ctypes.c_long(1)
_syscall = ctypes.CDLL(None, use_errno=True).syscall
