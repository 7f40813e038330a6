"""Instances that arrived in parts: verified where they lie, or put together first.

The parts that came to one process lie in one file, where files are shared. A range of it has one
writer, and none once its bucket is acknowledged there (``running``); one that is wanted again goes
to another file. So a file that holds every part of an instance, acknowledged, changes no more, and
is verified and kept as it is: whoever does it, no byte is copied.

Parts that lie in several files came to several processes, or to one before and after a restart, or
each bucket has a file of its own. They are copied to a file that nobody else knows, which gets the
digest of what was read. Which of the processes still writes something late, to a file that was its
own, does not matter then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from wherry.errors import CorruptedFile, MissingFile
from wherry.index.staging import block_of
from wherry.index.transfer_rows import InstanceRow, Part
from wherry.ingest.deposit import Deposit
from wherry.ingest.staging import staged_file
from wherry.model import Compression, StagedInstance
from wherry.storage.base import StorageArea
from wherry.storage.pieces import pieces
from wherry.transfers.packing import BlockNames
from wherry.transfers.running import Running
from wherry.transfers.verifying import ORIGIN, check_digest, checked_summary, kind_of, verify


def assembled(
    storage: StorageArea,
    running: Running,
    transfer_id: str,
    instance: InstanceRow,
    parts: Sequence[Part],
    *,
    compression: Compression = Compression.NONE,
) -> StagedInstance:
    """The verified instance, in a synced file. Raises ``CorruptedFile``, ``BadFileFormat``."""
    files = {part.file for part in parts}
    if not files:
        raise CorruptedFile(f"Instance {instance.orthanc_id}: no byte of it arrived")
    file = files.pop()
    whole = not files and not file.own
    digest = running.digest(transfer_id, instance, file.uuid if whole else "")
    if whole:
        return verify(storage, instance, file.uuid, digest, compression=compression)
    names = BlockNames(block_of(file.uuid))
    deposit = Deposit(
        storage, names, compression=compression, max_bytes=instance.size, kind=kind_of(instance)
    )
    try:
        for piece in _pieces(storage, instance, parts):
            deposit.write(piece)
        check_digest(instance, deposit.digest)
        with deposit.content() as view:
            summary = checked_summary(instance, view)
        return staged_file(deposit.finish(), summary, ORIGIN)
    except BaseException:
        deposit.abort()
        raise


def _pieces(storage: StorageArea, instance: InstanceRow, parts: Sequence[Part]) -> Iterator[bytes]:
    """The bytes of an instance from its beginning to its end."""
    position = 0
    for part in sorted(parts):
        skip = position - part.offset  # parts may overlap
        if skip < 0:
            break
        for piece in _read(storage, part, skip):
            position += len(piece)
            yield piece
    if position != instance.size:
        raise CorruptedFile(f"Instance {instance.orthanc_id}: some of its bytes are missing")


def _read(storage: StorageArea, part: Part, skip: int) -> Iterator[bytes]:
    """What there is of a part behind its first ``skip`` bytes."""
    offset, end = part.start + skip, part.start + part.size
    if offset >= end:
        return
    try:
        reader = storage.open(part.file.uuid, part.file.place)
    except MissingFile:
        return
    with closing(reader):
        yield from pieces(reader, offset, end)
