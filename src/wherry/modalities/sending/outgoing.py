"""A DICOM file as it is sent to another system: what it says it is, and its data set in the
transfer syntax that the system takes.

The data set lies behind the meta information and is not touched; what is long, or has to be written
anew, comes in pieces. Nothing of it is held whole in memory.

Not here: the message around it (``cstore``), which transfer syntax is wanted (``negotiation``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wherry import limits
from wherry.dicom.elements import (
    EXPLICIT_LITTLE,
    IMPLICIT_BIG,
    UNDEFINED,
    Encoding,
    UnreadableError,
    find,
)
from wherry.dicom.inflate import inflate
from wherry.dicom.preamble import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    looks_explicit,
    other_encoding,
    read_preamble,
)
from wherry.dicom.reencode import reencode, type_read_at
from wherry.dicom.tree import Selection
from wherry.errors import BadFileFormat, CannotWriteFile, CorruptedFile
from wherry.modalities.associations.negotiation import Kind
from wherry.storage.mapping import mapped

_SOP_CLASS: Final = 0x00080016
_SOP_INSTANCE: Final = 0x00080018
_REAL: Final = {True: EXPLICIT, False: IMPLICIT}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One instance. Of use as long as the buffer that it was read from."""

    kind: Kind
    """SOP class and transfer syntax as the data set really has them."""
    sop_instance: str
    size: int
    """Bytes of the data set as it is stored."""
    _data: memoryview
    _position: int
    _encoding: Encoding
    _read_at: type_read_at | None = None

    def data_set(self, syntax: str) -> memoryview | Iterator[bytes | memoryview]:
        """Its bytes in this transfer syntax: in one piece when nothing changes, else in many, which
        are void when the next one comes.

        ``syntax`` is that of ``kind``, or one of ``negotiation.WRITTEN`` when that is native. The
        pieces may raise ``BadFileFormat``, ``CannotWriteFile``.
        """
        if syntax == self.kind.transfer_syntax:
            if self._read_at is not None and self.size > limits.MAPPED_AHEAD_BYTES:
                return _even(self._portions(self._read_at))
            if self.size % 2 == 0:
                return self._data[self._position :]
            return _even(iter((self._data[self._position :],)))
        return _even(self._anew(explicit=syntax == EXPLICIT))

    def whole(self) -> Iterator[bytes | memoryview]:
        """The file as it is stored."""
        yield self._data[: self._position]
        if self._read_at is not None and self.size > limits.MAPPED_AHEAD_BYTES:
            yield from self._portions(self._read_at)
        else:
            yield self._data[self._position :]

    def _portions(self, read_at: type_read_at) -> Iterator[bytes]:
        """Of a long file, which is not read ahead where it is mapped, and would count as memory."""
        offset, end = self._position, self._position + self.size
        while offset < end:
            piece = read_at(offset, min(limits.READ_CHUNK_BYTES, end - offset))
            if not piece:
                raise CorruptedFile("A stored file became shorter while it was sent")
            offset += len(piece)
            yield piece

    def _anew(self, *, explicit: bool) -> Iterator[bytes | memoryview]:
        try:
            if self.kind.transfer_syntax != DEFLATED:
                long = self.size > limits.MAPPED_AHEAD_BYTES
                yield from reencode(
                    self._data,
                    self._position,
                    self._encoding,
                    explicit=explicit,
                    read_at=self._read_at if long else None,
                )
            elif explicit:
                yield from inflate(self._data, self._position)
            else:
                yield from self._inflated()
        except UnreadableError as error:
            raise BadFileFormat(
                f"The instance cannot be written in another transfer syntax: {error}"
            ) from None

    def _inflated(self) -> Iterator[bytes | memoryview]:
        """By way of a nameless file."""
        try:
            file = tempfile.TemporaryFile()  # noqa: SIM115  closed below
        except OSError as error:
            raise CannotWriteFile("No room to inflate a data set") from error
        with file:
            try:
                for piece in inflate(self._data, self._position):
                    file.write(piece)
                file.flush()
            except OSError as error:
                raise CannotWriteFile("No room to inflate a data set") from error
            with mapped(file.fileno()) as view:
                yield from reencode(view, 0, EXPLICIT_LITTLE, explicit=False)


def _even(pieces: Iterator[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Padded if need be: a deflated stream may have any length (PS3.5 §A.5), what is sent may not
    (PS3.8 §E.2)."""
    size = 0
    for piece in pieces:
        size += len(piece)
        yield piece
    if size % 2:
        yield b"\0"


def read(data: memoryview, read_at: type_read_at | None = None) -> Outgoing:
    """A whole DICOM file; ``read_at``: another way to at most so many bytes of it from an offset,
    for what is long. Raises ``BadFileFormat`` when it does not say what it is."""
    try:
        syntax, sop_class, encoding, position = read_preamble(data)
        if syntax == DEFLATED:
            head = memoryview(next(inflate(data, position), b""))
            found = _uids(head, 0, encoding)
        else:
            syntax, encoding = _real(data, position, syntax, encoding)
            found = _uids(data, position, encoding)
    except UnreadableError as error:
        raise BadFileFormat(f"Cannot parse an invalid DICOM file: {error}") from None
    sop_class = found.get(_SOP_CLASS) or sop_class
    sop_instance = found.get(_SOP_INSTANCE)
    if not sop_class or not sop_instance:
        raise BadFileFormat("The file does not name its SOP class and its SOP instance")
    size = len(data) - position
    kind = Kind(sop_class, syntax)
    return Outgoing(kind, sop_instance, size, data, position, encoding, read_at)


def _real(data: memoryview, position: int, syntax: str, encoding: Encoding) -> tuple[str, Encoding]:
    """What the data set is written in, which is not always what the file says."""
    if looks_explicit(data, position) is not encoding.explicit:
        if syntax not in (IMPLICIT, EXPLICIT, BIG_ENDIAN):
            raise UnreadableError("its data set is implicit, against its transfer syntax")
        encoding = other_encoding(encoding)
        syntax = BIG_ENDIAN if encoding.big_endian else _REAL[encoding.explicit]
    return ("" if encoding is IMPLICIT_BIG else syntax), encoding


def _uids(data: memoryview, position: int, encoding: Encoding) -> dict[int, str]:
    keys = {encoding.tag_key(tag): tag for tag in (_SOP_CLASS, _SOP_INSTANCE)}
    try:
        places = find(data, position, encoding, frozenset(keys), _SOP_INSTANCE >> 16)
    except UnreadableError:  # old files mix implicit elements into explicit data sets
        root = Selection(data, keys.values()).root
        return {tag: _uid(data, one.position, one.length) for tag, one in root.items()}
    return {keys[key]: _uid(data, *place[1:]) for key, place in places.items()}


def _uid(data: memoryview, position: int, length: int) -> str:
    if length == UNDEFINED or length > 128:
        return ""
    return bytes(data[position : position + length]).rstrip(b" \0").decode("ascii", "replace")
