"""Whether instances that a modality wants to delete are really here: their stored bytes are read.

A row of the index proves nothing to somebody who is about to delete the other copy. The checkpoint
holds how far that is, for exactly the files that the index names; when those change, in the middle
or while a report waits for its modality, all are looked at anew.

Not here: what is done with the result (``scp``).
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from wherry import clock, limits
from wherry.dicom.commitment import CLASS_CONFLICT, NO_SUCH_INSTANCE, PROCESSING_FAILURE, Reference
from wherry.errors import MissingFile
from wherry.index import sop_instances
from wherry.index.database import Index
from wherry.index.sop_instances import SopInstance
from wherry.ingest.attaching import Attaching
from wherry.jobs.handler import JobControl
from wherry.model import Attachment, type_json

_log = logging.getLogger(__name__)

_REPORT_SHARE: Final = 0.01
"""Of the progress of a job, that is left for its report."""

type_found = int | tuple[SopInstance, ...]
"""What an instance is in the index: its resources, or why it is not there."""


class CommitmentCheck:
    """One run of one job."""

    def __init__(
        self,
        index: Index,
        attachments: Attaching,
        references: Sequence[Reference],
        content: Mapping[str, type_json],
        control: JobControl,
    ) -> None:
        self._index = index
        self._attachments = attachments
        self._references = references
        self._content = content
        self._control = control
        self._files = ""
        self._done = 0
        self._failures: dict[int, int] = {}
        self._finished_at = 0.0
        self._unsaved_count = self._unsaved_bytes = 0
        self._take_up(control.job.checkpoint)

    def run(self) -> dict[int, int]:
        """Why which instances (by position) cannot be committed, true a moment ago. Blocking;
        raises ``Interrupted``."""
        while True:
            found = self._look_up()
            files = _digest(found)
            if files == self._files and self._finished_at:
                return dict(self._failures)
            if files != self._files:  # others than those that were looked at
                self._begin(files)
            self._read_all(found)
            self._finished_at = clock.timestamp()
            self._save()

    def content(self) -> dict[str, type_json]:
        """The public content of the job."""
        return {
            **self._content,
            "InstancesCount": len(self._references),
            "FailedInstancesCount": len(self._failures),
        }

    def _begin(self, files: str) -> None:
        self._files = files
        self._done = 0
        self._failures = {}
        self._finished_at = 0.0

    def _take_up(self, checkpoint: Mapping[str, type_json]) -> None:
        """Go on where an earlier run was, unless that was long ago."""
        if not checkpoint:
            return
        finished_at = float(checkpoint["FinishedAt"])
        if finished_at and not 0 <= clock.timestamp() - finished_at <= limits.COMMITMENT_FRESH_S:
            return
        self._files = checkpoint["Files"]
        self._done = checkpoint["Done"]
        self._failures = dict(checkpoint["Failures"])
        self._finished_at = finished_at

    def _save(self) -> None:
        checkpoint = {
            "Files": self._files,
            "Done": self._done,
            "Failures": [list(one) for one in self._failures.items()],
            "FinishedAt": self._finished_at,
        }
        share = self._done / len(self._references) if self._references else 1.0
        self._control.save(checkpoint, self.content(), share * (1 - _REPORT_SHARE))
        self._unsaved_count = self._unsaved_bytes = 0

    def _look_up(self) -> list[type_found]:
        stored: dict[str, list[SopInstance]] = defaultdict(list)
        with self._index.read() as tx:
            for one in sop_instances.named(tx, [one.sop_instance for one in self._references]):
                stored[one.sop_instance].append(one)
        return [_find(one, stored[one.sop_instance]) for one in self._references]

    def _read_all(self, found: Sequence[type_found]) -> None:
        for position in range(self._done, len(found)):
            one = found[position]
            reason = one if isinstance(one, int) else self._read_files(one)
            if reason:
                self._failures[position] = reason
            self._done = position + 1
            self._unsaved_count += 1
            if (
                self._unsaved_count >= limits.COMMITMENT_STEP_INSTANCES
                or self._unsaved_bytes >= limits.COMMITMENT_STEP_BYTES
            ):
                self._save()
            self._control.check()

    def _read_files(self, resources: Sequence[SopInstance]) -> int:
        """Why the instance cannot be committed; 0: it can. All files of its name must be sound:
        nobody knows which of them the modality means."""
        reasons = [self._read_file(one.orthanc_id, one.file) for one in resources]
        return next(filter(None, reasons), 0)

    def _read_file(self, orthanc_id: str, file: Attachment) -> int:
        try:
            if self._attachments.is_intact(file, self._heard):
                return 0
            problem = "is damaged"
        except MissingFile:
            _log.error("The file of instance %s is missing: it is not committed", orthanc_id)
            return NO_SUCH_INSTANCE
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        _log.error("The file of instance %s %s: it is not committed", orthanc_id, problem)
        return PROCESSING_FAILURE

    def _heard(self, size: int) -> None:
        self._unsaved_bytes += size
        self._control.check()


def _find(wanted: Reference, stored: Sequence[SopInstance]) -> type_found:
    if not stored:
        return NO_SUCH_INSTANCE
    same = tuple(one for one in stored if one.sop_class == wanted.sop_class)
    return same or CLASS_CONFLICT


def _digest(found: Sequence[type_found]) -> str:
    """Of all that the index says."""
    names = [
        one if isinstance(one, int) else [[each.orthanc_id, each.file.uuid] for each in one]
        for one in found
    ]
    return hashlib.sha256(orjson.dumps(names)).hexdigest()
