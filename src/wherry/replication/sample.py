"""A few of the objects of an Orthanc, spread over all of them: are they there?

To ask for each of them would take as long as ``filecheck``. A bucket that was mistaken, a wrong
``RootPath`` or structure show in a few.

Not here: which files are taken to be objects (``whereabouts``).
"""

from __future__ import annotations

from dataclasses import replace

from wherry import limits
from wherry.config import Config
from wherry.config.objects import AzureConfig
from wherry.errors import MissingFile, Unavailable
from wherry.model import Attachment
from wherry.replication.report import Report
from wherry.storage.base import StorageArea
from wherry.storage.places import Place
from wherry.storage.sealed.a1 import OVERHEAD_BYTES


class Sample:
    """``count`` files are taken to be objects, ``looked_at`` of them were asked for."""

    def __init__(self) -> None:
        self.count = 0
        self.looked_at = 0
        self._kept: list[Attachment] = []
        self._step = 1

    def add(self, file: Attachment) -> None:
        """One more, which knows its place."""
        if self.count % self._step == 0:
            self._kept.append(file)
        self.count += 1
        if len(self._kept) > limits.ADOPTION_SAMPLE:
            del self._kept[1::2]
            self._step *= 2

    def look(self, storage: StorageArea, report: Report) -> None:
        """Ask for those that were kept. An object storage that is out of reach is no loss, but
        something to know."""
        for file in self._kept:
            try:
                size = storage.size(file.uuid, file.place)
            except MissingFile:
                report.fail(file.uuid, f"the object is missing (of {len(self._kept)} looked at)")
            except Unavailable as error:
                report.skip(file.uuid, f"{error}: the other objects were not looked at")
                return
            else:
                sealed = OVERHEAD_BYTES if Place.parse(file.place).seal else 0
                if size != file.compressed_size + sealed:
                    reason = f"the object has another size (of {len(self._kept)} looked at)"
                    report.fail(file.uuid, reason)
            self.looked_at += 1


def bucket(config: Config) -> StorageArea:
    """The object storage of ``config``, for a look: nothing is made there, and one that does not
    answer is soon given up. Raises ``ConfigurationError``."""
    from wherry.storage.objects import object_storage  # costs those who have objects

    objects = config.objects
    assert objects is not None
    objects = replace(
        objects,
        max_retries=min(objects.max_retries, limits.ADOPTION_SAMPLE_RETRIES),
        connect_timeout_s=min(objects.connect_timeout_s, limits.ADOPTION_SAMPLE_TIMEOUT_S),
        request_timeout_s=min(objects.request_timeout_s, limits.ADOPTION_SAMPLE_TIMEOUT_S),
    )
    if isinstance(objects, AzureConfig):
        objects = replace(objects, create_container=False)
    return object_storage(
        objects, config.storage_directory, ca_certificates=config.https_ca_certificates
    )
