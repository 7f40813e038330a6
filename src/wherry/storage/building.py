"""The storage area that the configuration asks for: a backend, and what wraps it.

What is not configured is not loaded either: the clients of object stores and the library of
ciphers are 11 MB.

Not here: what each of them does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wherry.config.settings import Config
from wherry.metrics import Metrics
from wherry.storage.base import StorageArea
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.hybrid import HybridStorage, type_locate, type_noted
from wherry.storage.moving import MovingStorage
from wherry.storage.sealed.ringfile import FolderRingFile, RingFile

if TYPE_CHECKING:
    from wherry.storage.sealed.keys import Keys


class Built(NamedTuple):
    """The storage area, and its two stores when it has two."""

    area: StorageArea
    stores: MovingStorage | None


def storage_area(
    config: Config,
    owner: str,
    metrics: Metrics,
    keys: Keys | None,
    locate: type_locate,
    noted: type_noted,
) -> Built:
    """``owner`` names this process in what it leaves in the storage area; ``keys``: files are
    sealed; ``locate`` and ``noted`` as in ``hybrid``."""
    sealed = keys is not None and bool(keys.container)
    stores = None
    area: StorageArea
    if config.objects is None:
        area = FilesystemStorage(config.storage_directory, owner)
    else:
        from wherry.storage.objects import object_storage

        area = objects = object_storage(
            config.objects,
            config.storage_directory,
            sealed=sealed,
            ca_certificates=config.https_ca_certificates,
        )
        if config.has_two_stores:
            local = FilesystemStorage(config.storage_directory, owner)
            area = stores = HybridStorage(local, objects, config.objects.hybrid, locate, noted)
    if keys is not None:
        from wherry.storage.sealed.area import SealedStorage

        area = SealedStorage(area, keys)
    return Built(CountingStorage(area, metrics), stores)


def ring_files(config: Config) -> list[RingFile]:
    """Where the copies of the key ring lie: beside the files, wherever those may be."""
    objects, found = config.objects, list[RingFile]()
    if objects is None or config.has_two_stores:
        found.append(FolderRingFile(config.storage_directory))
    if objects is not None:
        from wherry.storage.objects import object_ring_file

        found.append(object_ring_file(objects, ca_certificates=config.https_ca_certificates))
    return found
