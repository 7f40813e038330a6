"""Digests of stored files that nobody has taken yet.

What arrives gets the digest that its way in needs: mostly BLAKE3. Who asks for an MD5 (clients of
Orthanc, peers that know nothing else), or tells a digest of the other kind, makes the file be read
once: it is held against the digest that is known, and the new one is written down.

Not here: whether a file is as it was (``attaching``, ``replication.filecheck``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import islice

from wherry import limits
from wherry.digests import Digest, digest_like, is_md5, new_digest, new_md5, type_kind
from wherry.errors import CorruptedFile, MissingFile, Unavailable
from wherry.index import files, resources
from wherry.index.database import Index
from wherry.index.files import Digests
from wherry.jobs.crew import Crew
from wherry.model import Attachment, Compression, ManifestInstance
from wherry.storage.base import FileReader, StorageArea
from wherry.storage.content import open_content
from wherry.storage.pieces import digest_of_file
from wherry.storage.unnoted import unnoted

type_check = Callable[[], None]
"""Raises when the work is interrupted."""


def _nothing() -> None:
    pass


_UNREADABLE = (MissingFile, CorruptedFile, Unavailable, OSError)


class Digesting:
    """Over one index and its storage area. Blocking; from any thread. As many files are read at
    once as there are processors, and none twice at once."""

    def __init__(self, index: Index, storage: StorageArea) -> None:
        self._index = index
        self._storage = storage
        self._processors = os.cpu_count() or 1
        self._turns = threading.BoundedSemaphore(self._processors)
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, type_kind], Future[Attachment]] = {}

    def with_md5(
        self,
        wanted: Sequence[Attachment],
        check: type_check = _nothing,
        *,
        permissive: bool = False,
    ) -> list[Attachment]:
        """The same with their MD5s. Several are read at once; ``check`` is called every now and
        then, and what it raises passes through: what was taken by then is written down.

        Raises ``CorruptedFile``, ``MissingFile``, ``StorageUnavailable``, ``OSError``;
        ``permissive``: such a file stays without.
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

    def compare(
        self,
        instances: Sequence[ManifestInstance],
        most_bytes: int | None = None,
        check: type_check = _nothing,
    ) -> None:
        """Let ``resources.held`` know of these instances: of all, or of the first ones, whose files
        have at most so many bytes together. ``check`` as in ``with_md5``."""
        with self._index.read() as tx:
            unknown = resources.undecided(tx, instances)
        kinds: dict[type_kind, dict[str, Attachment]] = {new_md5: {}, new_digest: {}}
        for one, file in unknown:
            if most_bytes is not None:
                if file.uncompressed_size > most_bytes:
                    break
                most_bytes -= file.uncompressed_size
            kinds[new_md5 if is_md5(one.digest) else new_digest][file.uuid] = file
        for kind, wanted in kinds.items():
            for _ in self._taken(wanted.values(), kind, check, permissive=True):
                pass

    def _taken(
        self, wanted: Iterable[Attachment], kind: type_kind, check: type_check, *, permissive: bool
    ) -> Iterator[Attachment]:
        """These files with digests of this kind, in any order, in the index too."""
        waiting = iter(wanted)
        while portion := list(islice(waiting, limits.DIGESTED_AT_ONCE)):
            done: list[Attachment] = []

            def take(file: Attachment, done: list[Attachment] = done) -> None:
                try:
                    done.append(self._take_once(file, kind, check))
                except _UNREADABLE:
                    if not permissive:
                        raise

            try:
                if len(portion) == 1:
                    take(portion[0])
                else:
                    Crew(self._processors, check, lambda: None).work(portion, take)
            finally:
                if done:
                    self._index.write(
                        partial(files.set_digests, found=[_told(one) for one in done])
                    )
            yield from done

    def _take_once(self, file: Attachment, kind: type_kind, check: type_check) -> Attachment:
        """``_take``, or what another thread finds that is at it."""
        while True:
            with self._lock:
                other = self._under_way.get((file.uuid, kind))
                if other is None:
                    mine = self._under_way[file.uuid, kind] = Future[Attachment]()
            if other is None:
                break
            if other.exception() is None:
                return other.result()
            check()  # it was interrupted, or the file cannot be read: we shall see
        try:
            with self._turns:
                found = self._take(file, kind, check)
            mine.set_result(found)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            return found
        finally:
            with self._lock:
                del self._under_way[file.uuid, kind]

    @unnoted()
    def _take(self, file: Attachment, kind: type_kind, check: type_check) -> Attachment:
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
