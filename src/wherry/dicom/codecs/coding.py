"""``decode`` and ``encode``: one frame from and to any transfer syntax."""

from __future__ import annotations

from typing import Final

import numpy as np

from wherry import limits
from wherry.dicom.codecs import native
from wherry.dicom.codecs.headers import declared
from wherry.dicom.codecs.native import type_array
from wherry.dicom.codecs.shape import FrameShape, check
from wherry.dicom.codecs.syntaxes import (
    DECODED,
    ENCODED,
    HTJ2K,
    J2K,
    JLS,
    JLS_LOSSY,
    JPEG_LS,
    LOSSLESS,
    LOSSLESS_SV1,
    NATIVE,
    RLE,
    WAVELET,
)
from wherry.dicom.preamble import BIG_ENDIAN
from wherry.errors import CannotDecode, CannotEncode, WherryError

_BEST: Final = 100
_QUALITY_OF_STEP: Final = 5
"""Near-lossless JPEG-LS: so much less quality lets each word be wrong by 1 more; 2 at 90, which is
what others do."""
_SHADES_OF_STEP: Final = 16
"""... but by no more than this part of the shades there are."""
_MOST_ERROR: Final = 255
"""By which a word of 8 bits could be wrong, and one of more is not."""


def decode(syntax: str, data: bytes | memoryview, shape: FrameShape) -> type_array:
    """One frame as an array of ``shape.array`` and ``shape.dtype``, colour by pixel.

    Its photometric interpretation is that of ``colour.after_decoding``. Native frames may be views
    of ``data``, and keep in unsigned words what lies above the bits stored. ``BIG_ENDIAN`` has
    words of ``bits_allocated``.

    Raises ``CannotDecode``: what the code stream declares does not fit ``shape`` (found before it
    is decoded), or no decoder reads it.
    """
    if syntax not in DECODED:
        raise CannotDecode("Pixel data of this transfer syntax cannot be decoded")
    if len(data) > limits.CODED_FRAME_BYTES:
        raise CannotDecode("A compressed frame that is too long")
    try:
        check(shape)
        array = _decoded(syntax, data, shape)
    except (WherryError, RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        raise CannotDecode(f"A frame cannot be decoded: {error}") from error
    if array.shape != shape.array or array.dtype != shape.dtype:
        raise CannotDecode("A frame decodes to something else than the file says")
    return array


def _decoded(syntax: str, data: bytes | memoryview, shape: FrameShape) -> type_array:
    if syntax in NATIVE:
        return native.decode(data, shape, big_endian=syntax == BIG_ENDIAN)
    if syntax == RLE:
        from wherry.dicom.codecs import rle

        return rle.decode(data, shape)
    header = declared(syntax, data)
    if (header.rows, header.columns, header.samples) != (shape.rows, shape.columns, shape.samples):
        raise CannotDecode("its code stream has another size than the file says")
    if header.precision > max(8, shape.bits_allocated):
        raise CannotDecode("its code stream has more bits than there is room for")
    if syntax in WAVELET:
        from wherry.dicom.codecs import wavelet

        words = wavelet.decode(data)
    else:
        from wherry.dicom.codecs import jpeg

        if syntax in JPEG_LS:
            words = jpeg.decode_ls(bytes(data))
        else:
            words = jpeg.decode(syntax, bytes(data), shape, header)
    if words.size != shape.rows * shape.columns * shape.samples:
        raise CannotDecode("its code stream has another size than it declares")
    words = words.reshape(shape.array).astype(shape.dtype, copy=False)
    if header.signed:
        return words
    # code streams that know no signs have two's complements
    if syntax in WAVELET:
        return native.extended(words, shape, min(header.precision, shape.precision))
    if header.precision > shape.precision and syntax == JLS_LOSSY:
        low, high = _extremes(shape, shape.precision)
        if words.max() <= high + _MOST_ERROR:  # what is near to the greatest value may pass it
            words = np.clip(words, low, high)
    if header.precision >= shape.precision:
        return native.extended(words, shape)
    return words


def encode(syntax: str, array: type_array, shape: FrameShape, quality: int = 90) -> bytes:
    """One frame, as ``decode`` gives it, in a transfer syntax of ``syntaxes.ENCODED``.

    ``shape`` says what the array is (its photometric interpretation too: RGB is transformed where
    the syntax has a transform); the result has that of ``colour.after_encoding``. ``quality``, 1 to
    100, is that of the lossy ones.

    Raises ``CannotEncode``: the transfer syntax cannot hold such a frame.
    """
    if syntax not in ENCODED:
        raise CannotEncode("Pixel data cannot be encoded in this transfer syntax")
    if array.shape != shape.array or array.dtype != shape.dtype:
        raise CannotEncode("A frame that is not what its shape says")
    if syntax in NATIVE:
        return native.encode(array, shape, big_endian=syntax == BIG_ENDIAN)
    if shape.bits_allocated == 1:
        raise CannotEncode("Single bits are not compressed")
    try:
        return _encoded(syntax, array, shape, quality)
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        raise CannotEncode(f"A frame cannot be encoded: {error}") from error


def _encoded(syntax: str, array: type_array, shape: FrameShape, quality: int) -> bytes:
    if syntax == RLE:
        from wherry.dicom.codecs import rle

        return rle.encode(array)
    if shape.bits_allocated > 16:
        raise CannotEncode("Words of 32 bits fit into no compressed transfer syntax but RLE")
    array = np.ascontiguousarray(array)
    bits = _bits(array, shape)
    is_rgb = shape.samples == 3 and shape.photometric == "RGB"
    if syntax in WAVELET:
        from wherry.dicom.codecs import wavelet

        lossy = None if syntax in (J2K, HTJ2K) else quality
        return wavelet.encode(array, bits, colour=is_rgb, quality=lossy, fast=syntax == HTJ2K)
    from wherry.dicom.codecs import jpeg

    words = array.view(f"u{array.dtype.itemsize}")
    if syntax in JPEG_LS:
        if syntax == JLS:
            return jpeg.encode_ls(words, 0)
        error = min(max(1, (_BEST - quality) // _QUALITY_OF_STEP), (1 << bits) // _SHADES_OF_STEP)
        near = _away_from_extremes(array, shape, bits, error)
        return jpeg.encode_ls(near.view(words.dtype), error)
    if bits < shape.bits_allocated:
        words = words & words.dtype.type((1 << bits) - 1)
    if syntax in (LOSSLESS, LOSSLESS_SV1):
        return jpeg.encode_lossless(words, bits)
    if shape.signed:
        raise CannotEncode("JPEG with loss knows no signs")
    if shape.samples == 3 and not is_rgb and shape.photometric != "YBR_FULL":
        raise CannotEncode("JPEG with loss is made of RGB or YBR_FULL")
    return jpeg.encode(syntax, words, bits, quality, is_rgb=is_rgb)


def _away_from_extremes(array: type_array, shape: FrameShape, bits: int, error: int) -> type_array:
    """Words that may be wrong by ``error`` and are still words of so many ``bits`` with their sign:
    JPEG-LS knows no signs, and here no bits that are unused."""
    if bits == shape.bits_allocated and not shape.signed:
        return array
    low, high = _extremes(shape, bits)
    return np.clip(array, low + error if shape.signed else low, high - error)


def _extremes(shape: FrameShape, bits: int) -> tuple[int, int]:
    """The least and the greatest value of so many ``bits``."""
    low = -(1 << (bits - 1)) if shape.signed else 0
    return low, low + (1 << bits) - 1


def _bits(array: type_array, shape: FrameShape) -> int:
    """The precision of a code stream that loses nothing: all bits of the word when some lie above
    those that are stored."""
    if shape.precision == shape.bits_allocated:
        return shape.bits_allocated
    if shape.signed:
        is_whole = np.array_equal(native.extended(array, shape), array)
        return shape.precision if is_whole else shape.bits_allocated
    return shape.precision if not (array >> shape.precision).any() else shape.bits_allocated
