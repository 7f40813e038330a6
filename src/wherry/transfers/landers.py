"""The kinds of pieces of a bucket, and where the bytes of each go.

*Small* whole instances share a buffer and are verified, then written, by the handful. A *whole*
instance of up to a MiB fills a buffer and touches the disk when it is right; a larger one goes to
its file as it comes. All of these get a fresh file for each attempt to bring them, and are verified
at once: size, digest, and that the identity in the header is the declared one. A *part* goes to its
place in the file that this process has for its instance, whose digest follows as the parts come
(``following``). Where files are not shared, all parts of a bucket go to one file of its own, one
after the other, and the instance is put together later (``assembling``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from wherry import limits
from wherry.errors import NetworkProtocol, StorageUnavailable
from wherry.index.transfer_rows import InstanceRow, PartFile
from wherry.ingest.names import name_in
from wherry.ingest.staging import staged_instance
from wherry.model import DICOM_CONTENT, NO_ATTACHMENT, Compression, StagedInstance, Summary
from wherry.storage.base import ANYWHERE, FileWriter, SmallFile, StorageArea
from wherry.transfers.following import Follower, Followers
from wherry.transfers.packing import packed
from wherry.transfers.sealing import SEAL_BYTES, Sealer
from wherry.transfers.storing import Storing
from wherry.transfers.verifying import ORIGIN, check_bytes, check_digest, checked_summary, kind_of


@dataclass(frozen=True, slots=True)
class Piece:
    """A byte range of an instance."""

    instance: InstanceRow
    offset: int
    size: int

    @property
    def whole(self) -> bool:
        """Whether it is the instance itself."""
        return not self.instance.buckets

    @property
    def small(self) -> bool:
        """Whether it is a small instance."""
        return self.whole and self.size <= limits.SMALL_FILE_BYTES


@dataclass(slots=True)
class Landed:
    """What a bucket brought."""

    unsynced: set[str] = field(default_factory=set)
    """Files that hold its bytes and are still to be synced, all at once."""
    standing: str = ""
    """Of small files that survive by way of the log (``Ingest.standing``)."""
    verified: list[tuple[InstanceRow, StagedInstance]] = field(default_factory=list)
    """Instances that it brought whole."""
    files: dict[int, PartFile] = field(default_factory=dict)
    """Where its parts are: position of the instance to file."""


class Ground:
    """Where the landers of one bucket make their files."""

    def __init__(
        self,
        storage: StorageArea,
        block: str,
        followers: Followers,
        standing: Callable[[], str],
        *,
        compression: Compression,
        again: bool,
    ) -> None:
        self.storage = storage
        self._followers = followers
        self._standing = standing
        self._followed: dict[int, Follower] = {}
        self.landed = Landed()
        self.parts: list[_Part] = []
        """Those whose digests go on when the bucket is right."""
        self._block = block
        self._compression = compression
        self._again = again
        self._own: dict[str, str] = {}
        """Files that were made, and their places."""
        self._parts_file: FileWriter | None = None
        self._storing = Storing()

    def store(self, work: Callable[[], None]) -> None:
        """Write files, while other bytes come where that is worth it. ``work`` is the only one that
        touches what it needs."""
        if self.storage.shares_files:
            work()
        else:
            self._storing.begin(work)

    def create(self, content_type: int = DICOM_CONTENT) -> FileWriter:
        """A new file."""
        file = self.storage.create(name_in(self._block), content_type)
        self._own[file.uuid] = file.place
        return file

    def settle_bytes(self, file: FileWriter) -> None:
        """A new file is written: it is synced together with others of the bucket where that is
        cheaper."""
        if self.storage.shares_files:
            file.flush()
            self.landed.unsynced.add(file.uuid)
        else:
            file.sync()

    def put(self, instances: Sequence[tuple[InstanceRow, memoryview]]) -> list[tuple[str, str]]:
        """New files of small instances, which survive by way of the log: names and places."""
        files = [SmallFile(name_in(self._block), data, one.digest) for one, data in instances]
        self.landed.standing = self.landed.standing or self._standing()
        put = self.storage.put(files)
        put.wait()
        stored = [(file.uuid, place) for file, place in zip(files, put.places, strict=True)]
        self._own.update(stored)
        return stored

    def follower(self, instance: InstanceRow) -> Follower:
        """What follows the parts of an instance, and names their file."""
        found = self._followed.get(instance.position)
        if found is None:
            if self._again:
                found = self._followers.another(instance)
                self._own[found.uuid] = ANYWHERE
            else:
                found = self._followers.of(instance)
            self._followed[instance.position] = found
            self.landed.files[instance.position] = PartFile(found.uuid)
            self.landed.unsynced.add(found.uuid)
        return found

    def parts_file(self, instance: InstanceRow) -> FileWriter:
        """The bucket's own file for its parts; one of this instance comes next."""
        if self._parts_file is None:
            self._parts_file = self.create(NO_ATTACHMENT)
        file = self._parts_file
        self.landed.files[instance.position] = PartFile(file.uuid, True, file.place)
        return file

    def verified(self, instance: InstanceRow, summary: Summary, uuid: str, place: str) -> None:
        """This file is this instance."""
        staged = staged_instance(uuid, place, instance.size, instance.digest, summary, ORIGIN)
        if self._compression is not Compression.NONE:
            staged = packed(self.storage, staged, self._compression)
            self._own[staged.attachment.uuid] = staged.attachment.place
            self.landed.unsynced.discard(uuid)
            self.storage.delete(uuid, place)
            del self._own[uuid]
        self.landed.verified.append((instance, staged))

    def settle(self) -> None:
        """The whole bucket is right."""
        for part in self.parts:
            part.settle()
        if self._parts_file is not None:
            self._parts_file.sync()
            self._parts_file.close()
        self._storing.finish()

    def release(self) -> dict[str, str]:
        """The files that were made, and their places; forgotten here."""
        own, self._own = self._own, {}
        return own

    def remove(self) -> None:
        """Remove the files that were made."""
        self._storing.abandon()
        for part in self.parts:
            part.close()
        if self._parts_file is not None:
            self._parts_file.close()
        with suppress(StorageUnavailable):  # they go with the block
            for uuid, place in self.release().items():
                self.storage.delete(uuid, place)


class Lander(Protocol):
    """Takes the bytes of one piece, or of several small ones."""

    size: int

    def room(self) -> memoryview:
        """Where the next bytes go; may be more than are still to come."""

    def filled(self, size: int) -> None:
        """So many are there."""

    def end(self) -> None:
        """All of them were there."""

    def close(self) -> None:
        """Release what is held. Repeatable, at any time."""


def landers(
    ground: Ground, pieces: Sequence[Piece], *, keep: bool, sealer: Sealer | None = None
) -> Iterator[Lander]:
    """The landers of a bucket in order, each made when its turn comes. ``sealer`` has the bytes of
    all of them before the last one, the seal, is made."""
    handful: list[Piece] = []
    room = limits.SMALL_RECORD_BYTES - limits.SMALL_ENTRY_BYTES
    for piece in pieces:
        if handful and not (keep and piece.small and piece.size + limits.SMALL_ENTRY_BYTES <= room):
            yield _Handful(ground, handful)
            handful, room = [], limits.SMALL_RECORD_BYTES - limits.SMALL_ENTRY_BYTES
        if not keep:
            yield _Comparison(piece)
        elif piece.small:
            handful.append(piece)
            room -= piece.size + limits.SMALL_ENTRY_BYTES
        elif not piece.whole:
            yield (_Part if ground.storage.shares_files else _OwnPart)(ground, piece)
        else:
            fits = piece.size <= limits.DIRECT_BUFFER_BYTES
            yield (_Whole if fits else _Large)(ground, piece)
    if handful:
        yield _Handful(ground, handful)
    if sealer is not None:
        yield _Seal(sealer.seal())


class _Seal:
    """The end of a bucket that carries parts."""

    size = SEAL_BYTES

    def __init__(self, expected: bytes) -> None:
        self._expected = expected
        self._buffer = memoryview(bytearray(SEAL_BYTES))
        self._filled = 0

    def room(self) -> memoryview:
        return self._buffer[self._filled :]

    def filled(self, size: int) -> None:
        self._filled += size

    def end(self) -> None:
        if self._buffer != self._expected:
            raise NetworkProtocol("The bucket was damaged on its way: its seal is broken")

    def close(self) -> None:
        pass


class _Buffered:
    """Fills a buffer of the storage area."""

    def __init__(self, ground: Ground, size: int) -> None:
        self.size = size
        self._ground = ground
        self._buffer: memoryview | None = ground.storage.take_buffer()
        self._filled = 0

    def room(self) -> memoryview:
        assert self._buffer is not None
        return self._buffer[self._filled :]

    def filled(self, size: int) -> None:
        self._filled += size

    def close(self) -> None:
        if self._buffer is not None:
            self._ground.storage.give_back(self._buffer)
            self._buffer = None


class _Handful(_Buffered):
    """Several small instances: nothing of one touches the disk before it is right."""

    def __init__(self, ground: Ground, pieces: Sequence[Piece]) -> None:
        super().__init__(ground, sum(piece.size for piece in pieces))
        self._pieces = pieces

    def end(self) -> None:
        assert self._buffer is not None
        start = 0
        instances, summaries = [], []
        for piece in self._pieces:
            data = self._buffer[start : start + piece.size]
            start += piece.size
            check_bytes(piece.instance, data)
            summaries.append(checked_summary(piece.instance, data))
            instances.append((piece.instance, data))
        buffer, self._buffer = self._buffer, None
        self._ground.store(partial(self._store, buffer, instances, summaries))

    def _store(
        self,
        buffer: memoryview,
        instances: Sequence[tuple[InstanceRow, memoryview]],
        summaries: Sequence[Summary],
    ) -> None:
        try:
            files = self._ground.put(instances)
        finally:
            self._ground.storage.give_back(buffer)
        for (instance, _), summary, file in zip(instances, summaries, files, strict=True):
            self._ground.verified(instance, summary, *file)


class _Whole(_Buffered):
    """A whole instance that fits in a buffer: it touches the disk when it is right."""

    def __init__(self, ground: Ground, piece: Piece) -> None:
        super().__init__(ground, piece.size)
        self._instance = piece.instance

    def end(self) -> None:
        assert self._buffer is not None
        data = self._buffer[: self.size]
        check_bytes(self._instance, data)
        summary = checked_summary(self._instance, data)
        buffer, self._buffer = self._buffer, None
        self._ground.store(partial(self._store, buffer, summary))

    def _store(self, buffer: memoryview, summary: Summary) -> None:
        try:
            file = self._ground.create()
        except BaseException:
            self._ground.storage.give_back(buffer)
            raise
        try:
            file.adopt(buffer, self.size)
            self._ground.settle_bytes(file)
        finally:
            file.close()
        self._ground.verified(self._instance, summary, file.uuid, file.place)


class _Large:
    """A whole instance that goes to its file as it comes."""

    def __init__(self, ground: Ground, piece: Piece) -> None:
        self.size = piece.size
        self._ground = ground
        self._instance = piece.instance
        self._digest = kind_of(piece.instance)()
        self._file = ground.create()
        self.room = self._file.room

    def filled(self, size: int) -> None:
        self._digest.update(self._file.room()[:size])
        self._file.filled(size)

    def end(self) -> None:
        try:
            check_digest(self._instance, self._digest.hexdigest())
            with self._file.map() as view:
                summary = checked_summary(self._instance, view)
            self._file.sync()
        finally:
            self.close()
        self._ground.verified(self._instance, summary, self._file.uuid, self._file.place)

    def close(self) -> None:
        self._file.close()


class _Part:
    """A part of an instance: goes to its place in the file that its parts share."""

    def __init__(self, ground: Ground, piece: Piece) -> None:
        self.size = piece.size
        self._follower = ground.follower(piece.instance)
        self._file = ground.storage.reopen(self._follower.uuid, piece.offset)
        self._offset = piece.offset
        self._digest = self._follower.begin(piece.offset, piece.size)
        self._over = False
        self.room = self._file.room
        ground.parts.append(self)

    def filled(self, size: int) -> None:
        if self._digest is not None:
            self._digest.update(self._file.room()[:size])
        self._file.filled(size)

    def end(self) -> None:
        self._file.flush()
        self._file.close()

    def settle(self) -> None:
        """It is right."""
        self._over = True
        self._follower.landed(self._offset, self.size, self._digest)

    def close(self) -> None:
        if not self._over:
            self._over = True
            self._follower.drop(self._offset, self._digest)
        self._file.close()


class _OwnPart:
    """A part of an instance: goes to the bucket's own file, behind those that came before it."""

    def __init__(self, ground: Ground, piece: Piece) -> None:
        self.size = piece.size
        file = ground.parts_file(piece.instance)
        self.room, self.filled = file.room, file.filled

    def end(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Comparison:
    """A piece that is here already: only its digest is taken, if it is a whole instance."""

    def __init__(self, piece: Piece) -> None:
        self.size = piece.size
        self._instance = piece.instance if piece.whole else None
        self._digest = kind_of(piece.instance)()
        self._buffer = memoryview(bytearray(min(piece.size, limits.DIRECT_BUFFER_BYTES)))

    def room(self) -> memoryview:
        return self._buffer

    def filled(self, size: int) -> None:
        if self._instance is not None:
            self._digest.update(self._buffer[:size])

    def end(self) -> None:
        if self._instance is not None:
            check_digest(self._instance, self._digest.hexdigest())

    def close(self) -> None:
        pass
