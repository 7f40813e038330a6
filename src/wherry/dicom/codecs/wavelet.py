"""JPEG 2000 (ISO 15444-1) and its fast relative HTJ2K (ISO 15444-15): ours by name of the wavelets.

Colour transforms inside of a code stream are undone by the decoder.
"""

from __future__ import annotations

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
"""Quality 1 to 100 as a signal to noise ratio of 30 to 63 dB: at 90, 60 dB."""


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
            0 if quality is None else _WORST_DB + quality // _QUALITY_OF_DB,
            codecformat="J2K",
            bitspersample=bits,
            resolutions=levels,
            reversible=quality is None,
            mct=colour,
            planar=False if array.ndim > 2 else None,
        )
    )
