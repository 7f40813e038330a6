"""JPEG with DCT and without loss (ISO 10918-1), and JPEG-LS (ISO 14495-1).

Colour: DCT frames come out as RGB, whatever is inside (``colour.after_decoding``); those of the
lossless processes come out as they are.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from imagecodecs import jpeg8_decode, jpeg8_encode, jpegls_decode, jpegls_encode

from wherry.dicom.codecs.headers import Declared
from wherry.dicom.codecs.native import type_array
from wherry.dicom.codecs.shape import FrameShape
from wherry.dicom.codecs.syntaxes import BASELINE, DCT
from wherry.errors import CannotEncode

_PREDICTOR: Final = 1
"""Selection value 1, which both lossless processes of DICOM may have (PS3.5 §A.4.1)."""
_EXTENDED_BITS: Final = 12
_END: Final = b"\xff\xd9"
"""Behind a code stream of JPEG-LS: in one that is cut off, the library would look for it for long,
far behind the data."""
_INNER_START: Final = b"\xff\xd8\xff\xf7"
"""Start of image, start of frame of JPEG-LS."""


def decode(syntax: str, data: bytes, shape: FrameShape, header: Declared) -> type_array:
    """One frame whose ``header`` fits ``shape``, as unsigned words."""
    if shape.samples == 1:
        return jpeg8_decode(data)
    if syntax not in DCT:
        return jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB")
    inside = "YCBCR" if is_transformed(shape.photometric, header) else "RGB"
    return jpeg8_decode(data, colorspace=inside, outcolorspace="RGB")


def is_transformed(photometric: str, header: Declared) -> bool:
    """Whether a DCT frame of several samples has YCbCr inside: its header says it, else the file
    (PS3.5 §8.2.1)."""
    if header.transform is not None:
        return header.transform != 0
    return photometric != "RGB"


def decode_ls(data: bytes) -> type_array:
    """One frame of JPEG-LS, as unsigned words."""
    return jpegls_decode(data + _END)


def encode(syntax: str, words: type_array, bits: int, quality: int, *, is_rgb: bool) -> bytes:
    """Unsigned ``words`` of so many ``bits`` with loss; colour, RGB or YCbCr already, is YCbCr
    4:2:2 inside."""
    if bits > (8 if syntax == BASELINE else _EXTENDED_BITS):
        raise CannotEncode(f"{bits} bits do not fit into this kind of JPEG")
    if bits <= 8:
        words = words.astype("u1", copy=False)
        if words.ndim == 2:
            return bytes(jpeg8_encode(words, quality))
        colour = "RGB" if is_rgb else "YCBCR"
        return bytes(
            jpeg8_encode(
                words, quality, colorspace=colour, outcolorspace="YCBCR", subsampling="422"
            )
        )
    if words.ndim > 2:
        raise CannotEncode("colour of more than 8 bits does not fit into this kind of JPEG")
    return bytes(jpeg8_encode(words, quality, bitspersample=_EXTENDED_BITS))


def encode_lossless(words: type_array, bits: int) -> bytes:
    """Unsigned ``words`` of so many ``bits``, 16 at most; colour as it is, and without a word on
    what it is: the file says it."""
    inside = None if words.ndim == 2 else "UNKNOWN"
    return bytes(
        jpeg8_encode(
            words.astype("u1") if bits <= 8 else words,
            lossless=True,
            predictor=_PREDICTOR,
            bitspersample=max(2, bits),
            colorspace=inside,
            outcolorspace=inside,
        )
    )


def encode_ls(words: type_array, error: int) -> bytes:
    """Unsigned ``words`` by JPEG-LS, none further from what it was than ``error``.

    The file format that the library puts around it (SPIFF) is not DICOM's.
    """
    found = bytes(jpegls_encode(np.ascontiguousarray(words), error))
    start = found.find(_INNER_START)
    if start < 0:
        raise CannotEncode("JPEG-LS does not take these pixels")
    return found[start:]
