"""What is to be edited, and how, as a request says it and as a job keeps it.

Not here: bodies of requests (``rest.modification``), what is done to one file (``dicom.editing``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from wherry.editing.seeds import Seed
from wherry.model import Level, Origin, type_json

MODIFICATION: Final = "ResourceModification"
SPLIT: Final = "SplitStudy"
MERGE: Final = "MergeStudy"
TYPES: Final = (MODIFICATION, SPLIT, MERGE)
"""Types of the jobs."""


@dataclass(frozen=True, slots=True)
class EditOrder:
    """One order."""

    type: str
    resources: tuple[str, ...]
    """Identifiers of any level: all instances below them are edited."""
    rules: Mapping[str, type_json]
    """``Rules.document()``."""
    seed: Seed
    """Of the pseudonyms: a job that goes on elsewhere gives the same identifiers."""
    anonymize: bool = False
    level: Level | None = None
    """Of the one resource that comes of it; None = there may be several."""
    keep_source: bool = True
    keep_labels: bool = False
    permissive: bool = False
    """Whether instances that cannot be edited are left out."""
    transcode: str = ""
    """Transfer syntax of the new instances; empty = each has that of its source."""
    quality: int = 0
    """Of a lossy one, in percent; 0 = as configured."""
    remote_ip: str = ""
    username: str = ""
    target_study: str = ""
    """Of a merge: its identifier."""
    target_uid: str = ""
    """Of a split: the Study Instance UID."""

    @property
    def origin(self) -> Origin:
        """Of the new instances."""
        return Origin("RestApi", remote_ip=self.remote_ip, username=self.username)

    @property
    def notes_origins(self) -> bool:
        """Whether the new resources say what they were made from."""
        return self.type == MODIFICATION

    def parameters(self) -> dict[str, type_json]:
        """What the job keeps."""
        return {
            "Type": self.type,
            "Resources": list(self.resources),
            "Rules": dict(self.rules),
            "Seed": self.seed.document(),
            "Anonymize": self.anonymize,
            "Level": None if self.level is None else int(self.level),
            "KeepSource": self.keep_source,
            "KeepLabels": self.keep_labels,
            "Permissive": self.permissive,
            "Transcode": self.transcode,
            "Quality": self.quality,
            "RemoteIP": self.remote_ip,
            "Username": self.username,
            "TargetStudy": self.target_study,
            "TargetUID": self.target_uid,
        }

    def content(self, instances: int, failed: int = 0) -> dict[str, type_json]:
        """What the job shows before there is anything of its results."""
        content: dict[str, Any] = {
            "Description": "REST API",
            "InstancesCount": instances,
            "FailedInstancesCount": failed,
        }
        if self.type == MODIFICATION:
            content["IsAnonymization"] = self.anonymize
            content["ParentResources"] = sorted(self.resources)
        if self.target_study:
            content["TargetStudy"] = self.target_study
        if self.target_uid:
            content["TargetStudyUID"] = self.target_uid
        if self.transcode:
            content["Transcode"] = self.transcode
        return content


def from_parameters(parameters: Mapping[str, type_json]) -> EditOrder:
    """The order that a job keeps."""
    level = parameters["Level"]
    return EditOrder(
        type=parameters["Type"],
        resources=tuple(parameters["Resources"]),
        rules=parameters["Rules"],
        seed=Seed.from_document(parameters["Seed"]),
        anonymize=parameters["Anonymize"],
        level=None if level is None else Level(level),
        keep_source=parameters["KeepSource"],
        keep_labels=parameters["KeepLabels"],
        permissive=parameters["Permissive"],
        transcode=parameters["Transcode"],
        quality=parameters["Quality"],
        remote_ip=parameters["RemoteIP"],
        username=parameters["Username"],
        target_study=parameters["TargetStudy"],
        target_uid=parameters["TargetUID"],
    )
