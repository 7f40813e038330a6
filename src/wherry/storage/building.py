"""The storage area that the configuration asks for: a backend, and what wraps it.

Not here: what each of them does.
"""

from __future__ import annotations

from typing import NamedTuple

from wherry.config.objects import ObjectsConfig
from wherry.config.settings import Config
from wherry.metrics import Metrics
from wherry.storage.base import StorageArea
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.hybrid import HybridStorage, type_locate, type_noted
from wherry.storage.moving import MovingStorage
from wherry.storage.objects import ObjectStorage, object_storage


class Built(NamedTuple):
    """The storage area, and its two stores when it has two."""

    area: StorageArea
    stores: MovingStorage | None


def storage_area(
    config: Config, owner: str, metrics: Metrics, locate: type_locate, noted: type_noted
) -> Built:
    """``owner`` names this process in what it leaves in the storage area; ``locate`` and ``noted``
    as in ``hybrid``."""
    if not config.has_two_stores:
        return Built(CountingStorage(_one_store(config, owner), metrics), None)
    stores = _two_stores(config, owner, locate, noted)
    return Built(CountingStorage(stores, metrics), stores)


def _one_store(config: Config, owner: str) -> StorageArea:
    if config.objects is None:
        return FilesystemStorage(config.storage_directory, owner)
    return _objects(config, config.objects)


def _two_stores(
    config: Config, owner: str, locate: type_locate, noted: type_noted
) -> HybridStorage:
    assert config.objects is not None
    return HybridStorage(
        FilesystemStorage(config.storage_directory, owner),
        _objects(config, config.objects),
        config.objects.hybrid,
        locate,
        noted,
    )


def _objects(config: Config, objects: ObjectsConfig) -> ObjectStorage:
    return object_storage(
        objects, config.storage_directory, ca_certificates=config.https_ca_certificates
    )
