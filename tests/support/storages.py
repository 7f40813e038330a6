"""The storage areas that pass the one contract (``tests/contract/test_storage_area.py``).

To add one: a maker, and its name in ``MAKERS``. A service that it needs is a fixture of the session
(``tests/conftest.py``), asked for by name, so that it is started when it is first needed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.azurite import Azurite
from tests.support.objects import FakeObjects
from tests.support.swift import ACCESS_KEY, REGION, SECRET_KEY, Swift
from wherry.config.objects import AzureConfig, Hybrid, S3Config
from wherry.metrics import Metrics
from wherry.storage.base import StorageArea
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.hybrid import HybridStorage
from wherry.storage.objects import ObjectStorage, object_storage

_BUCKET = "contract"


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


def s3(ground: Ground, *, legacy: bool = False, sealed: bool = False) -> ObjectStorage:
    """In a part of its own of the one bucket: to make one takes longer than a test."""
    service: Swift = ground.service("s3_service")
    config = S3Config(
        root_path=f"some/{uuid.uuid4()}",
        legacy_names=legacy,
        bucket_name=service.make(_BUCKET),
        region=REGION,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        endpoint=service.endpoint,
        virtual_addressing=False,
    )
    return object_storage(config, ground.folder, sealed=sealed)


def azure(ground: Ground, *, sealed: bool = False) -> ObjectStorage:
    """In a part of its own of the one container."""
    service: Azurite = ground.service("azure_service")
    config = AzureConfig(
        root_path=f"some/{uuid.uuid4()}",
        connection_string=service.connection_string,
        container_name=_BUCKET,
    )
    return object_storage(config, ground.folder, sealed=sealed)


def hybrid(write_to: Hybrid) -> type_maker:
    """Over a folder that acts as an object store: what real ones do is tested with them."""

    def make(ground: Ground) -> StorageArea:
        objects = FakeObjects(ground.folder / "objects")
        local = FilesystemStorage(ground.folder / "storage")
        return HybridStorage(local, objects, write_to, lambda uuid: None)

    return make


def hybrid_s3(write_to: Hybrid) -> type_maker:
    """Over a real one."""

    def make(ground: Ground) -> StorageArea:
        local = FilesystemStorage(ground.folder / "storage")
        return HybridStorage(local, s3(ground), write_to, lambda uuid: None)

    return make


MAKERS: dict[str, type_maker] = {
    "filesystem": filesystem,
    "counted": counted,
    "s3": s3,
    "s3-legacy": partial(s3, legacy=True),
    "azure": azure,
    "hybrid-file-system": hybrid(Hybrid.WRITE_TO_FILE_SYSTEM),
    "hybrid-objects": hybrid(Hybrid.WRITE_TO_OBJECT_STORAGE),
    "hybrid-s3-file-system": hybrid_s3(Hybrid.WRITE_TO_FILE_SYSTEM),
    "hybrid-s3-objects": hybrid_s3(Hybrid.WRITE_TO_OBJECT_STORAGE),
}
SHARING = ("filesystem", "counted", "hybrid-file-system", "hybrid-s3-file-system")
"""Those whose files several writers may fill (``StorageArea.shares_files``)."""


@contextmanager
def made(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[StorageArea]:
    """The storage area of this name, closed at the end."""
    storage = MAKERS[name](Ground(folder, request))
    try:
        yield storage
    finally:
        storage.close()
