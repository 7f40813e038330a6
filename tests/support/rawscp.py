"""A DICOM system that says whatever a test wants, byte by byte, after a proper association.

Built on our own codec, which others judge (``tests/unit/test_dicom_wire.py``).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.support.server import free_port
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.messages import Head, Messages, Piece, message
from wherry.dicom.wire.pdu import (
    AnsweredContext,
    AssociateAccept,
    AssociateRequest,
    Outcome,
    ReleaseRequest,
    ReleaseResponse,
    UserInformation,
)
from wherry.dicom.wire.writing import encode
from wherry.model import Modality


class Line:
    """One association that is open, as the script of a test sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._messages = Messages()
        self._incoming = self._receive()
        self.request: AssociateRequest
        self.head: Head
        """The last command that came."""
        self.data_set = b""

    def accept(self, transfer_syntax: str = "1.2.840.10008.1.2.1") -> None:
        """Take everything that is proposed."""
        request = next(self._incoming)
        assert isinstance(request, AssociateRequest)
        self.request = request
        contexts = tuple(
            AnsweredContext(one.id, Outcome.ACCEPTED, transfer_syntax) for one in request.contexts
        )
        user = UserInformation(16_384, "1.2.3", "RAW")
        self.send(encode(AssociateAccept(request.called, request.calling, contexts, user)))

    def hear(self) -> Head | None:
        """The next message; None when the other end releases, aborts or is gone."""
        for one in self._incoming:
            if isinstance(one, ReleaseRequest):
                self.send(encode(ReleaseResponse()))
                return None
            if not isinstance(one, Head):
                return None
            self.head = one
            self.data_set = b""
            last = not one.command.has_data_set
            while not last:
                piece = next(self._incoming)
                assert isinstance(piece, Piece)
                self.data_set += bytes(piece.data)
                last = piece.last
            return one
        return None

    def say(self, status: int | None, data_set: bytes | None = None, **members: Any) -> None:
        """An answer to the last command."""
        asked = self.head.command
        command = Command(
            **{
                "field": CommandField(asked.field | 0x8000),
                "has_data_set": data_set is not None,
                "affected_sop_class": asked.affected_sop_class,
                "responded_to": asked.message_id,
                "status": status,
                **members,
            }
        )
        self.send(*message(self.head.context_id, command, data_set or b""))

    def send(self, *buffers: bytes | bytearray | memoryview) -> None:
        for one in buffers:
            self.connection.sendall(one)

    def _receive(self) -> Iterator[Any]:
        while data := self.connection.recv(65_536):
            yield from self._messages.feed(memoryview(data))


type_script = Callable[[Line], None]


class RawScp:
    """Runs ``script`` for every connection, on threads; then hears what else there is to hear."""

    def __init__(self, script: type_script) -> None:
        self.script = script
        self.port = free_port()
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def modality(self, name: str = "raw", **options: Any) -> Modality:
        return Modality(name, "RAW", "127.0.0.1", self.port, **options)

    def close(self) -> None:
        """Raises what a script met."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()
        assert not self.errors, self.errors

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(60)
            line = Line(connection)
            try:
                line.accept()
                self.script(line)
                with suppress(OSError):
                    while line.hear() is not None:
                        pass
            except (OSError, StopIteration):
                pass  # the other end has had enough
            except BaseException as error:
                self.errors.append(error)


@contextmanager
def raw(script: type_script) -> Iterator[RawScp]:
    """One that is closed in the end."""
    scp = RawScp(script)
    try:
        yield scp
    finally:
        scp.close()


def element(tag: int, vr: str, value: bytes) -> bytes:
    """In explicit little endian, a short VR."""
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value
