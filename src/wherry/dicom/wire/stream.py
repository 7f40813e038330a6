"""A connection taken apart, as its bytes come (PS3.8 §9.3.1, §9.3.5, Annex E.2).

PDUs of associations are gathered, up to a bound. Those of data are not: their fragments go on as
they are, as views of what was received, so that a PDU may have any length and nothing is copied.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wherry import limits
from wherry.dicom.wire.pdu import HEAD, AbortReason, BadPdu, PduType, type_pdu
from wherry.dicom.wire.reading import decode

_PDV: Final = struct.Struct(">IBB")
"""Of each fragment: length, presentation context, message control header."""
_COMMAND, _LAST = 1, 2


@dataclass(frozen=True, slots=True)
class Fragment:
    """Some bytes of a command or a data set."""

    context_id: int
    is_command: bool
    data: memoryview
    """Void when the next bytes come."""
    last: bool
    """Nothing of this command or data set follows."""


class Stream:
    """The bytes of one direction of one connection. ``feed`` them, in portions of any size."""

    def __init__(self, maximum_length: int = 0) -> None:
        """``maximum_length``: bytes behind the head of a P-DATA-TF that the other end was told it
        may send; 0 = any number."""
        self.maximum_length = maximum_length
        self._head = bytearray()
        self._kind = 0
        self._left = 0
        """Bytes of the PDU that are still to come."""
        self._body = bytearray()
        self._pdv = bytearray()
        self._pdv_left = 0
        """Bytes of the fragment that are still to come."""
        self._context_id = self._control = 0
        self._in_pdu = False

    @property
    def idle(self) -> bool:
        """Whether no PDU is incomplete."""
        return not self._in_pdu and not self._head

    def feed(self, data: memoryview) -> Iterator[type_pdu | Fragment]:
        """What they complete, and the fragments that they bring. Raises ``BadPdu``; the stream is
        of no use then. To be used up before the next call."""
        at = 0
        while at < len(data):
            if not self._in_pdu:
                at = self._take_head(data, at)
            elif self._kind == PduType.DATA:
                at, fragment = self._take_data(data, at)
                if fragment is not None:
                    yield fragment
            else:
                size = min(self._left, len(data) - at)
                self._body += data[at : at + size]
                self._left -= size
                at += size
            if self._in_pdu and not self._left:
                self._in_pdu = False
                if self._kind != PduType.DATA:
                    body, self._body = self._body, bytearray()
                    yield decode(self._kind, memoryview(body))
                elif self._pdv:
                    raise BadPdu("A PDU ends within the head of a fragment")

    def _take_head(self, data: memoryview, at: int) -> int:
        size = min(HEAD.size - len(self._head), len(data) - at)
        self._head += data[at : at + size]
        if len(self._head) == HEAD.size:
            self._kind, self._left = HEAD.unpack(self._head)
            self._head.clear()
            self._check()
            self._in_pdu = True
        return at + size

    def _check(self) -> None:
        if self._kind == PduType.DATA:
            if self.maximum_length and self._left > self.maximum_length:
                raise BadPdu(
                    f"A P-DATA-TF has {self._left} bytes, {self.maximum_length} were agreed on"
                )
        elif not PduType.ASSOCIATE_RQ <= self._kind <= PduType.ABORT:
            raise BadPdu(f"There is no PDU of type {self._kind}", AbortReason.UNRECOGNIZED_PDU)
        elif self._left > limits.ASSOCIATE_BYTES:
            raise BadPdu(f"A PDU of type {self._kind} has {self._left} bytes")

    def _take_data(self, data: memoryview, at: int) -> tuple[int, Fragment | None]:
        """Of one fragment, what is here; where it ends."""
        if not self._pdv_left:
            at = self._take_pdv(data, at)
            if not self._pdv_left:
                empty = not self._pdv and self._control & _LAST
                return at, self._fragment(data[at:at]) if empty else None
            if at == len(data):
                return at, None
        size = min(self._pdv_left, len(data) - at)
        self._pdv_left -= size
        self._left -= size
        return at + size, self._fragment(data[at : at + size])

    def _take_pdv(self, data: memoryview, at: int) -> int:
        size = min(_PDV.size - len(self._pdv), len(data) - at, self._left)
        self._pdv += data[at : at + size]
        self._left -= size
        if len(self._pdv) == _PDV.size:
            length, self._context_id, self._control = _PDV.unpack(self._pdv)
            self._pdv.clear()
            if not 2 <= length <= self._left + 2:
                raise BadPdu(f"A fragment of {length} bytes does not fit in its PDU")
            self._pdv_left = length - 2
        return at + size

    def _fragment(self, data: memoryview) -> Fragment:
        last = bool(self._control & _LAST) and not self._pdv_left
        return Fragment(self._context_id, bool(self._control & _COMMAND), data, last)
