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
from wherry.storage.objects.names import Names
from wherry.storage.places import FILE_SYSTEM, OBJECT_STORAGE, Place
from wherry.storage.sealed.a1 import OVERHEAD_BYTES

_CONTAINER: Final = "A1"


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
        objects, encryption = config.objects, config.encryption
        # Without objects there was no plugin that would have encrypted anything.
        sealed = objects is not None and encryption is not None and bool(encryption.container)
        return cls(str(config.storage_directory), objects, sealed)

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
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return Found("", f"the file cannot be looked at ({reason})")
        if size == file.compressed_size:
            return Found("")
        place = str(Place(FILE_SYSTEM, "", _CONTAINER)) if self.sealed else ""
        whole = self.sealed and size == file.compressed_size + OVERHEAD_BYTES
        return Found(place, "" if whole else "the file has another size")

    def _object(self, file: Attachment) -> str:
        assert self.objects is not None
        names = Names(
            "", legacy=self.objects.legacy_names, sealed=self.sealed, unknown_headers=False
        )
        name = names.name(file.content_type)
        return str(Place(OBJECT_STORAGE, name, _CONTAINER if self.sealed else ""))
