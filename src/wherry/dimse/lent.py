"""C-STOREs that a thread reads from the socket itself, one after the other.

On the event loop an instance costs four hand-overs between threads. A caller that has stored one
and was answered mostly sends the next; a thread that has the socket then receives it, makes it
durable and visible, and answers, and nobody else is woken. What the thread is not made for goes
back to the event loop as it is: other messages, instances longer than a piece, a caller that lets
it wait.

Not here: which associations are lent (``association``).
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from wherry import clock, limits
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.messages import Head, Messages, Piece, message
from wherry.dicom.wire.pdu import type_pdu
from wherry.digests import Digest, new_digest
from wherry.dimse.permissions import Permission
from wherry.dimse.requests import response
from wherry.dimse.services import SERVICES
from wherry.dimse.storing import file_head, origin
from wherry.errors import NetworkProtocol, WherryError
from wherry.modalities.retrieving.arriving import check_identity

if TYPE_CHECKING:
    from wherry.dimse.negotiation import Agreement
    from wherry.dimse.requests import Context
    from wherry.http.services import Services

type_found = type_pdu | Head | Piece


@dataclass(slots=True)
class Begun:
    """A C-STORE whose data set is on its way."""

    context: Context
    command: Command
    gathered: bytearray
    digest: Digest | None = None
    """Of a longer one, taken while the rest is on the line."""

    def add(self, data: memoryview) -> None:
        """The next bytes."""
        self.gathered += data
        if self.digest is not None:
            self.digest.update(data)
        elif len(self.gathered) > limits.SMALL_FILE_BYTES:
            self.digest = new_digest()
            self.digest.update(self.gathered)


@dataclass(slots=True)
class Left:
    """What the event loop goes on with."""

    begun: Begun | None = None
    """Before anything else."""
    found: list[type_found] = field(default_factory=list)
    """In this order."""
    error: NetworkProtocol | None = None
    """After all of it: what came then is not DICOM."""


class Lent:
    """The socket of one association. ``run`` in a thread; ``stop`` from anywhere."""

    def __init__(
        self, rooms: Services, agreement: Agreement, messages: Messages, connection: socket.socket
    ) -> None:
        self._rooms = rooms
        self._agreement = agreement
        self._messages = messages
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._origin = origin(agreement.caller)
        self._begun: Begun | None = None
        self._started = 0.0
        """When the instance at hand began, or the wait for it."""
        self._stopping = False
        self._closing = threading.Lock()

    def stop(self) -> None:
        """The thread takes up nothing more, and is woken if it waits."""
        self._stopping = True
        with self._closing, suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def run(self) -> Left:
        """Receive and store until something else comes, or nothing for a moment. Blocking."""
        left = Left()
        buffer = memoryview(bytearray(limits.ASSOCIATION_READ_BYTES))
        self._started = clock.monotonic()
        try:
            while not (left.found or self._over()) and (size := self._receive(buffer)):
                for one in self._messages.feed(buffer[:size]):
                    if left.found or not self._take(one):
                        left.found.append(_kept(one))
        except NetworkProtocol as error:
            left.error = error
        finally:
            with self._closing:
                self._socket.close()
        left.begun = self._begun
        return left

    def _receive(self, buffer: memoryview) -> int:
        """The number of bytes that came; 0: none for a moment, or the caller is gone, which the
        event loop learns too."""
        try:
            self._socket.settimeout(limits.LENT_WAIT_S)
            size = self._socket.recv_into(buffer)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except OSError:
            return 0
        return size

    def _over(self) -> bool:
        """Whether what comes is not for a thread: too long, or too slow."""
        too_long = self._begun is not None and len(self._begun.gathered) >= limits.BODY_CHUNK_BYTES
        too_slow = clock.monotonic() - self._started > limits.LENT_S
        return self._stopping or too_long or too_slow

    def _take(self, one: type_found) -> bool:
        """Whether it was for this thread."""
        if isinstance(one, Piece) and self._begun is not None:
            self._begun.add(one.data)
            if one.last:
                begun, self._begun = self._begun, None
                self._store(begun)
            return True
        if not (isinstance(one, Head) and self._begun is None):
            return False
        context, command = self._agreement.contexts.get(one.context_id), one.command
        if context is None or not self._is_ours(context, command):
            return False
        self._started = clock.monotonic()
        self._begun = Begun(context, command, file_head(self._agreement.caller, context, command))
        return True

    def _is_ours(self, context: Context, command: Command) -> bool:
        """Whether an instance comes that may be stored."""
        return (
            command.field is CommandField.C_STORE_RQ
            and command.has_data_set
            and command.affected_sop_class == context.abstract_syntax
            and context.abstract_syntax not in SERVICES
            and Permission.STORE in self._agreement.permissions
        )

    def _store(self, begun: Begun) -> None:
        """Make it durable and visible, and say so."""
        check = partial(check_identity, begun.command)
        digest = "" if begun.digest is None else begun.digest.hexdigest()
        try:
            self._rooms.ingest.store_now(begun.gathered, self._origin, check, digest)
        except WherryError as error:
            answer = response(begun.command, error.dimse_status, comment=str(error))
        else:
            answer = response(begun.command, 0)
            elapsed_ms = (clock.monotonic() - self._started) * 1000
            self._rooms.metrics.observe("orthanc_store_dicom_duration_ms", elapsed_ms)
        data = b"".join(message(begun.context.id, answer, b"", self._agreement.maximum_length))
        self._socket.settimeout(limits.LENT_S)
        try:
            self._socket.sendall(data)
        except OSError:
            raise NetworkProtocol("The caller takes no answer") from None
        self._started = clock.monotonic()


def _kept(one: type_found) -> type_found:
    """The same, when the buffer is used again."""
    return Piece(memoryview(bytes(one.data)), one.last) if isinstance(one, Piece) else one
