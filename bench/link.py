"""A line between two machines, in front of one server: a TCP proxy with a delay and a rate.

    python -m bench.link --to 127.0.0.1:8042 --delay-ms 25 --rate-mbit 100

prints the port it listens on and carries until it gets SIGTERM or SIGINT, then the bytes it has
carried. What is said to ``--to`` says the same through that port, later.

The two directions are lines of their own, and each is shared by all connections, as a real one is.
Bytes wait until the line is free, are put on it at its rate and arrive after the delay; meanwhile
others are on their way, so that a delay costs time but no rate. A new connection needs one round
trip before its first byte leaves. The kernel's slow start and losses are not imitated: a real line
is slower, for those most who open many connections.

``taps`` see and may change what passes (``tests/support/link`` makes faults of it).
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

QUEUE_S: Final = 0.005
"""How far the line's own queue may be ahead: it is busy while its feeders wake up."""
PORTION_BYTES: Final = 256 << 10
SMALLEST_PORTION_BYTES: Final = 1500
IN_FLIGHT: Final = 256
"""Portions of one connection that are on their way in one direction."""
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Stall:
    """Nothing passes for so long; what comes meanwhile waits."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """The end of the connection: both ends are reset."""


type_step: TypeAlias = bytes | Stall | Cut
type_tap: TypeAlias = Callable[[bytes], Iterable[type_step]]
"""Called with what one direction of one connection carries; says what arrives."""


class Line:
    """One direction: when what is sent now arrives."""

    def __init__(self, delay_s: float = 0.0, rate_bytes_per_s: float = 0.0) -> None:
        """A rate of 0 has no limit."""
        self.delay_s = delay_s
        self.rate = rate_bytes_per_s
        self.carried_bytes = 0
        self._free_at = 0.0

    @property
    def portion_bytes(self) -> int:
        """What one connection puts on the line at once, so that others come in between."""
        if not self.rate:
            return PORTION_BYTES
        return max(SMALLEST_PORTION_BYTES, min(PORTION_BYTES, int(self.rate * QUEUE_S)))

    def put(self, size: int, now: float) -> tuple[float, float]:
        """Send ``size`` bytes: when the line takes more, and when the last of them arrives."""
        self.carried_bytes += size
        if self.rate:
            self._free_at = max(now, self._free_at) + size / self.rate
            return self._free_at - QUEUE_S, self._free_at + self.delay_s
        return now, now + self.delay_s


def _no_tap(data: bytes) -> Iterable[type_step]:
    return (data,)


def no_taps(_: int) -> tuple[type_tap, type_tap]:
    """Everything passes as it is."""
    return _no_tap, _no_tap


class Link:
    """The proxy. Lives in one event loop."""

    def __init__(
        self,
        to: tuple[str, int],
        up: Line | None = None,
        down: Line | None = None,
        taps: Callable[[int], tuple[type_tap, type_tap]] = no_taps,
    ) -> None:
        """``up`` is what clients send, ``down`` what the server ``to`` answers; ``taps`` makes
        those of a new connection from its number, counted from 0."""
        self.up, self.down = up or Line(), down or Line()
        self.connections = 0
        self.taps = taps
        self._to = to
        self._carrying: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Carry what comes until cancelled."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        try:
            while True:
                client, _ = await loop.sock_accept(listener)
                task = loop.create_task(self._carry(client))
                self._carrying.add(task)
                task.add_done_callback(self._carrying.discard)
        finally:
            for task in self._carrying:
                task.cancel()
            await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _carry(self, client: socket.socket) -> None:
        """One connection, from the first byte to the last or to the first thing that breaks it."""
        loop = asyncio.get_running_loop()
        up, down = self.taps(self.connections)
        self.connections += 1
        server = socket.socket()
        broken = True
        try:
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(server, self._to)
            opened_at = loop.time() + self.up.delay_s + self.down.delay_s
            over = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for tap, line, source, sink in (
                    (up, self.up, client, server),
                    (down, self.down, server, client),
                ):
                    way: asyncio.Queue[type_due] = asyncio.Queue(IN_FLIGHT)
                    group.create_task(_take(source, line, tap, way, opened_at))
                    group.create_task(_give(sink, way, over))
            broken = False
        except* (OSError, _Broken):
            pass  # told to both ends below, as a reset
        finally:
            for end in (client, server):
                if broken:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.close()


class _Broken(Exception):
    """A ``Cut``."""


type_due: TypeAlias = tuple[float, type_step]


async def _take(
    source: socket.socket,
    line: Line,
    tap: type_tap,
    way: asyncio.Queue[type_due],
    opened_at: float,
) -> None:
    """Put what comes from ``source`` on the line; an empty portion is its end."""
    loop = asyncio.get_running_loop()
    size = line.portion_bytes
    while data := await loop.sock_recv(source, size):
        for step in tap(data):
            ready_at = due = max(loop.time(), opened_at)
            if isinstance(step, bytes):
                ready_at, due = line.put(len(step), due)
            await way.put((due, step))
            await _until(ready_at)
    await way.put((max(loop.time(), opened_at) + line.delay_s, b""))


async def _give(sink: socket.socket, way: asyncio.Queue[type_due], over: asyncio.Event) -> None:
    """Hand over what has arrived; nothing any more once the connection is cut."""
    loop = asyncio.get_running_loop()
    while True:
        due, step = await way.get()
        await _until(due)
        if over.is_set():
            raise _Broken
        if isinstance(step, Stall):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Cut):
            over.set()
            raise _Broken
        elif step:
            await loop.sock_sendall(sink, step)
        else:
            sink.shutdown(socket.SHUT_WR)
            return


async def _until(moment: float) -> None:
    left = moment - asyncio.get_running_loop().time()
    if left > 0:
        await asyncio.sleep(left)


# --- the command -----------------------------------------------------------------------------
async def _main(options: argparse.Namespace) -> None:
    host, _, port = options.to.rpartition(":")
    delay_s, rate = options.delay_ms / 1000, options.rate_mbit * 1e6 / 8
    link = Link((host, int(port)), Line(delay_s, rate), Line(delay_s, rate))
    listener = socket.create_server(("127.0.0.1", options.listen), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    task = asyncio.create_task(link.serve(listener))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        print(
            f"{link.connections} connections, {link.up.carried_bytes} bytes up, "
            f"{link.down.carried_bytes} down",
            file=sys.stderr,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.link", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--to", required=True, help="HOST:PORT of the server behind it")
    parser.add_argument("--listen", type=int, default=0, help="port; 0 = a free one")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="one way")
    parser.add_argument("--rate-mbit", type=float, default=0.0, help="each direction; 0 = no limit")
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
