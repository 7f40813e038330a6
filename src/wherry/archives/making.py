"""An archive while it is made: stored files in, bytes of the ZIP out, one member after the other.

An archive that is complete holds what was received: files are compared with the digests that the
index knows (``reading``). Memory: a few pieces, whatever the size of the files.

Not here: where the bytes go (``job``, ``rest.archives``).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from uuid import NAMESPACE_OID, uuid5

from wherry.archives.contents import Contents, Item
from wherry.archives.reading import FilesAhead, named
from wherry.archives.zipstream import Member, ZipStream, crc_of, type_state
from wherry.dicom.dicomdir.directory import DicomDir
from wherry.imaging.pool import Source
from wherry.imaging.stored import checked_source, read_pieces
from wherry.imaging.transcoding import Transcoder
from wherry.storage.base import FileReader, StorageArea
from wherry.storage.mapping import mapped
from wherry.storage.outgoing import FileRange, opened

DICOMDIR = "DICOMDIR"


class Making:
    """One archive of ``contents``. Close it in the end."""

    def __init__(
        self,
        storage: StorageArea,
        contents: Contents,
        moment: datetime,
        transcoder: Transcoder | None = None,
    ) -> None:
        """``moment``: the time that its members bear; ``transcoder``: for contents that are to be
        transcoded."""
        self._storage = storage
        self._transcoder = transcoder
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

    def state(self) -> type_state:
        """The items that are complete, for ``take_up``. The DICOMDIR is made again, the same."""
        return self.zip.state(len(self._contents.items))

    def take_up(self, state: type_state) -> None:
        """Go on where ``state`` was taken. Raises ``ValueError`` when that cannot be."""
        self.zip.take_up(state, self._contents.members)
        if self._directory is None:
            return
        for item, crc in zip(self._contents.items, self.zip.crcs, strict=False):
            if item.transcoded:
                with self._transcoded(item) as source:
                    if crc_of(read_pieces(source)) != crc:  # a worker was lost then, or now
                        raise ValueError("a file that is another one than before")
                    continue
            whole = FileRange(item.orthanc_id, item.attachment, 0, item.member.size)
            with named(item), opened(self._storage, whole) as reader:
                self._note(item, reader)

    def member(self) -> Iterator[bytes]:
        """The bytes of the next member. Raises ``MissingFile``, ``CorruptedFile``."""
        item = self._contents.items[self.next]
        if self._contents.transcode:  # files are not read ahead: workers take longer
            yield from self._recoded(item)
            return
        if self._ahead is None:
            self._ahead = FilesAhead(self._storage, self._contents.items[self.next :], self._note)
        yield from self.zip.member(item.member, self._ahead.file())

    def _recoded(self, item: Item) -> Iterator[bytes]:
        if not item.transcoded:
            with closing(FilesAhead(self._storage, [item], self._note)) as ahead:
                yield from self.zip.member(item.member, ahead.file())
            return
        with named(item), self._transcoded(item) as source:
            member = item.member._replace(size=source.size)
            yield from self.zip.member(member, read_pieces(source))

    @contextmanager
    def _transcoded(self, item: Item) -> Iterator[Source]:
        """The file in the transfer syntax that is wanted, or as it is when that cannot be."""
        assert self._transcoder is not None
        wanted = [self._contents.transcode]
        with checked_source(self._storage, item.attachment) as stored:
            making = self._transcoder.or_as_it_is(stored, wanted, quality=self._contents.quality)
            with making as made:
                source = stored if made is None else made.source
                if self._directory is not None:
                    with mapped(source.file) as whole:
                        self._add(item, whole[source.offset : source.offset + source.size])
                yield source

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
                self._add(item, content)

    def _add(self, item: Item, content: memoryview) -> None:
        if self._directory is not None:
            self._directory.add(content, tuple(item.member.name.split("/")))


def _directory(contents: Contents, moment: datetime) -> DicomDir:
    """An empty one. Its UID follows from what is archived and when, so that an archive that is gone
    on with gets the DICOMDIR that it may have already, and not a shorter one over it."""
    uuid = uuid5(NAMESPACE_OID, f"{contents.digest()} {moment.isoformat()}")
    return DicomDir(extended=contents.extended, uid=f"2.25.{uuid.int}")
