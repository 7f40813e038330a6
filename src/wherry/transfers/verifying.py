"""Whether an instance that arrived is the one that was declared: size, digest, identity."""

from __future__ import annotations

from functools import partial

from wherry import limits
from wherry.dicom.scan import scan
from wherry.digests import digest_like, digest_of, is_md5, small_md5, type_kind
from wherry.errors import BadFileFormat, CorruptedFile, InexistentTag, MissingFile, TooLarge
from wherry.index.transfer_rows import InstanceRow
from wherry.ingest.staging import staged_instance
from wherry.model import Compression, Origin, StagedInstance, Summary
from wherry.storage.base import StorageArea, type_buffer
from wherry.storage.pieces import digest_of_file
from wherry.transfers.packing import packed

ORIGIN = Origin(kind="Plugins")
"""What Orthanc notes of instances that its transfers plugin brings."""


def verify(
    storage: StorageArea,
    instance: InstanceRow,
    uuid: str,
    digest: str | None,
    *,
    compression: Compression = Compression.NONE,
) -> StagedInstance:
    """An instance whose parts are all in one file. ``digest``: when it was taken as the
    parts came; else the whole file is read. Raises ``CorruptedFile``, ``BadFileFormat``.

    With a ``compression`` the answer is in another file; that of the parts stays, because a crash
    may still make somebody verify it again.
    """
    try:
        if storage.size(uuid) != instance.size:
            raise CorruptedFile(f"Instance {instance.orthanc_id}: some of its bytes are missing")
    except MissingFile:
        raise CorruptedFile(f"Instance {instance.orthanc_id}: no byte of it arrived") from None
    if digest is None:
        digest = digest_of_file(storage.open(uuid), kind_of(instance), last_use=True)
    check_digest(instance, digest)
    reader = storage.open(uuid)
    try:
        with reader.map() as view:
            summary = checked_summary(instance, view)
    finally:
        reader.close()
    staged = staged_instance(uuid, reader.place, instance.size, instance.digest, summary, ORIGIN)
    if compression is Compression.NONE:
        return staged
    return packed(storage, staged, compression)


def kind_of(instance: InstanceRow) -> type_kind:
    """The digest that was declared."""
    return partial(digest_like, instance.digest)


def check_bytes(instance: InstanceRow, data: type_buffer) -> None:
    """The whole instance. Raises ``CorruptedFile``."""
    small = is_md5(instance.digest) and len(data) <= limits.SMALL_FILE_BYTES
    check_digest(instance, small_md5(data) if small else digest_of(data, kind_of(instance)))


def check_digest(instance: InstanceRow, digest: str) -> None:
    """Raises ``CorruptedFile``."""
    if digest != instance.digest:
        name = "MD5" if is_md5(instance.digest) else "BLAKE3"
        raise CorruptedFile(f"Instance {instance.orthanc_id}: its {name} is not the declared one")


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
