"""Where the body of a request is written to: the socket of a connection, plain or TLS."""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Callable

from wherry import limits
from wherry.storage.base import FileReader, type_buffer

type_pass_on = Callable[[int], None]
"""Called before so many bytes are sent; may wait."""


class Outlet:
    """Where the body of a request is written to; raises ``OSError``."""

    def __init__(self, sock: socket.socket, pass_on: type_pass_on | None = None) -> None:
        self._sock = sock
        self._plain = not isinstance(sock, ssl.SSLSocket)
        self._poll: select.poll | None = None
        self._pass_on = pass_on
        self._portion = limits.SEND_BYTES if pass_on is None else limits.THROTTLED_BYTES
        self._skip = 0
        self.sent = 0

    def skip(self, size: int) -> None:
        """The next ``size`` bytes are not sent: they are there already."""
        self._skip = size

    def write(self, data: type_buffer) -> None:
        """Send ``data``, in portions, because the timeout of a socket counts for each call."""
        view = memoryview(data)[self._skipped(len(data)) :]
        for start in range(0, len(view), self._portion):
            portion = view[start : start + self._portion]
            self._ask(len(portion))
            self._sock.sendall(portion)
        self.sent += len(view)

    def write_file(self, reader: FileReader, offset: int, size: int) -> None:
        """Send a range of a file, without copying it where kernel and storage allow."""
        skipped = self._skipped(size)
        offset, size = offset + skipped, size - skipped
        fd = reader.fileno()
        if fd is None or not self._plain:
            self._copy(reader, offset, size)
            return
        out = self._sock.fileno()
        while size:
            portion = size
            if self._pass_on is not None:
                portion = min(size, self._portion)
                self._pass_on(portion)
            while portion:
                try:
                    count = os.sendfile(out, fd, offset, portion)
                except BlockingIOError:
                    self._wait()
                    continue
                if not count:
                    raise EOFError
                offset += count
                size -= count
                portion -= count
                self.sent += count

    def _copy(self, reader: FileReader, offset: int, size: int) -> None:
        end = offset + size
        while offset < end:
            piece = reader.read_at(offset, min(limits.READ_CHUNK_BYTES, end - offset))
            if not piece:
                raise EOFError
            self.write(piece)
            offset += len(piece)

    def _skipped(self, size: int) -> int:
        skipped = min(size, self._skip)
        self._skip -= skipped
        return skipped

    def _ask(self, size: int) -> None:
        if self._pass_on is not None:
            self._pass_on(size)

    def _wait(self) -> None:
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._sock, select.POLLOUT)
        timeout_s = self._sock.gettimeout()
        if not self._poll.poll(None if timeout_s is None else timeout_s * 1000):
            raise TimeoutError("timed out")
