"""Folder → server: every DICOM file, also those in ZIP archives, until all of them are there.

What a server has already is not sent again, so that a second run goes on where the first one
stopped: no notes are kept, the server itself is asked. Of every instance the MD5 there is compared
with that of the file here.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from wherry import limits
from wherry.dicom.scan import scan
from wherry.errors import WherryError
from wherry.jobs.crew import Crew
from wherry.replication.folder import Found, walk
from wherry.replication.local import LocalFile, temporary
from wherry.replication.remote import Remote, ends_it
from wherry.replication.report import Report

_ZIP = b"PK\x03\x04"
_PART10 = slice(128, 132)
_DICOMDIR = b"1.2.840.10008.1.3.10"
"""SOP class of a DICOMDIR (PS3.4 Annex I), among the first elements."""
_HEAD_BYTES = 512
_CONFLICT = "the server has other bytes under the same identifiers, and keeps them"
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class FolderImport:
    """One run. ``run`` returns when everything was looked at; raises when there is no point in
    going on."""

    def __init__(
        self,
        target: Remote,
        roots: list[Path],
        *,
        connections: int = limits.REPLICATION_CONNECTIONS,
    ) -> None:
        self.report = Report()
        self._target = target
        self._roots = roots
        self._connections = connections
        self._progress: Callable[[int], None] = _nobody
        self._asks = True

    def run(self, progress: Callable[[int], None]) -> None:
        """``progress`` is told the size of each file that is dealt with.

        Raises ``WherryError`` when the server is out of reach, refuses us, or is full."""
        self._asks = self._target.count() > 0
        self._progress = progress
        crew = Crew(self._connections, lambda: None, self._target.abort)
        self._target.wait = crew.pause
        crew.work(self._files(), self._one)

    def _files(self) -> Iterator[Found]:
        for root in self._roots:
            yield from walk(root, self.report.skip, self.report.fail)

    def _one(self, found: Found) -> None:
        name = str(found.path)
        try:
            with LocalFile.open(found.path) as file:
                if file.read_at(0, 4) == _ZIP:
                    self._archive(found.path, name)
                else:
                    self._file(file, name)
        except OSError as error:
            self.report.fail(name, f"unreadable ({error.strerror})")
        self._progress(found.size)

    def _archive(self, path: Path, name: str) -> None:
        """Each file of a ZIP, unpacked one at a time."""
        try:
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    if not entry.is_dir():
                        self._entry(archive, entry, f"{name}: {entry.filename}")
        except zipfile.BadZipFile:
            self.report.fail(name, "a damaged ZIP")

    def _entry(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> None:
        most = max(limits.INFLATE_FREE_BYTES, limits.INFLATE_RATIO * entry.compress_size)
        if entry.file_size > min(most, limits.INSTANCE_BYTES):
            self.report.fail(name, "unpacks to more than makes sense")
            return
        with temporary() as file:
            try:
                with archive.open(entry) as packed:
                    while piece := packed.read(limits.READ_CHUNK_BYTES):
                        file.write(piece)
            except _BROKEN_ZIP:
                self.report.fail(name, "damaged or encrypted inside its ZIP")
                return
            unpacked = LocalFile(file)
            if unpacked.read_at(0, 4) == _ZIP:
                self.report.skip(name, "a ZIP inside a ZIP")
            else:
                self._file(unpacked, name)

    def _file(self, file: LocalFile, name: str) -> None:
        expected = _identifier(file)
        if expected is None:
            self.report.skip(name, _why_not(file))
            return
        try:
            self._hand_in(file, name, expected)
        except WherryError as error:
            if ends_it(error):
                raise
            self.report.fail(name, str(error))

    def _hand_in(self, file: LocalFile, name: str, expected: str) -> None:
        md5 = file.md5()
        if self._asks and expected:
            there = self._target.md5_of(expected)
            if there == md5:
                self.report.found()
                return
            if there:
                self.report.fail(name, _CONFLICT)
                return
        identifier, already = self._target.store(file)
        there = self._target.md5_of(identifier)
        if there == md5 or (not there and identifier == expected):
            if already:
                self.report.found()
            else:
                self.report.stored(file.size, compared=bool(there))
        elif already:
            self.report.fail(name, _CONFLICT)
        else:
            self.report.fail(name, "the server has stored something else")


def _identifier(file: LocalFile) -> str | None:
    """The Orthanc identifier; "" for DICOM that only the server may be able to read; None for
    what is no DICOM."""
    try:
        with file.map() as content:
            return scan(content).identifiers.instance
    except WherryError:
        head = file.read_at(0, _HEAD_BYTES)
        return "" if head[_PART10] == b"DICM" and _DICOMDIR not in head else None


def _why_not(file: LocalFile) -> str:
    head = file.read_at(0, _HEAD_BYTES)
    if not head:
        return "empty"
    return "a DICOMDIR" if head[_PART10] == b"DICM" else "not DICOM"


def _nobody(step: int) -> None:
    """Nobody looks at the progress yet."""
