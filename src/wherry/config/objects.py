"""Where files lie when that is not only a file system: object storage, hybrid mode, encryption.

The sections ``AwsS3Storage``, ``AzureBlobStorage`` and ``GoogleCloudStorage`` of Orthanc's plugins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Hybrid(Enum):
    """Where new files go when there is a file system beside the objects (``HybridMode``)."""

    DISABLED = "Disabled"
    WRITE_TO_FILE_SYSTEM = "WriteToFileSystem"
    WRITE_TO_OBJECT_STORAGE = "WriteToObjectStorage"


@dataclass(frozen=True, slots=True)
class ObjectsConfig:
    """What the sections have in common."""

    root_path: str = ""
    """Before every name, without a slash at its ends (``RootPath``)."""
    legacy_names: bool = False
    """``StorageStructure``: ``legacy`` instead of ``flat``."""
    legacy_unknown_files: bool = False
    """Whether headers may bear the extension ``.unk`` (``EnableLegacyUnknownFiles``)."""
    hybrid: Hybrid = Hybrid.DISABLED


@dataclass(frozen=True, slots=True)
class S3Config(ObjectsConfig):
    """Section ``AwsS3Storage``."""

    bucket_name: str = ""
    region: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    """Both empty = the usual chain of credentials."""
    endpoint: str = ""
    virtual_addressing: bool = True
    connect_timeout_s: int = 30
    request_timeout_s: int = 1200
    max_connections: int = 25
    max_retries: int = 10
    storage_class: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    part_bytes: int = 5 * 1024 * 1024
    """Of a multipart upload (``TransferBufferSize``)."""


@dataclass(frozen=True, slots=True)
class AzureConfig(ObjectsConfig):
    """Section ``AzureBlobStorage``."""

    connection_string: str = field(default="", repr=False)
    container_name: str = ""
    create_container: bool = True
    access_tier: str = ""


@dataclass(frozen=True, slots=True)
class GoogleConfig(ObjectsConfig):
    """Section ``GoogleCloudStorage``."""

    service_account_file: str = ""
    bucket_name: str = ""
