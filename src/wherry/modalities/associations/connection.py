"""The connection of an association that this server asks for: bytes out and in, with TLS or
without, on a blocking socket.

Buffers that are sent are never copied without TLS: the kernel takes them from where they lie.

Not here: what the bytes mean (``association``).
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

from wherry import clock, limits
from wherry.dicom.wire.messages import type_buffer
from wherry.errors import NetworkProtocol, ParameterOutOfRange

_TITLE_CHARACTERS: Final = 16
_BUFFERS_AT_ONCE: Final = 256
"""Of one call of ``sendmsg``; systems take 1,024."""
COPIES_AT_ONCE: Final = 16
"""... when they are copies of what is sent: 1 MiB."""


class ModalityUnavailable(NetworkProtocol):
    """The other system is out of reach or busy; trying again later may help."""

    temporary = True


class ModalitySilent(ModalityUnavailable):
    """... and it took as long as it may to find that out: trying again at once costs the same."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to call, and as whom."""

    called: str
    """Application entity titles, at most 16 characters."""
    calling: str
    host: str
    port: int
    timeout_s: float | None
    """Longest silence of the other end; None = for ever."""
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        for title in (self.called, self.calling):
            if not 0 < len(title.strip()) <= _TITLE_CHARACTERS:
                raise ParameterOutOfRange(
                    f"An application entity title has 1 to 16 characters: {title[:64]}"
                )


class Connection:
    """One connection to ``target``. One thread at a time, but ``abort``, which any thread may call.
    What is raised names the other end, and says what is wrong with it."""

    def __init__(self, target: Target) -> None:
        """Not connected yet."""
        self._target = target
        self._socket = socket.socket()
        self.ended = False
        """Whether it is of no use any more."""
        self.while_waiting: Callable[[], None] | None = None
        """Called every ``limits.ASSOCIATION_LOOK_S`` while ``read`` waits for the other end. It may
        send; what it raises ends the wait, and nothing more can be read then."""

    def __str__(self) -> str:
        return f'AET "{self._target.called}" at {self._target.host}:{self._target.port}'

    @property
    def remote_ip(self) -> str:
        """The address of the other end; "" when it is gone."""
        try:
            return str(self._socket.getpeername()[0])
        except OSError:
            return ""

    def fileno(self) -> int:
        """Of the socket; -1 when it is closed."""
        return self._socket.fileno()

    @property
    def timeout_s(self) -> float | None:
        """Longest silence of the other end; None = for ever."""
        return self._socket.gettimeout()

    def be_patient(self, timeout_s: float | None) -> None:
        """From now on, the longest silence of the other end; None = for ever."""
        self._socket.settimeout(timeout_s)

    def connect(self) -> None:
        """Raises ``ModalityUnavailable``, or ``NetworkProtocol`` when it can never be."""
        target = self._target
        try:
            self._dial()
        except OSError as error:
            self.close()
            raise _kind(error)(f"{self} cannot be reached: {_cause(error)}") from None
        except ValueError:  # IDNA
            self.close()
            raise NetworkProtocol(f"{self} has no possible host name") from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.tls is None:
            return
        try:
            self._socket = target.tls.wrap_socket(self._socket, server_hostname=target.host)
        except OSError as error:
            self.close()
            raise _kind(error)(f"{self}: no TLS: {_cause(error)}") from None

    def _dial(self) -> None:
        """Connect to the first address that answers of those that the name has."""
        target = self._target
        problem = OSError("its name has no address")
        addresses = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in addresses:
            self._socket.close()
            self._socket = socket.socket(family, kind, protocol)
            if self.ended:
                raise OSError("nobody waits for it any more")
            try:
                self._socket.settimeout(target.timeout_s)
                self._socket.connect(address)
                return
            except OSError as error:
                problem = error
        raise problem

    def send(self, *sources: Iterator[type_buffer], at_once: int = _BUFFERS_AT_ONCE) -> None:
        """All of them, ``at_once`` in one call. Raises ``ModalityUnavailable``, and what the
        sources raise."""
        buffers = (buffer for source in sources for buffer in source)
        try:
            if isinstance(self._socket, ssl.SSLSocket):
                while some := list(islice(buffers, COPIES_AT_ONCE)):
                    self._socket.sendall(b"".join(some))
                return
            while some := list(islice(buffers, at_once)):
                _send_some(self._socket, some)
        except OSError as error:
            raise _kind(error)(f"{self} takes nothing more: {_cause(error)}") from None

    def read(self, buffer: memoryview) -> memoryview:
        """The next bytes, at least one, at the beginning of ``buffer``. Raises
        ``ModalityUnavailable``."""
        self._look_meanwhile()
        try:
            size = self._socket.recv_into(buffer)
            if not isinstance(self._socket, ssl.SSLSocket):  # some senders wait for it (Nagle)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except OSError as error:
            raise _kind(error)(f"{self} does not answer: {_cause(error)}") from None
        if not size:
            raise ModalityUnavailable(f"{self} has ended the connection")
        return buffer[:size]

    def _look_meanwhile(self) -> None:
        """Until there is something to be read, or the other end has been silent for too long."""
        began = clock.monotonic()
        while self.while_waiting is not None and not self.readable(limits.ASSOCIATION_LOOK_S):
            self.while_waiting()
            timeout_s = self._target.timeout_s
            if timeout_s is not None and clock.monotonic() - began >= timeout_s:
                raise _kind(TimeoutError())(f"{self} does not answer: it took too long")

    def readable(self, within_s: float) -> bool:
        """Whether ``read`` would not wait, or not longer than so many seconds."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        poll = select.poll()  # not select(): that knows no descriptor beyond 1,023
        try:
            poll.register(self._socket, select.POLLIN)
        except ValueError:  # aborted by another thread: reading finds out
            return True
        return bool(poll.poll(within_s * 1000))

    def abort(self, last: bytes) -> None:
        """End it at once, with these bytes if they can be sent. From any thread: a call that waits
        raises ``ModalityUnavailable``."""
        if not self.ended:
            self.ended = True
            with suppress(OSError, ValueError):  # gone already, or not there yet
                self._socket.settimeout(0)
                self._socket.send(last)
            with suppress(OSError):  # wakes whoever waits for it
                self._socket.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self) -> None:
        """Safe to call twice."""
        self.ended = True
        self._socket.close()


def _send_some(connection: socket.socket, buffers: list[type_buffer]) -> None:
    """All of ``buffers``, with few copies and calls."""
    while buffers:
        sent = connection.sendmsg(buffers)
        done = 0
        while done < len(buffers) and sent >= len(buffers[done]):
            sent -= len(buffers[done])
            done += 1
        del buffers[:done]
        if sent:
            buffers[0] = memoryview(buffers[0])[sent:]


def _kind(error: OSError) -> type[ModalityUnavailable]:
    return ModalitySilent if isinstance(error, TimeoutError) else ModalityUnavailable


def _cause(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    return error.strerror or str(error)
