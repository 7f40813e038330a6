"""What there is to adopt, and what would be lost: an Orthanc's index read once, with a look at each
local file. Nothing is changed.

Not here: taking it over (``adoption``), a look at every object in a cloud (``filecheck``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from wherry.config import Config, read_peer
from wherry.config.modalities import read_modality
from wherry.config.names import CONTENT_NAMES, METADATA_NAMES, NUMBERS_OF_USERS
from wherry.errors import ConfigurationError, DatabaseError
from wherry.index.adopting import KNOWN_CHANGES
from wherry.index.orthanc.reading import JOBS, MODALITIES, PEERS, OrthancFile, OrthancIndex
from wherry.model import DICOM_CONTENT, Level
from wherry.replication.report import Report
from wherry.replication.sample import Sample, bucket
from wherry.replication.whereabouts import Whereabouts
from wherry.storage.base import StorageArea
from wherry.storage.places import OBJECT_STORAGE

_OF_THE_DATABASE: Final = frozenset((1, 2, 6, 7, 8))
"""Global properties that only say what the database itself is like."""
_ANONYMIZED: Final = 3
_UNFINISHED: Final = ("Pending", "Running", "Paused", "Retry")
_PLUGINS: Final = ("KeyValueStores", "Queues")

type_progress = Callable[[int], None]


class Survey:
    """One look at all of it. ``report.failed`` is what would be lost, ``report.skipped`` what one
    should know."""

    def __init__(
        self,
        config: Config,
        source: OrthancIndex,
        open_objects: Callable[[Config], StorageArea] = bucket,
        idle: Sequence[str] = (),
    ) -> None:
        """``idle``: keys of the Orthanc's configuration that do nothing here."""
        self.report = Report()
        self.objects = Sample()
        self.counts: dict[str, int] = {}
        """What will be taken over, in words."""
        self.declared: dict[str, dict[str, Any]] = {}
        """Peers and modalities: name of the setting → entries."""
        self._config = config
        self._source = source
        self._idle = idle
        self._open_objects = open_objects
        self._whereabouts = Whereabouts.of(config)

    @property
    def resources(self) -> int:
        """Of all levels."""
        return sum(self._source.count(level) for level in Level)

    def run(self, progress: type_progress) -> None:
        """``progress`` is told of each portion of resources. Raises ``DatabaseError`` when the
        index contradicts itself."""
        if repeated := self._source.repeated():
            raise DatabaseError(
                f"The index of this Orthanc is damaged: {repeated} identifiers stand twice"
            )
        self._resources(progress)
        self._files()
        self._logs()
        self._properties()
        self._declarations()
        self._configuration()
        if damaged := self._source.damaged_texts:
            self._lose("a text that is no UTF-8 (the rest of it is taken over)", damaged)

    # --- resources -------------------------------------------------------------------------
    def _resources(self, progress: type_progress) -> None:
        for level in Level:
            total = 0
            for portion in self._source.resources(level):
                for one in portion:
                    for number in one.metadata:
                        if number not in METADATA_NAMES and number not in NUMBERS_OF_USERS:
                            name = f"{level.title} {one.orthanc_id}"
                            reason = f"metadata {number} has no name here, and keeps its number"
                            self.report.skip(name, reason)
                total += len(portion)
                progress(len(portion))
            self.counts[level.plural] = total
        for row in sorted(self._source.unsound):
            self.report.fail(f"row {row}", "a resource whose parent is missing")
        self.counts["labels"] = sum(map(len, self._source.labels()))
        self.counts["protected patients"] = self.counts[Level.PATIENT.plural] - len(
            {row for row, _ in self._source.recycling_order()} - self._source.unsound
        )

    def _files(self) -> None:
        count = size = 0
        for portion in self._source.files():
            for one in portion:
                if self._file(one):
                    count += 1
                    size += one.attachment.compressed_size
        for orthanc_id in self._source.instances_without_file():
            self.report.fail(f"Instance {orthanc_id}", "an instance without a DICOM file")
        self.counts["files"] = count
        self.counts["bytes"] = size
        if self.objects.count:
            storage = self._open_objects(self._config)
            try:
                self.objects.look(storage, self.report)
            finally:
                storage.close()

    def _file(self, one: OrthancFile) -> bool:
        """Look at one file; whether it is taken over."""
        file = one.attachment
        if one.problem:
            self.report.fail(file.uuid, f"a file that nobody can read: {one.problem}")
            return False
        found = self._whereabouts.look(file)
        if found.problem:
            self.report.fail(file.uuid, found.problem)
        elif found.place.startswith(OBJECT_STORAGE):
            self.report.skip(file.uuid, "taken to be objects: only --check looks at all of them")
            self.objects.add(replace(file, place=found.place))
        if not (file.uncompressed_md5 and file.compressed_md5):
            self.report.skip(file.uuid, "no digest is known: the file will be read")
        number = file.content_type
        if number not in CONTENT_NAMES and number not in NUMBERS_OF_USERS:
            reason = f"attachment {number} has no name here, and keeps its number"
            self.report.skip(file.uuid, reason)
        if number == DICOM_CONTENT and one.level is not Level.INSTANCE:
            self.report.skip(file.uuid, "a DICOM file of something that is no instance")
        return True

    # --- logs and the rest -----------------------------------------------------------------
    def _logs(self) -> None:
        self.counts["changes"] = 0
        for log in self._source.changes():
            for one in log:
                if one.change_type in KNOWN_CHANGES:
                    self.counts["changes"] += 1
                else:
                    self.report.fail(f"change {one.seq}", f"changes of type {one.change_type}")
        self.counts["exports"] = sum(map(len, self._source.exports()))

    def _properties(self) -> None:
        for number in sorted(self._source.properties()):
            if number == _ANONYMIZED:
                self.report.skip("property 3", "the numbering of anonymized patients begins anew")
            elif number not in (*_OF_THE_DATABASE, JOBS, MODALITIES, PEERS):
                self.report.fail(f"property {number}", "what a plugin wrote for itself")
        for table in _PLUGINS:
            if rows := self._source.rows(table):
                self._lose("what a plugin wrote for itself", rows, table)
        for kind, state in self._source.jobs():
            if state in _UNFINISHED:
                self.report.fail(kind, "a job that is not finished: start it anew")
            else:
                self.report.skip(kind, "a job that is finished is not taken over")

    def _configuration(self) -> None:
        for key in self._idle:
            self.report.skip(
                key, "does nothing here: nothing is filtered, routed or forbidden by it"
            )
        for key, bound in (
            ("MaximumStorageSize", self._config.maximum_storage_bytes),
            ("MaximumPatientCount", self._config.maximum_patient_count),
        ):
            if bound and self._config.maximum_storage_mode == "Recycle":
                reason = "holds here too: recycling takes files that the Orthanc still lists"
                self.report.skip(key, reason)

    def _declarations(self) -> None:
        dimse = self._config.dimse.modalities_in_database
        for number, setting, used, read in (
            (MODALITIES, "modalities", dimse, read_modality),
            (PEERS, "peers", self._config.orthanc_peers_in_database, read_peer),
        ):
            self.declared[setting] = {}
            for name, entry in self._source.document(number).items():
                if not used:
                    reason = f"{setting} in the database, which this configuration does not use"
                    self.report.skip(name, reason)
                    continue
                try:
                    read(name, entry)
                except ConfigurationError as error:
                    self.report.fail(name, f"{setting} that make no sense here: {error.details}")
                else:
                    self.declared[setting][name] = entry
            self.counts[setting] = len(self.declared[setting])

    def _lose(self, reason: str, count: int, name: str = "") -> None:
        for _ in range(count):
            self.report.fail(name, reason)
