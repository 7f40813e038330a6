"""The storage area that the configuration asks for: a backend, and what wraps it.

Not here: what each of them does.
"""

from __future__ import annotations

from wherry.config.objects import Hybrid
from wherry.config.settings import Config
from wherry.errors import ConfigurationError
from wherry.metrics import Metrics
from wherry.storage.base import StorageArea
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.objects import object_ring_file, object_storage
from wherry.storage.sealed.area import SealedStorage
from wherry.storage.sealed.keys import Keys
from wherry.storage.sealed.ringfile import FolderRingFile, RingFile


def storage_area(
    config: Config, owner: str, metrics: Metrics, keys: Keys | None = None
) -> StorageArea:
    """``owner`` names this process in what it leaves in the storage area; ``keys``: files are
    sealed."""
    files = _files(config, owner, sealed=keys is not None and bool(keys.container))
    if keys is not None:
        files = SealedStorage(files, keys)
    return CountingStorage(files, metrics)


def _files(config: Config, owner: str, *, sealed: bool) -> StorageArea:
    objects = config.objects
    if objects is None:
        return FilesystemStorage(config.storage_directory, owner)
    if objects.hybrid is not Hybrid.DISABLED:
        raise ConfigurationError('"HybridMode" is not honoured yet')
    return object_storage(
        objects,
        config.storage_directory,
        sealed=sealed,
        ca_certificates=config.https_ca_certificates,
    )


def ring_files(config: Config) -> list[RingFile]:
    """Where the copies of the key ring lie: beside the files, wherever those may be."""
    objects, found = config.objects, list[RingFile]()
    if objects is None or objects.hybrid is not Hybrid.DISABLED:
        found.append(FolderRingFile(config.storage_directory))
    if objects is not None:
        found.append(object_ring_file(objects, ca_certificates=config.https_ca_certificates))
    return found
