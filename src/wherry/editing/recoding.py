"""Edited files in another transfer syntax (``Transcode``).

An edited file is pieces of its source and new bytes; a worker wants a file. So it is written down
without a name, transcoded, and the outcome is read from where the worker put it. The same edited
file gives the same outcome unless a worker dies of it, and has the same identifier even then. No
job relies on more: what it has made it reads again, and what it makes anew has another name.

Not here: the transcoding (``imaging.transcoding``).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

from wherry import limits
from wherry.dicom.editing.editor import type_read_range
from wherry.editing.making import Edited
from wherry.errors import NothingToEncode, UnsupportedMediaType
from wherry.imaging.pool import Source
from wherry.imaging.transcoding import Transcoded, Transcoder
from wherry.storage import scratch


class Recoded:
    """What a worker made of an edited file: an ``Edited``. Its bytes go with it."""

    def __init__(self, made: Transcoded) -> None:
        self.size = made.source.size
        self.syntax = made.syntax
        self._content = mmap.mmap(made.source.file, self.size, prot=mmap.PROT_READ)

    def pieces(self, read: type_read_range | None = None) -> Iterator[bytes | memoryview]:
        """The file, in pieces of at most 1 MiB."""
        view = memoryview(self._content)
        for start in range(0, self.size, limits.MIB):
            yield view[start : start + limits.MIB]


class Recoding:
    """Does it; for all threads."""

    def __init__(self, transcoder: Transcoder) -> None:
        self._transcoder = transcoder

    def whole(
        self, edited: Edited, syntax: str, quality: int = 0, *, keeps_uid: bool = False
    ) -> Edited:
        """``edited`` in the transfer syntax ``syntax``; as it is when it has no pixels that could
        be compressed. ``quality``: of a lossy one, 1 to 100; 0 = as configured. ``keeps_uid``: an
        image that loses something keeps the identifier that it was edited to.

        Raises ``CannotEncode``, ``CannotDecode``, ``UndecodableImage``, ``BadFileFormat``,
        ``Unavailable``, ``CannotWriteFile``.
        """
        if edited.syntax == syntax:
            return edited
        with scratch.nameless() as room:
            scratch.fill(room, edited.pieces())
            source = Source.whole(room.fileno())
            try:
                with self._transcoder.transcode(
                    source, [syntax], quality=quality or None, keeps_uid=keeps_uid
                ) as made:
                    return edited if made is None else Recoded(made)
            except NothingToEncode:
                return edited

    def or_as_it_is(self, edited: Edited, syntax: str, quality: int = 0) -> Edited:
        """The same as jobs of the original do it: as it is whenever it cannot be transcoded, and
        with the identifier that it was edited to, so that what refers to it still does. Raises
        ``BadFileFormat``, ``Unavailable``, ``CannotWriteFile``."""
        try:
            return self.whole(edited, syntax, quality, keeps_uid=True)
        except UnsupportedMediaType:
            return edited
