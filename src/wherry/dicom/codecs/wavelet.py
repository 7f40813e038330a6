"""JPEG 2000 (ISO 15444-1) and its fast relative HTJ2K (ISO 15444-15): ours by name of the wavelets.

Colour transforms inside of a code stream are undone by the decoder.
"""

from __future__ import annotations

import math
from typing import Final

from imagecodecs import htj2k_encode, jpeg2k_decode, jpeg2k_encode

from wherry.dicom.codecs.headers import start_of_jpeg_2000
from wherry.dicom.codecs.native import type_array
from wherry.errors import CannotEncode

_MOST_BITS: Final = 16
_LEAST_SIDE: Final = 32
_RESOLUTIONS: Final = 6
_WORST_DB: Final = 30
_QUALITY_OF_DB: Final = 3
"""Quality 1 to 100 as the noise below the greatest difference of two pixels, 30 to 63 dB: at 90,
60 dB, a thousandth of it."""


def decode(data: bytes | memoryview) -> type_array:
    """One frame."""
    return jpeg2k_decode(bytes(data[start_of_jpeg_2000(data) :]))


def encode(
    array: type_array, bits: int, *, colour: bool, quality: int | None = None, fast: bool = False
) -> bytes:
    """Words of so many ``bits``, 16 at most; ``colour``: RGB, which is transformed; ``quality``:
    with loss; ``fast``: HTJ2K."""
    if bits > _MOST_BITS:
        raise CannotEncode(f"{bits} bits do not fit into JPEG 2000")
    smallest = min(array.shape[:2])
    levels = 1
    while levels < _RESOLUTIONS and smallest >> levels >= _LEAST_SIDE:
        levels += 1
    if fast:
        return bytes(htj2k_encode(array, rgb=colour, reversible=True, resolutions=levels))
    return bytes(
        jpeg2k_encode(
            array,
            0 if quality is None else _level(array, bits, quality),
            codecformat="J2K",
            bitspersample=bits,
            resolutions=levels,
            reversible=quality is None,
            mct=colour,
            planar=False if array.ndim > 2 else None,
        )
    )


def _level(array: type_array, bits: int, quality: int) -> int:
    """The library's measure is the noise below the greatest word there could be: in most images of
    16 bits that is far above what there is."""
    least, most = int(array.min()), int(array.max())
    unused = 20 * math.log10((2**bits - 1) / max(1, most - least))
    return _WORST_DB + quality // _QUALITY_OF_DB + max(0, round(unused))
