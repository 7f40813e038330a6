"""Files against what the index says of them, several at once; and what the index does not know yet.

All of it may be interrupted and done again: what is known already is not read again.

Not here: what becomes of a file that is missing or damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from wherry import limits
from wherry.dicom.scan import scan
from wherry.digests import digest_like, new_md5, split
from wherry.errors import CorruptedFile, WherryError
from wherry.index import files
from wherry.index.database import Index
from wherry.index.files import Digests, Header, StoredFile
from wherry.jobs.crew import Crew
from wherry.model import Attachment, Compression
from wherry.replication.report import Report
from wherry.storage.base import FileReader, StorageArea
from wherry.storage.content import mapped, open_content
from wherry.storage.pieces import digest_of_file

T = TypeVar("T")
_OTHER_BYTES = "the file holds other bytes"
type_progress = Callable[[int], None]


class FileCheck:
    """Over one index and its storage area. ``report.failed`` names the files that are not as they
    should be."""

    def __init__(self, index: Index, storage: StorageArea, connections: int) -> None:
        self.report = Report()
        self._index = index
        self._storage = storage
        self._connections = connections

    def count(self) -> int:
        """How many files there are."""
        with self._index.read() as tx:
            return files.count(tx)

    def unfinished(self) -> int:
        """How many files ``finish`` would read."""
        with self._index.read() as tx:
            return files.unfinished(tx)

    def finish(self, progress: type_progress) -> None:
        """Write down what adopted files do not say in the index: digests, transfer syntaxes.
        ``progress`` is told of each file that was read."""
        for page in self._pages(files.without_digest):
            digests = self._each(page, self._missing_digests, progress)
            self._index.write(partial(files.set_digests, found=digests))
        after = 0
        while True:
            with self._index.read() as tx:
                page = files.without_header(tx, after, limits.INDEX_ROWS_AT_ONCE)
            if not page:
                return
            headers = self._each(page, self._header, progress)
            self._index.write(partial(files.set_headers, found=headers))
            after = page[-1].resource

    def check(self, progress: type_progress, *, digests: bool) -> None:
        """Look whether every file is there and as long as it should be; with ``digests``, whether
        its bytes are those that were stored. ``progress`` is told of each file."""
        look = self._compare if digests else self._measure
        for page in self._pages(files.page):
            self._each(page, look, progress)

    # --- one file --------------------------------------------------------------------------
    def _measure(self, file: StoredFile) -> None:
        of = file.attachment
        if self._storage.size(of.uuid, of.place) == of.compressed_size:
            self.report.found()
        else:
            self.report.fail(of.uuid, "the file has another size")

    def _compare(self, file: StoredFile) -> None:
        of = file.attachment
        if self._digests(of) == (of.digest, of.stored_digest):
            self.report.found()
        else:
            self.report.fail(of.uuid, _OTHER_BYTES)

    def _missing_digests(self, file: StoredFile) -> Digests:
        """Those of a file of which one is known perhaps: then that one must be right."""
        of = file.attachment
        plain, stored = self._digests(of)
        if of.digest not in ("", plain) or of.stored_digest not in ("", stored):
            raise CorruptedFile(_OTHER_BYTES)
        (md5, blake3), (stored_md5, stored_blake3) = split(plain), split(stored)
        return Digests(of.uuid, md5, stored_md5, blake3, stored_blake3)

    def _digests(self, of: Attachment) -> tuple[str, str]:
        """Of the plain bytes and of the stored ones: of the kind that is known, else MD5."""

        def read(reader: FileReader, known: str) -> str:
            kind = partial(digest_like, known) if known else new_md5
            return digest_of_file(reader, kind, last_use=True)

        known = of.digest or of.stored_digest
        stored = read(self._storage.open(of.uuid, of.place), of.stored_digest or known)
        if of.compression == Compression.NONE:
            return stored, stored
        return read(open_content(self._storage, of), known), stored

    def _header(self, file: StoredFile) -> Header:
        with mapped(self._storage, file.attachment) as content:
            summary = scan(content)
        return Header(file.resource, summary.transfer_syntax, summary.sop_class_uid)

    # --- all of them -----------------------------------------------------------------------
    def _pages(self, ask: Callable[..., list[StoredFile]]) -> Iterator[list[StoredFile]]:
        after = files.START
        while True:
            with self._index.read() as tx:
                page = ask(tx, after, limits.INDEX_ROWS_AT_ONCE)
            if not page:
                return
            yield page
            after = page[-1].place

    def _each(
        self,
        page: Sequence[StoredFile],
        do: Callable[[StoredFile], T],
        progress: type_progress,
    ) -> list[T]:
        """What came of each file that could be read; the others are reported."""
        results: list[T] = []

        def one(file: StoredFile) -> None:
            try:
                results.append(do(file))
            except WherryError as error:
                self.report.fail(file.attachment.uuid, _reason(error, file.attachment))
            except OSError as error:  # its text names a path
                reason = error.strerror or type(error).__name__
                self.report.fail(file.attachment.uuid, f"the file cannot be read ({reason})")

        crew = Crew(self._connections, lambda: None, lambda: None)
        crew.work(page, one, lambda _: progress(1))
        return results


def _reason(error: WherryError, file: Attachment) -> str:
    """Without the name, so that files with the same fate are counted together."""
    return str(error).replace(file.uuid, "…")
