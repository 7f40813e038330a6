"""``Transcoder``: DICOM files in other transfer syntaxes, made by the workers.

A result lies in a nameless file, never in memory. Which transfer syntaxes are wanted is for the
caller to say; what cannot be had raises, and most callers then take the file as it is, as the
original does: ``or_as_it_is``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from wherry import limits
from wherry.dicom.elements import UnreadableError
from wherry.dicom.inflate import inflate
from wherry.dicom.preamble import DEFLATED, EXPLICIT, read_preamble
from wherry.errors import BadFileFormat, UnsupportedMediaType
from wherry.imaging.pool import ImagingPool, Source
from wherry.storage import scratch
from wherry.storage.mapping import mapped

_HEADER_BYTES: Final = limits.DICOM_VALUE_BYTES
"""File meta information is shorter than that."""


@dataclass(frozen=True, slots=True)
class Transcoded:
    """A file in another transfer syntax; of use inside the ``with`` that made it."""

    source: Source
    """Where its bytes are."""
    syntax: str
    sop_instance_uid: str
    is_new_image: bool
    """Whether something is lost, so that it is another instance than the one it was made of."""


class Transcoder:
    """Makes them. One for all threads."""

    def __init__(self, pool: ImagingPool, quality: int) -> None:
        """``quality``: of lossy ones when nobody says another one."""
        self._pool = pool
        self._quality = quality

    @contextmanager
    def transcode(
        self,
        source: Source,
        wanted: Sequence[str],
        *,
        quality: int | None = None,
        lossy_allowed: bool = True,
        keeps_uid: bool = False,
    ) -> Iterator[Transcoded | None]:
        """The file ``source`` in the first transfer syntax of ``wanted`` that can hold it; None
        when it is in one of them already. ``keeps_uid``: whatever is lost. Blocking.

        Raises ``CannotEncode``, ``CannotDecode``, ``UndecodableImage``, ``BadFileFormat``,
        ``Unavailable``, ``CannotWriteFile``.
        """
        syntax = syntax_of(source)
        if syntax in wanted:
            yield None
            return
        arguments = {
            "wanted": list(wanted),
            "quality": self._quality if quality is None else quality,
            "lossy": lossy_allowed,
            "keeps_uid": keeps_uid,
        }
        with inflated(source, syntax) as plain, scratch.nameless() as room:
            answer = self._pool.run("transcode", arguments, plain, room.fileno())
            yield Transcoded(Source.whole(room.fileno()), **answer)

    @contextmanager
    def or_as_it_is(
        self,
        source: Source,
        wanted: Sequence[str],
        *,
        quality: int | None = None,
        lossy_allowed: bool = True,
    ) -> Iterator[Transcoded | None]:
        """As ``transcode``, but None too when it cannot be: no pixels, no decoder, words that do
        not fit. Raises ``Unavailable``, ``CannotWriteFile``."""
        with ExitStack() as stack:
            made = None
            with suppress(UnsupportedMediaType, BadFileFormat):
                making = self.transcode(
                    source, wanted, quality=quality, lossy_allowed=lossy_allowed
                )
                made = stack.enter_context(making)
            yield made


def syntax_of(source: Source) -> str:
    """The transfer syntax of a file. Raises ``BadFileFormat``."""
    head = os.pread(source.file, min(source.size, _HEADER_BYTES), source.offset)
    try:
        return read_preamble(head)[0]
    except UnreadableError as error:
        raise BadFileFormat(f"Cannot parse an invalid DICOM file: {error}") from None


@contextmanager
def inflated(source: Source, syntax: str) -> Iterator[Source]:
    """A deflated file as an explicit one in a nameless file; another one as it is. Raises
    ``BadFileFormat``, ``CannotWriteFile``."""
    if syntax != DEFLATED:
        yield source
        return
    from wherry.dicom.transcoding.header import header

    with mapped(source.file) as whole, scratch.nameless() as room:
        data = whole[source.offset : source.offset + source.size]
        try:
            _, sop_class, _, position = read_preamble(data)
            scratch.fill(room, [header(data, EXPLICIT, sop_class, "", is_new=False)])
            scratch.fill(room, inflate(data, position))
        except UnreadableError as error:
            raise BadFileFormat(f"Cannot parse an invalid DICOM file: {error}") from None
        finally:
            with suppress(BufferError):
                data.release()
        yield Source.whole(room.fileno())
