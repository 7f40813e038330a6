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
from tests.support.swift import ACCESS_KEY, REGION, SECRET_KEY, Swift
from wherry.config.objects import AzureConfig, GoogleConfig, S3Config
from wherry.metrics import Metrics
from wherry.storage.base import StorageArea
from wherry.storage.counting import CountingStorage
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.objects import ObjectStorage, object_storage

_BUCKET = "contract"


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


def memory(_: Ground) -> StorageArea:
    return MemoryStorage()


MAKERS: dict[str, type_maker] = {
    "filesystem": filesystem,
    "counted": counted,
    "s3": s3,
    "s3-legacy": partial(s3, legacy=True),
    "azure": azure,
    "gcs": gcs,
    "memory": memory,
}
SHARING = ("filesystem", "counted")
"""Those whose files several writers may fill (``StorageArea.shares_files``)."""


@contextmanager
def made(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[StorageArea]:
    """The storage area of this name, closed at the end."""
    storage = MAKERS[name](Ground(folder, request))
    try:
        yield storage
    finally:
        storage.close()
