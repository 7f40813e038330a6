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
from tests.support.google import Google
from tests.support.memory import MemoryStorage
from tests.support.objects import FakeObjects
from tests.support.sealed import sealed_keys
from tests.support.swift import ACCESS_KEY, REGION, SECRET_KEY, Swift
from wherry.config.objects import AzureConfig, GoogleConfig, Hybrid, S3Config
from wherry.metrics import Metrics
from wherry.storage.base import StorageArea
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.hybrid import HybridStorage, ObjectSide
from wherry.storage.objects import ObjectStorage, object_storage
from wherry.storage.sealed.area import SealedStorage

_BUCKET = "contract"
TO_FILES, TO_OBJECTS = Hybrid.WRITE_TO_FILE_SYSTEM, Hybrid.WRITE_TO_OBJECT_STORAGE


@dataclass(frozen=True)
class Ground:
    """What a maker may build on."""

    folder: Path
    """Empty, of this test."""
    request: pytest.FixtureRequest

    def service(self, name: str) -> Any:
        """A fixture of the session: ``s3_service``, ``azure_service``, ``google_service``."""
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


def sealed(ground: Ground, container: str, inner: type_maker = filesystem) -> StorageArea:
    return SealedStorage(inner(ground), sealed_keys(container))


def azure(ground: Ground, *, sealed: bool = False) -> ObjectStorage:
    """In a part of its own of the one container."""
    service: Azurite = ground.service("azure_service")
    config = AzureConfig(
        root_path=f"some/{uuid.uuid4()}",
        connection_string=service.connection_string,
        container_name=_BUCKET,
    )
    return object_storage(config, ground.folder, sealed=sealed)


def gcs(ground: Ground, *, sealed: bool = False) -> ObjectStorage:
    """By the client of Google; see ``tests.support.google`` for what that shows."""
    service: Google = ground.service("google_service")
    config = GoogleConfig(
        root_path=f"some/{uuid.uuid4()}",
        service_account_file=service.account_file,
        bucket_name=service.swift.make(_BUCKET),
    )
    return object_storage(config, ground.folder, sealed=sealed)


def fake_objects(ground: Ground) -> FakeObjects:
    return FakeObjects(ground.folder / "objects")


def hybrid(ground: Ground, mode: Hybrid, objects: Callable[[Ground], ObjectSide]) -> StorageArea:
    local = FilesystemStorage(ground.folder / "storage")
    return HybridStorage(local, objects(ground), mode, lambda uuid: None)


def memory(_: Ground) -> StorageArea:
    return MemoryStorage()


MAKERS: dict[str, type_maker] = {
    "filesystem": filesystem,
    "counted": counted,
    "s3": s3,
    "s3-legacy": partial(s3, legacy=True),
    "azure": azure,
    "gcs": gcs,
    "sealed": partial(sealed, container="W1"),
    "sealed-a1": partial(sealed, container="A1"),
    "sealed-memory": partial(sealed, container="W1", inner=memory),
    "sealed-s3": partial(sealed, container="W1", inner=partial(s3, sealed=True)),
    "sealed-azure": partial(sealed, container="A1", inner=partial(azure, sealed=True)),
    "memory": memory,
    "hybrid-file-system": partial(hybrid, mode=TO_FILES, objects=fake_objects),
    "hybrid-objects": partial(hybrid, mode=TO_OBJECTS, objects=fake_objects),
    "hybrid-s3-file-system": partial(hybrid, mode=TO_FILES, objects=s3),
    "hybrid-s3-objects": partial(hybrid, mode=TO_OBJECTS, objects=s3),
    "sealed-hybrid": partial(
        sealed, container="W1", inner=partial(hybrid, mode=TO_FILES, objects=fake_objects)
    ),
    "sealed-hybrid-s3": partial(
        sealed,
        container="W1",
        inner=partial(hybrid, mode=TO_OBJECTS, objects=partial(s3, sealed=True)),
    ),
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
