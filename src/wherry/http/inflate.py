"""gzip bodies, inflated piece by piece with a bound on what comes out.

A kilobyte of gzip can hold a megabyte of zeros; so the output is counted against the input
(``limits.INFLATE_RATIO`` beyond ``limits.INFLATE_FREE_BYTES``) and against the caller's own limit,
and it is handed on in pieces of ``limits.BODY_CHUNK_BYTES``.

Not for buckets of the transfers protocol: their size is known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from isal import isal_zlib

from wherry import limits
from wherry.errors import BadFileFormat, TooLarge

_GZIP_WINDOW = 31
_SLICE_BYTES = 256 * limits.KIB
"""Input inflated before the ratio is looked at again: a bomb gives at most 50 MiB until then."""

_NotGzip = cast(type[Exception], isal_zlib.error)  # its stub calls it an instance


class Inflating:
    """Takes gzip in pieces (``write``), gives its content to ``sink``; blocking."""

    def __init__(self, sink: Callable[[bytes], object], limit: int) -> None:
        self._sink = sink
        self._limit = limit
        self._taken = 0
        self._given = 0
        self._members = 1
        self._stream = isal_zlib.decompressobj(wbits=_GZIP_WINDOW)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Inflate one piece. Raises ``BadFileFormat`` when it is not gzip, ``TooLarge``."""
        with memoryview(data) as view:
            for start in range(0, len(view), _SLICE_BYTES):
                self._inflate(bytes(view[start : start + _SLICE_BYTES]))

    def _inflate(self, rest: bytes) -> None:
        self._taken += len(rest)
        more = True
        while more:
            if self._stream.eof:  # several members are one stream, RFC 1952 §2.2
                self._begin_member()
            try:
                output = self._stream.decompress(rest, limits.BODY_CHUNK_BYTES)
            except _NotGzip:
                raise BadFileFormat("The body is declared as gzip, but it is not") from None
            self._give(output)
            if self._stream.eof:
                rest = self._stream.unused_data
                more = bool(rest)
            else:
                rest = self._stream.unconsumed_tail
                more = bool(rest) or len(output) == limits.BODY_CHUNK_BYTES

    def _begin_member(self) -> None:
        self._members += 1
        if self._members > limits.GZIP_MEMBERS:
            raise TooLarge("The gzip body has too many members")
        self._stream = isal_zlib.decompressobj(wbits=_GZIP_WINDOW)

    def _give(self, output: bytes) -> None:
        self._given += len(output)
        if self._given > self._limit:
            raise TooLarge(f"The body inflates to more than {self._limit} bytes")
        if self._given > max(limits.INFLATE_FREE_BYTES, self._taken * limits.INFLATE_RATIO):
            raise TooLarge("The body inflates beyond any plausible ratio")
        if output:
            self._sink(output)

    def finish(self) -> None:
        """Call after the last piece. Raises ``BadFileFormat`` when the end is missing."""
        if self._taken and not self._stream.eof:
            raise BadFileFormat("The gzip body is truncated")


def inflate(data: bytes, limit: int) -> bytes:
    """A whole small gzip body at once. Raises ``BadFileFormat``, ``TooLarge``."""
    pieces: list[bytes] = []
    stream = Inflating(pieces.append, limit)
    stream.write(data)
    stream.finish()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
