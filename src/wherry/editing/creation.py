"""Instances that are created: from a request, its contents and its parent to what is stored.

All instances of a request are staged and become visible in one commit, or none does. Pixels are
decoded by worker processes; the bytes of contents go from file to file, in pieces.
Not here: what a request means, and what is in the new files (``dicom.creating``).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from wherry import clock, limits
from wherry.dicom import charsets
from wherry.dicom.creating.assembly import assembled, writing_of
from wherry.dicom.creating.datauri import Blob
from wherry.dicom.creating.documents import (
    PICTURES,
    RAW,
    VIDEOS,
    any_document,
    document,
    unsupported,
)
from wherry.dicom.creating.draft import Draft
from wherry.dicom.creating.fillings import SOP_CLASS, Filling, film, kept_jpeg, native, raw
from wherry.dicom.creating.mp4 import is_mp4, mp4_video
from wherry.dicom.creating.mpeg2 import is_mpeg2, mpeg2_video
from wherry.dicom.creating.order import CHARACTER_SET, Order, Wanted, blobs
from wherry.editing.parents import inherited
from wherry.errors import BadFileFormat, BadRequest
from wherry.imaging.pool import ImagingPool, Source
from wherry.index.database import Index
from wherry.ingest.ingest import Ingest
from wherry.model import Origin, StagedInstance, Stored
from wherry.storage import scratch
from wherry.storage.base import StorageArea
from wherry.storage.mapping import mapped

_UTF8 = "ISO_IR 192"
_BEGIN_BYTES = 16


class _Bytes(NamedTuple):
    """A range of an open file."""

    file: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Creation:
    """What creating needs."""

    index: Index
    storage: StorageArea
    ingest: Ingest
    imaging: ImagingPool
    title: str
    """Of this application (``DicomAet``)."""

    def create(self, order: Order, file: int, origin: Origin) -> list[Stored]:
        """Do what ``order`` asks for; its ``Blob`` are ranges of the open ``file``. Blocking.

        Raises ``CannotCreate``, ``BadRequest``, what ``encoding.element`` and the contents raise,
        and what ``ingest`` raises; then nothing is stored.
        """
        parent = order.parent
        given = {} if parent is None else inherited(self.index, self.storage, parent)
        base = Draft(given, force=order.force)
        self._read_values(order, file)
        base.give(order.tags)
        charset = given.get(CHARACTER_SET) or order.charset or ""
        if not (charset or order.is_flat):
            charset = charsets.TERMS.get(charsets.default(), _UTF8)
        if charset:
            base.values[CHARACTER_SET] = charset
        patient_id, moment = clock.new_uuid(), clock.now()
        count = len(order.instances)

        def stage(index: int, wanted: Wanted) -> StagedInstance:
            draft = base.another() if order.is_series else base
            draft.give(wanted.tags)
            draft.identify(patient_id)
            if order.is_series:
                draft.number(index + 1, count)
            if not order.is_flat:
                draft.date(moment)
            return self._stage(order, draft, charset, wanted.content, file, origin)

        staged: list[StagedInstance] = []
        works = (partial(stage, *one) for one in enumerate(order.instances))
        try:
            staged.extend(self.ingest.side_by_side(works, lambda one: self.ingest.discard([one])))
            _check_series(staged)
        except BaseException:
            self.ingest.discard(staged)
            raise
        return self.ingest.commit(staged)

    @staticmethod
    def _read_values(order: Order, file: int) -> None:
        """Long values of tags, in place of where they are."""
        for container, key, blob in blobs([order.tags, *(one.tags for one in order.instances)]):
            value = os.pread(file, blob.size, blob.offset)
            container[key] = (
                value
                if order.interprets
                else f"data:{blob.mime};base64,{base64.b64encode(value).decode()}"
            )

    def _stage(
        self,
        order: Order,
        draft: Draft,
        charset: str,
        content: Blob | None,
        file: int,
        origin: Origin,
    ) -> StagedInstance:
        with ExitStack() as opened:
            filling, payload = None, _Bytes(file, 0, 0)
            if content is not None:
                filling, payload = opened.enter_context(self._filled(order, draft, content, file))
                draft.fill(filling.decided, filling.defaults)
            writing = writing_of(
                charset, interprets=order.interprets, creator=order.private_creator
            )
            parts = assembled(draft.values, filling, writing, self.title)
            staging = self.ingest.stage(origin)
            try:
                staging.write(parts.before)
                for piece in _pieces(payload):
                    staging.write(piece)
                staging.write(parts.after)
                return staging.finish()
            except BaseException:
                staging.abort()
                raise

    @contextmanager
    def _filled(
        self, order: Order, draft: Draft, blob: Blob, file: int
    ) -> Iterator[tuple[Filling, _Bytes]]:
        """What the content makes of the instance, and the bytes that are written."""
        payload = _Bytes(file, blob.offset, blob.size)
        if (kind := PICTURES.get(blob.mime)) is None:
            yield _kept(order, draft, blob, file), payload
        elif order.encapsulate and kind == "jpeg":
            with mapped(file) as data:
                filling = kept_jpeg(data[blob.offset : blob.offset + blob.size])
            yield filling, payload
        else:
            with scratch.nameless() as pixels:
                source = Source(file, blob.offset, blob.size)
                told = self.imaging.run("import_image", {"kind": kind}, source, pixels.fileno())
                size = os.fstat(pixels.fileno()).st_size
                yield native(**told, size=size), _Bytes(pixels.fileno(), 0, size)


def _check_series(staged: Sequence[StagedInstance]) -> None:
    """With ``Force`` the instances of a list may be of several."""
    if len({one.summary.identifiers.series for one in staged}) > 1:
        raise BadRequest("These instances are not of one series")


def _kept(order: Order, draft: Draft, blob: Blob, file: int) -> Filling:
    """A content whose bytes stay as they are."""
    begin = os.pread(file, min(_BEGIN_BYTES, blob.size), blob.offset)
    if blob.mime == RAW:
        return raw(blob.size)
    if blob.mime in VIDEOS:
        with mapped(file) as data:
            video = data[blob.offset : blob.offset + blob.size]
            if is_mp4(video):
                return film(mp4_video(video), blob.size)
            if is_mpeg2(video):
                return film(mpeg2_video(video), blob.size)
        raise BadFileFormat("Not a video in MP4, nor an MPEG-2 stream")
    found = document(blob.mime, blob.size, begin)
    if found is None and order.encapsulate and SOP_CLASS in draft.values:
        found = any_document(blob.mime, blob.size)
    if found is None:
        raise unsupported(blob.mime)
    return found


def _pieces(payload: _Bytes) -> Iterator[bytes]:
    position, end = payload.offset, payload.offset + payload.size
    while position < end:
        piece = os.pread(payload.file, min(limits.READ_CHUNK_BYTES, end - position), position)
        if not piece:
            raise BadFileFormat
        yield piece
        position += len(piece)
