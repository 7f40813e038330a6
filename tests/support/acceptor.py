"""The other end of one association, played by a test, to the byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from wherry.dicom.wire.commands import Command
from wherry.dicom.wire.messages import Head, Messages, Piece, message
from wherry.dicom.wire.pdu import (
    AnsweredContext,
    AssociateAccept,
    AssociateRequest,
    Outcome,
    UserInformation,
    type_pdu,
)
from wherry.dicom.wire.writing import encode


class Acceptor:
    """An association that was accepted, as the test sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._messages = Messages()
        self._waiting: list[type_pdu | tuple[Command, bytes]] = []
        self._head: Head | None = None
        self._data = b""

    def accept(self) -> AssociateRequest:
        """All that is proposed, each with its first transfer syntax."""
        request = self.next()
        assert isinstance(request, AssociateRequest)
        contexts = tuple(
            AnsweredContext(one.id, Outcome.ACCEPTED, one.transfer_syntaxes[0])
            for one in request.contexts
        )
        user = UserInformation(16384, "1.2.3", "TEST", roles=request.user.roles)
        self.send(encode(AssociateAccept(request.called, request.calling, contexts, user)))
        return request

    def next(self) -> type_pdu | tuple[Command, bytes]:
        """The next PDU or whole message."""
        while not self._waiting:
            data = self._connection.recv(65536)
            assert data, "the other end is gone"
            for one in self._messages.feed(memoryview(data)):
                self._take(one)
        return self._waiting.pop(0)

    def message(self) -> tuple[Command, bytes]:
        """The next message."""
        found = self.next()
        assert isinstance(found, tuple)
        return found

    def send(self, *parts: bytes) -> None:
        """All of it at once."""
        self._connection.sendall(b"".join(parts))

    def _take(self, one: Any) -> None:
        if isinstance(one, Piece):
            assert self._head is not None
            self._data += bytes(one.data)
            if one.last:
                self._waiting.append((self._head.command, self._data))
        elif isinstance(one, Head):
            self._head, self._data = one, b""
            if not one.command.has_data_set:
                self._waiting.append((one.command, b""))
        else:
            self._waiting.append(one)


def bytes_of(context_id: int, command: Command, data: bytes = b"") -> bytes:
    """A whole message."""
    return b"".join(message(context_id, command, data))


@contextmanager
def accepting(script: Callable[[Acceptor], None]) -> Iterator[int]:
    """The port where one association is accepted, which then is ``script``'s. What that raises, the
    test raises."""
    failures: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def play() -> None:
            try:
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(60)
                    script(Acceptor(connection))
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=play)
        thread.start()
        yield server.getsockname()[1]
        thread.join()
    if failures:
        raise failures[0]
