"""Small values of the walk through a data set: where things lie, and what is remembered."""

from __future__ import annotations

from typing import Final, NamedTuple

from wherry.dicom.charsets import CharacterSet
from wherry.dicom.editing.plan import Node
from wherry.dicom.elements import Encoding, skip_undefined, type_data
from wherry.dicom.preamble import other_encoding

TEXTS: Final = frozenset(("SH", "LO", "ST", "LT", "UC", "UT", "PN"))
"""VRs that are written in the character set (PS3.5 §6.1.2.3)."""


class Splice(NamedTuple):
    """Bytes ``start`` to ``stop`` of the source make room for others."""

    start: int
    stop: int
    new: bytes


class Found(NamedTuple):
    """One element, where it lies."""

    tag: int
    vr: str
    """"" when the file does not tell, ``UN`` when it tells something unknown."""
    start: int
    value: int
    """Offset of the value."""
    length: int

    @property
    def stop(self) -> int:
        """The offset behind an element that has a length."""
        return self.value + self.length


class Place(NamedTuple):
    """A data set of the file, and what is done there."""

    encoding: Encoding
    node: Node
    charset: CharacterSet
    depth: int


class Group(NamedTuple):
    """A group length that has been passed."""

    number: int
    value: int
    """Offset of the value."""
    at: int
    """Number of the splice that it may become."""
    growth: int
    """How much longer the data set was then."""


class Standing:
    """What is to be remembered of a data set on the way through it."""

    __slots__ = ("creators", "done", "group", "place", "puts")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.puts = place.node.puts[::-1]
        """What is still to be made when it is not there, the next one last."""
        self.done: set[int] = set()
        """What has got its value: should it come again, it goes."""
        self.creators: dict[int, str] = {}
        """Tags that reserve private blocks, and for whom."""
        self.group: Group | None = None


def read_header(data: type_data, position: int, encoding: Encoding) -> tuple[int, int, int, int]:
    """Of the element at ``position``: key of the tag, key of the VR (0: not told), offset of the
    value, length. Raises ``struct.error`` at the end of the data."""
    if encoding.explicit:
        key, vr, length = encoding.header.unpack_from(data, position)
        if vr in encoding.short:
            return key, vr, position + 8, length
        if vr in encoding.uppercase and key not in encoding.delimiters:
            (length,) = encoding.length.unpack_from(data, position + 8)
            return key, vr, position + 12, length
    # Old files mix implicit elements into explicit data sets.
    key, length = encoding.item_header.unpack_from(data, position)
    return key, 0, position + 8, length


def skip_value(
    data: type_data, value: int, encoding: Encoding, vr: int, used: int
) -> tuple[int, int]:
    """As ``skip_undefined``, of an element that ``read_header`` has read."""
    if encoding.explicit and not vr:
        encoding = other_encoding(encoding)
    return skip_undefined(data, value, encoding, vr, used)
