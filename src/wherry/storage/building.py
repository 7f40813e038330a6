"""The storage area that the configuration asks for: a backend, and what wraps it.

Not here: what each of them does.
"""

from __future__ import annotations

from wherry.config.settings import Config
from wherry.metrics import Metrics
from wherry.storage.base import StorageArea
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.sealed.area import SealedStorage
from wherry.storage.sealed.keys import Keys
from wherry.storage.sealed.ringfile import FolderRingFile, RingFile


def storage_area(
    config: Config, owner: str, metrics: Metrics, keys: Keys | None = None
) -> StorageArea:
    """``owner`` names this process in what it leaves in the storage area; ``keys``: files are
    sealed."""
    files: StorageArea = FilesystemStorage(config.storage_directory, owner)
    if keys is not None:
        files = SealedStorage(files, keys)
    return CountingStorage(files, metrics)


def ring_files(config: Config) -> list[RingFile]:
    """Where the copies of the key ring lie."""
    return [FolderRingFile(config.storage_directory)]
