"""Where files lie when that is not only a file system: object storage, hybrid mode.

The sections ``AwsS3Storage``, ``AzureBlobStorage`` and ``GoogleCloudStorage`` of Orthanc's plugins.
Not here: their encryption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Final

from wherry.config import place as check
from wherry.config.aws import AwsCredentials, shared_credentials
from wherry.config.document import Document
from wherry.config.place import Place
from wherry.errors import ConfigurationError

_FLAT, _LEGACY = "flat", "legacy"
_TAGS = 10
"""Of one object (S3)."""


class Hybrid(Enum):
    """Where new files go when there is a file system beside the objects (``HybridMode``)."""

    DISABLED = "Disabled"
    WRITE_TO_FILE_SYSTEM = "WriteToFileSystem"
    WRITE_TO_OBJECT_STORAGE = "WriteToObjectStorage"


@dataclass(frozen=True, slots=True)
class ObjectsConfig:
    """What the sections have in common."""

    plugin: ClassVar[str] = ""
    """The name by which clients know it in ``/plugins``."""

    root_path: str = ""
    """Before every name, without a slash at its ends (``RootPath``)."""
    legacy_names: bool = False
    """``StorageStructure``: ``legacy`` instead of ``flat``."""
    legacy_unknown_files: bool = False
    """Whether headers may bear the extension ``.unk`` (``EnableLegacyUnknownFiles``)."""
    hybrid: Hybrid = Hybrid.DISABLED
    connect_timeout_s: int = 30
    request_timeout_s: int = 1200
    max_connections: int = 25
    """Requests at once."""
    max_retries: int = 10


@dataclass(frozen=True, slots=True)
class S3Config(ObjectsConfig):
    """Section ``AwsS3Storage``."""

    plugin: ClassVar[str] = "AWS S3 Storage"
    bucket_name: str = ""
    region: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    """All empty = the credentials of this machine (of its role, of its container)."""
    endpoint: str = ""
    """With or without a scheme; empty = that of the region."""
    virtual_addressing: bool = True
    """The bucket is part of the host's name."""
    storage_class: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Of every new object."""
    part_bytes: int = 5 * 1024 * 1024
    """Of a multipart upload (``TransferBufferSize``, MiB)."""


@dataclass(frozen=True, slots=True)
class AzureConfig(ObjectsConfig):
    """Section ``AzureBlobStorage``."""

    plugin: ClassVar[str] = "Azure Blob Storage"
    connection_string: str = field(default="", repr=False)
    container_name: str = ""
    create_container: bool = True
    """``CreateContainerIfNotExists``."""
    access_tier: str = ""
    part_bytes: int = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class GoogleConfig(ObjectsConfig):
    """Section ``GoogleCloudStorage``."""

    plugin: ClassVar[str] = "Google Cloud Storage"
    service_account_file: Path = Path()
    bucket_name: str = ""


@dataclass(frozen=True, slots=True)
class _Section:
    kind: type[ObjectsConfig]
    mandatory: tuple[str, ...]


_SECTIONS: Final = {
    "AwsS3Storage": _Section(S3Config, ("BucketName", "Region")),
    "AzureBlobStorage": _Section(AzureConfig, ("ConnectionString", "ContainerName")),
    "GoogleCloudStorage": _Section(GoogleConfig, ("ServiceAccountFile", "BucketName")),
}


def section_of(document: Document) -> str | None:
    """The section that says where objects lie, if there is one. Raises ``ConfigurationError`` when
    there are several."""
    found = [name for name in _SECTIONS if name in document.values]
    if len(found) > 1:
        raise ConfigurationError(f'"{found[0]}" and "{found[1]}" cannot both be used: keep one')
    return found[0] if found else None


def objects(
    name: str,
    values: Mapping[str, Any],
    checked: dict[str, Any],
    place: Place,
    environ: Mapping[str, str],
) -> ObjectsConfig:
    """The section ``name``: its ``values``, of which those that stand by themselves are ``checked``
    already, by attribute. Raises ``ConfigurationError``."""
    section = _SECTIONS[name]
    for key in section.mandatory:
        if not str(values.get(key, "")).strip():
            raise place.error(f'lacks "{key}"')
    for attribute in ("connection_string", "container_name"):
        if attribute in checked:
            checked[attribute] = checked[attribute].strip()
    if "RootPath" in values:
        checked["root_path"] = _root_path(values["RootPath"], place.inner("RootPath"))
    if "StorageStructure" in values:
        inner = place.inner("StorageStructure")
        structure = check.choice(
            check.string(values["StorageStructure"], inner), inner, (_FLAT, _LEGACY)
        )
        checked["legacy_names"] = structure == _LEGACY
    checked["hybrid"] = _hybrid(values, place)
    if section.kind is S3Config:
        _complete_s3(values, checked, place, environ)
    return section.kind(**checked)


def _root_path(value: Any, place: Place) -> str:
    path = check.string(value, place)
    if path.startswith("/"):
        raise place.error("must not begin with a slash")
    path = path.rstrip("/")
    if any(part in ("", ".", "..") for part in path.split("/")) and path:
        raise place.error("must not hold empty parts, nor . and ..")
    return path


def _hybrid(values: Mapping[str, Any], place: Place) -> Hybrid:
    migration = False
    if "MigrationFromFileSystemEnabled" in values:
        inner = place.inner("MigrationFromFileSystemEnabled")
        migration = check.boolean(values["MigrationFromFileSystemEnabled"], inner)
    mode = Hybrid.DISABLED
    if "HybridMode" in values:
        inner = place.inner("HybridMode")
        text = check.string(values["HybridMode"], inner)
        mode = Hybrid(check.choice(text, inner, tuple(one.value for one in Hybrid)))
    if migration and mode is Hybrid.DISABLED:  # its old name
        return Hybrid.WRITE_TO_OBJECT_STORAGE
    return mode


def _complete_s3(
    values: Mapping[str, Any], checked: dict[str, Any], place: Place, environ: Mapping[str, str]
) -> None:
    keys = ("AccessKey", "SecretKey")
    given = [key for key in keys if values.get(key)]
    if len(given) == 1:
        raise place.error(f'has "{given[0]}" alone; it takes both {keys[0]} and {keys[1]}')
    if not given and (found := shared_credentials(environ)):
        checked |= _credentials(found)
    if "Tags" in values:
        inner = place.inner("Tags")
        checked["tags"] = check.texts(values["Tags"], inner)
        if len(checked["tags"]) > _TAGS:
            raise inner.error(f"has more than {_TAGS} entries")


def _credentials(found: AwsCredentials) -> dict[str, str]:
    return {
        "access_key": found.access_key,
        "secret_key": found.secret_key,
        "session_token": found.session_token,
    }
