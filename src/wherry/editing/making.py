"""The new files of one run: sources are edited a group at a time, and each group is made to last
together.

    source ─▶ edited ─▶ file in the block of the job ─▶ scanned, digested ─▶ synced with its group

Nothing here is visible to anybody. A name tells the run and the place of its instance in the list,
so that a later run, in whatever process, finds the files of an earlier one without a list of them.
Of pixel data, never more than a piece is in memory; of a small instance, all.

Not here: what an edit does (``dicom.editing``), the checkpoint and the commit (``job``).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol

from wherry import limits
from wherry.dicom.editing.editor import type_read_range
from wherry.dicom.scan import scan
from wherry.digests import digest_of, split
from wherry.editing.order import EditOrder
from wherry.errors import (
    CannotWriteFile,
    DatabaseError,
    StorageFull,
    StorageUnavailable,
    Unavailable,
    WherryError,
)
from wherry.index.deletions import type_file
from wherry.index.editing import Source
from wherry.ingest.deposit import Deposit
from wherry.ingest.ingest import Ingest
from wherry.ingest.staging import staged_file, staged_instance
from wherry.model import DICOM_CONTENT, Attachment, Compression, StagedInstance, Summary
from wherry.storage.ahead import in_order
from wherry.storage.base import SmallFile, StorageArea
from wherry.storage.content import mapped, open_content
from wherry.storage.packed import PREFIX_BYTES
from wherry.storage.pieces import pieces
from wherry.storage.places import is_far

_OURS = (CannotWriteFile, DatabaseError, Unavailable)
"""Errors that are not those of one instance."""


class Edited(Protocol):
    """A file as it will be."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def syntax(self) -> str:
        """Its transfer syntax."""

    def pieces(self, read: type_read_range | None = None) -> Iterator[bytes | memoryview]:
        """Its bytes in order; parts of the source among them, so that this must still be open.
        ``read``: a better way to long ranges of the source than by its buffer."""


type_edit = Callable[[memoryview], Edited]
"""Edits the bytes of one DICOM file. From any thread. Raises ``WherryError``."""


class Made(NamedTuple):
    """What became of one source."""

    position: int
    staged: StagedInstance | None
    """None: it cannot be edited, and is left out."""


class Making:
    """The files of one run. Methods from any thread."""

    def __init__(
        self,
        storage: StorageArea,
        ingest: Ingest,
        edit: type_edit,
        order: EditOrder,
        check: Callable[[], None],
        *,
        block: str,
        run: str,
    ) -> None:
        """``check`` raises when the run has to end."""
        self._storage = storage
        self._ingest = ingest
        self._edit = edit
        self._order = order
        self._check = check
        self.block = block
        """Names of files begin with it."""
        self._run = run
        self._lock = threading.Lock()
        self.standings: set[str] = set()
        """Under which small files were written (``Ingest.standing``)."""
        self.stray = False
        """Whether a file was given up."""

    def make(self, sources: Sequence[Source], start: int) -> Iterator[list[Made]]:
        """What becomes of the sources from ``start`` on, in order, a group at a time; while one
        waits for the disk or the network, others are edited."""
        far = any(is_far(source.file.place) for source in sources[start:])
        near = self._storage.shares_files and not far
        works = (partial(self._group, group) for group in self._groups(sources, start, near=near))
        if not self._storage.shares_files:
            yield from self._ingest.side_by_side(works, self.discard)
            return
        threads = limits.FILES_AHEAD if far else limits.EDITED_GROUPS
        with ThreadPoolExecutor(threads, "editing") as pool:
            yield from in_order(pool, works, self.discard)

    def discard(self, made: Sequence[Made]) -> None:
        """Remove files. What cannot be removed now goes with the block."""
        self.stray = True
        with suppress(StorageUnavailable):
            for one in made:
                if one.staged is not None:
                    file = one.staged.attachment
                    self._storage.delete(file.uuid, file.place)

    def _groups(
        self, sources: Sequence[Source], start: int, *, near: bool
    ) -> Iterator[list[tuple[int, Source]]]:
        most = limits.EDITED_TOGETHER if near else limits.EDITED_TOGETHER_FAR
        most_bytes = limits.EDITED_TOGETHER_BYTES if near else limits.SMALL_RECORD_BYTES
        group: list[tuple[int, Source]] = []
        size = 0
        for position in range(start, len(sources)):
            source = sources[position]
            size += source.file.uncompressed_size
            if group and (len(group) == most or size > most_bytes):
                yield group
                group, size = [], source.file.uncompressed_size
            group.append((position, source))
        if group:
            yield group

    def _group(self, group: Sequence[tuple[int, Source]]) -> list[Made]:
        made: dict[int, Made] = {}
        handful = _Handful()
        try:
            for position, source in group:
                self._check()
                try:
                    found = self._one(position, source)
                except WherryError as error:
                    if not self._order.permissive or isinstance(error, _OURS):
                        raise
                    made[position] = Made(position, None)
                    continue
                if isinstance(found, _Small):
                    if not handful.takes(found):
                        self._put(handful, made)
                    handful.add(found)
                else:
                    made[position] = Made(position, found)
            self._put(handful, made)
            if self._storage.shares_files:
                self._storage.sync(self._unsynced(made))
        except BaseException:
            self.discard([*made.values()])
            raise
        return [made[position] for position, _ in group]

    def _one(self, position: int, source: Source) -> _Small | StagedInstance:
        with closing(open_content(self._storage, source.file)) as reader, reader.map() as data:
            edited = self._edit(data)
            plain = self._ingest.compression is Compression.NONE
            if plain and edited.size <= limits.SMALL_FILE_BYTES:
                new = b"".join(edited.pieces())
                return _Small(position, new, scan(new))
            read = partial(pieces, reader) if reader.fileno() is not None else None
            staged = self._deposited(position, edited.pieces(read), edited.size)
            if read is not None:
                reader.forget(0, reader.size)
            return staged

    def _deposited(
        self, position: int, edited: Iterator[bytes | memoryview], size: int
    ) -> StagedInstance:
        deposit = Deposit(
            self._storage,
            _OneName(self._name(position)),
            compression=self._ingest.compression,
            max_bytes=size,
        )
        try:
            for piece in edited:
                for start in range(0, len(piece), limits.READ_CHUNK_BYTES):
                    deposit.write(piece[start : start + limits.READ_CHUNK_BYTES])
            with deposit.content() as view:
                summary = scan(view)
            attachment = deposit.finish(sync=not self._storage.shares_files)
        except BaseException:
            self.stray = True
            deposit.abort()
            raise
        return staged_file(attachment, summary, self._order.origin)

    def _put(self, handful: _Handful, made: dict[int, Made]) -> None:
        some = handful.empty()
        if not some:
            return
        if self._storage.free_bytes() < limits.FREE_DISK_BYTES:
            raise StorageFull("No space left in the storage area")
        standing = self._ingest.standing()
        with self._lock:
            self.standings.add(standing)
        files = [SmallFile(self._name(one.position), one.data, one.digest) for one in some]
        put = self._storage.put(files)
        put.wait()
        for one, file, place in zip(some, files, put.places, strict=True):
            made[one.position] = Made(
                one.position,
                staged_instance(
                    file.uuid, place, len(file.data), file.digest, one.summary, self._order.origin
                ),
            )

    def _unsynced(self, made: dict[int, Made]) -> list[str]:
        """Those that were not ``put``."""
        files = [one.staged.attachment for one in made.values() if one.staged is not None]
        return [
            file.uuid
            for file in files
            if file.compression != Compression.NONE
            or file.uncompressed_size > limits.SMALL_FILE_BYTES
        ]

    def _name(self, position: int) -> str:
        return name_of(self.block, self._run, position)


class _Small(NamedTuple):
    """A small instance that is edited."""

    position: int
    data: bytes
    summary: Summary

    @property
    def digest(self) -> str:
        return digest_of(self.data)


class _Handful:
    """Small instances that are put together."""

    def __init__(self) -> None:
        self._some: list[_Small] = []
        self._room = limits.SMALL_RECORD_BYTES

    def takes(self, one: _Small) -> bool:
        fits = len(one.data) + limits.SMALL_ENTRY_BYTES <= self._room - limits.SMALL_ENTRY_BYTES
        return fits and len(self._some) < limits.SMALL_FILES

    def add(self, one: _Small) -> None:
        self._some.append(one)
        self._room -= len(one.data) + limits.SMALL_ENTRY_BYTES

    def empty(self) -> list[_Small]:
        """What was in it."""
        some, self._some = self._some, []
        self._room = limits.SMALL_RECORD_BYTES
        return some


class _OneName:
    """The name of one file, in a block that is swept as a whole."""

    def __init__(self, name: str) -> None:
        self._name = name

    def take(self) -> str:
        return self._name

    def settle(self, uuid: str) -> None:
        """Nothing."""

    def leave(self, files: Sequence[type_file]) -> None:
        """Nothing either."""


def name_of(block: str, run: str, position: int) -> str:
    """The name of a file: a UUID (RFC 9562 version 8) that begins with ``block``."""
    digits = hashlib.sha256(f"{run}/{position}".encode()).hexdigest()
    variant = "89ab"[int(digits[3], 16) & 3]
    return f"{block}-8{digits[:3]}-{variant}{digits[4:7]}-{digits[7:19]}"


def read_again(
    storage: StorageArea, uuid: str, compression: Compression, order: EditOrder
) -> StagedInstance:
    """A file that an earlier run has made. Raises ``MissingFile``, ``BadFileFormat``."""
    reader = storage.open(uuid)
    try:
        with reader.map() as stored:
            size = len(stored)
            digest = digest_of(stored)
            plain_size = size
            if compression is not Compression.NONE:
                plain_size = int.from_bytes(stored[:PREFIX_BYTES], "little")
        place = reader.place
    finally:
        reader.close()
    md5, blake3 = split(digest)
    file = Attachment(
        uuid,
        DICOM_CONTENT,
        plain_size,
        md5,
        size,
        md5,
        compression,
        place,
        uncompressed_blake3=blake3,
        compressed_blake3=blake3,
    )
    with mapped(storage, file) as plain:
        summary = scan(plain)
        if compression is not Compression.NONE:
            file = replace(file, uncompressed_blake3=digest_of(plain))
    return staged_file(file, summary, order.origin)
