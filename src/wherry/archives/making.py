"""An archive while it is made: stored files in, bytes of the ZIP out, one member after the other.

An archive that is complete holds what was received: files are compared with the digests that the
index knows (``reading``). Memory: a few pieces, whatever the size of the files.

Not here: where the bytes go (``job``, ``rest.archives``).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import datetime
from uuid import NAMESPACE_OID, uuid5

from wherry.archives.contents import Contents, Item
from wherry.archives.reading import FilesAhead, named
from wherry.archives.zipstream import Member, ZipStream
from wherry.dicom.dicomdir.directory import DicomDir
from wherry.storage.base import FileReader, StorageArea
from wherry.storage.outgoing import FileRange, opened

DICOMDIR = "DICOMDIR"


class Making:
    """One archive of ``contents``. Close it in the end."""

    def __init__(self, storage: StorageArea, contents: Contents, moment: datetime) -> None:
        """``moment``: the time that its members bear."""
        self._storage = storage
        self._contents = contents
        self._directory = _directory(contents, moment) if contents.media else None
        self._ahead: FilesAhead | None = None
        self.zip = ZipStream(moment)

    def close(self) -> None:
        """Stop reading ahead. Safe to call twice."""
        if self._ahead is not None:
            self._ahead.close()

    @property
    def next(self) -> int:
        """The number of the member that comes next; that of items when only the end is missing."""
        return self.zip.count

    def state(self) -> tuple[bytes, bytes]:
        """The items that are complete, for ``take_up``. The DICOMDIR is made again, the same."""
        return self.zip.state(len(self._contents.items))

    def take_up(self, state: tuple[bytes, bytes]) -> None:
        """Go on where ``state`` was taken. Raises ``ValueError`` when that cannot be."""
        self.zip.take_up(state, self._contents.members)
        for item in self._contents.items[: self.next]:
            whole = FileRange(item.orthanc_id, item.attachment, 0, item.member.size)
            with named(item), opened(self._storage, whole) as reader:
                self._note(item, reader)

    def member(self) -> Iterator[bytes]:
        """The bytes of the next member. Raises ``MissingFile``, ``CorruptedFile``."""
        if self._ahead is None:
            self._ahead = FilesAhead(self._storage, self._contents.items[self.next :], self._note)
        item = self._contents.items[self.next]
        yield from self.zip.member(item.member, self._ahead.file())

    def end(self) -> Iterator[bytes]:
        """What comes behind the last item."""
        members = self._contents.members
        if self._directory is not None:
            pieces = [*self._directory.write()]
            last = Member(DICOMDIR, sum(map(len, pieces)))
            yield from self.zip.member(last, pieces)
            members = [*members, last]
        yield from self.zip.end(members)

    def whole(self) -> Generator[bytes, None, None]:
        """All of it; closed when the generator is."""
        try:
            while self.next < len(self._contents.items):
                yield from self.member()
            yield from self.end()
        finally:
            self.close()

    def _note(self, item: Item, reader: FileReader) -> None:
        """Write the item into the DICOMDIR."""
        if self._directory is not None:
            with reader.map() as content:
                self._directory.add(content, tuple(item.member.name.split("/")))


def _directory(contents: Contents, moment: datetime) -> DicomDir:
    """An empty one. Its UID follows from what is archived and when, so that an archive that is gone
    on with gets the DICOMDIR that it may have already, and not a shorter one over it."""
    uuid = uuid5(NAMESPACE_OID, f"{contents.digest()} {moment.isoformat()}")
    return DicomDir(extended=contents.extended, uid=f"2.25.{uuid.int}")
