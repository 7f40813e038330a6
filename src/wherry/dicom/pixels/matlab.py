"""Arrays as an expression of Matlab."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wherry.dicom.codecs.native import type_array


def matlab(frame: type_array) -> Iterator[bytes]:
    """Stored values of a frame as text, row by row."""
    if frame.ndim == 2:
        yield b"double([ "
        for number, row in enumerate(frame):
            yield (b"; " if number else b"") + _numbers(row)
        yield b"])"
        return
    yield b"double(permute(reshape([ "
    for row in frame:
        yield _numbers(row)
    sizes = " ".join(map(str, reversed(frame.shape)))
    yield f"], [ {sizes} ]), [ 3 2 1 ]))".encode()


def _numbers(row: type_array) -> bytes:
    return (" ".join(map(str, np.ravel(row).tolist())) + " ").encode()
