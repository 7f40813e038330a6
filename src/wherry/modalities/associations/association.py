"""An association that this server asks for (PS3.8 §7): messages out and in, blocking.

Data sets that come in are gathered up to ``limits.QUERY_BYTES``, or go in pieces to whoever wants
them.

Not here: the bytes of the line (``connection``), what the messages say (the other rooms).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol, Self

from wherry import limits
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
from wherry.modalities.associations.connection import (
    COPIES_AT_ONCE,
    Connection,
    ModalityUnavailable,
    Target,
)

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
        self._messages = Messages(maximum_length)
        self._buffer = memoryview(bytearray(limits.SOCKET_READ_BYTES))
        self._incoming: Iterator[type_pdu | Head | Piece] = iter(())
        """What is left of the bytes that came last."""
        self._ahead: type_pdu | Head | Piece | NetworkProtocol | None = None
        """What ``ready`` found there."""
        self._message_id = 0
        self.connection = Connection(target)
        """To be asked who is there, and told how long to wait."""
        begun(self)
        self.connection.connect()
        try:
            accepted = self._associate(target, proposed, roles, maximum_length)
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
        return str(self.connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.release()
        else:
            self.abort()

    @property
    def ended(self) -> bool:
        """Whether it is of no use any more."""
        return self.connection.ended

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

    def send(self, context_id: int, command: Command, data_set: type_buffer = b"") -> None:
        """A whole message. Raises ``ModalityUnavailable``."""
        self.connection.send(
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
            self.connection.send(
                fragments(context_id, encode(command), self._maximum_length, is_command=True),
                fragments_of_pieces(context_id, pieces, self._maximum_length),
                at_once=COPIES_AT_ONCE,
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
        return self.connection.readable(within_s)

    def release(self, within_s: float | None = None) -> None:
        """End it in good order. Never raises: nothing is lost when the other end is gone.
        ``within_s``: longest silence meanwhile, when it is not the usual one."""
        if self.connection.ended:
            return
        try:
            if within_s is not None:
                self.connection.be_patient(within_s)
            self.connection.send(iter((encode_pdu(ReleaseRequest()),)))
            for _ in range(limits.LEFTOVER_MESSAGES):
                if isinstance(self._next(), ReleaseResponse | ReleaseRequest):
                    break
        except NetworkProtocol:
            pass
        finally:
            self.connection.close()

    def abort(self) -> None:
        """End it at once. From any thread: a call that waits raises ``ModalityUnavailable``."""
        self.connection.abort(encode_pdu(Abort(0, 0)))

    # --- how it begins ----------------------------------------------------------------------
    def _associate(
        self,
        target: Target,
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
        request = AssociateRequest(target.called, target.calling, contexts, user)
        self.connection.send(iter((encode_pdu(request),)))
        answer = self._next()
        if isinstance(answer, AssociateReject):
            reason = _REJECTED.get((answer.source, answer.reason), "unknown reason")
            problem = f"{self} rejects the association: {reason}"
            raise ModalityUnavailable(problem) if answer.result == 2 else NetworkProtocol(problem)
        if not isinstance(answer, AssociateAccept):
            self._refuse(answer)
        return answer

    def _next(self) -> type_pdu | Head | Piece:
        one, self._ahead = self._ahead, None
        try:
            while one is None:
                one = next(self._incoming, None)
                if one is None:
                    self._incoming = self._messages.feed(self.connection.read(self._buffer))
        except NetworkProtocol as error:
            self._protest(error)
        if isinstance(one, NetworkProtocol):
            self._protest(one)
        return one

    def _refuse(self, pdu: type_pdu | Head | Piece) -> NoReturn:
        """What came is not what was to come."""
        if isinstance(pdu, Abort):
            self.connection.close()
            raise ModalityUnavailable(f"{self} has aborted the association")
        if isinstance(pdu, ReleaseRequest):
            self.connection.send(iter((encode_pdu(ReleaseResponse()),)))
            self.connection.close()
            raise ModalityUnavailable(f"{self} has released the association")
        self._protest(BadPdu(f"{self} sends what nobody waits for", AbortReason.UNEXPECTED_PDU))

    def _protest(self, error: NetworkProtocol) -> NoReturn:
        if not self.connection.ended and not isinstance(error, ModalityUnavailable):
            reason = error.reason if isinstance(error, BadPdu) else AbortReason.NOT_SPECIFIED
            try:
                self.connection.send(iter((encode_pdu(Abort(2, reason)),)))
            except NetworkProtocol:
                pass  # gone already
            self.connection.close()
        raise error
