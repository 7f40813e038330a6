"""A packed bucket, unpacked piece by piece: exactly so many bytes.

The size is known before, so there is nothing for a bomb to expand into. The codes of the errors of
gzip, which is exactly one member, are the original's.
"""

from __future__ import annotations

from typing import Protocol, cast

from isal import igzip_lib

from wherry import limits
from wherry.errors import BadFileFormat, NetworkProtocol, WherryError
from wherry.storage.base import type_buffer
from wherry.transfers.encoding import HEAD, PLANES, STORED, joined, unzstd

_SMALLEST_GZIP = 4
_NotGzip = cast(type[Exception], igzip_lib.IsalError)  # its stub calls it an instance


class Unpacker(Protocol):
    """Takes a packed bucket in pieces; blocking."""

    def write(self, data: type_buffer, /) -> None:
        """The next ones; the buffer may be used again."""

    def finish(self) -> None:
        """There are no more."""


def unpacker(encoding: str, sink: Sink) -> Unpacker | None:
    """What unpacks an encoding; None when there is nothing to unpack."""
    if encoding == "none":
        return None
    return Inflater(sink) if encoding == "gzip" else Unblocker(sink)


class BadGzip(WherryError):
    """The bucket is no gzip, or its checksum is wrong; upstream calls that an internal error."""


class BadBlock(WherryError):
    """The bucket is no row of blocks, or was damaged."""


class Sink(Protocol):
    """Where the bytes of a bucket go."""

    size: int
    """Bytes of the whole bucket."""

    def wanted(self) -> int:
        """Bytes that it would like to have in one go; at least 1."""

    def write(self, data: type_buffer, /) -> None:
        """Take the next ones."""


class Inflater:
    """Takes gzip in pieces, gives at most ``sink.size`` bytes to ``sink``; blocking."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._left = sink.size
        self._taken = 0
        self._stream = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)

    def write(self, data: type_buffer) -> None:
        """Inflate one piece. Raises ``NetworkProtocol`` for too many bytes or a second member,
        ``BadGzip``."""
        if not data:
            return
        self._taken += len(data)
        if self._stream.eof:
            raise NetworkProtocol("Bytes after the end of the gzip member of the bucket")
        self._inflate(data)
        while not self._stream.needs_input and not self._stream.eof:
            self._inflate(b"")
        if self._stream.unused_data:
            raise NetworkProtocol("Bytes after the end of the gzip member of the bucket")

    def _inflate(self, data: type_buffer) -> None:
        try:
            wanted = min(limits.BODY_CHUNK_BYTES, self._sink.wanted())
            output = self._stream.decompress(data, wanted)
        except _NotGzip:
            raise BadGzip("The bucket is no gzip, or its checksum is wrong") from None
        if len(output) > self._left:
            raise NetworkProtocol(f"The bucket inflates to more than its {self._sink.size} bytes")
        self._left -= len(output)
        if output:
            self._sink.write(output)

    def finish(self) -> None:
        """Call after the last piece. Raises ``BadFileFormat`` when the end is missing."""
        if not self._stream.eof:
            tiny = self._taken < _SMALLEST_GZIP
            raise BadFileFormat("The bucket is no gzip" if tiny else "The bucket is truncated")


class Unblocker:
    """Takes ``blocks`` (``encoding``) in pieces; blocking."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._left = sink.size
        self._waiting = bytearray()

    def write(self, data: type_buffer) -> None:
        """Unpack what is complete. Raises ``NetworkProtocol`` for too many bytes, ``BadBlock``."""
        self._waiting += data
        start, end = 0, len(self._waiting)
        with memoryview(self._waiting) as view:
            while end - start >= HEAD.size:
                kind, plain, packed = HEAD.unpack_from(view, start)
                self._check(kind, plain, packed)
                begin, after = start + HEAD.size, start + HEAD.size + packed
                if after > end:
                    break
                self._take(kind, plain, view[begin:after])
                start = after
        del self._waiting[:start]

    def finish(self) -> None:
        """Call after the last piece. Raises ``BadFileFormat`` when the end is missing."""
        if self._waiting:
            raise BadFileFormat("The bucket is truncated")

    def _check(self, kind: int, plain: int, packed: int) -> None:
        if kind > PLANES or not 0 < packed <= plain <= limits.CODEC_BLOCK_BYTES:
            raise BadBlock("A block of the bucket is none")
        if plain > self._left:
            raise NetworkProtocol(f"The bucket unpacks to more than its {self._sink.size} bytes")

    def _take(self, kind: int, plain: int, packed: memoryview) -> None:
        data = packed if kind == STORED else unzstd(packed, plain)
        if data is None or len(data) != plain:
            raise BadBlock("A block of the bucket is damaged")
        self._left -= plain
        self._sink.write(joined(data) if kind == PLANES else data)
