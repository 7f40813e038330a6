"""A whole server in this process with two stores: its folder, and a double of an object store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.face import Face, serving
from tests.support.objects import FakeObjects
from wherry import server
from wherry.config import Config
from wherry.config.objects import Hybrid, ObjectsConfig
from wherry.metrics import Metrics
from wherry.storage.building import Built
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.hybrid import HybridStorage, type_locate, type_noted
from wherry.storage.sealed.keys import Keys


@dataclass
class TwoStores:
    """The server, and the store that is not its folder."""

    face: Face
    objects: FakeObjects
    noted: list[type_noted]
    """Who wants to know what is read."""

    def here(self) -> list[str]:
        """Names of the files in the file system."""
        return self.face.files()

    def there(self) -> list[str]:
        """Names of the objects."""
        return sorted(path.name for path in (self.face.folder / "objects").glob("??/*/*"))


@contextmanager
def two_stores(folder: Path, write_to: Hybrid, **settings: Any) -> Iterator[TwoStores]:
    """``settings`` as in ``Config``."""
    objects = FakeObjects(folder / "objects")
    objects.fleeting = True

    told: list[type_noted] = []

    def build(
        config: Config,
        owner: str,
        metrics: Metrics,
        keys: Keys | None,
        locate: type_locate,
        noted: type_noted,
    ) -> Built:
        told.append(noted)
        local = FilesystemStorage(config.storage_directory, owner)
        stores = HybridStorage(local, objects, write_to, locate, noted)
        return Built(CountingStorage(stores, metrics), stores)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "storage_area", build)
        patch.setattr(server, "ring_files", lambda config: [])
        with serving(folder, objects=ObjectsConfig(hybrid=write_to), **settings) as face:
            yield TwoStores(face, objects, told)
