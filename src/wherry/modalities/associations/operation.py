"""One request that is answered by several messages (C-FIND, C-MOVE, C-GET), and how it is called
off (PS3.7 §9.3.2.3).

Whoever waits for it says from time to time whether the answer is still wanted. When it is not, a
C-CANCEL is sent, and the other end has a moment to obey; then the association is of no use.

Not here: what the answers mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Self

from wherry import clock, limits
from wherry.dicom.wire.commands import Command, CommandField
from wherry.errors import NetworkProtocol
from wherry.modalities.associations.association import Association, Context, Message, type_sinks

PENDING: Final = (0xFF00, 0xFF01)
"""More answers follow (PS3.4 §C.4.1.1.4, §C.4.2.1.5)."""

_ANSWER: Final = 0x8000

type_check = Callable[[], None]
"""Raises when nobody wants the answer any more."""


def wanted() -> None:
    """Somebody always wants it."""


class Conversation:
    """An association for operations of one kind, one after the other. As a context manager it is
    released at the end, and aborted after an exception."""

    def __init__(self, association: Association) -> None:
        self._association = association

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.release()
        else:
            self.abort()

    def release(self) -> None:
        """End it in good order. Never raises."""
        self._association.release()

    def abort(self) -> None:
        """End it at once. Never raises."""
        self._association.abort()


class Operation:
    """One request on an association. One thread."""

    def __init__(
        self,
        association: Association,
        context: Context,
        field: CommandField,
        identifier: bytes,
        check: type_check = wanted,
        **members: Any,
    ) -> None:
        """Send it. Raises ``ModalityUnavailable``."""
        self._association = association
        self._context = context
        self._check = check
        self._reason: BaseException | None = None
        """Why it is called off."""
        self._until = 0.0
        self._answer = CommandField(field | _ANSWER)
        self.message_id = association.next_message_id()
        command = Command(
            field,
            has_data_set=True,
            affected_sop_class=context.abstract_syntax,
            message_id=self.message_id,
            priority=0,
            **members,
        )
        association.send(context.id, command, identifier)

    def messages(self, sinks: type_sinks = lambda head: None) -> Iterator[Message]:
        """What comes until the last answer, which is the last of them; among it are messages of
        operations that the other end asks for (C-STORE).

        Raises what ``check`` raises, after the other end has obeyed, and what ``receive`` raises.
        """
        self._association.connection.while_waiting = self._look
        try:
            while True:
                message = self._association.receive(sinks)
                self._look()
                answers = self._is_answer(message.command)
                last = answers and message.command.status not in PENDING
                if last and self._reason is not None:
                    raise self._reason
                yield message
                if last:
                    return
        finally:
            self._association.connection.while_waiting = None

    def _look(self) -> None:
        if self._reason is not None:
            if clock.monotonic() >= self._until:
                raise self._reason
            return
        try:
            self._check()
        except Exception as reason:
            self._reason = reason
            self._until = clock.monotonic() + limits.CANCEL_S
            cancel = Command(CommandField.C_CANCEL_RQ, responded_to=self.message_id)
            self._association.send(self._context.id, cancel)

    def _is_answer(self, command: Command) -> bool:
        """Raises ``NetworkProtocol`` for an answer to something else."""
        if command.field is self._answer:
            if command.responded_to != self.message_id or command.status is None:
                raise NetworkProtocol(f"{self._association} answers what it was not asked")
            return True
        if command.field & _ANSWER:
            raise NetworkProtocol(f"{self._association} answers what it was not asked")
        return False
