"""A bad line in front of one server: ``bench.link`` with faults at exact bytes of what is said.

A *turn* is what one side says until the other one speaks: with HTTP, one request or one answer. For
each turn ``choose`` says what is to go wrong in it; positions are counted from its first byte.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from bench.link import Cut, Line, Link, Stall, type_step, type_tap

type_direction = Literal["up", "down"]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)

_LAST_CHUNK = b"\r\n0\r\n\r\n"


@dataclass(frozen=True)
class Flip:
    """One bit of byte ``at`` arrives wrong."""

    at: int
    bit: int = 0


@dataclass(frozen=True)
class CutAfter:
    """``at`` bytes of the turn arrive, then both ends are reset."""

    at: int


@dataclass(frozen=True)
class StallAfter:
    """``at`` bytes arrive, then none for ``seconds``; then the connection is cut or goes on."""

    at: int
    seconds: float
    cut: bool = True


@dataclass(frozen=True)
class Repeat:
    """When ``at`` bytes have arrived, they arrive again at once."""

    at: int


@dataclass(frozen=True)
class RepeatLate:
    """The whole turn arrives once more in front of the next one of its direction."""

    at: int = 0


type_fault: TypeAlias = Flip | CutAfter | StallAfter | Repeat | RepeatLate


@dataclass(frozen=True)
class Turn:
    """A request or an answer that begins."""

    direction: type_direction
    connection: int
    """Counted from 0, in order of their opening."""
    number: int
    """In its direction of its connection, from 0."""
    start: bytes = field(repr=False)
    """What came first, with HTTP the whole head."""
    request: str
    """Method and path of the request, also of an answer to it."""

    @property
    def head_bytes(self) -> int:
        end = self.start.find(b"\r\n\r\n")
        return len(self.start) if end < 0 else end + 4

    @property
    def length(self) -> int | None:
        """Bytes of the turn, if its head says so or all of it came at once."""
        found = _LENGTH.search(self.start[: self.head_bytes])
        if found is not None:
            return self.head_bytes + int(found[1])
        if self.direction == "up":
            return self.head_bytes
        return len(self.start) if self.start.endswith(_LAST_CHUNK) else None


type_choose: TypeAlias = Callable[[Turn], Sequence[type_fault]]


def no_faults(_: Turn) -> Sequence[type_fault]:
    """A good line."""
    return ()


class BadLine:
    """The line of a test; all its members may be looked at and changed at any time."""

    def __init__(self, port: int, up: Line | None, down: Line | None) -> None:
        self.choose: type_choose = no_faults
        self.applied: list[tuple[Turn, type_fault]] = []
        """Faults that have happened; those behind the end of their turn never do."""
        self.link = Link(("127.0.0.1", port), up, down, self._taps)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def run(self) -> Callable[[], None]:
        """Carry in a thread; what is returned ends it."""
        loop = asyncio.new_event_loop()
        task = loop.create_task(self.link.serve(self._listener))

        def carry() -> None:
            with self._listener, asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(_until_cancelled(task))

        thread = threading.Thread(target=carry)
        thread.start()

        def stop() -> None:
            loop.call_soon_threadsafe(task.cancel)
            thread.join(60)

        return stop

    def _taps(self, connection: int) -> tuple[type_tap, type_tap]:
        talk = _Talk(self, connection)
        return talk.up, talk.down


async def _until_cancelled(task: asyncio.Task[None]) -> None:
    await asyncio.gather(task, return_exceptions=True)


class _Talk:
    """Both directions of one connection; tells turns apart."""

    def __init__(self, line: BadLine, connection: int) -> None:
        self._line = line
        self._connection = connection
        self._speaking: type_direction | None = None
        self._turns = {"up": 0, "down": 0}
        self._request = ""
        self._bent = {"up": _Bent(line.applied), "down": _Bent(line.applied)}

    def up(self, data: bytes) -> Iterable[type_step]:
        return self._pass_on("up", data)

    def down(self, data: bytes) -> Iterable[type_step]:
        return self._pass_on("down", data)

    def _pass_on(self, direction: type_direction, data: bytes) -> Iterable[type_step]:
        bent = self._bent[direction]
        if self._speaking != direction:
            self._speaking = direction
            if direction == "up":
                self._request = b" ".join(data.split(b" ", 2)[:2]).decode("latin-1")
            number = self._turns[direction]
            self._turns[direction] += 1
            turn = Turn(direction, self._connection, number, data, self._request)
            bent.begin(turn, self._line.choose(turn))
        return bent.pass_on(data)


class _Bent:
    """One direction of one connection: applies faults where they belong."""

    def __init__(self, applied: list[tuple[Turn, type_fault]]) -> None:
        self._applied = applied
        self._turn: Turn | None = None
        self._faults: list[type_fault] = []
        self._at = 0
        self._said = bytearray()
        """The turn so far, while it is to be repeated."""
        self._late = False

    def begin(self, turn: Turn, faults: Sequence[type_fault]) -> None:
        """A new turn."""
        again = bytes(self._said) if self._late else b""
        self._turn, self._at = turn, 0
        self._faults = sorted(faults, key=lambda fault: fault.at)
        self._said = bytearray()
        self._late = any(isinstance(fault, RepeatLate) for fault in faults)
        self._again = again

    def pass_on(self, data: bytes) -> Iterator[type_step]:
        if self._again:
            yield self._again
            self._again = b""
        if any(isinstance(fault, Repeat | RepeatLate) for fault in self._faults) or self._late:
            self._said += data
        while self._faults and self._reached(self._faults[0], len(data)):
            fault = self._faults.pop(0)
            offset = fault.at - self._at
            assert self._turn is not None
            self._applied.append((self._turn, fault))
            if isinstance(fault, Flip):
                changed = bytearray(data)
                changed[offset] ^= 1 << fault.bit
                data = bytes(changed)
                continue
            before = data[:offset]
            data, self._at = data[offset:], fault.at
            if isinstance(fault, Repeat):  # in one go: nobody can speak in between
                before += self._said[: fault.at]
            if before:
                yield before
            if isinstance(fault, StallAfter):
                yield Stall(fault.seconds)
            if isinstance(fault, CutAfter) or (isinstance(fault, StallAfter) and fault.cut):
                yield Cut()
        if data:
            yield data
        self._at += len(data)

    def _reached(self, fault: type_fault, size: int) -> bool:
        last = self._at + size
        return fault.at < last if isinstance(fault, Flip) else fault.at <= last


@contextmanager
def bad_line(port: int, up: Line | None = None, down: Line | None = None) -> Iterator[BadLine]:
    """A line in front of ``port``; good until ``choose`` says otherwise."""
    line = BadLine(port, up, down)
    stop = line.run()
    try:
        yield line
    finally:
        stop()
