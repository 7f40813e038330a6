"""Worklist files as other programs make them: by pydicom."""

from __future__ import annotations

from io import BytesIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

WORKLIST_CLASS = "1.2.840.10008.5.1.4.31"


def worklist_file(number: str, **values: object) -> bytes:
    """An item with this AccessionNumber."""
    data = Dataset()
    data.AccessionNumber = number
    for keyword, value in values.items():
        setattr(data, keyword, value)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = WORKLIST_CLASS
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
