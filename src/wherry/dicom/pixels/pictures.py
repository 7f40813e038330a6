"""Pictures of a frame: shades or colours, of which any rows can be made.

What: the four that Orthanc makes. ``preview`` stretches what is there from black to white,
``rendered`` shows a window, ``clipped`` the stored values as far as they fit. Why by rows: a frame
of 100 million pixels is not held a second time, and a thumbnail is made of the rows it needs.
Not here: files (``imaging.encoding``), sizes (``resizing``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from wherry.dicom.codecs.image import Image
from wherry.dicom.codecs.native import type_array
from wherry.dicom.pixels.colour import PALETTE, is_colour, palette, rgb
from wherry.dicom.pixels.values import rescale_of, whole_window, window_of
from wherry.errors import CannotDecode

type_rows = slice | type_array
"""Which rows: a range, or their numbers in any order."""

_WHITE: Final = 255
_LOOKED_UP_BYTES: Final = 2
"""Of values that are so short, or shorter, a table of all that occur is made."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is made when it is looked at."""

    height: int
    width: int
    samples: int
    """1 or 3."""
    bits: int
    """8 or 16, of a sample."""
    rows: Callable[[type_rows], type_array]
    """Rows × ``width``, × 3 of colours; ``uint8`` or ``uint16``."""


def preview(image: Image, number: int) -> Picture:
    """Frame ``number``, from its smallest value to its largest. Raises as ``Image.values``."""
    if is_colour(image):
        return _coloured(image, number)
    frame = grey(image, number)
    low, high = int(frame.min()), int(frame.max())
    if low == high:
        return _shades(image, frame, lambda values: np.zeros(values.shape))
    scale = 2 * (high - low)

    def stretch(values: type_array) -> type_array:  # in whole numbers: halves are rounded up
        return ((values.astype("i8") - low) * (2 * _WHITE) + (high - low)) // scale

    return _shades(image, frame, stretch)


def rendered(
    image: Image, number: int, center: float | None = None, width: float | None = None
) -> Picture:
    """Frame ``number`` through a window: its own, where nothing else is asked for. Colours are as
    they are. Raises as ``Image.values``."""
    if is_colour(image):
        return _coloured(image, number)
    frame, rescale = grey(image, number), rescale_of(image, number)
    window = window_of(image, number)
    if window is None:
        window = whole_window(image, rescale.apply(np.array([frame.min(), frame.max()])))
    if center is not None or width is not None:
        window = replace(
            window,
            center=window.center if center is None else center,
            width=window.width if width is None else width,
            table=None,
        )
    shown = window
    return _shades(image, frame, lambda values: shown.apply(rescale.apply(values)))


def clipped(image: Image, number: int, bits: int, *, signed: bool) -> Picture:
    """Stored values of frame ``number`` in ``bits`` bits, 8 or 16: what does not fit becomes the
    nearest that does; signed ones as their two's complement. Raises ``CannotDecode`` for colours,
    and as ``Image.values``."""
    if is_colour(image):
        raise CannotDecode("Colours are not shown as numbers")
    frame = grey(image, number)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    kind, shown = np.dtype(f"{'i' if signed else 'u'}{bits // 8}"), np.dtype(f"u{bits // 8}")
    fits = np.can_cast(frame.dtype, kind)

    def rows(which: type_rows) -> type_array:
        part = frame[which]
        part = part.astype(kind) if fits else np.clip(part, low, high).astype(kind)
        return part.view(shown)

    height, width = frame.shape
    return Picture(height, width, 1, bits, rows)


def grey(image: Image, number: int) -> type_array:
    """Stored values of a frame that has no colours; single bits as 0 and 255. Raises as
    ``Image.values``."""
    frame = image.values(number)
    return frame * np.uint8(_WHITE) if image.shape.bits_allocated == 1 else frame


def _shades(image: Image, frame: type_array, shade: Callable[[type_array], type_array]) -> Picture:
    """``shade`` of each value: of all values there may be when they are few, and looked up."""
    invert = image.photometric == "MONOCHROME1"

    def whole(values: type_array) -> type_array:
        shades = np.clip(shade(values), 0, _WHITE).astype("u1")
        return _WHITE - shades if invert else shades

    low, unsigned = int(frame.min()), np.dtype(f"u{frame.dtype.itemsize}")
    table: type_array | None = None
    if frame.dtype.itemsize <= _LOOKED_UP_BYTES:
        table = whole(np.arange(low, int(frame.max()) + 1))
    begin = np.array(low, frame.dtype).view(unsigned)

    def rows(which: type_rows) -> type_array:
        if table is None:
            return whole(frame[which])
        found: type_array = np.take(table, frame[which].view(unsigned) - begin)
        return found

    height, width = frame.shape
    return Picture(height, width, 1, 8, rows)


def _coloured(image: Image, number: int) -> Picture:
    colours = palette(image) if image.photometric == PALETTE else None
    frame = image.values(number)
    low = len(colours) // 2 if colours is not None and image.shape.signed else 0

    def rows(which: type_rows) -> type_array:
        if colours is None:
            return rgb(image, frame[which])
        found: type_array = np.take(colours, frame[which].astype("i4") + low, axis=0)
        return found

    return Picture(image.shape.rows, image.shape.columns, 3, 8, rows)
