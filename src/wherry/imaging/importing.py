"""Task of a worker: a picture as a file (PNG, JPEG, PAM) → its pixels, as DICOM has them.

Colours are RGB, palettes too; what is transparent is shown as if it were not, as in Orthanc; single
bits and pairs become bytes. The size is known before anything is decoded.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from imagecodecs import JpegError, PngError, jpeg8_decode, png_decode

from wherry import limits
from wherry.dicom.codecs.headers import declared
from wherry.dicom.codecs.native import type_array
from wherry.dicom.codecs.syntaxes import BASELINE
from wherry.errors import BadFileFormat, NotImplementedYet, TooLarge
from wherry.imaging.work import Work

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_SIDE: Final = 65_535
_PNG_SAMPLES: Final = {0: 2, 2: 4, 3: 4, 4: 2, 6: 4}
"""Colour type → samples that come out at most, transparency included."""
_PAM: Final = re.compile(
    rb"P7\n(?:#[^\n]*\n|[A-Z]+ [^\n]*\n){1,32}ENDHDR\n",
)
_PAM_LINE: Final = re.compile(rb"^(WIDTH|HEIGHT|DEPTH|MAXVAL) +([0-9]{1,9})\s*$", re.MULTILINE)
_PAM_BYTES: Final = 4096


def import_image(work: Work) -> dict[str, Any]:
    """``import_image``: the picture of kind ``kind``; tells ``rows``, ``columns``, ``samples`` (1
    or 3) and ``bits`` (8 or 16) of the pixels it writes, little endian, row by row."""
    pixels = _DECODERS[work.arguments["kind"]](work.source)
    rows, columns = pixels.shape[:2]
    shown = pixels.reshape(rows, columns, -1)
    shown = shown[:, :, : 3 if shown.shape[2] >= 3 else 1]
    step = max(1, limits.STRIP_BYTES // max(1, shown[0].nbytes))
    for start in range(0, rows, step):
        strip = shown[start : start + step]
        work.write(np.ascontiguousarray(strip, strip.dtype.newbyteorder("<")).data)
    bits = 8 * pixels.dtype.itemsize
    return {"rows": rows, "columns": columns, "samples": shown.shape[2], "bits": bits}


def _check(rows: int, columns: int, samples: int, sample_bytes: int) -> None:
    if not (0 < rows <= _SIDE and 0 < columns <= _SIDE):
        raise BadFileFormat(f"An image has 1 to {_SIDE} rows and columns")
    if rows * columns * samples * sample_bytes > limits.FRAME_BYTES:
        raise TooLarge(f"An image has at most {limits.FRAME_BYTES} bytes")


def _png(data: memoryview) -> type_array:
    if bytes(data[:8]) != _SIGNATURE or bytes(data[12:16]) != b"IHDR" or len(data) < 33:
        raise BadFileFormat
    columns, rows, bits, colour = struct.unpack_from(">IIBB", data, 16)
    _check(rows, columns, _PNG_SAMPLES.get(colour, 4), 2 if bits == 16 else 1)
    try:
        return png_decode(bytes(data))
    except PngError:
        raise BadFileFormat from None


def _jpeg(data: memoryview) -> type_array:
    header = declared(BASELINE, data)
    if header.samples not in (1, 3):
        raise NotImplementedYet("A JPEG of neither grey nor RGB")
    _check(header.rows, header.columns, header.samples, 1 if header.precision <= 8 else 2)
    try:
        pixels = jpeg8_decode(bytes(data))
    except JpegError:
        raise BadFileFormat from None
    if pixels.shape[:2] != (header.rows, header.columns):
        raise BadFileFormat
    return pixels


def _pam(data: memoryview) -> type_array:
    """Netpbm's arbitrary map, as ``/preview`` gives it."""
    match = _PAM.match(data[:_PAM_BYTES])
    if match is None:
        raise BadFileFormat
    told = {name: int(text) for name, text in _PAM_LINE.findall(match[0])}
    rows, columns = told.get(b"HEIGHT", 0), told.get(b"WIDTH", 0)
    samples, most = told.get(b"DEPTH", 0), told.get(b"MAXVAL", 0)
    if not (1 <= samples <= 4 and 1 <= most <= _SIDE):
        raise BadFileFormat
    kind = ">u2" if most > 0xFF else "u1"
    size = 2 if most > 0xFF else 1
    _check(rows, columns, samples, size)
    if len(data) - match.end() < rows * columns * samples * size:
        raise BadFileFormat
    count = rows * columns * samples
    return np.frombuffer(data, kind, count, match.end()).reshape(rows, columns, samples)


_DECODERS: Final[dict[str, Callable[[memoryview], type_array]]] = {
    "png": _png,
    "jpeg": _jpeg,
    "pam": _pam,
}
