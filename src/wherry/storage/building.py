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
from wherry.storage.objects import object_storage


def storage_area(config: Config, owner: str, metrics: Metrics) -> StorageArea:
    """``owner`` names this process in what it leaves in the storage area."""
    return CountingStorage(_files(config, owner), metrics)


def _files(config: Config, owner: str) -> StorageArea:
    objects = config.objects
    if objects is None:
        return FilesystemStorage(config.storage_directory, owner)
    if objects.hybrid is not Hybrid.DISABLED:
        raise ConfigurationError('"HybridMode" is not honoured yet')
    return object_storage(
        objects, config.storage_directory, ca_certificates=config.https_ca_certificates
    )
