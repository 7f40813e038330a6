"""Files beside the instances: attached, replaced, taken away, packed and unpacked.

They come in by the rules of the one door: a name out of a journaled block, bytes written and
synced, then one index transaction that makes the file visible and gives up the one before it. A
crash at any point leaves no file without its row and no row without its file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial

from wherry.digests import digest_like, new_md5, type_kind
from wherry.errors import CorruptedFile, Unavailable
from wherry.index import attachments, recycling
from wherry.index.database import Index, Transaction
from wherry.index.recycling import Bounds
from wherry.ingest.deposit import Deposit
from wherry.ingest.newfiles import NewFiles
from wherry.ingest.recovery import Janitor
from wherry.model import Attachment, Compression, Level, Revision
from wherry.storage.base import StorageArea
from wherry.storage.content import open_content
from wherry.storage.pieces import digest_of_file, pieces
from wherry.storage.unnoted import unnoted

_ATTEMPTS = 3


class Attaching:
    """Blocking; from any thread. A file is named by level, resource and number (``content_type``);
    ``claimed`` and ``required`` are explained in ``index.revisions``."""

    def __init__(
        self,
        index: Index,
        storage: StorageArea,
        files: NewFiles,
        janitor: Janitor,
        *,
        compression: Compression,
        codec: Compression,
        max_bytes: int,
        bounds: Bounds | None = None,
    ) -> None:
        self._index = index
        self._storage = storage
        self._files = files
        self._janitor = janitor
        self._compression = compression
        self._codec = codec
        self._max_bytes = max_bytes
        self._bounds = bounds

    def deposit(self, content_type: int) -> Deposit:
        """Begin a new file; ``attach`` it, or ``abort`` it. Its entity tag will have its MD5."""
        return self._deposit(content_type, self._compression, self._max_bytes, new_md5)

    def attach(
        self,
        level: Level,
        orthanc_id: str,
        deposit: Deposit,
        *,
        claimed: Revision | None = None,
        required: bool = False,
    ) -> Attachment:
        """Make a written file visible, in place of the one with its number.

        When it raises, nothing has changed and the file is gone. Raises ``UnknownResource``,
        ``BadRevision``, ``NoRoom``.
        """

        def work(tx: Transaction, attachment: Attachment) -> Attachment:
            if self._bounds is not None:
                recycling.make_room_beside(tx, self._bounds, level, orthanc_id, attachment)
            return attachments.put(
                tx, level, orthanc_id, attachment, claimed=claimed, required=required
            )

        attached = self._commit(deposit, work)
        assert attached is not None
        return attached

    def detach(
        self,
        level: Level,
        orthanc_id: str,
        content_type: int,
        *,
        claimed: Revision | None = None,
        required: bool = False,
    ) -> None:
        """Take a file away. Raises ``UnknownResource``, ``BadRevision``."""
        self._index.write(
            lambda tx: attachments.remove(
                tx, level, orthanc_id, content_type, claimed=claimed, required=required
            )
        )
        self._janitor.wake()

    def recompress(
        self, level: Level, orthanc_id: str, content_type: int, *, compress: bool
    ) -> None:
        """Store a file packed, or plain; nothing happens when it is so already.

        Raises ``UnknownResource``, ``MissingFile``, ``CorruptedFile`` when the bytes are not those
        that were stored: they are left as they are.
        """
        for _ in range(_ATTEMPTS):
            with self._index.read() as tx:
                known = attachments.get(tx, level, orthanc_id, content_type)
            if (known.compression != Compression.NONE) is compress:
                return
            wanted = self._codec if compress else Compression.NONE
            if self._rewrite(level, orthanc_id, known, wanted):
                return
        raise Unavailable("Others are changing this attachment")

    @unnoted()
    def is_intact(
        self, attachment: Attachment, read: Callable[[int], None] = lambda size: None
    ) -> bool:
        """Whether the stored bytes, and what they unpack to, are those that were stored: those on
        the disk, not what the system still has of them in memory.

        ``read`` is told how many bytes were read, every now and then; what it raises passes
        through. Raises ``MissingFile``.
        """
        try:
            return self._is_intact(attachment, read)
        except CorruptedFile:  # a container, or what is packed, gives nothing of it out
            return False

    def _is_intact(self, attachment: Attachment, read: Callable[[int], None]) -> bool:
        stored = self._storage.open(attachment.uuid, attachment.place)
        if stored.size != attachment.compressed_size:
            stored.close()
            return False
        stored.forget(0, stored.size)
        known = attachment.stored_digest
        if digest_of_file(stored, partial(digest_like, known), read) != known:
            return False
        if attachment.compression == Compression.NONE:
            return True
        plain = open_content(self._storage, attachment)
        known = attachment.digest
        return digest_of_file(plain, partial(digest_like, known), read) == known

    def _deposit(
        self, content_type: int, compression: Compression, max_bytes: int, kind: type_kind
    ) -> Deposit:
        return Deposit(
            self._storage,
            self._files.names,
            content_type,
            compression=compression,
            max_bytes=max_bytes,
            kind=kind,
        )

    def _commit(
        self,
        deposit: Deposit,
        work: Callable[[Transaction, Attachment], Attachment | None],
    ) -> Attachment | None:
        """Finish the file, then one transaction; the file stays only if ``work`` answers it."""
        try:
            written = deposit.finish()
        except BaseException:
            deposit.abort()
            raise

        def owned(tx: Transaction) -> Attachment | None:
            self._files.check_owned(tx, [written.uuid])
            return work(tx, written)

        try:
            committed = self._index.write(owned)
        except BaseException:
            self._files.give_up([written])
            raise
        if committed is None:
            self._files.give_up([written])
        else:
            self._files.settle(written.uuid)
        self._janitor.wake()
        return committed

    def _rewrite(
        self, level: Level, orthanc_id: str, known: Attachment, wanted: Compression
    ) -> bool:
        """Whether the new file took the place of ``known``."""
        kind = partial(digest_like, known.digest)
        deposit = self._deposit(known.content_type, wanted, known.uncompressed_size, kind)
        try:
            self._copy(known, deposit)
        except BaseException:
            deposit.abort()
            raise

        def work(tx: Transaction, attachment: Attachment) -> Attachment | None:
            written = _with_digests_of(known, attachment)
            done = attachments.exchange(tx, level, orthanc_id, known, written)
            return written if done else None

        return self._commit(deposit, work) is not None

    def _copy(self, known: Attachment, deposit: Deposit) -> None:
        """Its plain bytes, if they are what they were."""
        with closing(open_content(self._storage, known)) as reader:
            for piece in pieces(reader, 0, known.uncompressed_size):
                deposit.write(piece)
        if deposit.digest != known.digest:
            raise CorruptedFile(f"The stored file {known.uuid} is damaged")


def _with_digests_of(known: Attachment, written: Attachment) -> Attachment:
    """The plain bytes are the same."""
    md5, blake3 = known.uncompressed_md5, known.uncompressed_blake3
    file = replace(written, uncompressed_md5=md5, uncompressed_blake3=blake3)
    if file.compression == Compression.NONE:
        return replace(file, compressed_md5=md5, compressed_blake3=blake3)
    return file
