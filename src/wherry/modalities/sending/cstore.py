"""C-STORE: one instance over an association that is open (PS3.4 Annex B, PS3.7 §9.1.1).

For whoever sends instances that are stored here: the job ``DicomModalityStore`` (``store``), the
answer to a C-MOVE. An association for them is asked for with the contexts of
``negotiation.proposals``; then, for each instance:

    with opened(storage, orthanc_id, attachment) as instance:
        stored = store(association, instance, recoding(config, modality))

Not here: several at once and trying again (``store``), which contexts there are (``negotiation``).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import starmap
from typing import Final, TypeVar

from wherry import limits
from wherry.dicom.wire.commands import Command, CommandField
from wherry.errors import (
    BadFileFormat,
    NetworkProtocol,
    NoAcceptableContext,
    UnsupportedMediaType,
)
from wherry.imaging.pool import Source
from wherry.imaging.transcoding import Transcoder
from wherry.modalities.associations.association import Association
from wherry.modalities.associations.connection import ModalityUnavailable
from wherry.modalities.associations.negotiation import NATIVE, Accepted, Recoding
from wherry.modalities.sending.outgoing import Outgoing, read
from wherry.model import Attachment
from wherry.storage import scratch
from wherry.storage.base import FileReader, StorageArea
from wherry.storage.mapping import mapped
from wherry.storage.outgoing import FileRange, all_opened
from wherry.storage.outgoing import opened as opened_file

_WARNINGS: Final = frozenset((0x0001, 0x0107, 0x0116))
"""That are not 0xBxxx (PS3.7 Annex C)."""
_MEANINGS: Final = {
    0x0110: "processing failure",
    0x0117: "invalid SOP instance",
    0x0122: "SOP class not supported",
    0x0124: "not authorized",
    0x0210: "duplicate invocation",
    0x0211: "unrecognized operation",
    0x0212: "mistyped argument",
}
_FAMILIES: Final = {
    0xA700: "out of resources",
    0xA900: "the data set does not match its SOP class",
    0xC000: "cannot understand it",
}
_OUT_OF_RESOURCES: Final = 0xA700

C = TypeVar("C", bound=Accepted)


class StoreRefused(NetworkProtocol):
    """The other end does not store this instance; the association is as good as before."""


class StoreBusy(ModalityUnavailable):
    """... because it is out of resources; that may pass."""


@dataclass(frozen=True, slots=True)
class Originator:
    """Whose C-MOVE it is that an instance is sent for (PS3.7 §9.1.1.1)."""

    aet: str
    message_id: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The other end has it."""

    status: int
    """0, or that of a warning: what it changed of it."""
    sent_bytes: int
    """Of the data set as it is stored here."""


@contextmanager
def opened(storage: StorageArea, orthanc_id: str, attachment: Attachment) -> Iterator[Outgoing]:
    """A stored instance, ready to be sent. Raises ``MissingFile``, ``CorruptedFile``,
    ``BadFileFormat``."""
    with opened_file(storage, _whole(orthanc_id, attachment)) as reader, _outgoing(reader) as found:
        yield found


class OneByOne:
    """Instances that are sent one after the other: where their files are far away, those that come
    next are opened meanwhile. Blocking; one thread at a time. ``close`` it."""

    def __init__(self, storage: StorageArea, files: Iterable[tuple[str, Attachment]]) -> None:
        """``files``: identifiers and what is stored."""
        self._storage = storage
        self._left = deque(starmap(_whole, files))
        self._readers: Generator[FileReader, None, None] | None = None
        self._lock = threading.Lock()
        """Whoever waits for a file may be gone when it is there: ``close`` waits for that."""

    @contextmanager
    def next(self) -> Iterator[Outgoing]:
        """``opened`` for the next one. What it raises says nothing of those behind it."""
        with self._lock:
            if self._readers is None:
                self._readers = all_opened(self._storage, list(self._left))
            self._left.popleft()
            try:
                reader = next(self._readers)
            except BaseException:
                self._readers = None  # a generator that has raised is at its end
                raise
        with _outgoing(reader) as found:
            yield found

    def close(self) -> None:
        """Nobody wants the rest. Repeatable."""
        with self._lock:
            if self._readers is not None:
                self._readers.close()


def _whole(orthanc_id: str, attachment: Attachment) -> FileRange:
    return FileRange(orthanc_id, attachment, 0, attachment.uncompressed_size)


@contextmanager
def _outgoing(reader: FileReader) -> Iterator[Outgoing]:
    if reader.size <= limits.READ_WHOLE_BYTES:  # cheaper than to map it and to unmap it
        yield read(memoryview(reader.read_at(0, reader.size)))
        return
    with reader.map() as view:
        in_a_file = reader.fileno() is not None  # else it is unpacked where it is mapped
        yield read(view, reader.read_at if in_a_file else None)


@contextmanager
def as_taken(
    instance: Outgoing, contexts: Iterable[C], rules: Recoding
) -> Iterator[tuple[C, Outgoing]]:
    """The context through which the instance goes, and the instance such that its data set can be
    had in the transfer syntax of it: itself where only numbers are written otherwise, else
    decompressed or compressed.

    Raises ``NoAcceptableContext`` when there is none, and what ``Transcoder.transcode`` raises.
    """
    stored = instance.kind.transfer_syntax
    problem = NoAcceptableContext()
    with ExitStack() as stack:
        for context in rules.choose(contexts, instance.kind):
            syntax = context.transfer_syntax
            if syntax == stored or rules.transcoder is None or {stored, syntax} <= NATIVE:
                yield context, instance
                return
            try:
                taken = stack.enter_context(_recoded(instance, syntax, rules.transcoder))
            except (UnsupportedMediaType, BadFileFormat) as error:
                words = f"It cannot be had in the transfer syntax {syntax}: {error}"
                problem = NoAcceptableContext(words)
                continue
            yield context, taken
            return
    raise problem


@contextmanager
def _recoded(instance: Outgoing, syntax: str, transcoder: Transcoder) -> Iterator[Outgoing]:
    with scratch.nameless() as room:
        scratch.fill(room, instance.whole())
        with transcoder.transcode(Source.whole(room.fileno()), [syntax]) as made:
            file = made.source.file if made is not None else room.fileno()
            with mapped(file) as view:
                yield read(view, lambda offset, size: os.pread(file, size, offset))


def store(
    association: Association,
    instance: Outgoing,
    rules: Recoding,
    originator: Originator | None = None,
    priority: int = 0,
) -> Stored:
    """Send it and wait for the answer. ``priority``: 0 medium, 1 high, 2 low.

    Raises ``NoAcceptableContext`` before anything is sent, ``StoreRefused``, ``StoreBusy``; these
    leave the association as it was. ``ModalityUnavailable``, ``NetworkProtocol``,
    ``BadFileFormat``: it is at its end (``Association.ended``), or should be brought to it.
    """
    with as_taken(instance, association.contexts, rules) as (context, taken):
        message_id = association.next_message_id()
        command = Command(
            CommandField.C_STORE_RQ,
            has_data_set=True,
            affected_sop_class=instance.kind.sop_class,
            message_id=message_id,
            priority=priority,
            affected_sop_instance=instance.sop_instance,
            originator=originator.aet if originator else None,
            originator_message_id=originator.message_id if originator else None,
        )
        data_set = taken.data_set(context.transfer_syntax)
        if isinstance(data_set, memoryview):
            association.send(context.id, command, data_set)
        else:
            association.send_pieces(context.id, command, data_set)
    return Stored(_answer(association, instance, message_id), instance.size)


def _answer(association: Association, instance: Outgoing, message_id: int) -> int:
    """The status, when it is a good one."""
    answer = association.receive().command
    named = answer.affected_sop_instance or instance.sop_instance
    if (
        answer.field is not CommandField.C_STORE_RSP
        or answer.responded_to != message_id
        or named != instance.sop_instance
        or answer.status is None
    ):
        association.abort()
        raise NetworkProtocol(f"{association} answers something else than was asked")
    status = answer.status
    if status == 0 or status & 0xF000 == 0xB000 or status in _WARNINGS:
        return status
    comment = (answer.error_comment or "")[: limits.ERROR_COMMENT_CHARACTERS]
    words = f"{association} does not store it: {meaning(status)}{comment and f' ({comment})'}"
    if status & 0xFF00 == _OUT_OF_RESOURCES:
        raise StoreBusy(words)
    raise StoreRefused(words)


def meaning(status: int) -> str:
    """A status of C-STORE in words (PS3.4 §B.2.3, PS3.7 Annex C)."""
    family = 0xC000 if status & 0xF000 == 0xC000 else status & 0xFF00
    known = _MEANINGS.get(status) or _FAMILIES.get(family) or "unknown reason"
    return f"status 0x{status:04x}, {known}"
