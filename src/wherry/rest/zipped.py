"""An uploaded ZIP: its DICOM files, staged, to be committed together.

Entries that are not DICOM are skipped, and so are DICOM files that are no instances (DICOMDIR). An
entry that says it is DICOM but is damaged refuses the whole archive: half a study is worse than
none. Names of entries are never used.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from wherry.dicom.elements import UnreadableError
from wherry.dicom.preamble import read_preamble
from wherry.errors import BadFileFormat, InexistentTag
from wherry.http.spool import Spool
from wherry.http.zipfiles import Archive, Entry
from wherry.ingest.ingest import Ingest
from wherry.model import Origin, StagedInstance


def stage_all(spool: Spool, ingest: Ingest, origin: Origin) -> list[StagedInstance]:
    """Stage every instance of the archive, in the order of its directory.

    Raises ``BadFileFormat`` and ``TooLarge``; then nothing is left.
    """
    archive = Archive(spool)
    staged: list[StagedInstance] = []

    def stage(entry: Entry) -> StagedInstance | None:
        return _stage(entry, archive.content(entry), ingest, origin)

    def undo(instance: StagedInstance | None) -> None:
        if instance is not None:
            ingest.discard([instance])

    works = (partial(stage, entry) for entry in archive.entries if entry.size)
    try:
        for instance in ingest.side_by_side(works, undo):
            if instance is not None:
                staged.append(instance)
    except BaseException:
        ingest.discard(staged)
        raise
    return staged


def _stage(
    entry: Entry, pieces: Iterator[bytes], ingest: Ingest, origin: Origin
) -> StagedInstance | None:
    """One entry; None when it is no instance."""
    first = next(pieces)
    try:
        read_preamble(first)
    except UnreadableError:
        return None
    staging = ingest.stage(origin)
    try:
        staging.write(first)
        for piece in pieces:
            staging.write(piece)
    except BaseException:
        staging.abort()
        raise
    try:
        return staging.finish()
    except InexistentTag:
        return None
    except BadFileFormat as error:
        if first[128:132] != b"DICM":
            return None
        raise BadFileFormat(f"Entry {entry.number} of the ZIP: {error.details}") from None
