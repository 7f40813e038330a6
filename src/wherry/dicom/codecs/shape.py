"""What a file says of its frames: size, samples, bits, colour (PS3.3 §C.7.6.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wherry import limits
from wherry.dicom.frames import count_of
from wherry.dicom.tree import Tree
from wherry.errors import BadFileFormat

SAMPLES, PHOTOMETRIC, PLANAR, FRAMES = 0x00280002, 0x00280004, 0x00280006, 0x00280008
ROWS, COLUMNS = 0x00280010, 0x00280011
BITS_ALLOCATED, BITS_STORED, HIGH_BIT, SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
TAGS: Final = (
    *(SAMPLES, PHOTOMETRIC, PLANAR, FRAMES, ROWS, COLUMNS),
    *(BITS_ALLOCATED, BITS_STORED, HIGH_BIT, SIGNED),
)
"""What ``shape_of`` reads."""

HALVED: Final = "YBR_FULL_422"
"""Native frames of this photometric interpretation have half of the colour of each row."""


@dataclass(frozen=True, slots=True)
class FrameShape:
    """One frame of an image, and how many there are."""

    rows: int
    columns: int
    samples: int = 1
    """1 or 3."""
    bits_allocated: int = 8
    """1, 8, 16 or 32."""
    bits_stored: int = 8
    signed: bool = False
    planar: bool = False
    """Whether native frames have one colour after the other."""
    photometric: str = "MONOCHROME2"
    frames: int = 1
    high_bit: int = -1
    """The uppermost bit in use; -1: ``bits_stored - 1``."""

    @property
    def precision(self) -> int:
        """Bits of a word that must survive: those stored, and what may lie below them."""
        return self.bits_stored if self.high_bit < 0 else self.high_bit + 1

    @property
    def dtype(self) -> str:
        """Type of a decoded sample: of the size that is allocated, 8 bits at least."""
        return f"{'i' if self.signed else 'u'}{max(1, self.bits_allocated // 8)}"

    @property
    def array(self) -> tuple[int, ...]:
        """Shape of a decoded frame: rows, columns, and samples when there are several."""
        size = (self.rows, self.columns)
        return size if self.samples == 1 else (*size, self.samples)

    @property
    def decoded_bytes(self) -> int:
        """Size of a decoded frame."""
        return self.rows * self.columns * self.samples * max(1, self.bits_allocated // 8)

    @property
    def native_bits(self) -> int:
        """Size of a native frame."""
        bits = self.rows * self.columns * self.samples * self.bits_allocated
        return bits * 2 // 3 if self.photometric == HALVED else bits


def shape_of(tree: Tree) -> FrameShape:
    """What the elements ``TAGS`` of this file say.

    Raises ``BadFileFormat`` when they make no image, or one whose frames pass
    ``limits.FRAME_BYTES``.
    """

    def number(tag: int, default: int) -> int:
        raw = tree.short_value(tree.root.get(tag))[:2]
        return int.from_bytes(raw, "big" if tree.big_endian else "little") if raw else default

    def text(tag: int) -> str:
        return tree.short_value(tree.root.get(tag)).decode("ascii", "ignore").strip(" \0")

    allocated = number(BITS_ALLOCATED, 0)
    stored = number(BITS_STORED, allocated)
    high_bit = number(HIGH_BIT, stored - 1)
    shape = FrameShape(
        number(ROWS, 0),
        number(COLUMNS, 0),
        number(SAMPLES, 1),
        allocated,
        stored,
        number(SIGNED, 0) == 1,
        number(PLANAR, 0) == 1,
        text(PHOTOMETRIC),
        max(1, count_of(text(FRAMES))),
        -1 if high_bit == stored - 1 else high_bit,
    )
    check(shape)
    return shape


def check(shape: FrameShape) -> None:
    """Raises ``BadFileFormat`` when this is no image that can be decoded."""
    if not (shape.rows > 0 and shape.columns > 0 and shape.frames > 0):
        raise BadFileFormat("an image without a size")
    if shape.samples not in (1, 3) or shape.bits_allocated not in (1, 8, 16, 32):
        raise BadFileFormat("samples of an image that are of no known kind")
    if not 0 < shape.bits_stored <= shape.precision <= shape.bits_allocated:
        raise BadFileFormat("an image with more bits than there is room for")
    if shape.decoded_bytes > limits.FRAME_BYTES:
        raise BadFileFormat(f"frames of more than {limits.FRAME_BYTES // limits.MIB} MiB")
