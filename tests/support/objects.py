"""An object store for tests of what stands above it: a folder, with the places of objects.

Failures are injected: ``down`` raises what a store out of reach raises. Not for the contract: real
stores pass that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from wherry.errors import MissingFile, Unavailable, WherryError
from wherry.model import DICOM_CONTENT
from wherry.storage.base import (
    ANYWHERE,
    FileReader,
    FileWriter,
    Put,
    SmallFile,
    in_place,
)
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.places import OBJECT_STORAGE, Place

_EXTENSIONS = {1: ".dcm", 2: ".json", 3: ".dcm.head"}


class FakeObjects(FilesystemStorage):
    """Each file is named by its UUID alone; its place is only checked."""

    shares_files = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "objects")
        self.fleeting = False
        """Whether a deletion takes an object from those who are reading it, as S3 does."""
        self.down: WherryError | None = None
        self.calls: list[str] = []
        """Names of the methods that were called."""
        self.before: Callable[[str, str], None] = lambda method, uuid: None
        """Is told what will be done next with which file."""

    def place_for(self, content_type: int, *, sealed: bool = False) -> str:
        name = _EXTENSIONS.get(content_type, ".unk") + (".enc" if sealed else "")
        return str(Place(OBJECT_STORAGE, name))

    def create(self, uuid: str, content_type: int = DICOM_CONTENT) -> FileWriter:
        return self.create_at(uuid, self.place_for(content_type))

    def create_at(self, uuid: str, place: str) -> FileWriter:
        self._called("create", uuid)
        writer = super().create(uuid)
        writer.place = place  # type: ignore[misc]
        return writer

    def put(self, files: Sequence[SmallFile]) -> Put:
        self._called("put")
        self._small.put_synced(files)
        places = [self.place_for(DICOM_CONTENT)] * len(files)
        return in_place(places)

    def open(self, uuid: str, place: str = ANYWHERE) -> FileReader:
        self._called("open", uuid)
        reader = super().open(uuid)
        return _Read(self, reader, uuid, self._checked(place))

    def range_of(self, uuid: str, offset: int, size: int) -> bytes:
        self._called("read", uuid)
        with closing(super().open(uuid)) as reader:
            return reader.read_at(offset, size)

    def delete(self, uuid: str, place: str = ANYWHERE) -> None:
        self._called("delete", uuid)
        self._checked(place)
        super().delete(uuid)

    def size(self, uuid: str, place: str = ANYWHERE) -> int:
        self._called("size", uuid)
        self._checked(place)
        return super().size(uuid)

    def sync(self, uuids: Iterable[str]) -> None:
        self._called("sync")
        super().sync(uuids)

    def list(self, prefix: str) -> Iterator[str]:
        self._called("list")
        return super().list(prefix)

    def logs(self) -> Iterable[str]:
        return ()

    def _checked(self, place: str) -> str:
        if place == ANYWHERE:
            return self.place_for(DICOM_CONTENT)
        found = Place.parse(place)
        if found.store != OBJECT_STORAGE or found.seal:
            raise MissingFile(f"{place!r} is no object")
        return place

    def _called(self, method: str, uuid: str = "") -> None:
        self.calls.append(method)
        self.before(method, uuid)
        if self.down is not None:
            raise self.down


def out_of_reach() -> WherryError:
    """What a store raises that does not answer."""
    return Unavailable("The object storage cannot be reached")


class _Read:
    """A reader that asks the store for each range anew."""

    def __init__(self, store: FakeObjects, inner: FileReader, uuid: str, place: str) -> None:
        self._store = store
        self._inner = inner
        self._uuid = uuid
        self.size = inner.size
        self.place = place

    def read_at(self, offset: int, size: int) -> bytes:
        if not self._store.fleeting:
            return self._inner.read_at(offset, size)
        return self._store.range_of(self._uuid, offset, size)

    @contextmanager
    def map(self) -> Iterator[memoryview]:
        yield memoryview(self.read_at(0, self.size))

    def forget(self, offset: int, size: int) -> None:
        pass

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        self._inner.close()
