"""How instances are cut into buckets: the layout of the stock plugin, to the byte.

Any legal layout interoperates; this one is kept because its unit (4 MiB by default) is what stock
servers are tuned for, and because most of its buckets hold whole instances, which can be verified
while they pass. Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.model import Bucket, Chunk, ManifestInstance

_BLOCK_BYTES = 4096
URL_ROOM = 1956
"""A pull bucket is closed when its URL reaches this length: upstream's 2000 less 44 for an id."""


def cut(
    instances: Sequence[ManifestInstance],
    unit_bytes: int,
    pull_from: PullUrl | None = None,
    *,
    blocks: bool = False,
) -> tuple[Bucket, ...]:
    """The buckets of a transfer, in upstream's order.

    ``instances`` are distinct; ``unit_bytes`` is ``Transfers.BucketSize``. For a pull,
    ``pull_from`` keeps URLs short; a push has no such limit. With ``blocks``, for a Wherry, large
    instances are cut into parts of one unit that begin where blocks of the disk do.
    """
    buckets: list[Bucket] = []
    small: list[ManifestInstance] = []
    for instance in sorted(instances, key=lambda one: one.orthanc_id):
        if instance.size < unit_bytes:
            small.append(instance)
        else:
            large = blocks and instance.size >= 2 * unit_bytes
            cut_up = _blocks(instance, unit_bytes) if large else _pieces(instance, 2 * unit_bytes)
            buckets.extend(cut_up)
    buckets.extend(_groups(small, unit_bytes, pull_from))
    return tuple(buckets)


def _pieces(instance: ManifestInstance, largest_bytes: int) -> list[Bucket]:
    """A large instance: alone in one bucket, or in equal parts of at most ``largest_bytes``."""
    count = 1 if instance.size < largest_bytes else -(-instance.size // largest_bytes)
    part = instance.size // count
    sizes = [part] * (count - 1) + [instance.size - part * (count - 1)]
    return [
        Bucket((Chunk(instance.orthanc_id, position * part, size),))
        for position, size in enumerate(sizes)
    ]


def _blocks(instance: ManifestInstance, unit_bytes: int) -> list[Bucket]:
    part = unit_bytes - unit_bytes % _BLOCK_BYTES or unit_bytes
    return [
        Bucket((Chunk(instance.orthanc_id, start, min(part, instance.size - start)),))
        for start in range(0, instance.size, part)
    ]


def _groups(
    small: Sequence[ManifestInstance], unit_bytes: int, pull_from: PullUrl | None
) -> list[Bucket]:
    """Whole small instances together; the one that crosses a limit stays inside."""
    buckets: list[Bucket] = []
    chunks: list[Chunk] = []
    total = characters = 0
    for instance in small:
        chunks.append(Chunk(instance.orthanc_id, 0, instance.size))
        total += instance.size
        characters += len(instance.orthanc_id) + 1
        long = pull_from is not None and pull_from.length(characters - 1, total) >= URL_ROOM
        if total >= unit_bytes or long:
            buckets.append(Bucket(tuple(chunks)))
            chunks, total, characters = [], 0, 0
    if chunks:
        buckets.append(Bucket(tuple(chunks)))
    return buckets


class PullUrl:
    """The URL of a bucket that is fetched from a peer."""

    def __init__(self, peer_url: str, compression: str) -> None:
        """``peer_url`` ends with ``/``; a stock URL has two slashes after it, and so is measured
        with both. ``compression``: the longest that will be asked for."""
        self._fixed = len(peer_url) + len(_target("", 0, "", compression))

    def length(self, id_characters: int, total_bytes: int) -> int:
        """Characters of the URL for ids of that length together, from offset 0."""
        return self._fixed + id_characters + len(str(total_bytes))

    @staticmethod
    def target(bucket: Bucket, compression: str, taken: int = 0) -> str:
        """Path and query, beginning with ``/``; the first chunk alone may have an offset. The first
        ``taken`` bytes are not asked for."""
        ids = ".".join(chunk.orthanc_id for chunk in bucket.chunks)
        offset = bucket.chunks[0].offset if bucket.chunks else 0
        return _target(ids, offset + taken, str(bucket.size - taken), compression)


def _target(ids: str, offset: int, size: str, compression: str) -> str:
    return f"/transfers/chunks/{ids}?offset={offset}&size={size}&compression={compression}"
