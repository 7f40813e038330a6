"""A native data set in another native encoding, value by value (PS3.5 §7, Annex A.1 to A.3).

What: with or without value representations, in either byte order; for systems that do not take a
file as it is stored. Values stay what they are: only the bytes of their numbers are turned round
where the byte order asks for it. Nothing is held but the piece at hand.
Why not pydicom: it holds the whole file.
Not here: pixel data that are compressed, deflated data sets.

Sequences and items come out without a length, for theirs would change; values of an odd length,
which may not be, are padded (§7.1.1); group lengths are left out (they are retired, §7.2). Where
the file does not tell a value representation, it is that of the dictionary, or UN, whose bytes mean
the same (§6.2.2). Recursion is never deeper than ``limits.DICOM_NESTING``.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from typing import Final

from wherry import limits
from wherry.dicom.dictionary import lookup, lookup_private
from wherry.dicom.elements import (
    LONG_VRS,
    PIXEL_DATA,
    UNDEFINED,
    Encoding,
    UnreadableError,
    find,
)
from wherry.dicom.preamble import other_encoding
from wherry.dicom.values import TEXT_VRS
from wherry.errors import BadFileFormat

type_piece = bytes | memoryview
type_read_at = Callable[[int, int], bytes]

_LONG: Final = frozenset(LONG_VRS)
_WORDS: Final = {
    **dict.fromkeys(("US", "SS", "OW", "AT"), "H"),
    **dict.fromkeys(("UL", "SL", "FL", "OL", "OF"), "I"),
    **dict.fromkeys(("UV", "SV", "FD", "OV", "OD"), "Q"),
}
"""What a value of this VR is made of, as ``array`` calls it."""
_SIZES: Final = {"H": 2, "I": 4, "Q": 8}
_BYTES: Final = frozenset(("OB", "OW", "OF", "OD", "OL", "OV"))
"""Their words need not be whole where the file does not tell the VR."""

_SPACED: Final = TEXT_VRS - {"UI"}
"""What is padded with a space (PS3.5 §6.2)."""
_AMBIGUOUS: Final = {"OB or OW": "OW", "US or OW": "OW", "US or SS or OW": "OW", "NONE": "UN"}
"""What the dictionary leaves open: what implicit data sets hold (PS3.5 §A.1)."""
_PIXEL_REPRESENTATION: Final = 0x00280103
_SHORT_BYTES: Final = 4 * limits.KIB
"""Up to here a value is joined with its head."""
_PIECE_BYTES: Final = 256 * limits.KIB
"""So much is read or turned round at once: a multiple of all words."""
_SHORT_VALUE_BYTES: Final = 0xFFFF
"""What a length of 16 bits can say."""
_CREATOR_BYTES: Final = 64

type_steps = Iterator[type_piece]


def reencode(
    data: memoryview,
    position: int,
    source: Encoding,
    *,
    explicit: bool,
    big_endian: bool = False,
    read_at: type_read_at | None = None,
    signed: bool | None = None,
) -> Iterator[type_piece]:
    """The data set that begins at ``position`` and is written as ``source``, with explicit or
    implicit VRs; pieces, void when ``data`` is. ``read_at``: another way to the bytes of long
    values, at most so many from an offset. ``signed``: what its pixels are, where it is a part of a
    data set, which need not say it.

    Raises ``UnreadableError`` where it is not what it says it is, ``BadFileFormat`` when a bound is
    passed: both in the middle of it.
    """
    writer = _Writer(data, Heads(explicit=explicit, big_endian=big_endian), read_at)
    return writer.whole(position, source, signed)


class Heads:
    """The beginnings of elements and items in one encoding."""

    def __init__(self, *, explicit: bool, big_endian: bool) -> None:
        mark = ">" if big_endian else "<"
        self.explicit = explicit
        self.big_endian = big_endian
        self._plain = struct.Struct(mark + "HHI")
        self._short = struct.Struct(mark + "HH2sH")
        self._long = struct.Struct(mark + "HH2s2xI")
        self.item = self._plain.pack(0xFFFE, 0xE000, UNDEFINED)
        self.item_end = self._plain.pack(0xFFFE, 0xE00D, 0)
        self.sequence_end = self._plain.pack(0xFFFE, 0xE0DD, 0)

    def element(self, tag: int, vr: str, length: int) -> bytes:
        """What stands before a value of so many bytes."""
        group, element = tag >> 16, tag & 0xFFFF
        if not self.explicit:
            return self._plain.pack(group, element, length)
        if vr in _LONG:
            return self._long.pack(group, element, vr.encode(), length)
        if length > _SHORT_VALUE_BYTES:  # PS3.5 §6.2.2, note 2
            return self._long.pack(group, element, b"UN", length)
        return self._short.pack(group, element, vr.encode(), length)


class _Writer:
    def __init__(self, data: memoryview, heads: Heads, read_at: type_read_at | None) -> None:
        self._data = data
        self._heads = heads
        self._read_at = read_at
        self._position = 0
        self._left = limits.DICOM_ELEMENTS

    def whole(self, position: int, source: Encoding, signed: bool | None) -> type_steps:
        self._position = position
        try:
            if signed is None:
                signed = self._is_signed(position, source)
            yield from self._data_set(len(self._data), source, signed, 0)
        except struct.error:
            raise UnreadableError("bytes are missing at its end") from None

    def _is_signed(self, position: int, source: Encoding) -> bool:
        """What the pixels are, which tells what some values before them are."""
        if self._heads.explicit and not source.explicit:
            key = source.tag_key(_PIXEL_REPRESENTATION)
            found = find(self._data, position, source, frozenset((key,)), 0x0028)
            if key in found:
                return self._truth(*found[key][1:])
        return False

    def _truth(self, position: int, length: int) -> bool:
        return length == 2 and any(self._data[position : position + 2])

    def _data_set(self, end: int | None, source: Encoding, signed: bool, depth: int) -> type_steps:
        """Elements up to ``end``; None: up to the delimiter of their item."""
        creators: dict[int, str] = {}
        while end is None or self._position < end:
            self._left -= 1
            if self._left < 0:
                raise BadFileFormat(f"a data set of more than {limits.DICOM_ELEMENTS} elements")
            tag, told, length = self._head(source)
            if tag >> 16 == 0xFFFE:
                if end is None and tag == 0xFFFEE00D:
                    return
                raise UnreadableError("an item at a wrong place")
            if length != UNDEFINED and self._position + length > (end or len(self._data)):
                raise UnreadableError("a value longer than what holds it")
            if not tag & 0xFFFF:
                self._skip(length)
                continue
            if tag == _PIXEL_REPRESENTATION:
                signed = self._truth(self._position, length)
            vr = told or self._known(tag, length, signed, creators)
            if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
                creators[tag] = self._text(length)
            if length == UNDEFINED or vr == "SQ":
                yield from self._sequence(tag, vr, length, source, signed, depth + 1)
            else:
                yield from self._element(tag, vr, length, source)

    def _skip(self, length: int) -> None:
        if length == UNDEFINED:
            raise UnreadableError("a group length without a length")
        self._position += length

    def _head(self, source: Encoding) -> tuple[int, str, int]:
        """Tag, VR ("" when the file does not tell), length; the position is that of the value."""
        data, position = self._data, self._position
        if source.explicit:
            key, vr, length = source.header.unpack_from(data, position)
            self._position += 8
            if vr in source.short:
                return source.tag_of(key), source.vr_names[vr], length
            if key in source.delimiters:
                return source.tag_of(key), "", 0
            if vr not in source.uppercase:
                raise UnreadableError("elements that are not explicit")
            (length,) = source.length.unpack_from(data, position + 8)
            self._position += 4
            return source.tag_of(key), source.vr_names.get(vr, "UN"), length
        key, length = source.header.unpack_from(data, position)
        self._position += 8
        return source.tag_of(key), "", length

    def _known(self, tag: int, length: int, signed: bool, creators: dict[int, str]) -> str:
        """The VR that the dictionary has; UN when a value of it would not look like this one."""
        if tag >> 16 & 1:
            block = tag & 0xFFFF0000 | tag >> 8 & 0xFF
            vr = lookup_private(tag, creators.get(block, "")).vr
            if vr == "SQ":  # a dictionary of private tags is a guess: the bytes stay as they are
                return "UN"
        else:
            vr = lookup(tag).vr
        vr = ("SS" if signed else "US") if vr == "US or SS" else _AMBIGUOUS.get(vr, vr)
        if len(vr) != 2:
            return "UN"
        if (word := _WORDS.get(vr)) and vr not in _BYTES and length % _SIZES[word]:
            return "UN"
        return vr

    def _text(self, length: int) -> str:
        if length > _CREATOR_BYTES:
            return ""
        value = bytes(self._data[self._position : self._position + length])
        return value.decode("latin-1").strip("\0 ")

    # --- sequences ----------------------------------------------------------------------------
    def _sequence(
        self, tag: int, vr: str, length: int, source: Encoding, signed: bool, depth: int
    ) -> type_steps:
        if depth > limits.DICOM_NESTING:
            raise BadFileFormat(f"sequences nested more than {limits.DICOM_NESTING} deep")
        if tag == PIXEL_DATA or vr not in ("SQ", "UN"):
            raise UnreadableError("a value without a length that is no sequence")
        if vr == "UN" and source.explicit:  # its content is implicit (PS3.5 §6.2.2)
            source = other_encoding(source)
        end = None if length == UNDEFINED else self._position + length
        yield self._heads.element(tag, "SQ", UNDEFINED)
        while end is None or self._position < end:
            key, size = source.item_header.unpack_from(self._data, self._position)
            self._position += 8
            if key == source.sequence_end and end is None:
                break
            if key != source.item:
                raise UnreadableError("a sequence with something else than items in it")
            item_end = None if size == UNDEFINED else self._position + size
            if item_end is not None and item_end > (end or len(self._data)):
                raise UnreadableError("an item longer than its sequence")
            yield self._heads.item
            yield from self._data_set(item_end, source, signed, depth)
            yield self._heads.item_end
        yield self._heads.sequence_end

    # --- single elements ------------------------------------------------------------------------
    def _element(self, tag: int, vr: str, length: int, source: Encoding) -> type_steps:
        start, self._position = self._position, self._position + length
        odd = length % 2
        head = self._heads.element(tag, vr, length + odd)
        word = _WORDS.get(vr) if source.big_endian is not self._heads.big_endian else None
        if word is not None and length % _SIZES[word]:
            raise UnreadableError("a number that is not whole")
        if length <= _SHORT_BYTES:
            value = self._data[start : self._position]
            yield head + (value if word is None else _turned(value, word))
        else:
            yield head
            for piece in self._pieces(start, self._position, word is not None):
                yield piece if word is None else _turned(piece, word)
        if odd:
            yield b" " if vr in _SPACED else b"\0"

    def _pieces(self, start: int, end: int, short: bool) -> type_steps:
        """Of a long value; ``short``: none may be longer than the others."""
        if self._read_at is None and not short:
            yield self._data[start:end]
            return
        while start < end:
            size = min(_PIECE_BYTES, end - start)
            if self._read_at is None:
                piece: type_piece = self._data[start : start + size]
            else:
                piece = self._read_at(start, size)
            if len(piece) != size:
                raise UnreadableError("the file became shorter meanwhile")
            start += size
            yield piece


def _turned(value: type_piece, word: str) -> bytes:
    """The other byte order."""
    numbers = array(word, bytes(value))
    numbers.byteswap()
    return numbers.tobytes()
