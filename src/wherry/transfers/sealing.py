"""The seal of a bucket that carries parts of instances, between two Wherry servers.

A whole instance is held against its digest as it arrives; a part has none. So 16 bytes follow the
bytes of such a bucket: their XXH3-128, seeded with what they are, so that neither a flipped bit nor
the right bytes for another bucket pass. It guards against accidents; against forgery the digest of
the whole instance and the receipt do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import xxhash

from wherry.storage.base import type_buffer

SEAL_BYTES = 16

type_span = tuple[str, int, int]
"""Orthanc identifier of an instance, offset, size."""


class Sealer:
    """Takes the bytes of a bucket in order."""

    def __init__(self, spans: Iterable[type_span]) -> None:
        """``spans``: what the bytes are."""
        text = ";".join(f"{name}:{offset}:{size}" for name, offset, size in spans)
        self._digest = xxhash.xxh3_128(seed=xxhash.xxh3_64_intdigest(text.encode()))

    def update(self, data: type_buffer) -> None:
        """The next bytes."""
        self._digest.update(data)

    def seal(self) -> bytes:
        """What has to follow them."""
        return self._digest.digest()


def sealed(pieces: Iterable[bytes], spans: Iterable[type_span]) -> Iterator[bytes]:
    """The same bytes with their seal behind them."""
    sealer = Sealer(spans)
    for piece in pieces:
        sealer.update(piece)
        yield piece
    yield sealer.seal()
