"""An archive while it is made: stored files in, bytes of the ZIP out, one member after the other.

Every file is compared with the digest that the index knows, as it passes: an archive that is
complete holds what was received. Memory: a few pieces, whatever the size of the files.

Not here: where the bytes go (``job``, ``rest.archives``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from datetime import datetime

from wherry import limits
from wherry.archives.contents import Contents, Item
from wherry.archives.zipstream import Member, ZipStream
from wherry.dicom.dicomdir.directory import DicomDir
from wherry.errors import CorruptedFile
from wherry.storage.base import FileReader, StorageArea
from wherry.storage.outgoing import FileRange, opened

DICOMDIR = "DICOMDIR"


class Making:
    """One archive of ``contents``."""

    def __init__(self, storage: StorageArea, contents: Contents, moment: datetime) -> None:
        """``moment``: the time that its members bear."""
        self._storage = storage
        self._contents = contents
        self._directory = DicomDir(extended=contents.extended) if contents.media else None
        self.zip = ZipStream(moment)

    @property
    def next(self) -> int:
        """The number of the member that comes next; that of items when only the end is missing."""
        return self.zip.count

    def take_up(self, state: tuple[bytes, bytes]) -> None:
        """Go on where ``zip.state`` was taken. Raises ``ValueError`` when that cannot be."""
        self.zip.take_up(state, self._contents.members)
        for item in self._contents.items[: self.next]:
            with opened(self._storage, _whole(item)) as reader:
                self._note(item, reader)

    def member(self) -> Iterator[bytes]:
        """The bytes of the next member. Raises ``MissingFile``, ``CorruptedFile``."""
        item = self._contents.items[self.next]
        with opened(self._storage, _whole(item)) as reader:
            self._note(item, reader)
            yield from self.zip.member(item.member, _checked(item, reader))

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
        """All of it."""
        while self.next < len(self._contents.items):
            yield from self.member()
        yield from self.end()

    def _note(self, item: Item, reader: FileReader) -> None:
        """Write the item into the DICOMDIR."""
        if self._directory is not None:
            with reader.map() as content:
                self._directory.add(content, tuple(item.member.name.split("/")))


def _whole(item: Item) -> FileRange:
    return FileRange(item.orthanc_id, item.attachment, 0, item.attachment.uncompressed_size)


def _checked(item: Item, reader: FileReader) -> Iterator[bytes]:
    """The bytes of a file. Raises ``CorruptedFile`` in the end when they are others."""
    digest = hashlib.md5(usedforsecurity=False)
    offset, size = 0, item.member.size
    while offset < size:
        piece = reader.read_at(offset, min(limits.READ_CHUNK_BYTES, size - offset))
        if not piece:
            break
        digest.update(piece)
        offset += len(piece)
        yield piece
    if digest.hexdigest() != item.attachment.uncompressed_md5:
        raise CorruptedFile(f"Instance {item.orthanc_id}: its file here is damaged")
