"""Small, valid DICOM files made in code."""

from __future__ import annotations

import io

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian


def make_instance(
    study: int = 1,
    series: int = 1,
    number: int = 1,
    *,
    patient_id: str = "PATIENT1",
    pixel_bytes: int = 2048,
    **tags: object,
) -> bytes:
    """One CT slice; the three numbers decide its UIDs, ``number`` also its pixels."""
    root = "1.2.826.0.1.3680043.10.1234"
    data = Dataset()
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    data.SOPInstanceUID = f"{root}.{study}.{series}.{number}"
    data.StudyDate = "20260102"
    data.StudyTime = "101112"
    data.AccessionNumber = f"ACC{study}"
    data.Modality = "CT"
    data.StudyDescription = "A study"
    data.SeriesDescription = f"Series {series}"
    data.PatientName = "Doe^Jane"
    data.PatientID = patient_id
    data.PatientBirthDate = "19700101"
    data.PatientSex = "F"
    data.StudyInstanceUID = f"{root}.{study}"
    data.SeriesInstanceUID = f"{root}.{study}.{series}"
    data.SeriesNumber = series
    data.InstanceNumber = number
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows = pixel_bytes // 256
    data.Columns = 128
    data.BitsAllocated = 16
    data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = 0
    pattern = bytes((number * 31 + index * 7) % 256 for index in range(256))
    data.PixelData = (pattern * (pixel_bytes // 256 + 1))[:pixel_bytes]
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def make_series(count: int, **tags: object) -> list[bytes]:
    """``count`` instances of one series."""
    return [make_instance(number=number, **tags) for number in range(1, count + 1)]  # type: ignore[arg-type]
