"""The head of a file of numpy (``.npy``, version 1.0); needs no numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

NUMPY_HEADER_BYTES: Final = 128


def numpy_header(kind: str, shape: Sequence[int]) -> bytes:
    """What stands before the values: of this type (``<f4``) and shape, of at least three
    dimensions. Spelt as Orthanc spells it; the file is the same to every reader."""
    *outer, columns, samples = shape
    spelt = f"{', '.join(map(str, outer))},{columns},{samples}"
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({spelt}), }}"
    size = NUMPY_HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + size.to_bytes(2, "little") + text.ljust(size - 1).encode() + b"\n"
