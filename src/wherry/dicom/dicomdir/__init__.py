"""DICOMDIR, the directory of a medium (PS3.3 Annex F, PS3.10 §8.6): made by ``DicomDir``."""

from wherry.dicom.dicomdir.directory import DicomDir

__all__ = ["DicomDir"]
