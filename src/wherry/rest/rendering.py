"""Values of ``model`` as the JSON of Orthanc (rest-api: resources, changes, statistics).

Pure functions; no module of this face spells a field of a resource anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from starlette.requests import Request

from wherry.dicom.tags import keyword_of
from wherry.errors import UnknownDicomTag
from wherry.model import Attachment, Change, Level, Resource, Statistics, Stored
from wherry.rest.arguments import flag

type_json = dict[str, Any]

_MIB = 1 << 20


class Form(Enum):
    """How tags are spelt."""

    KEYWORD = "keyword"
    SHORT = "short"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of a resource is shown, and how."""

    form: Form = Form.KEYWORD
    requested: tuple[str, ...] = ()
    """Tags ``gggg,eeee`` for the member ``RequestedTags``, in the order asked for."""
    content: frozenset[str] | None = None
    """``response-content`` / ``ResponseContent``: the only parts shown; None = as usual."""


def shape_of(request: Request) -> Shape:
    """What a URL asks for: ``?short``, ``?full``, ``?requested-tags``, ``?response-content``."""
    return Shape(form_of(request))


def form_of(request: Request) -> Form:
    """``?short`` and ``?full``; by keyword without."""
    if flag(request, "short"):
        return Form.SHORT
    return Form.FULL if flag(request, "full") else Form.KEYWORD


def tags(values: Mapping[str, str], form: Form) -> type_json:
    """Main DICOM tags, ``gggg,eeee`` → value, in one of the three forms."""
    if form is Form.SHORT:
        return dict(values)
    if form is Form.FULL:
        return {
            tag: {"Name": _name(tag), "Type": "String", "Value": value}
            for tag, value in values.items()
        }
    return {_name(tag): value for tag, value in values.items()}


def _name(tag: str) -> str:
    try:
        return keyword_of(tag)
    except UnknownDicomTag:
        return tag


def resource(of: Resource, form: Form = Form.KEYWORD) -> type_json:
    """One resource, with the fields of its level."""
    members: type_json = {
        "ID": of.orthanc_id,
        "Type": of.level.title,
        "MainDicomTags": tags(of.tags, form),
        "Labels": sorted(of.labels),
        **_OF_LEVEL[of.level](of, form),
    }
    if of.modified_from:
        members["ModifiedFrom"] = of.modified_from
    if of.anonymized_from:
        members["AnonymizedFrom"] = of.anonymized_from
    return members


def _patient(of: Resource, form: Form) -> type_json:
    return {
        "Studies": list(of.children),
        "IsProtected": of.is_protected,
        "IsStable": of.is_stable,
        "LastUpdate": of.last_update,
    }


def _study(of: Resource, form: Form) -> type_json:
    return {
        "PatientMainDicomTags": tags(of.patient_tags, form),
        "ParentPatient": of.parent,
        "Series": list(of.children),
        "IsStable": of.is_stable,
        "LastUpdate": of.last_update,
    }


def _series(of: Resource, form: Form) -> type_json:
    return {
        "ParentStudy": of.parent,
        "Instances": list(of.children),
        "ExpectedNumberOfInstances": of.expected_instances,
        "Status": of.status,
        "IsStable": of.is_stable,
        "LastUpdate": of.last_update,
    }


def _instance(of: Resource, form: Form) -> type_json:
    return {
        "ParentSeries": of.parent,
        "IndexInSeries": of.index_in_series,
        "FileSize": of.file_size,
        "FileUuid": of.file_uuid,
    }


_OF_LEVEL: dict[Level, Callable[[Resource, Form], type_json]] = {
    Level.PATIENT: _patient,
    Level.STUDY: _study,
    Level.SERIES: _series,
    Level.INSTANCE: _instance,
}


def path(level: Level, orthanc_id: str) -> str:
    """Where a resource is found: ``/studies/…``."""
    return f"/{level.plural}/{orthanc_id}"


def link(level: Level, orthanc_id: str) -> type_json:
    """A resource that is only pointed at."""
    return {"ID": orthanc_id, "Path": path(level, orthanc_id), "Type": level.title}


def stored(of: Stored) -> type_json:
    """The answer to an upload."""
    ids = of.identifiers
    return {
        "ID": ids.instance,
        "ParentPatient": ids.patient,
        "ParentStudy": ids.study,
        "ParentSeries": ids.series,
        "Path": path(Level.INSTANCE, ids.instance),
        "Status": of.status.value,
    }


def change(of: Change) -> type_json:
    """One line of ``/changes``."""
    return {
        "Seq": of.seq,
        "ChangeType": of.change_type.name,
        "ResourceType": of.level.title,
        "ID": of.orthanc_id,
        "Path": path(of.level, of.orthanc_id),
        "Date": of.date,
    }


def store_statistics(of: Statistics) -> type_json:
    """``/statistics``: everything."""
    return {
        "CountPatients": of.patients,
        "CountStudies": of.studies,
        "CountSeries": of.series,
        "CountInstances": of.instances,
        **_size("TotalDiskSize", of.disk_bytes),
        **_size("TotalUncompressedSize", of.uncompressed_bytes),
    }


def resource_statistics(level: Level, of: Statistics) -> type_json:
    """``/{level}/{id}/statistics``: one resource and what is below it.

    DICOM files are the only attachments so far, so the sizes with and without ``Dicom`` agree.
    """
    counts = {
        Level.STUDY: ("CountStudies", of.studies),
        Level.SERIES: ("CountSeries", of.series),
        Level.INSTANCE: ("CountInstances", of.instances),
    }
    return {
        **dict(pair for below, pair in counts.items() if below > level),
        **_size("DiskSize", of.disk_bytes),
        **_size("DicomDiskSize", of.disk_bytes),
        **_size("UncompressedSize", of.uncompressed_bytes),
        **_size("DicomUncompressedSize", of.uncompressed_bytes),
    }


def _size(name: str, size_bytes: int) -> type_json:
    """Bytes as text, because they may pass 32 bits, and whole MiB rounded down."""
    return {name: str(size_bytes), f"{name}MB": size_bytes // _MIB}


def file_name(of: Attachment) -> str:
    """The name under which a DICOM file is offered for download."""
    return f"{of.uuid}.dcm"
