"""DIMSE messages of one direction of a connection (PS3.7 §6.3, PS3.8 Annex E): taken apart, made.

A message is a command and perhaps a data set, both cut into fragments. Commands are gathered and
read; data sets are not: their pieces go on as views of what was received.

Not here: what messages ask for, and what a data set says.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from wherry import limits
from wherry.dicom.wire.commands import Command, decode, encode
from wherry.dicom.wire.pdu import AbortReason, BadPdu, PduType, type_pdu
from wherry.dicom.wire.stream import Fragment, Stream

_DATA: Final = struct.Struct(">BxIIBB")
"""Head of a P-DATA-TF with one fragment: type, length; length, context, control header."""
_PDV_BYTES: Final = 6
"""Of each fragment within its PDU, beside what it carries."""
_COMMAND, _LAST = 1, 2

type_buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Head:
    """A message begins; if its command says so, the pieces of a data set follow."""

    context_id: int
    command: Command


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of the data set of the message that has begun."""

    data: memoryview
    """Void when the next bytes come."""
    last: bool


class Messages:
    """What comes over one connection. ``feed`` the bytes, in portions of any size."""

    def __init__(self, maximum_length: int = 0) -> None:
        """``maximum_length``: as that of ``Stream``."""
        self._stream = Stream(maximum_length)
        self._command = bytearray()
        self._context_id = 0
        """Of the message that is incomplete; 0 = none is."""
        self._in_data_set = False

    @property
    def idle(self) -> bool:
        """Whether no message and no PDU is incomplete."""
        return self._stream.idle and not self._context_id and not self._command

    def feed(self, data: memoryview) -> Iterator[type_pdu | Head | Piece]:
        """What they bring, in order. Raises ``BadPdu``, ``BadCommand``; the connection is of no
        use then. To be used up before the next call."""
        for one in self._stream.feed(data):
            if not isinstance(one, Fragment):
                yield one
            elif self._in_data_set:
                yield self._piece(one)
            elif (head := self._gather(one)) is not None:
                yield head

    def _gather(self, fragment: Fragment) -> Head | None:
        if not fragment.is_command:
            raise BadPdu("A data set without a command", AbortReason.UNEXPECTED_PARAMETER)
        self._check_context(fragment)
        if len(self._command) + len(fragment.data) > limits.COMMAND_BYTES:
            raise BadPdu("A command that is too long")
        self._command += fragment.data
        if not fragment.last:
            return None
        command = decode(self._command)
        self._command.clear()
        self._in_data_set = command.has_data_set
        if not self._in_data_set:
            self._context_id = 0
        return Head(fragment.context_id, command)

    def _piece(self, fragment: Fragment) -> Piece:
        if fragment.is_command:
            raise BadPdu("A command within a data set", AbortReason.UNEXPECTED_PARAMETER)
        self._check_context(fragment)
        if fragment.last:
            self._in_data_set = False
            self._context_id = 0
        return Piece(fragment.data, fragment.last)

    def _check_context(self, fragment: Fragment) -> None:
        if self._context_id and fragment.context_id != self._context_id:
            raise BadPdu("A message in two presentation contexts", AbortReason.UNEXPECTED_PARAMETER)
        self._context_id = fragment.context_id


def message(
    context_id: int, command: Command, data_set: type_buffer = b"", maximum_length: int = 0
) -> list[type_buffer]:
    """The bytes of a whole message, as buffers to be sent one after the other; ``data_set`` is not
    copied. ``maximum_length``: bytes behind the head of a P-DATA-TF that the other end takes; 0 =
    any number."""
    found = message_head(context_id, command, maximum_length)
    if command.has_data_set:
        found += fragments(context_id, data_set, maximum_length)
    return found


def message_head(context_id: int, command: Command, maximum_length: int) -> list[type_buffer]:
    """The command alone, when the fragments of its data set follow by themselves."""
    return list(fragments(context_id, encode(command), maximum_length, is_command=True))


def fragments(
    context_id: int,
    data: type_buffer,
    maximum_length: int,
    *,
    is_command: bool = False,
    ends: bool = True,
) -> Iterator[type_buffer]:
    """The P-DATA-TFs of a command or a data set, one fragment each; ``ends``: nothing follows."""
    size = _fragment_bytes(maximum_length)
    view = memoryview(data)
    control = _COMMAND if is_command else 0
    for start in range(0, len(view) or 1, size):
        piece = view[start : start + size]
        last = _LAST if ends and start + size >= len(view) else 0
        length = len(piece) + _PDV_BYTES
        yield _DATA.pack(PduType.DATA, length, length - 4, context_id, control | last)
        yield piece


def _fragment_bytes(maximum_length: int) -> int:
    """What a fragment may carry; an even number (PS3.8 §9.3.5.1, Annex E.2), which some insist
    on."""
    size = min(maximum_length or limits.PDU_SENT_BYTES, limits.PDU_SENT_BYTES) - _PDV_BYTES
    return size - size % 2


def fragments_of_pieces(
    context_id: int, pieces: Iterable[type_buffer], maximum_length: int
) -> Iterator[type_buffer]:
    """The P-DATA-TFs of a data set that comes in pieces of any size, each as full as it may be;
    the pieces are copied."""
    size = _fragment_bytes(maximum_length)
    waiting = bytearray()
    for piece in pieces:
        view = memoryview(piece)
        while view:
            if len(waiting) == size:  # something follows
                yield from fragments(context_id, waiting, maximum_length, ends=False)
                waiting = bytearray()
            taken = size - len(waiting)
            waiting += view[:taken]
            view = view[taken:]
    yield from fragments(context_id, waiting, maximum_length)
