"""Instances that arrived in parts: verified where they lie, or put together first.

The parts that came to one process lie in one file. A range of it has one writer, and none once its
bucket is acknowledged there (``running``); one that is wanted again goes to another file. So a file
that holds every part of an instance, acknowledged, changes no more, and is verified and kept as it
is: whoever does it, no byte is copied.

Parts that lie in several files came to several processes, or to one before and after a restart.
They are copied to a file that nobody else knows. Which of the processes still writes something
late, to a file that was its own, does not matter then.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from wherry import limits
from wherry.errors import CorruptedFile, MissingFile
from wherry.index.staging import PREFIX_LENGTH
from wherry.index.transfer_rows import InstanceRow, Part
from wherry.ingest.names import name_in
from wherry.model import StagedInstance
from wherry.storage.base import FileWriter, StorageArea
from wherry.transfers.running import Running
from wherry.transfers.verifying import verify


def assembled(
    storage: StorageArea,
    running: Running,
    transfer_id: str,
    instance: InstanceRow,
    parts: Sequence[Part],
    *,
    compress: bool = False,
) -> StagedInstance:
    """The verified instance, in a synced file. Raises ``CorruptedFile``, ``BadFileFormat``."""
    files = {part.uuid for part in parts}
    if not files:
        raise CorruptedFile(f"Instance {instance.orthanc_id}: no byte of it arrived")
    uuid = files.pop() if len(files) == 1 else ""
    md5 = running.md5(transfer_id, instance, uuid)
    if uuid:
        return verify(storage, instance, uuid, md5, compress=compress)
    uuid = name_in(parts[0].uuid[:PREFIX_LENGTH])
    kept = False
    try:
        _copy(storage, instance, parts, uuid)
        staged = verify(storage, instance, uuid, None, compress=compress)
        kept = staged.attachment.uuid == uuid
    finally:
        if not kept:
            storage.delete(uuid)
    return staged


def _copy(storage: StorageArea, instance: InstanceRow, parts: Sequence[Part], uuid: str) -> None:
    """Write all parts to a new file, and sync it."""
    with closing(storage.create(uuid)) as writer:
        for part in parts:
            try:
                _copy_part(storage, part, writer)
            except MissingFile:
                raise CorruptedFile(
                    f"Instance {instance.orthanc_id}: some of its bytes are missing"
                ) from None
        writer.sync()


def _copy_part(storage: StorageArea, part: Part, writer: FileWriter) -> None:
    with closing(storage.open(part.uuid)) as reader:
        offset, end = part.offset, part.offset + part.size
        while offset < end:
            data = reader.read_at(offset, min(limits.FOLLOWED_PIECE_BYTES, end - offset))
            if not data:
                return  # the whole is too short, or its digest is not the declared one
            writer.write_at(data, offset)
            offset += len(data)
