"""A DICOM system that takes instances, notes what it is told, and misbehaves when told to.

Made of our own wire modules, so that it can do what no real one does; the real ones have tests of
their own (``tests/interop``).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.messages import Head, Messages, Piece, message
from wherry.dicom.wire.pdu import (
    Abort,
    AnsweredContext,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    Outcome,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    UserInformation,
    type_pdu,
)
from wherry.dicom.wire.writing import encode as encode_pdu
from wherry.errors import NetworkProtocol

_ANSWER = 0x8000


@dataclass
class Received:
    """One message, whole."""

    context: ProposedContext
    transfer_syntax: str
    command: Command
    data_set: bytes = b""

    @property
    def uid(self) -> str:
        return self.command.affected_sop_instance or ""


class Caller:
    """One connection."""

    def __init__(self, scp: Scp, connection: socket.socket) -> None:
        self.scp = scp
        self.connection = connection
        self.request: AssociateRequest | None = None
        self.contexts: dict[int, tuple[ProposedContext, str]] = {}
        self.stored = 0
        """Messages that were taken on it."""

    def send(self, pdu: type_pdu) -> None:
        self.connection.sendall(encode_pdu(pdu))

    def respond(self, received: Received, status: int = 0, **members: object) -> None:
        """Answer a message."""
        command = received.command
        fields: dict[str, object] = {
            "affected_sop_class": command.affected_sop_class,
            "responded_to": command.message_id,
            "status": status,
            "affected_sop_instance": command.affected_sop_instance,
            **members,
        }
        answer = Command(CommandField(command.field | _ANSWER), **fields)  # type: ignore[arg-type]
        self.connection.sendall(b"".join(message(received.context.id, answer)))

    def abort(self) -> None:
        self.send(Abort(0, 0))
        self.connection.close()

    def close(self) -> None:
        """Without a word."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def serve(self) -> None:
        messages = Messages()
        current: Received | None = None
        while data := self.connection.recv(65_536):
            for one in messages.feed(memoryview(data)):
                if isinstance(one, Head):
                    context, syntax = self.contexts[one.context_id]
                    current = Received(context, syntax, one.command)
                    if one.command.has_data_set:
                        continue
                elif isinstance(one, Piece):
                    assert current is not None
                    current.data_set += one.data
                    if not one.last:
                        continue
                else:
                    self._pdu(one)
                    continue
                assert current is not None
                self.scp.take(self, current)

    def _pdu(self, pdu: type_pdu) -> None:
        if isinstance(pdu, AssociateRequest):
            self.request = pdu
            self.scp.begun(self, pdu)
        elif isinstance(pdu, ReleaseRequest):
            self.scp.count("release")
            self.send(ReleaseResponse())
        elif isinstance(pdu, Abort):
            self.scp.count("abort")


@dataclass
class Scp:
    """Takes everything; the functions may be replaced."""

    port: int = 0
    maximum_length: int = 16_384
    stored: list[Received] = field(default_factory=list)
    requests: list[AssociateRequest] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    syntax: Callable[[ProposedContext], str | None] = lambda one: one.transfer_syntaxes[0]
    """Of a context, the transfer syntax that is accepted; None: it is refused."""
    admit: Callable[[Caller], AssociateReject | None] = lambda caller: None
    """Raises or closes to be rude."""
    rule: Callable[[Caller, Received], None] = lambda caller, received: caller.respond(received)
    """What becomes of a message that was noted."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    callers: list[Caller] = field(default_factory=list)

    def begun(self, caller: Caller, request: AssociateRequest) -> None:
        with self.lock:
            self.requests.append(request)
        rejection = self.admit(caller)
        if rejection is not None:
            caller.send(rejection)
            return
        answered = []
        for one in request.contexts:
            syntax = self.syntax(one)
            if syntax is None:
                answered.append(AnsweredContext(one.id, Outcome.UNKNOWN_TRANSFER_SYNTAXES))
            else:
                answered.append(AnsweredContext(one.id, Outcome.ACCEPTED, syntax))
                caller.contexts[one.id] = one, syntax
        user = UserInformation(self.maximum_length, "1.2.3", "SCP")
        caller.send(AssociateAccept(request.called, request.calling, tuple(answered), user))

    def take(self, caller: Caller, received: Received) -> None:
        with self.lock:
            self.stored.append(received)
            caller.stored += 1
        self.rule(caller, received)

    def count(self, event: str) -> None:
        with self.lock:
            self.events.append(event)

    @property
    def uids(self) -> list[str]:
        """Of the instances that came, in order of arrival."""
        with self.lock:
            return [one.uid for one in self.stored]

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            caller = Caller(self, connection)
            with self.lock:
                self.callers.append(caller)
            threading.Thread(target=_guarded, args=(caller,), daemon=True).start()


def _guarded(caller: Caller) -> None:
    with suppress(OSError, NetworkProtocol):
        caller.serve()
    caller.scp.count("end")
    with suppress(OSError):
        caller.connection.close()


@contextmanager
def taking() -> Iterator[Scp]:
    """An SCP that is closed in the end."""
    scp = Scp()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        scp.port = listener.getsockname()[1]
        thread = threading.Thread(target=scp._serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield scp
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for caller in scp.callers:
                caller.close()
