"""Deflated data sets (PS3.5 §A.5): walked while they are inflated.

What: ``elements.walk`` over a stream. Bytes are kept only until the elements in them are passed;
a long value, such as pixel data, is inflated and forgotten. Why: a few KiB may inflate to
gigabytes, and the whole stream must be seen to know that it is whole.
Not here: gzip on HTTP bodies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from isal import isal_zlib

from wherry import limits
from wherry.dicom.elements import (
    UNDEFINED,
    Encoding,
    IncompleteError,
    UnreadableError,
    type_data,
    walk,
)
from wherry.errors import BadFileFormat

_INPUT_BYTES: Final = 256 * limits.KIB
_OUTPUT_BYTES: Final = limits.MIB


def inflate(data: type_data, position: int) -> Iterator[bytes]:
    """Pieces of at most 1 MiB of the raw DEFLATE stream that begins at ``position``.

    Raises ``UnreadableError`` when the stream is damaged or ends too early, ``BadFileFormat`` when
    it grows beyond ``limits.INFLATE_RATIO``.
    """
    inflater = isal_zlib.decompressobj(wbits=-15)
    size = len(data)
    produced = 0
    bound = limits.INFLATE_FREE_BYTES + limits.INFLATE_RATIO * (size - position)
    pending = b""
    try:
        while not inflater.eof:
            if not pending:
                pending = bytes(data[position : position + _INPUT_BYTES])
                position += len(pending)
            at_end = not pending
            piece = inflater.decompress(pending, _OUTPUT_BYTES)
            pending = inflater.unconsumed_tail
            if not piece and at_end:
                raise UnreadableError("its deflated data set is cut off")
            produced += len(piece)
            if produced > bound:
                raise BadFileFormat("a deflated data set that inflates beyond all measure")
            if piece:
                yield piece
    except isal_zlib.error:  # type: ignore[misc]  # its stub calls it a plain object
        raise UnreadableError("its deflated data set is damaged") from None


def walk_deflated(
    data: type_data, position: int, encoding: Encoding, wanted: frozenset[int]
) -> dict[int, tuple[int, bytes]]:
    """The ``wanted`` elements of the deflated data set at ``position``: key → (VR key, value).

    Raises as ``walk`` and ``inflate`` do.
    """
    values: dict[int, tuple[int, bytes]] = {}
    window = bytearray()
    to_skip = 0  # bytes of the stream, behind the window, that belong to a value nobody wants
    enough = 0  # length of the window that makes another look worth while
    walked = 0
    for piece in inflate(data, position):
        window += piece[to_skip:]
        to_skip -= min(to_skip, len(piece))
        if len(window) > enough:
            walked += len(window)
            if walked > limits.DICOM_HEADER_BYTES:
                raise BadFileFormat("a deflated data set with too long a header")
            to_skip = _advance(window, encoding, wanted, values)
            enough = 2 * len(window)
    if window:
        to_skip = _advance(window, encoding, wanted, values)
    if window or to_skip:
        raise UnreadableError(f"{to_skip or len(window)} bytes of its data set are missing")
    return values


def _advance(
    window: bytearray,
    encoding: Encoding,
    wanted: frozenset[int],
    values: dict[int, tuple[int, bytes]],
) -> int:
    """Take whole elements from the front of ``window``; the bytes still to skip behind it."""
    size = len(window)
    try:
        found, position = walk(window, 0, encoding, wanted), size
    except IncompleteError as incomplete:
        found, position = incomplete.found, incomplete.position
    for tag, (vr, value, length) in found.items():
        if length == UNDEFINED:
            continue
        if length > limits.DICOM_VALUE_BYTES:
            raise BadFileFormat("a main DICOM tag that is too long")
        if value + length <= size:
            values.setdefault(tag, (vr, bytes(window[value : value + length])))
        else:
            position = value - (12 if vr in encoding.long else 8)  # wait for the whole value
    del window[:position]
    return position - min(position, size)
