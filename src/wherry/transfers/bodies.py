"""The body of a bucket on its way out.

Bytes that need no packing go from their files to the socket inside the kernel. A packed bucket of
usual size is made once and kept for all attempts; a larger one is made while it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wherry import limits
from wherry.peers.bodies import Body, MadeBody, PiecesBody, PlainBody
from wherry.storage.base import StorageArea
from wherry.storage.outgoing import FileRange, read
from wherry.transfers.encoding import NONE, Encoding, encoded
from wherry.transfers.sealing import SEAL_BYTES, sealed

_HEADERS: Final = {"Content-Type": "application/octet-stream"}


def bucket_body(
    storage: StorageArea, ranges: Sequence[FileRange], encoding: Encoding, *, seal: bool = False
) -> Body:
    """``seal``: its seal follows the bytes. Raises ``MissingFile``, ``CorruptedFile``."""
    size = sum(one.size for one in ranges)
    if encoding == NONE and not seal:
        return PlainBody(storage, ranges, _HEADERS)

    def make() -> Iterator[bytes]:
        pieces = read(storage, ranges)
        if seal:
            pieces = sealed(pieces, ((one.orthanc_id, one.offset, one.size) for one in ranges))
        return encoded(pieces, encoding)

    if encoding == NONE:
        return MadeBody(make, _HEADERS, size + SEAL_BYTES)
    if size <= limits.BUCKET_BUFFER_BYTES:
        return PiecesBody(list(make()), _HEADERS)
    return MadeBody(make, _HEADERS)
