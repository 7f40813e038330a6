"""One instance on its way in: bytes go to their final file, digests are taken as they pass.

A small instance that arrives in one piece is parsed before its file is made, so that garbage
never touches the disk. A large one is parsed through a map of its file: no instance is ever held
in memory. Nothing here is visible to anybody; that is ``committer``'s doing.
"""

from __future__ import annotations

from collections.abc import Callable

from wherry import clock
from wherry.dicom.scan import scan
from wherry.digests import split
from wherry.errors import TooLarge
from wherry.ingest.deposit import Deposit, Names
from wherry.model import DICOM_CONTENT, Attachment, Compression, Origin, StagedInstance, Summary
from wherry.storage.base import StorageArea, type_buffer


class Staging:
    """One instance on its way in. Blocking; one thread at a time.

    ``finish`` or ``abort`` must be called; after an exception of ``write`` or ``finish`` the
    bytes are gone already.
    """

    def __init__(
        self,
        storage: StorageArea,
        names: Names,
        origin: Origin,
        max_bytes: int,
        *,
        compression: Compression = Compression.NONE,
        digest: str = "",
    ) -> None:
        """``digest``: of the instance, if it is known."""
        self._origin = origin
        self._max_bytes = max_bytes
        self._deposit = Deposit(
            storage, names, compression=compression, max_bytes=max_bytes, digest=digest
        )
        self._first: type_buffer = b""

    def write(self, data: type_buffer) -> None:
        """Take the next bytes. Raises ``TooLarge``, ``StorageFull``, ``CannotWriteFile``."""
        if not data:
            return
        if not self._first and not self._deposit.size:
            self._first = data
            return
        with self._cleaning_up():
            self._flush_first()
            self._deposit.write(data)

    def finish(self) -> StagedInstance:
        """Sync the file and say what it holds. Raises ``BadFileFormat``, ``InexistentTag``."""
        with self._cleaning_up():
            if self._deposit.size:
                with self._deposit.content() as view:
                    summary = scan(view)
            else:
                if len(self._first) > self._max_bytes:
                    raise TooLarge(f"An instance may have at most {self._max_bytes} bytes")
                summary = scan(_bytes(self._first))
                self._flush_first()
            attachment = self._deposit.finish()
        return staged_file(attachment, summary, self._origin)

    def abort(self) -> None:
        """Forget the bytes. Safe to call at any time, also twice."""
        self._first = b""
        self._deposit.abort()

    def _flush_first(self) -> None:
        if self._first:
            first, self._first = self._first, b""
            self._deposit.write(first)

    def _cleaning_up(self) -> _OnError:
        return _OnError(self.abort)


class _OnError:
    """Call ``clean`` when the block raises."""

    def __init__(self, clean: Callable[[], None]) -> None:
        self._clean = clean

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._clean()


def _bytes(data: type_buffer) -> bytes | memoryview:
    return memoryview(data) if isinstance(data, bytearray) else data


def staged_file(
    attachment: Attachment, summary: Summary, origin: Origin, reception_date: str = ""
) -> StagedInstance:
    """A verified file as the index wants to know it, with what it holds. ``reception_date``: of now
    if it is not given."""
    return StagedInstance(
        summary, attachment, origin, reception_date or clock.orthanc_date(clock.now())
    )


def staged_instance(
    uuid: str,
    place: str,
    size: int,
    digest: str,
    summary: Summary,
    origin: Origin,
    reception_date: str = "",
) -> StagedInstance:
    """``staged_file`` of one that is not compressed."""
    md5, blake3 = split(digest)
    attachment = Attachment(
        uuid=uuid,
        content_type=DICOM_CONTENT,
        uncompressed_size=size,
        uncompressed_md5=md5,
        compressed_size=size,
        compressed_md5=md5,
        place=place,
        uncompressed_blake3=blake3,
        compressed_blake3=blake3,
    )
    return staged_file(attachment, summary, origin, reception_date)
