"""What an instance that is created inherits from the resource it is attached to.

The texts of the modules of the parent's level and of those above (PS3.3 §C.7), as the first of its
instances has them; as in Orthanc, without sequences.
"""

from __future__ import annotations

from wherry.dicom.attributes import SPECIFIC_CHARACTER_SET
from wherry.dicom.modules import MODULE_TAGS
from wherry.dicom.select import chosen
from wherry.errors import NoSuchParent, ParentIsInstance
from wherry.index import resources
from wherry.index.database import Index, Transaction
from wherry.model import Attachment, Level
from wherry.storage import content
from wherry.storage.base import StorageArea


def inherited(index: Index, storage: StorageArea, orthanc_id: str) -> dict[int, str]:
    """Tag → text. Blocking. Raises ``NoSuchParent``, ``ParentIsInstance``, and what reading a file
    raises."""
    with index.read() as tx:
        level, file = _found(tx, orthanc_id)
    tags = {SPECIFIC_CHARACTER_SET}.union(*(MODULE_TAGS[one] for one in Level if one <= level))
    with content.mapped(storage, file) as data:
        values = chosen(data, frozenset(tags), "short")
    return {
        int(tag.replace(",", ""), 16): value
        for tag, value in values.items()
        if isinstance(value, str)
    }


def _found(tx: Transaction, orthanc_id: str) -> tuple[Level, Attachment]:
    for level in (Level.PATIENT, Level.STUDY, Level.SERIES):
        if (file := resources.first_file(tx, level, orthanc_id)) is not None:
            return level, file
    if resources.files_of(tx, [orthanc_id]):
        raise ParentIsInstance
    raise NoSuchParent
