"""``Transcoding``: one file, one wanted transfer syntax."""

from __future__ import annotations

import zlib
from typing import Final

from wherry import limits
from wherry.dicom.codecs.colour import after_encoding
from wherry.dicom.codecs.image import Image
from wherry.dicom.codecs.shape import PHOTOMETRIC, PLANAR, TAGS
from wherry.dicom.codecs.syntaxes import DCT, DECODED, ENCODED, JLS_LOSSY, LOSSY, NATIVE
from wherry.dicom.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    PIXEL_DATA,
    UNDEFINED,
    Encoding,
    UnreadableError,
)
from wherry.dicom.frames import NEEDED
from wherry.dicom.json import readable
from wherry.dicom.preamble import BIG_ENDIAN, DEFLATED, IMPLICIT, read_preamble
from wherry.dicom.reencode import Heads, reencode
from wherry.dicom.transcoding import loss
from wherry.dicom.transcoding.header import header
from wherry.dicom.transcoding.parts import (
    New,
    Pixels,
    Range,
    parts_of,
    type_part,
    type_pieces,
)
from wherry.dicom.transcoding.pixels import (
    EXTENDED_LENGTHS,
    EXTENDED_OFFSETS,
    Encapsulated,
    native,
    type_alive,
)
from wherry.dicom.tree import Selection
from wherry.errors import BadFileFormat, CannotDecode, CannotEncode, NothingToEncode

_ENCODINGS: Final = {IMPLICIT: IMPLICIT_LITTLE, BIG_ENDIAN: EXPLICIT_BIG}
_WORD_BYTES: Final = {"US": 2, "OV": 8}
"""New elements that are made of numbers."""
_LEVEL: Final = 6


class Transcoding:
    """A file in transfer syntax ``syntax``. Of use as long as the buffer of the source."""

    def __init__(
        self,
        data: memoryview,
        syntax: str,
        *,
        quality: int = 90,
        keeps_uid: bool = False,
        alive: type_alive = lambda: None,
    ) -> None:
        """``data``: a whole file that is not deflated, in another transfer syntax; ``quality``: of
        those that lose something; ``keeps_uid``: an image that loses something is no new instance,
        because it is one already; ``alive`` is called after each frame.

        Raises ``CannotDecode``, ``CannotEncode``, ``BadFileFormat``.
        """
        self.syntax = syntax
        self.patches: list[tuple[int, bytes]] = []
        """What has to be written over the output afterwards: places, and bytes for them."""
        self._data = data
        self._quality = quality
        self._alive = alive
        with readable(data):
            tree = Selection(data, (*NEEDED, *TAGS, *loss.TAGS))
            if tree.is_inflated:
                raise BadFileFormat("a deflated file has to be inflated first")
            _, sop_class, _, position = read_preamble(data)
            self._source: Encoding = tree.encoding
            known = {tag: tree.short_value(tree.root.get(tag)) for tag in loss.TAGS}
            self._known = {tag: one.rstrip(b" \0") for tag, one in known.items()}
            self._known = {tag: one for tag, one in self._known.items() if tag in tree.root}
            pixels = tree.root.get(PIXEL_DATA)
            self.old_syntax = tree.syntax
            self._signed = False
            self._image: Image | None = None
            if pixels is not None and not self._keeps(pixels.length != UNDEFINED):
                self._image = Image(tree)
                self._signed = self._image.shape.signed
            sop_instance = self._known.get(loss.SOP_INSTANCE, b"").decode("ascii", "replace")
            self.is_new_image = self._image is not None and syntax in LOSSY
            """Whether something is lost, so that it is another instance."""
            self.sop_instance_uid = sop_instance
            if self.is_new_image and not keeps_uid:
                self.sop_instance_uid = loss.new_uid(sop_instance, syntax, quality)
            self._header = header(
                data, syntax, sop_class, self.sop_instance_uid, is_new=self.is_new_image
            )
            self._written = 0
            self._coded: Encapsulated | None = None
            self._parts = parts_of(data, position, self._source, self._edits())

    def _keeps(self, is_native: bool) -> bool:
        """Whether pixel data stay as they are, but for the order of their bytes."""
        if self.syntax not in ENCODED:
            raise CannotEncode("Nothing is encoded in this transfer syntax")
        if self.old_syntax not in DECODED:
            raise CannotDecode("Pixel data of this transfer syntax cannot be decoded")
        return is_native and self.syntax in NATIVE

    def _edits(self) -> dict[int, New | Pixels | None]:
        image = self._image
        if image is None:
            if self.syntax not in NATIVE:
                raise NothingToEncode("There are no pixels that could be compressed")
            return {}
        found: dict[int, New | Pixels | None] = {EXTENDED_OFFSETS: None, EXTENDED_LENGTHS: None}
        photometric = image.photometric
        if self.syntax in NATIVE:
            found[PIXEL_DATA] = native(image, self.syntax, self._alive)
            if self.old_syntax in DCT or self.old_syntax == JLS_LOSSY:
                found[loss.LOST] = New(loss.LOST, "CS", b"01")
        else:
            if photometric == "PALETTE COLOR" and self.is_new_image:
                raise CannotEncode("Numbers of colours may not be changed")
            self._coded = Encapsulated(image, self.syntax, self._quality, self._patch, self._alive)
            found |= self._coded.edits
            photometric = after_encoding(self.syntax, photometric, image.shape.samples)
        if photometric != image.shape.photometric:
            value = photometric.encode()
            found[PHOTOMETRIC] = New(PHOTOMETRIC, "CS", value + b" " * (len(value) % 2))
        if image.shape.samples > 1 and image.shape.planar:
            found[PLANAR] = New(PLANAR, "US", b"\0\0")
        if self.is_new_image:
            uid = self.sop_instance_uid
            found |= loss.edits(self._known, uid, self.syntax, self._quality, self._ratio_at)
        return found

    def _patch(self, position: int, value: bytes) -> None:
        self.patches.append((position, value))

    def _ratio_at(self, position: int) -> None:
        self._ratio_position = position

    def pieces(self) -> type_pieces:
        """The file; to be asked for once. Afterwards its ``patches`` are known.

        Raises ``CannotDecode``, ``CannotEncode``, ``BadFileFormat`` in the middle of it, when a
        frame is not what it says.
        """
        yield self._header
        self._written = len(self._header)
        try:
            if self.syntax == DEFLATED:
                yield from _deflated(self._data_set())
                return
            for piece in self._data_set():
                yield piece
                self._written += len(piece)
        except UnreadableError as error:
            raise BadFileFormat(f"The file cannot be transcoded: {error}") from None
        if self._coded is not None and self.is_new_image and self._image is not None:
            shape = self._image.shape
            before = shape.native_bits // 8 * shape.frames
            self._patch(self._ratio_position, loss.ratio(before, self._coded.coded_bytes))

    def _data_set(self) -> type_pieces:
        target = _ENCODINGS.get(self.syntax, EXPLICIT_LITTLE)
        heads = Heads(explicit=target.explicit, big_endian=target.big_endian)
        for part in self._parts:
            yield from self._part(part, target, heads)

    def _part(self, part: type_part, target: Encoding, heads: Heads) -> type_pieces:
        if isinstance(part, Range):
            if target is self._source:
                yield from self._copied(part)
            else:
                yield from reencode(
                    self._data[: part.end],
                    part.start,
                    self._source,
                    explicit=target.explicit,
                    big_endian=target.big_endian,
                    signed=self._signed if self._image is not None else None,
                )
        elif isinstance(part, New):
            head = heads.element(part.tag, part.vr, _length_of(part))
            if part.on_written is not None:
                part.on_written(self._written + len(head))
            yield head + _turned(part, target)
        else:
            head = heads.element(PIXEL_DATA, part.vr, part.length)
            if self._coded is not None:
                self._coded.at(self._written + len(head))
            yield head
            yield from part.pieces()

    def _copied(self, part: Range) -> type_pieces:
        for start in range(part.start, part.end, limits.READ_CHUNK_BYTES):
            yield self._data[start : min(start + limits.READ_CHUNK_BYTES, part.end)]


def _length_of(part: New) -> int:
    return UNDEFINED if part.vr == "SQ" else len(part.value)


def _turned(part: New, target: Encoding) -> bytes:
    size = _WORD_BYTES.get(part.vr)
    if size is None or not target.big_endian:
        return part.value
    return b"".join(part.value[at : at + size][::-1] for at in range(0, len(part.value), size))


def _deflated(pieces: type_pieces) -> type_pieces:
    """PS3.5 §A.5."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    size = 0
    for piece in pieces:
        packed = packer.compress(piece)
        size += len(packed)
        if packed:
            yield packed
    packed = packer.flush()
    yield packed + b"\0" * ((size + len(packed)) % 2)
