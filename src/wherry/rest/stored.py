"""The stored DICOM file of an instance, opened for whoever looks into it."""

from __future__ import annotations

from contextlib import AbstractContextManager

from wherry.errors import UnknownResource
from wherry.http.services import Services
from wherry.index import resources
from wherry.index.glance import glance
from wherry.model import Attachment
from wherry.storage import content


def dicom_file(rooms: Services, orthanc_id: str) -> Attachment:
    """The DICOM attachment of an instance. Raises ``UnknownResource``."""
    with glance(rooms.index) as tx:
        found = resources.files_of(tx, [orthanc_id]).get(orthanc_id)
    if found is None:
        raise UnknownResource
    return found


def mapped(rooms: Services, attachment: Attachment) -> AbstractContextManager[memoryview]:
    """The bytes of a file, plain whatever its compression; only what is looked at is read.

    Blocking. Raises ``MissingFile``.
    """
    return content.mapped(rooms.storage, attachment)
