"""The storage area that the configuration asks for: a backend, and what wraps it.

Not here: what each of them does.
"""

from __future__ import annotations

from typing import NamedTuple

from wherry.config.settings import Config
from wherry.metrics import Metrics
from wherry.storage.base import StorageArea
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.hybrid import type_locate, type_noted
from wherry.storage.moving import MovingStorage


class Built(NamedTuple):
    """The storage area, and its two stores when it has two."""

    area: StorageArea
    stores: MovingStorage | None


def storage_area(
    config: Config, owner: str, metrics: Metrics, locate: type_locate, noted: type_noted
) -> Built:
    """``owner`` names this process in what it leaves in the storage area; ``locate`` and ``noted``
    as in ``hybrid``."""
    files = FilesystemStorage(config.storage_directory, owner)
    return Built(CountingStorage(files, metrics), None)
