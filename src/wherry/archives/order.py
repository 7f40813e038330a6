"""What an archive is to hold, as a request says it and as a job keeps it.

Not here: bodies of requests (``rest.archives``), which files that is (``contents``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wherry import limits
from wherry.model import type_json

ARCHIVE, MEDIA = "Archive", "Media"
"""Types of job."""


@dataclass(frozen=True, slots=True)
class ArchiveOrder:
    """One order of an archive."""

    resources: tuple[str, ...]
    """Orthanc identifiers of any level."""
    media: bool = False
    """Files without folders, and a DICOMDIR (PS3.10 §8)."""
    extended: bool = False
    """More tags in the DICOMDIR."""
    transcode: str = ""
    """UID of the transfer syntax that all files shall have; "" = as they are."""
    file_name: str = "archive.zip"
    """For whoever saves the output of the job."""
    passing: bool = False
    """Somebody waits for the output, and will have it removed: no other one goes for it."""
    quality: int | None = None
    """Where transcoding loses something; None = as it is configured."""

    @property
    def type(self) -> str:
        """Type of the job."""
        return MEDIA if self.media else ARCHIVE

    def parameters(self) -> dict[str, type_json]:
        """What the job keeps."""
        return {
            "Resources": list(self.resources),
            "Media": self.media,
            "Extended": self.extended,
            "Transcode": self.transcode,
            "FileName": self.file_name,
            "Passing": self.passing,
            "Quality": self.quality,
        }

    def content(self, count: int, size: int, archive_size: int) -> dict[str, type_json]:
        """The job's public content: instances, their bytes, bytes of the archive so far."""
        content: dict[str, type_json] = {
            "ArchiveSize": str(archive_size),
            "ArchiveSizeMB": archive_size // limits.MIB,
            "Description": "REST API",
            "InstancesCount": count,
            "UncompressedSize": str(size),
            "UncompressedSizeMB": size // limits.MIB,
        }
        if self.transcode:
            content["Transcode"] = self.transcode
        return content


def from_parameters(parameters: Mapping[str, type_json]) -> ArchiveOrder:
    """The order that a job keeps."""
    return ArchiveOrder(
        tuple(parameters["Resources"]),
        parameters["Media"],
        parameters["Extended"],
        parameters["Transcode"],
        parameters["FileName"],
        parameters["Passing"],
        parameters.get("Quality"),
    )
