"""Where the body of a request is written to: the socket of a connection, plain or TLS."""

from __future__ import annotations

import os
import select
import socket
import ssl

from wherry import limits
from wherry.storage.base import FileReader, type_buffer

_SEND_BYTES = 256 * limits.KIB


class Outlet:
    """Where the body of a request is written to; raises ``OSError``."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._plain = not isinstance(sock, ssl.SSLSocket)
        self._poll: select.poll | None = None
        self.sent = 0

    def write(self, data: type_buffer) -> None:
        """Send ``data``, in portions, because the timeout of a socket counts for each call."""
        if len(data) <= _SEND_BYTES:
            self._sock.sendall(data)
        else:
            view = memoryview(data)
            for start in range(0, len(view), _SEND_BYTES):
                self._sock.sendall(view[start : start + _SEND_BYTES])
        self.sent += len(data)

    def write_file(self, reader: FileReader, offset: int, size: int) -> None:
        """Send a range of a file, without copying it where kernel and storage allow."""
        fd = reader.fileno()
        if fd is None or not self._plain:
            end = offset + size
            while offset < end:
                piece = reader.read_at(offset, min(limits.READ_CHUNK_BYTES, end - offset))
                if not piece:
                    raise EOFError
                self.write(piece)
                offset += len(piece)
            return
        out = self._sock.fileno()
        while size:
            try:
                count = os.sendfile(out, fd, offset, size)
            except BlockingIOError:
                self._wait()
                continue
            if not count:
                raise EOFError
            offset += count
            size -= count
            self.sent += count

    def _wait(self) -> None:
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._sock, select.POLLOUT)
        timeout_s = self._sock.gettimeout()
        if not self._poll.poll(None if timeout_s is None else timeout_s * 1000):
            raise TimeoutError("timed out")
