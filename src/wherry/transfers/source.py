"""The giving side: which instances a request means, and where their bytes are.

Sizes and digests come from the index, where they were written when the instance was verified on
its way in; upstream reads and hashes every file again before its first answer. What changed on
disk since then is noticed by the receiver, which takes the digest of what really arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from wherry import clock
from wherry.digests import is_md5
from wherry.errors import UnknownResource
from wherry.index import resources, settings
from wherry.index.database import Index, Transaction
from wherry.index.extras import Extras, around
from wherry.ingest.digesting import Digesting
from wherry.model import Attachment, Bucket, Level, ManifestInstance
from wherry.storage.outgoing import FileRange
from wherry.transfers.protocol import ChunkRequest, ResourceName

_ORIGINATOR = "transfers.originator"


@dataclass(frozen=True, slots=True)
class Holding:
    """Instances that are stored here."""

    instances: tuple[ManifestInstance, ...]
    """Sorted by id, distinct."""
    files: dict[str, Attachment]
    """By Orthanc id."""

    @property
    def has_md5(self) -> bool:
        """Whether all digests are MD5."""
        return all(is_md5(one.digest) for one in self.instances)

    def ranges(self, bucket: Bucket) -> list[FileRange]:
        """Where the bytes of a bucket are."""
        return [
            FileRange(chunk.orthanc_id, self.files[chunk.orthanc_id], chunk.offset, chunk.size)
            for chunk in bucket.chunks
        ]


class Source:
    """Looks up what this server can give. Blocking; from any thread."""

    def __init__(self, index: Index, digesting: Digesting) -> None:
        self._index = index
        self._digesting = digesting

    def originator(self) -> str:
        """A UUID that stands for this index for ever. Upstream's is new at every start, so that
        a restart of the source breaks every pull that was asked for before."""
        with self._index.read() as tx:
            known = settings.get(tx, _ORIGINATOR)
        return str(known or self._index.write(_choose_originator))

    def find(self, names: Sequence[ResourceName]) -> Holding:
        """All instances of these resources. Raises ``UnknownResource``.

        Like upstream, an id that exists at another level than the one named has no instances.
        """
        found: dict[str, Attachment] = {}
        with self._index.read() as tx:
            for name in names:
                files = resources.files_under(tx, name.level, name.orthanc_id)
                if files is None and not _exists(tx, name.orthanc_id):
                    raise UnknownResource(
                        f"{name.level.title} {name.orthanc_id[:64]} is not stored here"
                    )
                found.update(files or ())
        return _holding(found)

    def with_md5(self, holding: Holding, check: Callable[[], None] = lambda: None) -> Holding:
        """The same with MD5s, of which alone a stock peer speaks; what nobody has taken yet is
        read. ``check``: see ``Digesting``. Raises ``CorruptedFile``, ``MissingFile``."""
        files = self._digesting.with_md5([*holding.files.values()], check)
        named = dict(zip(holding.files, files, strict=True))
        instances = (
            ManifestInstance(one.orthanc_id, one.size, named[one.orthanc_id].uncompressed_md5)
            for one in holding.instances
        )
        return Holding(tuple(instances), named)

    def extras(self, instances: Collection[str]) -> list[Extras]:
        """What users have put beside these instances, and beside what is above them. Raises
        ``TooLarge``."""
        with self._index.read() as tx:
            return around(tx, instances)

    def chunk_ranges(self, request: ChunkRequest) -> list[FileRange]:
        """The file ranges that a request for chunks means. Raises ``UnknownResource``.

        Ids behind the end of the range are not looked at; a range past the end is cut.
        """
        with self._index.read() as tx:
            files = resources.files_of(tx, set(request.ids))
        ranges: list[FileRange] = []
        skip, left = request.offset, request.size or None
        for orthanc_id in request.ids:
            if left == 0:
                break
            if orthanc_id not in files:
                raise UnknownResource(f"Instance {orthanc_id[:64]} is not stored here")
            attachment = files[orthanc_id]
            size = max(0, attachment.uncompressed_size - skip)
            if left is not None:
                size = min(size, left)
                left -= size
            if size:
                ranges.append(FileRange(orthanc_id, attachment, skip, size))
            skip = max(0, skip - attachment.uncompressed_size)
        return ranges


def _holding(found: dict[str, Attachment]) -> Holding:
    instances = tuple(
        ManifestInstance(name, found[name].uncompressed_size, found[name].digest)
        for name in sorted(found)
    )
    return Holding(instances, found)


def _exists(tx: Transaction, orthanc_id: str) -> bool:
    return any(resources.get(tx, level, orthanc_id) is not None for level in Level)


def _choose_originator(tx: Transaction) -> str:
    """Another process may have been quicker."""
    known = settings.get(tx, _ORIGINATOR)
    if known is None:
        known = clock.new_uuid()
        settings.put(tx, _ORIGINATOR, known)
    return str(known)


def total_bytes(instances: Iterable[ManifestInstance]) -> int:
    """Bytes of all instances together."""
    return sum(instance.size for instance in instances)
