"""Digests of stored files that nobody has taken yet.

What arrives gets the digest that its way in needs: mostly BLAKE3. Who asks for an MD5 (clients of
Orthanc, peers that know nothing else), or tells a digest of the other kind, makes the file be read
once: it is held against the digest that is known, and the new one is written down.

Not here: whether a file is as it was (``attaching``, ``replication.filecheck``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from wherry import limits
from wherry.digests import Digest, digest_like, is_md5, new_digest, new_md5, type_kind
from wherry.errors import CorruptedFile, MissingFile
from wherry.index import files, resources
from wherry.index.database import Index
from wherry.index.files import Digests
from wherry.jobs.crew import Crew
from wherry.model import Attachment, Compression, ManifestInstance
from wherry.storage.base import FileReader, StorageArea
from wherry.storage.content import open_content
from wherry.storage.pieces import digest_of_file
from wherry.storage.unnoted import unnoted


class Digesting:
    """Over one index and its storage area. Blocking; from any thread."""

    def __init__(self, index: Index, storage: StorageArea) -> None:
        self._index = index
        self._storage = storage

    def with_md5(
        self,
        wanted: Sequence[Attachment],
        check: Callable[[], None] = lambda: None,
        *,
        permissive: bool = False,
    ) -> list[Attachment]:
        """The same with their MD5s. Several are read at once; ``check`` is called every now and
        then, and what it raises passes through: what was taken by then is written down.

        Raises ``CorruptedFile``, ``MissingFile``; ``permissive``: such a file stays without.
        """
        unknown = [file for file in wanted if not (file.uncompressed_md5 and file.compressed_md5)]
        if not unknown:
            return list(wanted)
        found = {file.uuid: file for file in wanted}
        for one in self._taken(unknown, new_md5, check, permissive=permissive):
            found[one.uuid] = one
        return [found[file.uuid] for file in wanted]

    def held(self, instances: Sequence[ManifestInstance]) -> set[ManifestInstance]:
        """Those that are stored here, with this size and this digest. Where a digest of the other
        kind is known here, files are read: as many as have time in a request; the others count as
        not held, and so do damaged ones."""
        self.compare(instances, limits.DIGESTED_FOR_A_QUESTION_BYTES)
        with self._index.read() as tx:
            return resources.held(tx, instances)

    def compare(self, instances: Sequence[ManifestInstance], most_bytes: int | None = None) -> None:
        """Let ``resources.held`` know of these instances."""
        with self._index.read() as tx:
            unknown = resources.undecided(tx, instances)
        for is_of_md5, kind in ((True, new_md5), (False, new_digest)):
            wanted = [file for one, file in unknown if is_md5(one.digest) is is_of_md5]
            for _ in self._taken(_up_to(most_bytes, wanted), kind, permissive=True):
                pass

    def _taken(
        self,
        wanted: Iterable[Attachment],
        kind: type_kind,
        check: Callable[[], None] = lambda: None,
        *,
        permissive: bool,
    ) -> Iterator[Attachment]:
        """These files with digests of this kind, in any order, in the index too."""
        waiting = iter(wanted)
        while portion := list(islice(waiting, limits.DIGESTED_AT_ONCE)):
            done: list[Attachment] = []

            def take(file: Attachment, done: list[Attachment] = done) -> None:
                try:
                    done.append(self._take(file, kind, check))
                except (MissingFile, CorruptedFile):
                    if not permissive:
                        raise

            try:
                if len(portion) == 1:
                    take(portion[0])
                else:
                    Crew(os.cpu_count() or 1, check, lambda: None).work(portion, take)
            finally:
                if done:
                    self._index.write(
                        partial(files.set_digests, found=[_told(one) for one in done])
                    )
            yield from done

    @unnoted()
    def _take(self, file: Attachment, kind: type_kind, check: Callable[[], None]) -> Attachment:
        def read(reader: FileReader, known: str) -> str:
            pair = _Pair(kind(), digest_like(known) if known else None)
            found = digest_of_file(reader, lambda: pair, lambda _: check())
            if pair.known is not None and pair.known.hexdigest() != known:
                raise CorruptedFile(f"The stored file {file.uuid} is damaged")
            return found

        plain = read(open_content(self._storage, file), file.digest)
        stored = plain
        if file.compression != Compression.NONE:
            stored = read(self._storage.open(file.uuid, file.place), file.stored_digest)
        if is_md5(plain):
            return replace(file, uncompressed_md5=plain, compressed_md5=stored)
        return replace(file, uncompressed_blake3=plain, compressed_blake3=stored)


class _Pair:
    """Two digests of the same bytes."""

    def __init__(self, wanted: Digest, known: Digest | None) -> None:
        self._wanted = wanted
        self.known = known

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self._wanted.update(data)
        if self.known is not None:
            self.known.update(data)

    def hexdigest(self) -> str:
        return self._wanted.hexdigest()

    def copy(self) -> _Pair:
        return _Pair(self._wanted.copy(), None if self.known is None else self.known.copy())


def _told(file: Attachment) -> Digests:
    return Digests(
        file.uuid,
        file.uncompressed_md5,
        file.compressed_md5,
        file.uncompressed_blake3,
        file.compressed_blake3,
    )


def _up_to(most_bytes: int | None, wanted: Iterable[Attachment]) -> Iterator[Attachment]:
    """The first of them, together of so many bytes; at least one."""
    size = 0
    for file in wanted:
        if most_bytes is not None and size and size + file.uncompressed_size > most_bytes:
            return
        size += file.uncompressed_size
        yield file
