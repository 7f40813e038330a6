"""Where the frames of an image lie in its file, without decoding them (PS3.5 §A.4).

What: one frame as pieces of the buffer: one piece of native pixel data, one or more fragments of
encapsulated ones. Why: ``/instances/{id}/frames/{n}/raw``. Not here: pixels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from wherry import limits
from wherry.dicom.content import parts_of
from wherry.dicom.elements import PIXEL_DATA, UNDEFINED, type_data
from wherry.dicom.json import readable
from wherry.dicom.reading import Element
from wherry.dicom.tree import Selection, Tree
from wherry.dicom.uids import is_video
from wherry.errors import BadFileFormat, InexistentTag, ParameterOutOfRange

_FRAMES: Final = 0x00280008
_ROWS, _COLUMNS, _BITS, _SAMPLES, _PHOTOMETRIC = (
    0x00280010,
    0x00280011,
    0x00280100,
    0x00280002,
    0x00280004,
)
_EXTENDED_OFFSETS: Final = 0x7FE00001

NEEDED: Final = (
    PIXEL_DATA,
    _FRAMES,
    _ROWS,
    _COLUMNS,
    _BITS,
    _SAMPLES,
    _PHOTOMETRIC,
    _EXTENDED_OFFSETS,
)
"""The elements that tell where frames lie."""

_TYPES: Final = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
}

_START_OF_IMAGE: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
"""How JPEG, JPEG 2000 and its file format begin."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the file, as it lies there."""

    data: type_data
    """The file, or what it inflates to (``is_inflated``)."""
    pieces: tuple[tuple[int, int], ...]
    """Position and length of each."""
    media_type: str
    is_inflated: bool
    is_swapped: bool
    """Whether it is made of 16-bit words in big endian order."""


def count_of(number_of_frames: str | None) -> int:
    """Frames of an image whose NumberOfFrames (0028,0008) this is; 1 when it does not say.

    Raises ``BadFileFormat`` beyond ``limits.DICOM_FRAMES``.
    """
    text = (number_of_frames or "").strip(" \0")
    if not (text.isascii() and text.isdigit()):
        return 1
    if len(text) > len(str(limits.DICOM_FRAMES)) or int(text) > limits.DICOM_FRAMES:
        raise BadFileFormat(f"more than {limits.DICOM_FRAMES} frames")
    return int(text)


class Frames:
    """The frames of a file, all found at once: for whoever reads many of them."""

    def __init__(self, tree: Tree) -> None:
        """``tree`` has the elements ``NEEDED``. Raises as ``frame`` does."""
        pixels = tree.root.get(PIXEL_DATA)
        if pixels is None:
            raise InexistentTag("no PixelData")
        self._tree = tree
        self._pixels = pixels
        self.total = 1 if is_video(tree.syntax) else count_of(_text(tree, _FRAMES))
        """A video is one frame, as in Orthanc."""
        self._parts: list[tuple[int, int]] = []
        self._starts: list[int] | None = None
        if self.is_encapsulated:
            self._parts = parts_of(tree, pixels)
            if not self._parts:
                raise BadFileFormat("encapsulated pixel data without an offset table")

    @property
    def is_encapsulated(self) -> bool:
        """Whether they are fragments."""
        return self._pixels.length == UNDEFINED

    @property
    def vr(self) -> str:
        """The value representation of the pixel data; "" when the file does not tell."""
        return self._pixels.vr

    @property
    def begin(self) -> int:
        """Where the pixel data begin."""
        return self._pixels.position

    def pieces(self, number: int) -> tuple[tuple[int, int], ...]:
        """Position and length of the pieces of one of them, from 0. Raises ``BadFileFormat``,
        ``ParameterOutOfRange``."""
        if number >= self.total:
            raise ParameterOutOfRange
        if not self.is_encapsulated:
            return (_native(self._tree, self._pixels, number, self.total),)
        table, fragments = self._parts[0], self._parts[1:]
        if self.total == 1 or len(fragments) == self.total:
            return tuple(fragments) if self.total == 1 else (fragments[number],)
        if self._starts is None:
            self._starts = _offsets(self._tree, table, fragments, self.total)
        if len(self._starts) != self.total:
            raise BadFileFormat("encapsulated pixel data whose frames cannot be told apart")
        end = self._starts[number + 1] if number + 1 < self.total else len(fragments)
        return tuple(fragments[self._starts[number] : end])


def frame(data: type_data, number: int) -> Frame:
    """Frame ``number``, from 0, of the file ``data``.

    Raises ``ParameterOutOfRange`` (no such frame), ``InexistentTag`` (no pixel data),
    ``BadFileFormat`` (pixel data that are not what the file says).
    """
    with readable(data):
        tree = Selection(data, NEEDED)
        found = Frames(tree)
        pieces = found.pieces(number)
        media_type, is_swapped = _TYPES.get(tree.syntax, ""), False
        if not found.is_encapsulated:
            media_type, is_swapped = "", tree.big_endian and _short(tree, _BITS, 8) == 16
    return Frame(
        tree.data, pieces, media_type or "application/octet-stream", tree.is_inflated, is_swapped
    )


def _native(tree: Tree, pixels: Element, number: int, total: int) -> tuple[int, int]:
    bits = _short(tree, _ROWS) * _short(tree, _COLUMNS)
    bits *= _short(tree, _SAMPLES, 1) * _short(tree, _BITS, 8)
    if _text(tree, _PHOTOMETRIC) == "YBR_FULL_422":
        bits = bits * 2 // 3
    size = (bits + 7) // 8
    if size * total > pixels.length or pixels.position + pixels.length > len(tree.data):
        raise BadFileFormat("pixel data that are shorter than their frames")
    return pixels.position + number * size, size


def _offsets(
    tree: Tree, table: tuple[int, int], fragments: list[tuple[int, int]], total: int
) -> list[int]:
    """The first fragment of each frame: by the offset table, the extended one, or by their
    beginnings."""
    known = {
        position - 8 - (table[0] + table[1]): index for index, (position, _) in enumerate(fragments)
    }
    mark = ">" if tree.big_endian else "<"
    raw = bytes(tree.data[table[0] : table[0] + table[1]])
    code = "I"
    extended = tree.root.get(_EXTENDED_OFFSETS)
    if not raw and extended is not None:
        raw, code = tree.value(extended), "Q"
    if len(raw) == total * struct.calcsize(code):
        offsets = struct.unpack(f"{mark}{total}{code}", raw)
        starts = [known[offset] for offset in offsets if offset in known]
        if len(starts) == total and starts == sorted(set(starts)):
            return starts
    return [
        index
        for index, (position, length) in enumerate(fragments)
        if bytes(tree.data[position : position + min(length, 8)]).startswith(_START_OF_IMAGE)
    ]


def _short(tree: Tree, tag: int, default: int = 0) -> int:
    element = tree.root.get(tag)
    raw = tree.value(element)[:2] if element is not None else b""
    if len(raw) < 2:
        return default
    return int.from_bytes(raw, "big" if tree.big_endian else "little")


def _text(tree: Tree, tag: int) -> str:
    element = tree.root.get(tag)
    if element is None or element.length > limits.DICOM_VALUE_BYTES:
        return ""
    return tree.value(element).decode("ascii", "ignore").strip(" \0")
