"""Where a file lies, and in which form: the ``place`` that the index keeps of each file.

    ""                                    in the file system, as it is
    "object-storage:.dcm:"                an object, named by its UUID and ``.dcm``
    "object-storage:.dcm.enc:A1"          an object in Orthanc's encrypted container
    "file-system::W1"                     in the file system, in our encrypted container

Only the storage area reads it. What is compressed is another matter (``Attachment.compression``):
a file is compressed first, then encrypted, then put somewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wherry.errors import CorruptedFile

FILE_SYSTEM: Final = "file-system"
OBJECT_STORAGE: Final = "object-storage"
LEGACY: Final = "/"
"""The name of an object in two levels of folders, without an extension."""
_STORES = (FILE_SYSTEM, OBJECT_STORAGE)
_FIELDS = 3


@dataclass(frozen=True, slots=True)
class Place:
    """``str()`` gives the text for the index, ``parse`` takes it."""

    store: str = FILE_SYSTEM
    """``FILE_SYSTEM`` or ``OBJECT_STORAGE``."""
    name: str = ""
    """Of an object: what follows the UUID, or ``LEGACY``."""
    seal: str = ""
    """The container: empty = in clear, ``A1`` = Orthanc's, ``W1`` = ours; what the container wants
    to be remembered may follow behind ``=``."""

    def __str__(self) -> str:
        if self == _PLAIN:
            return ""
        return f"{self.store}:{self.name}:{self.seal}"

    @staticmethod
    def parse(text: str) -> Place:
        """Raises ``CorruptedFile``: the index says something that nobody has written."""
        fields = text.split(":") if text else [FILE_SYSTEM, "", ""]
        if len(fields) != _FIELDS or fields[0] not in _STORES:
            raise CorruptedFile(f"A stored file has an unknown place: {text[:100]!r}")
        return Place(*fields)


_PLAIN: Final = Place()


def is_far(place: str) -> bool:
    """Whether what a place names is an object: opening it waits for a network."""
    return place.startswith(OBJECT_STORAGE)
