"""The storage area that the configuration asks for: a backend, and what wraps it.

Not here: what each of them does.
"""

from __future__ import annotations

from wherry.config.settings import Config
from wherry.metrics import Metrics
from wherry.storage.base import StorageArea
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage


def storage_area(config: Config, owner: str, metrics: Metrics) -> StorageArea:
    """``owner`` names this process in what it leaves in the storage area."""
    files = FilesystemStorage(config.storage_directory, owner)
    return CountingStorage(files, metrics)
