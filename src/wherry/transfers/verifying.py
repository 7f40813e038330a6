"""Whether an instance that arrived is the one that was declared: size, MD5, identity."""

from __future__ import annotations

import hashlib

from wherry import limits
from wherry.dicom.scan import scan
from wherry.errors import BadFileFormat, CorruptedFile, InexistentTag, MissingFile, TooLarge
from wherry.index.transfer_rows import InstanceRow
from wherry.ingest.staging import staged_instance
from wherry.model import Compression, Origin, StagedInstance, Summary
from wherry.storage.base import StorageArea, type_buffer
from wherry.transfers.packing import packed

ORIGIN = Origin(kind="Plugins")
"""What Orthanc notes of instances that its transfers plugin brings."""


def verify(
    storage: StorageArea,
    instance: InstanceRow,
    uuid: str,
    md5: str | None,
    *,
    compression: Compression = Compression.NONE,
) -> StagedInstance:
    """An instance whose parts are all in one file. ``md5``: its digest when it was taken as the
    parts came; else the whole file is read. Raises ``CorruptedFile``, ``BadFileFormat``.

    With a ``compression`` the answer is in another file; that of the parts stays, because a crash
    may still make somebody verify it again.
    """
    try:
        if storage.size(uuid) != instance.size:
            raise CorruptedFile(f"Instance {instance.orthanc_id}: some of its bytes are missing")
    except MissingFile:
        raise CorruptedFile(f"Instance {instance.orthanc_id}: no byte of it arrived") from None
    md5 = md5 or _read_md5(storage, uuid)
    check_md5(instance, md5)
    reader = storage.open(uuid)
    try:
        with reader.map() as view:
            summary = checked_summary(instance, view)
    finally:
        reader.close()
    staged = staged_instance(uuid, reader.place, instance.size, md5, summary, ORIGIN)
    if compression is Compression.NONE:
        return staged
    return packed(storage, staged, compression)


def _read_md5(storage: StorageArea, uuid: str) -> str:
    """Read, not mapped: what is mapped counts as memory of this process."""
    digest = hashlib.md5(usedforsecurity=False)
    reader = storage.open(uuid)
    try:
        for offset in range(0, reader.size, limits.FOLLOWED_PIECE_BYTES):
            digest.update(reader.read_at(offset, limits.FOLLOWED_PIECE_BYTES))
        reader.forget(0, reader.size)
    finally:
        reader.close()
    return digest.hexdigest()


def large_md5(data: type_buffer) -> str:
    """The MD5 of a larger one: other threads run meanwhile."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def check_md5(instance: InstanceRow, md5: str) -> None:
    """Raises ``CorruptedFile``."""
    if md5 != instance.md5:
        raise CorruptedFile(f"Instance {instance.orthanc_id}: its MD5 is not the declared one")


def checked_summary(instance: InstanceRow, data: memoryview) -> Summary:
    """What the header says. Raises ``BadFileFormat``, or ``CorruptedFile`` when it is another
    instance."""
    try:
        summary = scan(data)
    except (BadFileFormat, InexistentTag, TooLarge) as error:
        reason = error.details or error.text
        raise BadFileFormat(f"Instance {instance.orthanc_id}: {reason}") from None
    if summary.identifiers.instance != instance.orthanc_id:
        raise CorruptedFile(
            f"Instance {instance.orthanc_id}: the file is another instance, "
            f"{summary.identifiers.instance}"
        )
    return summary
