"""One association that another system asked for (PS3.8 §9.2), on the event loop.

A state machine over what ``Messages`` finds: a request is negotiated, then messages go to the
services, C-STORE piece by piece; several may be under way. Whatever contradicts the standard ends
the association with an A-ABORT that says why. An association that brings nothing whole for
``DicomScpTimeout`` is aborted, so that a trickle of bytes does not keep it alive.

Not here: what is accepted (``negotiation``), what services do (``services``, ``storing``).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast

from wherry import limits
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.messages import (
    Head,
    Messages,
    Piece,
    fragments,
    message,
    message_head,
    type_buffer,
)
from wherry.dicom.wire.pdu import (
    Abort,
    AbortReason,
    AssociateReject,
    AssociateRequest,
    BadPdu,
    ReleaseRequest,
    ReleaseResponse,
    type_pdu,
)
from wherry.dicom.wire.writing import encode
from wherry.dimse.lent import Begun, Lent
from wherry.dimse.negotiation import NO_ROOM, Agreement, negotiate
from wherry.dimse.permissions import Permission
from wherry.dimse.requests import NO_SUCH_SOP_CLASS, Context, Request, response
from wherry.dimse.services import SERVICES
from wherry.dimse.storing import Arrival
from wherry.errors import NetworkProtocol, WherryError
from wherry.http.threads import in_thread

if TYPE_CHECKING:
    from wherry.dimse.listener import Listener

log = logging.getLogger(__name__)

NOT_AUTHORIZED: Final = 0x0124
UNRECOGNIZED_OPERATION: Final = 0x0211
"""PS3.7 Annex C."""

_SCRATCH: Final = memoryview(bytearray(limits.ASSOCIATION_READ_BYTES))
"""What is read here is taken apart before the next read of any association."""


class State(Enum):
    """Of an association; PS3.8 §9.2.1 has more, of which these are what can be told apart."""

    AWAITING = "the request has not come"
    NEGOTIATING = "it is looked at"
    ESTABLISHED = "messages go to and fro"
    RELEASING = "the caller wants to end; what is under way is still answered"
    ENDED = "nothing is said any more"


class Association(asyncio.BufferedProtocol):
    """One connection. Everything on the event loop."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._rooms = listener.rooms
        self._loop = asyncio.get_running_loop()
        self._messages = Messages(self._rooms.config.dimse.maximum_pdu_bytes)
        self._transport: asyncio.Transport
        self._socket: socket.socket
        self._remote_ip = ""
        self._state = State.AWAITING
        self._agreement: Agreement | None = None
        self._context: Context | None = None
        """Of the message whose data set is on its way."""
        self._command: Command | None = None
        self._data_set = bytearray()
        self._arrival: Arrival | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests: dict[int | None, Request] = {}
        """Under way, by their message identifiers."""
        self._answers: dict[int | None, asyncio.Future[Command]] = {}
        """Of our own requests: C-STOREs of a C-GET."""
        self._sending = asyncio.Lock()
        """Messages do not mix."""
        self._lent: Lent | None = None
        self._closing = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._reading = True
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is said any more."""
        return self._state is State.ENDED

    # --- the connection -----------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._socket = transport.get_extra_info("socket")
        peer = transport.get_extra_info("peername")
        self._remote_ip = str(peer[0]) if peer else ""
        self._listener.joined(self)
        self._tick()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone: what was cut is forgotten, what was whole is finished."""
        self._state = State.ENDED
        self._writable.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._lent is not None:
            self._lent.stop()
        if self._arrival is not None:
            self._arrival.abort()
            self._arrival = None
        for request in self._requests.values():
            request.cancelled = True
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(NetworkProtocol("The caller is gone"))
        self._listener.left(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return _SCRATCH

    def buffer_updated(self, nbytes: int) -> None:
        """They are there."""
        if self.ended:
            return  # read only so that the caller gets to read our last word
        try:
            for one in self._messages.feed(_SCRATCH[:nbytes]):
                self._heard = self._loop.time()
                self._take(one)
                if self.ended:
                    return
        except NetworkProtocol as error:
            self._protest(error)
            return
        # Senders with Nagle's algorithm hold a last small piece back until all is acknowledged.
        with suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def eof_received(self) -> bool:
        """The caller has closed its side: it hears nothing that is still to be said."""
        return False

    def pause_writing(self) -> None:
        """The caller takes nothing more for now."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It takes something again."""
        self._writable.set()

    # --- what came ----------------------------------------------------------------------------
    def _take(self, one: type_pdu | Head | Piece) -> None:
        if isinstance(one, Piece):
            self._piece(one)
        elif isinstance(one, Head):
            self._head(one)
        elif isinstance(one, AssociateRequest) and self._state is State.AWAITING:
            self._state = State.NEGOTIATING
            self._spawn(self._negotiate(one))
        elif isinstance(one, ReleaseRequest) and self._state is State.ESTABLISHED:
            self._state = State.RELEASING
            self._settle()
        elif isinstance(one, Abort):
            self._end()
        else:
            raise BadPdu("A PDU that nobody waits for", AbortReason.UNEXPECTED_PDU)

    async def _negotiate(self, request: AssociateRequest) -> None:
        agreed: Agreement | AssociateReject = NO_ROOM
        if self._listener.has_room:
            agreed = await in_thread(negotiate, self._rooms, request, self._remote_ip)
        if self._state is not State.NEGOTIATING:
            return
        if isinstance(agreed, AssociateReject):
            log.info("Association rejected: %s", agreed)
            self._transport.write(encode(agreed))
            self._end()
            return
        self._agreement = agreed
        self._state = State.ESTABLISHED
        self._heard = self._loop.time()
        self._transport.write(encode(agreed.accept))

    def _head(self, head: Head) -> None:
        """A message begins."""
        if self._state is not State.ESTABLISHED or self._agreement is None:
            raise BadPdu("A message outside of an association", AbortReason.UNEXPECTED_PDU)
        context = self._agreement.contexts.get(head.context_id)
        if context is None:
            raise BadPdu(f"A message in the context {head.context_id}, which was not accepted")
        command = head.command
        if not command.has_data_set:
            self._whole(context, command, b"")
            return
        self._context, self._command = context, command
        is_storage = context.abstract_syntax not in SERVICES
        if is_storage and command.field is CommandField.C_STORE_RQ:
            self._arrival = Arrival(self._rooms, self._agreement.caller, context, command)

    def _piece(self, piece: Piece) -> None:
        """Bytes of a data set."""
        if self._arrival is not None:
            self._arrival.write(piece.data)
            if self._arrival.is_behind:
                self._wait_for_disk(self._arrival)
        else:
            self._data_set += piece.data
            if len(self._data_set) > limits.QUERY_BYTES:
                raise BadPdu("A data set that is too long")
        if piece.last:
            assert self._context is not None and self._command is not None
            data_set, self._data_set = bytes(self._data_set), bytearray()
            self._whole(self._context, self._command, data_set)

    def _whole(self, context: Context, command: Command, data_set: bytes) -> None:
        """A message is there."""
        arrival, self._arrival = self._arrival, None
        if command.field is CommandField.C_CANCEL_RQ:
            if (request := self._requests.get(command.responded_to)) is not None:
                request.cancelled = True
        elif command.field & 0x8000:
            answer = self._answers.pop(command.responded_to, None)
            if answer is None:
                raise BadPdu("An answer to nothing", AbortReason.UNEXPECTED_PARAMETER)
            if not answer.done():
                answer.set_result(command)
        elif len(self._tasks) >= limits.DIMSE_OPERATIONS:
            raise BadPdu("More requests at once than were agreed on")
        elif arrival is not None:
            self._spawn(self._store(context, command, arrival))
        else:
            self._spawn(self._serve(context, command, data_set))

    def _wait_for_disk(self, arrival: Arrival) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()
            self._spawn(self._go_on(arrival))

    async def _go_on(self, arrival: Arrival) -> None:
        await arrival.caught_up()
        self._heard = self._loop.time()
        if not self._reading and not self.ended:
            self._reading = True
            self._transport.resume_reading()

    # --- what is done -------------------------------------------------------------------------
    async def _store(self, context: Context, command: Command, arrival: Arrival) -> None:
        assert self._agreement is not None
        refused = 0
        if Permission.STORE not in self._agreement.permissions:
            refused = NOT_AUTHORIZED
        elif command.affected_sop_class != context.abstract_syntax:
            refused = NO_SUCH_SOP_CLASS
        if refused:
            arrival.abort()
            await self._refuse(context, command, refused, "")
            return
        try:
            await arrival.finish()
        except WherryError as error:
            log.warning("An instance was not stored: %s", type(error).__name__)
            await self._refuse(context, command, error.dimse_status, str(error))
        else:
            await self.send(context, response(command, 0))
            self._lend()

    # --- a thread that has the socket -----------------------------------------------------------
    def _lend(self) -> None:
        """The caller stores: a thread may receive what follows."""
        if (
            self._state is State.ESTABLISHED
            and self._tasks == {asyncio.current_task()}
            and self._messages.idle
            and self._reading
            and self._transport.get_extra_info("ssl_object") is None
            and not self._transport.get_write_buffer_size()
            and self._listener.take_thread()
        ):
            assert self._agreement is not None
            self._reading = False
            self._transport.pause_reading()
            self._lent = Lent(self._rooms, self._agreement, self._messages, self._socket)
            self._spawn(self._wait_for_thread(self._lent))

    async def _wait_for_thread(self, lent: Lent) -> None:
        left = await self._listener.run(lent.run)
        self._lent = None
        if self.ended:
            return
        if self._closing:
            self.close()
            return
        self._heard = self._loop.time()
        try:
            if left.begun is not None:
                self._take_over(left.begun)
            for one in left.found:
                self._take(one)
                if self.ended:
                    return
            if left.error is not None:
                raise left.error
        except NetworkProtocol as error:
            self._protest(error)
            return
        if not self._reading and not self.ended:
            self._reading = True
            self._transport.resume_reading()

    def _take_over(self, begun: Begun) -> None:
        """An instance of which the thread has received the beginning."""
        assert self._agreement is not None
        self._context, self._command = begun.context, begun.command
        self._arrival = Arrival(
            self._rooms, self._agreement.caller, begun.context, begun.command, begun.gathered
        )

    async def _serve(self, context: Context, command: Command, data_set: bytes) -> None:
        assert self._agreement is not None
        service = SERVICES.get(context.abstract_syntax)
        permission, work = (
            (None, None) if service is None else service.requests.get(command.field, (None, None))
        )
        if work is None:
            await self._refuse(context, command, UNRECOGNIZED_OPERATION, "")
        elif permission not in self._agreement.permissions:
            await self._refuse(context, command, NOT_AUTHORIZED, "")
        else:
            request = Request(self._rooms, self._agreement.caller, context, command, data_set, self)
            self._requests[command.message_id] = request
            try:
                await work(request)
            except NetworkProtocol:
                raise
            except WherryError as error:
                await self._refuse(context, command, error.dimse_status, str(error))
            finally:
                self._requests.pop(command.message_id, None)

    async def _refuse(self, context: Context, command: Command, status: int, why: str) -> None:
        await self.send(context, response(command, status, comment=why))

    async def send(self, context: Context, command: Command, data_set: type_buffer = b"") -> None:
        """A whole message, when there is room for it. Raises ``NetworkProtocol`` when the caller is
        gone, or takes nothing any more."""
        async with self._sending:
            await self._write(message(context.id, command, data_set, self._maximum_length))

    async def send_each(
        self, context: Context, command: Command, data_sets: Sequence[bytes]
    ) -> None:
        """The same command with each of these data sets, in one go. Raises as ``send``."""
        head = b"".join(message_head(context.id, command, self._maximum_length))
        buffers: list[type_buffer] = []
        for data_set in data_sets:
            buffers.append(head)
            buffers += fragments(context.id, data_set, self._maximum_length)
        async with self._sending:
            await self._write(buffers)

    async def ask(
        self, context: Context, command: Command, pieces: AsyncIterator[bytes]
    ) -> Command:
        """See ``requests.Line``: the C-STOREs of a C-GET."""
        answer: asyncio.Future[Command] = self._loop.create_future()
        self._answers[command.message_id] = answer
        try:
            async with self._sending:
                try:
                    await self._write(message_head(context.id, command, self._maximum_length))
                    async for piece in pieces:
                        await self._write(
                            fragments(context.id, piece, self._maximum_length, ends=False)
                        )
                    await self._write(fragments(context.id, b"", self._maximum_length))
                except BaseException:
                    self._protest(NetworkProtocol("A message could not be sent whole"))
                    raise
            return await self._heard_of(answer)
        finally:
            self._answers.pop(command.message_id, None)
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # seen, also when the message was not even sent whole

    @property
    def contexts(self) -> Sequence[Context]:
        """See ``requests.Line``."""
        return [] if self._agreement is None else list(self._agreement.contexts.values())

    @property
    def _maximum_length(self) -> int:
        return 0 if self._agreement is None else self._agreement.maximum_length

    async def _write(self, buffers: Iterable[type_buffer]) -> None:
        """Some of a message, when there is room for it."""
        if not self._writable.is_set():
            await self._room_to_write()
        if self.ended:
            raise NetworkProtocol("The caller is gone")
        self._transport.write(b"".join(buffers))
        self._heard = self._loop.time()

    async def _heard_of(self, answer: asyncio.Future[Command]) -> Command:
        """Wait for the caller as long as for anything else: it keeps a file open meanwhile."""
        try:
            return await asyncio.wait_for(answer, self._rooms.config.dimse.scp_timeout_s or None)
        except TimeoutError:
            self._protest(NetworkProtocol("An instance was sent, and nothing came back"))
            raise NetworkProtocol("The caller does not answer") from None

    async def _room_to_write(self) -> None:
        timeout = self._rooms.config.dimse.scp_timeout_s or None
        try:
            await asyncio.wait_for(self._writable.wait(), timeout)
        except TimeoutError:
            self._end()
            raise NetworkProtocol("The caller takes nothing any more") from None

    # --- how it ends --------------------------------------------------------------------------
    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._heard = self._loop.time()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, NetworkProtocol):
            self._end()
        elif error is not None:
            log.error("A request over DIMSE failed", exc_info=error)
            self._protest(NetworkProtocol("It failed"))
        self._settle()

    def _settle(self) -> None:
        """The end that the caller asked for, when everything is answered."""
        if self._state is State.RELEASING and not self._tasks:
            self._transport.write(encode(ReleaseResponse()))
            self._end()

    def _protest(self, error: NetworkProtocol) -> None:
        """End it because the caller does not keep to the standard."""
        if not self.ended:
            log.warning("Association with %s aborted: %s", self._remote_ip, error)
            reason = error.reason if isinstance(error, BadPdu) else AbortReason.NOT_SPECIFIED
            self._transport.write(encode(Abort(2, reason)))
            self._end()

    def _end(self) -> None:
        """Nothing more is said. To close at once what the caller still writes to would take our
        last word away from it (RFC 9293 §3.6.1: a reset), so it gets a moment to close first."""
        if self.ended:
            return
        self._state = State.ENDED
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(limits.LAST_WORD_S, self._transport.abort)
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def close(self) -> None:
        """This server ends. What is under way is finished, but nobody hears of it."""
        if self._lent is not None:
            self._closing = True
            self._lent.stop()
        elif not self.ended:
            self._transport.write(encode(Abort(2, AbortReason.NOT_SPECIFIED)))
            self._end()

    async def finished(self) -> None:
        """Wait until nothing of it is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _tick(self) -> None:
        """Look whether the caller has been silent for too long."""
        timeout = float(self._rooms.config.dimse.scp_timeout_s)
        if self._state in (State.AWAITING, State.NEGOTIATING):
            timeout = min(timeout or limits.ASSOCIATE_S, limits.ASSOCIATE_S)
        elif not timeout:
            return
        now = self._loop.time()
        if self._tasks:
            self._heard = now  # it waits for us
        left = self._heard + timeout - now
        if left <= 0:
            self._protest(NetworkProtocol("Nothing whole has come for too long"))
            return
        self._timer = self._loop.call_later(left, self._tick)
