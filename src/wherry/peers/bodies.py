"""Bodies of requests: bytes, and ranges of stored files, as they are or packed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final, Protocol

from wherry import limits
from wherry.digests import content_digest
from wherry.errors import CorruptedFile
from wherry.imaging.pool import Source
from wherry.imaging.stored import read_pieces
from wherry.peers.outlet import Outlet
from wherry.storage.base import FileReader, StorageArea
from wherry.storage.outgoing import FileRange, all_opened, gathered, pack, read, shortened

_DICOM: Final = {"Content-Type": "application/dicom"}
_DICOM_PACKED: Final = {**_DICOM, "Content-Encoding": "gzip"}


class Body(Protocol):
    """The body of a request; may be sent several times."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its length or transfer encoding, and its type."""

    def send(self, outlet: Outlet) -> None:
        """Write it."""


@dataclass(frozen=True, slots=True)
class BytesBody:
    """A body that is small enough to be in memory."""

    data: bytes = b""
    media_type: str = ""
    digest: bool = False
    """Whether its SHA-256 is told (RFC 9530)."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its length, and its type if it has one."""
        found = {"Content-Length": str(len(self.data))}
        if self.media_type:
            found["Content-Type"] = self.media_type
        if self.digest:
            found["Content-Digest"] = content_digest(self.data)
        return found

    def send(self, outlet: Outlet) -> None:
        """Write it."""
        if self.data:
            outlet.write(self.data)


def instance_body(storage: StorageArea, wanted: FileRange, *, compress: bool) -> Body:
    """The body of an upload, gzip-encoded or as it is. Raises ``MissingFile``,
    ``CorruptedFile``."""
    if compress:
        return _packed(storage, wanted, _DICOM_PACKED)
    return PlainBody(storage, [wanted], _DICOM)


def file_body(source: Source, *, compress: bool) -> Body:
    """The body of an upload of an open file, gzip-encoded or as it is."""
    if compress:
        return MadeBody(lambda: pack(read_pieces(source)), _DICOM_PACKED)
    return SpoolBody(
        lambda offset, size: os.pread(source.file, size, source.offset + offset), source.size
    )


def _packed(storage: StorageArea, wanted: FileRange, headers: Mapping[str, str]) -> Body:
    def make() -> Iterator[bytes]:
        return pack(read(storage, [wanted]))

    if wanted.size <= limits.BUCKET_BUFFER_BYTES:
        return PiecesBody(list(make()), headers)
    return MadeBody(make, headers)


class RestBody:
    """A body without its first bytes, which are there already."""

    def __init__(self, body: Body, skipped: int) -> None:
        """``body`` has a length."""
        self._body = body
        self._skipped = skipped

    @property
    def headers(self) -> Mapping[str, str]:
        """Its length and type."""
        headers = self._body.headers
        return {**headers, "Content-Length": str(int(headers["Content-Length"]) - self._skipped)}

    def send(self, outlet: Outlet) -> None:
        """Write it."""
        outlet.skip(self._skipped)
        self._body.send(outlet)


class PlainBody:
    """Straight from the files to the socket."""

    def __init__(
        self, storage: StorageArea, ranges: Sequence[FileRange], headers: Mapping[str, str]
    ) -> None:
        """``headers``: what the bytes are."""
        self._storage = storage
        self._ranges = ranges
        self._headers = headers
        self._size = sum(one.size for one in ranges)

    @property
    def headers(self) -> Mapping[str, str]:
        """Its length and type."""
        return {**self._headers, "Content-Length": str(self._size)}

    def send(self, outlet: Outlet) -> None:
        """Write it. Raises ``MissingFile``, ``CorruptedFile``."""
        with closing(all_opened(self._storage, self._ranges)) as readers:
            for one, reader in zip(self._ranges, readers, strict=True):
                try:
                    outlet.write_file(reader, one.offset, one.size)
                except EOFError:
                    raise shortened(one) from None


class SpoolBody:
    """A DICOM file that lies somewhere else than in the storage area."""

    def __init__(self, read_at: Callable[[int, int], bytes], size: int) -> None:
        """``read_at``: at most so many bytes from an offset."""
        self._read_at = read_at
        self._size = size

    @property
    def headers(self) -> Mapping[str, str]:
        """Its length and type."""
        return {**_DICOM, "Content-Length": str(self._size)}

    def send(self, outlet: Outlet) -> None:
        """Write it."""
        for offset in range(0, self._size, limits.READ_CHUNK_BYTES):
            outlet.write(self._read_at(offset, limits.READ_CHUNK_BYTES))


class ReaderBody:
    """A DICOM file that is open already."""

    def __init__(self, reader: FileReader) -> None:
        self._reader = reader

    @property
    def headers(self) -> Mapping[str, str]:
        """Its length and type."""
        return {**_DICOM, "Content-Length": str(self._reader.size)}

    def send(self, outlet: Outlet) -> None:
        """Write it. Raises ``CorruptedFile``."""
        try:
            outlet.write_file(self._reader, 0, self._reader.size)
        except EOFError:
            raise CorruptedFile("The file became shorter while it was sent") from None


class PiecesBody:
    """In memory, for it is small."""

    def __init__(self, pieces: Sequence[bytes], headers: Mapping[str, str]) -> None:
        """``headers``: what the bytes are."""
        self._pieces = pieces
        self._headers = headers

    @property
    def headers(self) -> Mapping[str, str]:
        """Its length and type."""
        return {**self._headers, "Content-Length": str(sum(map(len, self._pieces)))}

    def send(self, outlet: Outlet) -> None:
        """Write it."""
        for piece in gathered(self._pieces):
            outlet.write(piece)


class MadeBody:
    """Made while it is sent. Without a length it goes in chunks (RFC 9112 §7.1)."""

    def __init__(
        self,
        make: Callable[[], Iterable[bytes]],
        headers: Mapping[str, str],
        length: int | None = None,
    ) -> None:
        """``make``: its bytes, the same each time; ``headers``: what they are."""
        self._make = make
        self._headers = headers
        self._length = length

    @property
    def headers(self) -> Mapping[str, str]:
        """Its length or encoding, and its type."""
        if self._length is None:
            return {**self._headers, "Transfer-Encoding": "chunked"}
        return {**self._headers, "Content-Length": str(self._length)}

    def send(self, outlet: Outlet) -> None:
        """Write it. Raises what ``make`` raises."""
        for piece in gathered(self._make()):
            if self._length is not None:
                outlet.write(piece)
                continue
            outlet.write(b"%x\r\n" % len(piece))
            outlet.write(piece)
            outlet.write(b"\r\n")
        if self._length is None:
            outlet.write(b"0\r\n\r\n")
