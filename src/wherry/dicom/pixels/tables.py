"""Look-up tables: from a stored value to another number (PS3.3 §C.11.1, §C.11.2, §C.7.6.3.1.5).

A descriptor has three numbers: entries (0 = 65,536), the value of the first one, bits of each. What
lies before the first entry has its value, what lies behind the last one the value of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from wherry.dicom.codecs.native import type_array
from wherry.errors import BadFileFormat

_MOST: Final = 65_536


@dataclass(frozen=True, slots=True)
class Table:
    """Entries, and the stored value of the first of them."""

    first: int
    bits: int
    """Of an entry."""
    entries: type_array

    def look_up(self, values: type_array) -> type_array:
        """The entries of stored values, which are integers."""
        last = len(self.entries) - 1
        places = np.clip(values.astype("i8") - self.first, 0, last)
        found: type_array = np.take(self.entries, places)
        return found

    def as_bytes(self) -> type_array:
        """The entries as 0…255."""
        if self.bits <= 8:
            return self.entries.astype("u1")
        if self.entries.max(initial=0) <= 255:  # 8 bits in words, whatever the descriptor says
            return self.entries.astype("u1")
        return (self.entries >> (self.bits - 8)).astype("u1")


def descriptor(raw: bytes, *, big_endian: bool, signed: bool) -> tuple[int, int, int]:
    """Entries, first value, bits. Raises ``BadFileFormat``."""
    if len(raw) < 6:
        raise BadFileFormat("a look-up table without a descriptor")
    mark = ">" if big_endian else "<"
    count, first, bits = (int(number) for number in np.frombuffer(raw[:6], f"{mark}u2"))
    if signed and first >= 0x8000:
        first -= 0x10000
    if not 8 <= bits <= 16:
        raise BadFileFormat("a look-up table of entries that are neither bytes nor words")
    return count or _MOST, first, bits


def table(described: tuple[int, int, int], raw: bytes, *, big_endian: bool) -> Table:
    """The table of these bytes: words, or bytes when there are no more than entries. Raises
    ``BadFileFormat`` when it is shorter than its descriptor says."""
    count, first, bits = described
    if bits == 8 and len(raw) < 2 * count:
        if len(raw) < count:
            raise BadFileFormat("a look-up table that is too short")
        return Table(first, bits, np.frombuffer(raw, "u1", count))
    if len(raw) < 2 * count:
        raise BadFileFormat("a look-up table that is too short")
    entries = np.frombuffer(raw, f"{'>' if big_endian else '<'}u2", count).astype("u2")
    return Table(first, bits, entries)


def unpacked(described: tuple[int, int, int], raw: bytes, *, big_endian: bool) -> Table:
    """The table of segments (PS3.3 §C.7.9.2): discrete, linear, or indirect ones, which repeat
    earlier ones. Raises ``BadFileFormat``."""
    count, first, bits = described
    if bits == 8:
        words = np.frombuffer(raw, "u1").astype("i8")
    else:
        size = len(raw) // 2
        words = np.frombuffer(raw, f"{'>' if big_endian else '<'}u2", size).astype("i8")
    entries = _Unpacker(words.tolist(), bits).run(count)
    return Table(first, bits, np.array(entries, "u2"))


class _Unpacker:
    """The program of a segmented table."""

    def __init__(self, words: list[int], bits: int) -> None:
        self._words, self._narrow = words, bits == 8
        self._entries: list[int] = []

    def run(self, count: int) -> list[int]:
        position, left = 0, _MOST
        while len(self._entries) < count and position < len(self._words):
            position = self._segment(position, count, may_repeat=True)
            left -= 1
            if not left:
                break
        if len(self._entries) < count:
            raise BadFileFormat("a segmented look-up table that is too short")
        return self._entries[:count]

    def _segment(self, position: int, count: int, *, may_repeat: bool) -> int:
        """Take one segment; where the next one begins."""
        words = self._words
        if position + 2 > len(words):
            raise BadFileFormat("a segmented look-up table that is cut off")
        kind, size = words[position], words[position + 1]
        position += 2
        if kind == 0:  # discrete
            found = words[position : position + size]
            self._take(found, size, count)
            return position + size
        if kind == 1:  # linear, from the last entry to this one
            end = words[position : position + 1]
            if not end or not self._entries:
                raise BadFileFormat("a segmented look-up table that begins with a line")
            step = np.linspace(self._entries[-1], end[0], size + 1)[1:]
            self._take(np.rint(step).astype("i8").tolist(), size, count)
            return position + 1
        if kind == 2 and may_repeat:  # indirect: that many segments from an offset
            width = 4 if self._narrow else 2
            parts = words[position : position + width]
            if len(parts) < width:
                raise BadFileFormat("a segmented look-up table that is cut off")
            shift = 8 if self._narrow else 16
            at = sum(part << (shift * index) for index, part in enumerate(parts))
            if at >= position - 2:
                raise BadFileFormat("a segmented look-up table that repeats what is to come")
            for _ in range(size):
                if len(self._entries) >= count:
                    break
                at = self._segment(at, count, may_repeat=False)
            return position + width
        raise BadFileFormat("a segmented look-up table of unknown segments")

    def _take(self, found: list[int], size: int, count: int) -> None:
        if len(found) < size:
            raise BadFileFormat("a segmented look-up table that is cut off")
        self._entries += found[: count - len(self._entries)]
