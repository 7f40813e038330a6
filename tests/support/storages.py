"""The storage areas that pass the one contract (``tests/contract/test_storage_area.py``).

To add one: a maker, and its name in ``MAKERS``. A service that it needs is a fixture of the session
(``tests/conftest.py``), asked for by name, so that it is started when it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.objects import FakeObjects
from wherry.config.objects import Hybrid
from wherry.metrics import Metrics
from wherry.storage.base import StorageArea
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.hybrid import HybridStorage


@dataclass(frozen=True)
class Ground:
    """What a maker may build on."""

    folder: Path
    """Empty, of this test."""
    request: pytest.FixtureRequest

    def service(self, name: str) -> Any:
        """A fixture of the session: ``s3_service``, ``azure_service``."""
        return self.request.getfixturevalue(name)


type_maker = Callable[[Ground], StorageArea]


def filesystem(ground: Ground) -> StorageArea:
    return FilesystemStorage(ground.folder / "storage")


def counted(ground: Ground) -> StorageArea:
    return CountingStorage(filesystem(ground), Metrics())


def hybrid(write_to: Hybrid) -> type_maker:
    """Over a folder that acts as an object store: what real ones do is tested with them."""

    def make(ground: Ground) -> StorageArea:
        objects = FakeObjects(ground.folder / "objects")
        local = FilesystemStorage(ground.folder / "storage")
        return HybridStorage(local, objects, write_to, lambda uuid: None)

    return make


MAKERS: dict[str, type_maker] = {
    "filesystem": filesystem,
    "counted": counted,
    "hybrid-file-system": hybrid(Hybrid.WRITE_TO_FILE_SYSTEM),
    "hybrid-objects": hybrid(Hybrid.WRITE_TO_OBJECT_STORAGE),
}


@contextmanager
def made(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[StorageArea]:
    """The storage area of this name, closed at the end."""
    storage = MAKERS[name](Ground(folder, request))
    try:
        yield storage
    finally:
        storage.close()
