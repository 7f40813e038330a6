"""An association that this server asks for (PS3.8 §7), on a blocking socket: messages out and in.

Data sets that are sent are never copied: the kernel takes them from where they lie. Those that
come in are gathered up to ``limits.QUERY_BYTES``, or go in pieces to whoever wants them.

Not here: what the messages say (the other modules of this room).
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final, NoReturn, Protocol, Self

from wherry import clock, limits
from wherry.dicom.uids import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION
from wherry.dicom.wire.commands import Command, encode
from wherry.dicom.wire.messages import (
    Head,
    Messages,
    Piece,
    fragments,
    fragments_of_pieces,
    type_buffer,
)
from wherry.dicom.wire.pdu import (
    Abort,
    AbortReason,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    BadPdu,
    Outcome,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    Roles,
    UserInformation,
    type_pdu,
)
from wherry.dicom.wire.writing import encode as encode_pdu
from wherry.errors import NetworkProtocol, NoAcceptableContext, ParameterOutOfRange

_TITLE_CHARACTERS: Final = 16
_BUFFERS_AT_ONCE: Final = 256
"""Of one call of ``sendmsg``; systems take 1,024."""
_COPIES_AT_ONCE: Final = 16
"""... when they are copies of what is sent: 1 MiB."""
_REJECTED: Final = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
"""Source and reason of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""


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


@dataclass(frozen=True, slots=True)
class Context:
    """A presentation context that the other end has accepted."""

    id: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message."""

    context_id: int
    command: Command
    data_set: bytes
    """Empty when it has none, or when a sink took it."""


class Sink(Protocol):
    """Who takes the data set of a message in pieces."""

    def write(self, data: memoryview) -> None:
        """The next bytes, void after the call."""


type_sinks = Callable[[Head], Sink | None]
"""Who wants the data set of this message; None: it is gathered."""


class Association:
    """One association. One thread at a time, but ``abort``, which any thread may call. As a
    context manager it is released at the end, and aborted after an exception."""

    def __init__(
        self,
        target: Target,
        proposed: Sequence[tuple[str, Sequence[str]]],
        roles: Sequence[Roles] = (),
        maximum_length: int = limits.PDU_SENT_BYTES,
        begun: Callable[[Association], None] = lambda one: None,
    ) -> None:
        """Ask for it: ``proposed`` are abstract syntaxes, each with the transfer syntaxes of one
        presentation context, at most 128. ``maximum_length``: bytes of a P-DATA-TF that are taken;
        ``begun`` is told of this object before the other end is, so that ``abort`` can end the
        wait for it.

        Raises ``ModalityUnavailable``, or ``NetworkProtocol`` when the other end will never have
        it.
        """
        if not 0 < len(proposed) <= limits.PRESENTATION_CONTEXTS:
            raise ParameterOutOfRange(f"{len(proposed)} presentation contexts")
        self._target = target
        self._messages = Messages(maximum_length)
        self._buffer = memoryview(bytearray(limits.SOCKET_READ_BYTES))
        self._incoming: Iterator[type_pdu | Head | Piece] = iter(())
        """What is left of the bytes that came last."""
        self._ahead: type_pdu | Head | Piece | NetworkProtocol | None = None
        """What ``ready`` found there."""
        self._message_id = 0
        self._ended = False
        self._socket = socket.socket()
        self.while_waiting: Callable[[], None] | None = None
        """Called every ``limits.ASSOCIATION_LOOK_S`` while ``receive`` waits for the other end. It
        may send; what it raises ends the wait, and nothing more can be received then."""
        begun(self)
        self._connect()
        try:
            accepted = self._associate(proposed, roles, maximum_length)
        except BaseException:
            self.abort()
            raise
        syntaxes = {2 * n + 1: abstract for n, (abstract, _) in enumerate(proposed)}
        self.contexts = [
            Context(one.id, syntaxes[one.id], one.transfer_syntax)
            for one in accepted.contexts
            if one.outcome is Outcome.ACCEPTED and one.id in syntaxes
        ]
        """Those that were accepted, in the order of their numbers."""
        self.scp_roles = frozenset(one.sop_class for one in accepted.user.roles if one.scp)
        """SOP classes of which we may be the SCP (C-GET)."""
        self._maximum_length = accepted.user.maximum_length
        if 0 < self._maximum_length < limits.PDU_LEAST_BYTES:
            self.abort()
            raise NetworkProtocol(f"{self} takes {self._maximum_length} bytes at once, too few")
        if not self.contexts:
            self.release()
            raise NoAcceptableContext(f"{self} accepts none of the presentation contexts")

    def __str__(self) -> str:
        return f'AET "{self._target.called}" at {self._target.host}:{self._target.port}'

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.release()
        else:
            self.abort()

    @property
    def remote_ip(self) -> str:
        """The address of the other end; "" when it is gone."""
        try:
            return str(self._socket.getpeername()[0])
        except OSError:
            return ""

    def context_of(self, abstract_syntax: str) -> Context:
        """The first one that was accepted. Raises ``NoAcceptableContext`` when there is none."""
        for one in self.contexts:
            if one.abstract_syntax == abstract_syntax:
                return one
        raise NoAcceptableContext(f"{self} does not accept {abstract_syntax}")

    def next_message_id(self) -> int:
        """A number that no other message under way has."""
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    @property
    def ended(self) -> bool:
        """Whether it is of no use any more."""
        return self._ended

    def be_patient(self, timeout_s: float | None) -> None:
        """From now on, the longest silence of the other end; None = for ever."""
        self._socket.settimeout(timeout_s)

    def send(self, context_id: int, command: Command, data_set: type_buffer = b"") -> None:
        """A whole message. Raises ``ModalityUnavailable``."""
        self._send_all(
            fragments(context_id, encode(command), self._maximum_length, is_command=True),
            fragments(context_id, data_set, self._maximum_length)
            if command.has_data_set
            else iter(()),
        )

    def send_pieces(self, context_id: int, command: Command, pieces: Iterable[type_buffer]) -> None:
        """A whole message whose data set comes in pieces of any size. Raises
        ``ModalityUnavailable``, and whatever ``pieces`` raises: then it is aborted, for a message
        that is not whole has no end."""
        try:
            self._send_all(
                fragments(context_id, encode(command), self._maximum_length, is_command=True),
                fragments_of_pieces(context_id, pieces, self._maximum_length),
                at_once=_COPIES_AT_ONCE,
            )
        except BaseException:
            self.abort()
            raise

    def receive(self, sinks: type_sinks = lambda head: None) -> Message:
        """The next message. Raises ``ModalityUnavailable`` when the other end is silent or gone,
        ``NetworkProtocol`` when it ends the association or makes no sense."""
        head = self._next()
        if not isinstance(head, Head):
            self._refuse(head)
        sink = sinks(head) if head.command.has_data_set else None
        gathered = bytearray()
        last = not head.command.has_data_set
        while not last:
            piece = self._next()
            if not isinstance(piece, Piece):
                self._refuse(piece)
            last = piece.last
            if sink is not None:
                sink.write(piece.data)
            elif len(gathered) + len(piece.data) > limits.QUERY_BYTES:
                self._protest(BadPdu(f"{self} sends a data set that is too long"))
            else:
                gathered += piece.data
        return Message(head.context_id, head.command, bytes(gathered))

    def ready(self, within_s: float = 0.0) -> bool:
        """Whether something has come, or comes within so many seconds, that ``receive`` would not
        wait for long: the other end spoke unasked, or is gone."""
        if self._ahead is None:
            try:
                self._ahead = next(self._incoming, None)
            except NetworkProtocol as error:
                self._ahead = error
        if self._ahead is not None:
            return True
        return self._readable(within_s)

    def release(self, within_s: float | None = None) -> None:
        """End it in good order. Never raises: nothing is lost when the other end is gone.
        ``within_s``: longest silence meanwhile, when it is not the usual one."""
        if self._ended:
            return
        try:
            if within_s is not None:
                self._socket.settimeout(within_s)
            self._send_all(iter((encode_pdu(ReleaseRequest()),)))
            for _ in range(limits.LEFTOVER_MESSAGES):
                if isinstance(self._next(), ReleaseResponse | ReleaseRequest):
                    break
        except NetworkProtocol:
            pass
        finally:
            self._close()

    def abort(self) -> None:
        """End it at once. From any thread: a call that waits raises ``ModalityUnavailable``."""
        if not self._ended:
            self._ended = True
            with suppress(OSError, ValueError):  # gone already, or not there yet
                self._socket.settimeout(0)
                self._socket.send(encode_pdu(Abort(0, 0)))
            with suppress(OSError):  # wakes whoever waits for it
                self._socket.shutdown(socket.SHUT_RDWR)
        self._close()

    # --- how it begins ----------------------------------------------------------------------
    def _connect(self) -> None:
        target = self._target
        try:
            self._dial()
        except OSError as error:
            self._close()
            raise _kind(error)(f"{self} cannot be reached: {_cause(error)}") from None
        except ValueError:  # IDNA
            self._close()
            raise NetworkProtocol(f"{self} has no possible host name") from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.tls is None:
            return
        try:
            self._socket = target.tls.wrap_socket(self._socket, server_hostname=target.host)
        except OSError as error:
            self._close()
            raise _kind(error)(f"{self}: no TLS: {_cause(error)}") from None

    def _dial(self) -> None:
        """Connect to the first address that answers of those that the name has."""
        target = self._target
        problem = OSError("its name has no address")
        addresses = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in addresses:
            self._socket.close()
            self._socket = socket.socket(family, kind, protocol)
            if self._ended:
                raise OSError("nobody waits for it any more")
            try:
                self._socket.settimeout(target.timeout_s)
                self._socket.connect(address)
                return
            except OSError as error:
                problem = error
        raise problem

    def _associate(
        self,
        proposed: Sequence[tuple[str, Sequence[str]]],
        roles: Sequence[Roles],
        maximum_length: int,
    ) -> AssociateAccept:
        contexts = tuple(
            ProposedContext(2 * number + 1, abstract, tuple(transfer))
            for number, (abstract, transfer) in enumerate(proposed)
        )
        user = UserInformation(
            maximum_length, IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION, roles=tuple(roles)
        )
        titles = self._target.called, self._target.calling
        self._send_all(iter((encode_pdu(AssociateRequest(*titles, contexts, user)),)))
        answer = self._next()
        if isinstance(answer, AssociateReject):
            reason = _REJECTED.get((answer.source, answer.reason), "unknown reason")
            problem = f"{self} rejects the association: {reason}"
            raise ModalityUnavailable(problem) if answer.result == 2 else NetworkProtocol(problem)
        if not isinstance(answer, AssociateAccept):
            self._refuse(answer)
        return answer

    # --- bytes ------------------------------------------------------------------------------
    def _send_all(self, *sources: Iterator[type_buffer], at_once: int = _BUFFERS_AT_ONCE) -> None:
        buffers = (buffer for source in sources for buffer in source)
        try:
            if isinstance(self._socket, ssl.SSLSocket):
                while some := list(islice(buffers, _COPIES_AT_ONCE)):
                    self._socket.sendall(b"".join(some))
                return
            while some := list(islice(buffers, at_once)):
                _send_some(self._socket, some)
        except OSError as error:
            raise _kind(error)(f"{self} takes nothing more: {_cause(error)}") from None

    def _next(self) -> type_pdu | Head | Piece:
        one, self._ahead = self._ahead, None
        try:
            while one is None:
                one = next(self._incoming, None)
                if one is None:
                    self._incoming = self._messages.feed(self._read())
        except NetworkProtocol as error:
            self._protest(error)
        if isinstance(one, NetworkProtocol):
            self._protest(one)
        return one

    def _read(self) -> memoryview:
        """The next bytes, at least one."""
        self._look_meanwhile()
        try:
            size = self._socket.recv_into(self._buffer)
            if not isinstance(self._socket, ssl.SSLSocket):  # some senders wait for it (Nagle)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except OSError as error:
            raise _kind(error)(f"{self} does not answer: {_cause(error)}") from None
        if not size:
            raise ModalityUnavailable(f"{self} has ended the connection")
        return self._buffer[:size]

    def _look_meanwhile(self) -> None:
        """Until there is something to be read, or the other end has been silent for too long."""
        began = clock.monotonic()
        while self.while_waiting is not None and not self._readable(limits.ASSOCIATION_LOOK_S):
            self.while_waiting()
            timeout_s = self._target.timeout_s
            if timeout_s is not None and clock.monotonic() - began >= timeout_s:
                raise _kind(TimeoutError())(f"{self} does not answer: it took too long")

    def _readable(self, within_s: float) -> bool:
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        poll = select.poll()  # not select(): that knows no descriptor beyond 1,023
        try:
            poll.register(self._socket, select.POLLIN)
        except ValueError:  # aborted by another thread: reading finds out
            return True
        return bool(poll.poll(within_s * 1000))

    def _refuse(self, pdu: type_pdu | Head | Piece) -> NoReturn:
        """What came is not what was to come."""
        if isinstance(pdu, Abort):
            self._close()
            raise ModalityUnavailable(f"{self} has aborted the association")
        if isinstance(pdu, ReleaseRequest):
            self._send_all(iter((encode_pdu(ReleaseResponse()),)))
            self._close()
            raise ModalityUnavailable(f"{self} has released the association")
        self._protest(BadPdu(f"{self} sends what nobody waits for", AbortReason.UNEXPECTED_PDU))

    def _protest(self, error: NetworkProtocol) -> NoReturn:
        if not self._ended and not isinstance(error, ModalityUnavailable):
            reason = error.reason if isinstance(error, BadPdu) else AbortReason.NOT_SPECIFIED
            try:
                self._send_all(iter((encode_pdu(Abort(2, reason)),)))
            except NetworkProtocol:
                pass  # gone already
            self._close()
        raise error

    def _close(self) -> None:
        self._ended = True
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
