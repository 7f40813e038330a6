"""Reading stored files again, to describe their resources anew (``/reconstruct``).

For a store whose main tags were chosen otherwise when it was filled (``ExtraMainDicomTags``), or
to let one resource decide what its parents are called. Done in portions, each in a transaction of
its own: it may be interrupted and done again.

Not here: what is written (``index.refreshing``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from wherry import limits
from wherry.dicom.scan import scan
from wherry.errors import CorruptedFile, MissingFile, UnknownResource
from wherry.index import refreshing, resources
from wherry.index.database import Index
from wherry.index.refreshing import Read
from wherry.model import Attachment, Level
from wherry.storage.base import StorageArea
from wherry.storage.content import open_content

_PATIENTS_AT_ONCE: Final = 500


class Reconstruction:
    """Describes resources anew; ``signatures`` say which tags are kept of each level."""

    def __init__(self, index: Index, storage: StorageArea, signatures: Mapping[Level, str]) -> None:
        self._index = index
        self._storage = storage
        self._signatures = signatures

    def everything(self) -> None:
        """All there is, patient by patient; one that is deleted meanwhile is left out."""
        last = 0
        while True:
            with self._index.read() as tx:
                page = resources.following(tx, Level.PATIENT, _PATIENTS_AT_ONCE, after=last)
            if not page:
                return
            for patient in page:
                with suppress(UnknownResource):
                    self.one(Level.PATIENT, patient.orthanc_id)
            last = page[-1].row

    def one(self, level: Level, orthanc_id: str, *, only_this_level: bool = False) -> None:
        """A resource, all below it and, as its first instance says, all above it.

        ``only_this_level``: nothing but its own tags, from its first instance. Raises
        ``UnknownResource``, and ``CorruptedFile`` when a file holds another instance than it did.
        """
        with self._index.read() as tx:
            files = resources.files_under(tx, level, orthanc_id)
            order = resources.descendants(tx, level, orthanc_id, Level.INSTANCE)
        if files is None or order is None:
            raise UnknownResource
        file_of = dict(files)
        in_order = [(one, file_of[one]) for one in order if one in file_of]
        if only_this_level:
            self._portion(in_order[:1], (level,), frozenset())
            return
        described: set[int] = set()
        size = limits.RECONSTRUCTED_AT_ONCE
        for start in range(0, len(in_order), size):
            described |= self._portion(in_order[start : start + size], tuple(Level), described)

    def _portion(
        self,
        files: Sequence[tuple[str, Attachment]],
        levels: Sequence[Level],
        described: Collection[int],
    ) -> set[int]:
        read = []
        for orthanc_id, attachment in files:
            try:
                read.append(self._read(orthanc_id, attachment))
            except MissingFile:
                with self._index.read() as tx:
                    now = resources.files_of(tx, [orthanc_id]).get(orthanc_id)
                if now == attachment:  # neither deleted nor replaced meanwhile
                    raise
        work = partial(
            refreshing.refresh,
            read=read,
            levels=levels,
            signatures=self._signatures,
            described=described,
        )
        return self._index.write(work)

    def _read(self, orthanc_id: str, attachment: Attachment) -> Read:
        reader = open_content(self._storage, attachment)
        try:
            with reader.map() as content:
                summary = scan(content)
        finally:
            reader.close()
        if summary.identifiers.instance != orthanc_id:
            raise CorruptedFile(f"The file of instance {orthanc_id} holds another instance")
        return Read(attachment.uuid, summary)
