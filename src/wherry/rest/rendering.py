"""Values of ``model`` as the JSON of Orthanc (rest-api: resources, changes, statistics).

Pure functions; no module of this face spells a field of a resource anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from wherry.dicom.tags import MAIN_DICOM_TAGS, keyword_of
from wherry.errors import UnknownDicomTag
from wherry.model import Attachment, Level, Resource, Statistics, Stored
from wherry.rest.shapes import Form as Form
from wherry.rest.shapes import Part
from wherry.rest.shapes import Shape as Shape
from wherry.rest.shapes import shape_of as shape_of

type_json = dict[str, Any]

_MIB = 1 << 20


def tags(values: Mapping[str, Any], form: Form) -> type_json:
    """DICOM tags, ``gggg,eeee`` → value, in one of the three forms."""
    if form is Form.KEYWORD:
        return {
            _NAMES[tag]: value if type(value) is str else _items(value, form)
            for tag, value in values.items()
        }
    if form is Form.SHORT:
        return dict(values)
    return {tag: {"Name": _NAMES[tag], **_full(value)} for tag, value in values.items()}


def _full(value: Any) -> type_json:
    if isinstance(value, list):
        return {"Type": "Sequence", "Value": _items(value, Form.FULL)}
    return {"Type": "String" if value is not None else "Null", "Value": value}


def _items(value: Any, form: Form) -> Any:
    """The items of a sequence, which the index keeps in the short form."""
    return [tags(item, form) for item in value] if isinstance(value, list) else value


class _Names(dict[str, str]):
    """Tag → keyword, or the tag itself; only main tags are kept here."""

    def __missing__(self, tag: str) -> str:
        try:
            return keyword_of(tag)
        except UnknownDicomTag:
            return tag


_NAMES = _Names({tag: keyword_of(tag) for level in Level for tag in MAIN_DICOM_TAGS[level]})


def resource(of: Resource, form: Form = Form.KEYWORD) -> type_json:
    """One resource, with the fields of its level."""
    members = _OF_LEVEL[of.level](of, form)
    if of.modified_from:
        members["ModifiedFrom"] = of.modified_from
    if of.anonymized_from:
        members["AnonymizedFrom"] = of.anonymized_from
    return members


def only(members: type_json, content: frozenset[str]) -> type_json:
    """The members of a resource that belong to these parts; its identity and what was requested
    by name are always shown."""
    kept = _members_of(content)
    return {name: value for name, value in members.items() if name in kept}


@lru_cache(maxsize=256)
def _members_of(content: frozenset[str]) -> frozenset[str]:
    return frozenset({"ID", "Type", "RequestedTags"}.union(*(_MEMBERS[Part(p)] for p in content)))


_MEMBERS: Final[dict[Part, tuple[str, ...]]] = {
    Part.MAIN_DICOM_TAGS: ("MainDicomTags", "PatientMainDicomTags"),
    Part.METADATA: (
        "Metadata",
        "LastUpdate",
        "ModifiedFrom",
        "AnonymizedFrom",
        "IndexInSeries",
        "ExpectedNumberOfInstances",
    ),
    Part.CHILDREN: ("Studies", "Series", "Instances"),
    Part.PARENT: ("ParentPatient", "ParentStudy", "ParentSeries"),
    Part.LABELS: ("Labels",),
    Part.STATUS: ("Status", "ExpectedNumberOfInstances"),
    Part.IS_STABLE: ("IsStable",),
    Part.IS_PROTECTED: ("IsProtected",),
    Part.ATTACHMENTS: ("Attachments", "FileSize", "FileUuid"),
    Part.REQUESTED_TAGS: ("RequestedTags",),
}


def _patient(of: Resource, form: Form) -> type_json:
    return {
        "ID": of.orthanc_id,
        "Type": "Patient",
        "MainDicomTags": tags(of.tags, form),
        "Labels": of.labels,
        "Studies": of.children,
        "IsProtected": of.is_protected,
        "IsStable": of.is_stable,
        "LastUpdate": of.last_update,
    }


def _study(of: Resource, form: Form) -> type_json:
    return {
        "ID": of.orthanc_id,
        "Type": "Study",
        "MainDicomTags": tags(of.tags, form),
        "Labels": of.labels,
        "PatientMainDicomTags": tags(of.patient_tags, form),
        "ParentPatient": of.parent,
        "Series": of.children,
        "IsStable": of.is_stable,
        "LastUpdate": of.last_update,
    }


def _series(of: Resource, form: Form) -> type_json:
    return {
        "ID": of.orthanc_id,
        "Type": "Series",
        "MainDicomTags": tags(of.tags, form),
        "Labels": of.labels,
        "ParentStudy": of.parent,
        "Instances": of.children,
        "ExpectedNumberOfInstances": of.expected_instances,
        "Status": of.status,
        "IsStable": of.is_stable,
        "LastUpdate": of.last_update,
    }


def _instance(of: Resource, form: Form) -> type_json:
    return {
        "ID": of.orthanc_id,
        "Type": "Instance",
        "MainDicomTags": tags(of.tags, form),
        "Labels": of.labels,
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
    """``/{level}/{id}/statistics``: one resource and what is below it."""
    counts = {
        Level.STUDY: ("CountStudies", of.studies),
        Level.SERIES: ("CountSeries", of.series),
        Level.INSTANCE: ("CountInstances", of.instances),
    }
    return {
        **dict(pair for below, pair in counts.items() if below > level),
        **_size("DiskSize", of.disk_bytes),
        **_size("DicomDiskSize", of.dicom_disk_bytes),
        **_size("UncompressedSize", of.uncompressed_bytes),
        **_size("DicomUncompressedSize", of.dicom_uncompressed_bytes),
    }


def _size(name: str, size_bytes: int) -> type_json:
    """Bytes as text, because they may pass 32 bits, and whole MiB rounded down."""
    return {name: str(size_bytes), f"{name}MB": size_bytes // _MIB}


def attachment(of: Attachment) -> type_json:
    """An attachment: sizes, digests, and its name in the storage area."""
    return {
        "Uuid": of.uuid,
        "ContentType": of.content_type,
        "CompressedMD5": of.compressed_md5,
        "CompressedSize": of.compressed_size,
        "UncompressedMD5": of.uncompressed_md5,
        "UncompressedSize": of.uncompressed_size,
    }


def file_name(of: Attachment) -> str:
    """The name under which a DICOM file is offered for download."""
    return f"{of.uuid}.dcm"
