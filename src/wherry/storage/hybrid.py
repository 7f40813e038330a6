"""A file system and an object store as one storage area (``HybridMode``).

New files go to one of them. What is there already is found by its place; a file that is not found
where it is said to be may have been moved since, so the index is asked once more. Only "not found"
leads to a second look: every other error is an error, and a file of the one store never needs the
other.

Not here: when a file is moved (``wherry.moving``), what its bytes mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from wherry import limits
from wherry.config.objects import Hybrid
from wherry.digests import new_digest, type_kind
from wherry.errors import MissingFile, StorageFull
from wherry.model import DICOM_CONTENT
from wherry.storage.base import (
    ANYWHERE,
    FileReader,
    FileWriter,
    Logged,
    Put,
    SmallFile,
    StorageArea,
)
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.moving import Target, copied, type_told
from wherry.storage.places import FILE_SYSTEM, OBJECT_STORAGE, Place
from wherry.storage.pursuit import PursuingReader
from wherry.storage.unnoted import is_use

T = TypeVar("T")
type_locate = Callable[[str], str | None]
"""Where the index says that a file is now; None when it knows nothing of it."""
type_noted = Callable[[str], None]
"""Is told the name of each file that is opened to be used; must not take time."""

_LOOKS: Final = 4
"""Places that are tried for one file: it is moved while it is looked for, and perhaps back."""


class ObjectSide(StorageArea, Protocol):
    """What is wanted of an object store beside the port."""

    def place_for(self, content_type: int, *, sealed: bool) -> str:
        """The place of a file with this content that comes from elsewhere, sealed or not."""

    def create_at(self, uuid: str, place: str) -> FileWriter:
        """As ``create``, at a place that ``place_for`` has said."""


class HybridStorage:
    """See ``StorageArea`` and ``MovingStorage``. Below encryption: it gives seals no thought."""

    def __init__(
        self,
        local: FilesystemStorage,
        remote: ObjectSide,
        write_to: Hybrid,
        locate: type_locate,
        noted: type_noted = lambda uuid: None,
    ) -> None:
        """``noted`` is told each file that is opened, but for a check (``unnoted``)."""
        self._local = local
        self._remote = remote
        self._locate = locate
        self._noted = noted
        self._new: StorageArea = local if write_to is Hybrid.WRITE_TO_FILE_SYSTEM else remote
        self._order: tuple[StorageArea, StorageArea] = (
            (local, remote) if self._new is local else (remote, local)
        )
        self.shares_files = self._new.shares_files

    # --- new files -------------------------------------------------------------------------------
    def create(self, uuid: str, content_type: int = DICOM_CONTENT) -> FileWriter:
        return self._new.create(uuid, content_type)

    def put(self, files: Sequence[SmallFile]) -> Put:
        return self._new.put(files)

    def before_forgetting(self, secure: Callable[[], None]) -> None:
        self._local.before_forgetting(secure)

    def reopen(self, uuid: str, offset: int = 0) -> FileWriter:
        return self._new.reopen(uuid, offset)

    def take_buffer(self) -> memoryview:
        return self._new.take_buffer()

    def give_back(self, buffer: memoryview) -> None:
        self._new.give_back(buffer)

    def free_bytes(self) -> int:
        return self._new.free_bytes()

    def list(self, prefix: str) -> Iterator[str]:
        """Of new files: what was moved has been seen, and is known to the index. When they go to
        the object store, also those that were meant for the file system: the mode may have changed
        before leftovers were removed. Not the other way round, which would make whatever is
        cleared up here wait for the object store."""
        names = {*self._new.list(prefix)}
        if self._new is self._remote:
            names.update(self._local.list(prefix))
        yield from names

    # --- the log of small files: only the file system has one ------------------------------------
    def logs(self) -> Iterable[str]:
        return self._local.logs()

    def logged(self, owner: str) -> Iterator[Logged]:
        return self._local.logged(owner)

    def restore(self, file: SmallFile) -> bool:
        """One that has gone to the object store since is not wanted back."""
        return not self._is_known_there(file.uuid) and self._local.restore(file)

    def drop_log(self, owner: str) -> None:
        self._local.drop_log(owner)

    def stop_logging(self) -> None:
        self._local.stop_logging()

    def close(self) -> None:
        self._remote.close()
        self._local.close()

    # --- what is there ---------------------------------------------------------------------------
    def open(self, uuid: str, place: str = ANYWHERE) -> FileReader:
        if is_use():
            self._noted(uuid)
        return self._found(lambda at: self._open_at(uuid, at), uuid, place)

    def size(self, uuid: str, place: str = ANYWHERE) -> int:
        return self._found(lambda at: self._size_at(uuid, at), uuid, place)

    def delete(self, uuid: str, place: str = ANYWHERE) -> None:
        for side in self._sides(place):
            side.delete(uuid, _bare(place))

    def sync(self, uuids: Iterable[str]) -> None:
        here, elsewhere = [], []
        for uuid in uuids:
            try:
                self._local.size(uuid)
                here.append(uuid)
            except MissingFile:
                if not self._is_known_there(uuid):  # an object is durable when it is there
                    elsewhere.append(uuid)
        self._local.sync(here)
        if elsewhere:
            self._remote.sync(elsewhere)

    def sync_removals(self, names: Iterable[str]) -> None:
        removed = [*names]
        self._local.sync_removals(removed)
        self._remote.sync_removals(removed)

    # --- moving ----------------------------------------------------------------------------------
    def place_in(self, store: str, place: str, content_type: int) -> str:
        now = Place.parse(place)
        if now.store == store:
            return place
        if store == FILE_SYSTEM:
            return str(Place(FILE_SYSTEM, "", now.seal))
        there = Place.parse(self._remote.place_for(content_type, sealed=bool(now.seal)))
        return str(replace(there, seal=now.seal))

    def move(
        self, uuid: str, place: str, target: str, told: type_told, kind: type_kind = new_digest
    ) -> str:
        source, side = self._side(place), self._side(target)
        bare = _bare(target)

        def create() -> FileWriter:
            if side is self._remote:
                return self._remote.create_at(uuid, bare)
            if self._local.free_bytes() < limits.FREE_DISK_BYTES:
                raise StorageFull("No space left in the storage area")
            return self._local.create(uuid)

        def sync() -> None:
            if side is self._local:  # an object is durable when it is there
                self._local.sync([uuid])

        return copied(
            lambda: source.open(uuid, _bare(place)),
            Target(create, sync, lambda: side.open(uuid, bare), lambda: side.delete(uuid, bare)),
            told,
            kind,
        )

    # --- one of the two --------------------------------------------------------------------------
    def _found(self, look: Callable[[str], T], uuid: str, place: str) -> T:
        """What ``look`` finds at ``place``, or where the file has gone since."""
        for left in reversed(range(_LOOKS)):
            try:
                return look(place)
            except MissingFile:
                now = self._locate(uuid)
                if now is None or not left or (now == place and left < _LOOKS - 1):
                    raise
                place = now
        raise AssertionError

    def _is_known_there(self, uuid: str) -> bool:
        """Whether the index says that a file is an object."""
        now = self._locate(uuid)
        return now is not None and now != ANYWHERE and self._side(now) is self._remote

    def _open_at(self, uuid: str, place: str) -> FileReader:
        for side in self._sides(place):
            try:
                reader = side.open(uuid, _bare(place))
            except MissingFile as error:
                missing = error
            else:
                return PursuingReader(self, reader, uuid) if side is self._remote else reader
        raise missing

    def _size_at(self, uuid: str, place: str) -> int:
        for side in self._sides(place):
            try:
                return side.size(uuid, _bare(place))
            except MissingFile as error:
                missing = error
        raise missing

    def _sides(self, place: str) -> tuple[StorageArea, ...]:
        return self._order if place == ANYWHERE else (self._side(place),)

    def _side(self, place: str) -> StorageArea:
        far = place and Place.parse(place).store == OBJECT_STORAGE
        return self._remote if far else self._local


def _bare(place: str) -> str:
    """Without the seal, which the stores do not know."""
    return place if place in ("", ANYWHERE) else str(replace(Place.parse(place), seal=""))
