"""What a job is to retrieve from a modality, as its parameters keep it, and what it tells of it.

Not here: the body of the request (``rest``), the work itself (``job``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wherry.dicom.json import type_form
from wherry.dicom.plain import printed
from wherry.modalities.asking.levels import (
    ACCESSION_NUMBER,
    PATIENT_ID,
    QUERY_LEVEL,
    SERIES_UID,
    SOP_INSTANCE_UID,
    STUDY_UID,
    WORDS,
)
from wherry.model import Level, Modality, type_json

MOVE: Final = "DicomMoveScu"
GET: Final = "DicomGetScu"

SOP_CLASS: Final = 0x00080016
SOP_CLASSES_IN_STUDY: Final = 0x00080062

SHOWN: Final = (ACCESSION_NUMBER, PATIENT_ID, STUDY_UID, SERIES_UID, SOP_INSTANCE_UID)
"""What is told of a resource beside its level."""
_KEPT: Final = frozenset((*SHOWN, SOP_CLASS, SOP_CLASSES_IN_STUDY))

type_resource = Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """One order to retrieve resources of one level."""

    modality: str
    level: Level
    resources: tuple[type_resource, ...]
    """What is known of each."""
    target_aet: str = ""
    """Whom the modality is to send to (C-MOVE)."""
    local_aet: str = ""
    """Our title, as the client wants it; "" = the usual one."""
    timeout_s: int | None = None
    """0 = for ever, None = the usual one."""
    permissive: bool = False
    """What cannot be retrieved is told, and the others go on."""
    form: type_form = "short"
    """How tags are shown in the content."""

    def parameters(self) -> dict[str, type_json]:
        """What the job keeps."""
        return {
            "Modality": self.modality,
            "Level": int(self.level),
            "Resources": [
                {f"{tag:08x}": text for tag, text in one.items()} for one in self.resources
            ],
            "TargetAet": self.target_aet,
            "LocalAet": self.local_aet,
            "Timeout": self.timeout_s,
            "Permissive": self.permissive,
            "Form": self.form,
        }

    def content(self, modality: Modality, local_aet: str) -> dict[str, type_json]:
        """The job's public content before anything was retrieved; ``local_aet``: our title."""
        content: dict[str, type_json] = {
            "Description": "REST API",
            "LocalAet": local_aet,
            "Query": [self.shown(one) for one in self.resources],
            "RemoteAet": modality.aet,
        }
        if self.target_aet:
            content["TargetAet"] = self.target_aet
        return content

    def shown(self, resource: type_resource) -> dict[str, type_json]:
        """A resource as the content tells it."""
        told = {tag: resource[tag] for tag in SHOWN if tag in resource}
        return printed(dict(sorted({**told, QUERY_LEVEL: WORDS[self.level]}.items())), self.form)


def kept_of(values: Mapping[int, object]) -> dict[int, str]:
    """What a job wants to know of an answer, or of what a client named."""
    return {tag: value for tag, value in values.items() if tag in _KEPT and isinstance(value, str)}


def classes_of(resource: type_resource) -> list[str]:
    """The SOP classes that are to come, if that is known."""
    told = resource.get(SOP_CLASSES_IN_STUDY) or resource.get(SOP_CLASS) or ""
    return [one.strip() for one in told.split("\\") if one.strip()]


def from_parameters(parameters: Mapping[str, type_json]) -> Retrieval:
    """The order that a job keeps."""
    return Retrieval(
        parameters["Modality"],
        Level(parameters["Level"]),
        tuple({int(tag, 16): text for tag, text in one.items()} for one in parameters["Resources"]),
        parameters["TargetAet"],
        parameters["LocalAet"],
        parameters["Timeout"],
        parameters["Permissive"],
        parameters["Form"],
    )
