"""Where the files of an Orthanc lie: the ``place`` of each, from its configuration and a look at
the local folder.

Orthanc writes down nowhere where a file is. With objects beside a file system (``HybridMode``) the
one that lies in the file system is taken, whichever side new files go to: both would be the same
bytes.

Not here: whether an object is there (``filecheck``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, NamedTuple

from wherry.config import Config
from wherry.config.objects import Hybrid, ObjectsConfig
from wherry.model import Attachment
from wherry.storage.places import FILE_SYSTEM, LEGACY, OBJECT_STORAGE, Place

_EXTENSIONS: Final = {1: ".dcm", 2: ".json", 3: ".dcm.head"}
_OTHERS: Final = ".unk"
_SEALED: Final = ".enc"
_CONTAINER: Final = "A1"
_CONTAINER_BYTES: Final = 86
"""By how much Orthanc's container is longer than what is in it."""


class Found(NamedTuple):
    """What is known of one file before it is opened."""

    place: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Of one Orthanc."""

    folder: str
    """``StorageDirectory``."""
    objects: ObjectsConfig | None = None
    """None = all files lie in the folder."""
    sealed: bool = False
    """Whether what is new is encrypted (``StorageEncryption``)."""

    @classmethod
    def of(cls, config: Config) -> Whereabouts:
        """As its configuration says."""
        objects: ObjectsConfig | None = getattr(config, "objects", None)
        encryption = getattr(config, "encryption", None)
        # Without objects there is no plugin that would have encrypted anything.
        return cls(str(config.storage_directory), objects, bool(objects and encryption))

    def look(self, file: Attachment) -> Found:
        """Where it is; and what is wrong with it, as far as one sees that without opening it."""
        if self.objects is not None and self.objects.hybrid is Hybrid.DISABLED:
            return Found(self._object(file))
        uuid = file.uuid
        try:
            path = f"{self.folder}/{uuid[:2]}/{uuid[2:4]}/{uuid}"
            size = os.stat(path).st_size  # noqa: PTH116  (pathlib takes three times as long)
        except FileNotFoundError:
            if self.objects is not None:
                return Found(self._object(file))
            return Found("", "the file is missing")
        if size == file.compressed_size:
            return Found("")
        place = str(Place(FILE_SYSTEM, "", _CONTAINER)) if self.sealed else ""
        whole = self.sealed and size == file.compressed_size + _CONTAINER_BYTES
        return Found(place, "" if whole else "the file has another size")

    def _object(self, file: Attachment) -> str:
        assert self.objects is not None
        seal = _CONTAINER if self.sealed else ""
        if self.objects.legacy_names:
            return str(Place(OBJECT_STORAGE, LEGACY, seal))
        name = _EXTENSIONS.get(file.content_type, _OTHERS)
        return str(Place(OBJECT_STORAGE, name + (_SEALED if seal else ""), seal))
