"""One request of another DICOM system, as the functions that serve it see it.

A service is a coroutine ``async def service(request: Request) -> None`` that answers through
``respond``, as often as its service class wants. A ``WherryError`` that it raises is answered with
the status of that error; anything else with 0x0110.

Not here: which service a request goes to (``services``), how bytes travel (``association``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from wherry import limits
from wherry.dicom.attributes import type_attributes, write
from wherry.dicom.wire.commands import Command, CommandField
from wherry.model import Modality

if TYPE_CHECKING:
    from wherry.dicom.wire.messages import type_buffer
    from wherry.http.services import Services

SUCCESS: Final = 0x0000
PENDING: Final = 0xFF00
"""Answers follow (PS3.4 §C.4.1.1.4)."""
CANCELLED: Final = 0xFE00
NO_SUCH_SOP_CLASS: Final = 0x0122
"""PS3.7 Annex C."""

_ANSWER: Final = 0x8000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end of an association."""

    calling: str
    """Its application entity title."""
    called: str
    """The one that it gave us."""
    remote_ip: str
    modality: Modality | None
    """Whom we know by that title; None: nobody."""


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    id: int
    abstract_syntax: str
    transfer_syntax: str
    as_scp: bool = False
    """The caller may be the SCP: it takes C-STOREs (role selection, PS3.7 §D.3.3.4)."""


class Line(Protocol):
    """The way back to the caller."""

    @property
    def contexts(self) -> Sequence[Context]:
        """All presentation contexts that were accepted."""

    async def send(self, context: Context, command: Command, data_set: type_buffer = b"") -> None:
        """A whole message, when there is room for it. Raises ``NetworkProtocol`` when the caller is
        gone."""

    async def ask(
        self, context: Context, command: Command, pieces: AsyncIterator[bytes]
    ) -> Command:
        """A request of our own with a data set, and its answer. Raises ``NetworkProtocol`` when
        the caller is gone, and whatever ``pieces`` raises: that ends the association, for a message
        that is not whole has no end."""

    async def send_each(
        self, context: Context, command: Command, data_sets: Sequence[bytes]
    ) -> None:
        """The same command with each of these data sets, in one go."""


class Request:
    """One message that asks for something, whole but for the data set of a C-STORE."""

    def __init__(
        self,
        rooms: Services,
        caller: Caller,
        context: Context,
        command: Command,
        data_set: bytes,
        line: Line,
    ) -> None:
        self.rooms = rooms
        self.caller = caller
        self.context = context
        self.command = command
        self.data_set = data_set
        """In the transfer syntax of the context; empty when there is none."""
        self.cancelled = False
        """A C-CANCEL has come; a service looks at it between two answers."""
        self._line = line

        self._asked = 0

    @property
    def contexts(self) -> Sequence[Context]:
        """All presentation contexts of the association."""
        return self._line.contexts

    async def ask(
        self, context: Context, command: Command, pieces: AsyncIterator[bytes]
    ) -> Command:
        """A request of our own over the same association; see ``Line.ask``. Its message identifier
        is made here."""
        self._asked = self._asked % 0xFFFF + 1
        return await self._line.ask(context, replace(command, message_id=self._asked), pieces)

    async def respond(
        self, status: int, attributes: type_attributes | bytes | None = None, **members: Any
    ) -> None:
        """Answer with this status, perhaps a data set, and what else the command is to hold.

        ``attributes``: bytes are a data set that is written already.
        """
        command = response(self.command, status, has_data_set=attributes is not None, **members)
        data_set = b""
        if isinstance(attributes, bytes):
            data_set = attributes
        elif attributes is not None:
            data_set = write(attributes, self.context.transfer_syntax)
        await self._line.send(self.context, command, data_set)

    async def respond_each(self, status: int, data_sets: Sequence[bytes]) -> None:
        """Several answers with this status, in one go: data sets that are written already."""
        if data_sets:
            command = response(self.command, status, has_data_set=True)
            await self._line.send_each(self.context, command, data_sets)


def response(
    request: Command, status: int, *, has_data_set: bool = False, comment: str = "", **members: Any
) -> Command:
    """The command that answers ``request`` (PS3.7 §9, §10)."""
    return Command(
        CommandField(request.field | _ANSWER),
        has_data_set,
        affected_sop_class=request.affected_sop_class or request.requested_sop_class,
        responded_to=request.message_id,
        status=status,
        error_comment=comment[: limits.ERROR_COMMENT_CHARACTERS] or None,
        affected_sop_instance=request.affected_sop_instance or request.requested_sop_instance,
        **members,
    )
