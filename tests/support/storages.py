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

from tests.support.sealed import sealed_keys
from wherry.metrics import Metrics
from wherry.storage.base import StorageArea
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.sealed.area import SealedStorage


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


def _sealed(ground: Ground, container: str) -> StorageArea:
    keys = sealed_keys(container)
    return SealedStorage(filesystem(ground), keys)


def sealed_w1(ground: Ground) -> StorageArea:
    return _sealed(ground, "W1")


def sealed_a1(ground: Ground) -> StorageArea:
    return _sealed(ground, "A1")


MAKERS: dict[str, type_maker] = {
    "filesystem": filesystem,
    "counted": counted,
    "sealed W1": sealed_w1,
    "sealed A1": sealed_a1,
}


@contextmanager
def made(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[StorageArea]:
    """The storage area of this name, closed at the end."""
    storage = MAKERS[name](Ground(folder, request))
    try:
        yield storage
    finally:
        storage.close()
