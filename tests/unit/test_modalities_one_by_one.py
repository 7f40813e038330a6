"""Instances that are sent one after the other, their files near and far."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.dicom_files import make_series
from tests.support.objects import FakeObjects
from wherry.errors import BadFileFormat, MissingFile
from wherry.modalities.sending.cstore import OneByOne
from wherry.model import Attachment
from wherry.storage.base import ANYWHERE, StorageArea
from wherry.storage.filesystem import FilesystemStorage

DATA = make_series(6, pixel_bytes=3000)


def stored(storage: StorageArea, data: bytes) -> Attachment:
    writer = storage.create(str(uuid4()))
    writer.write(data)
    writer.sync()
    writer.close()
    return Attachment(writer.uuid, 1, len(data), "", len(data), "", place=writer.place)


@pytest.fixture(params=[FilesystemStorage, FakeObjects], ids=["near", "far"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> StorageArea:
    make: Callable[[Path], StorageArea] = request.param
    return make(tmp_path)


def test_one_that_is_missing_or_damaged_does_not_hurt_those_behind_it(storage: StorageArea) -> None:
    files = [stored(storage, data) for data in DATA]
    files[4] = stored(storage, b"nothing of DICOM" * 20)
    storage.delete(files[1].uuid, files[1].place)
    storage.delete(files[2].uuid, files[2].place)
    queue = OneByOne(storage, [(str(number), file) for number, file in enumerate(files)])
    found: list[object] = []
    for _ in files:
        try:
            with queue.next() as outgoing:
                found.append(b"".join(outgoing.whole()))
        except (MissingFile, BadFileFormat) as error:
            found.append(type(error))
    queue.close()
    assert found == [DATA[0], MissingFile, MissingFile, DATA[3], BadFileFormat, DATA[5]]


def test_nobody_needs_to_want_the_rest(storage: StorageArea) -> None:
    queue = OneByOne(storage, [("", stored(storage, data)) for data in DATA])
    with queue.next() as outgoing:
        assert b"".join(outgoing.whole()) == DATA[0]
    queue.close()
    queue.close()


def test_what_comes_next_is_opened_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits until a second one is being opened."""
    far = FakeObjects(tmp_path)
    files = [stored(far, data) for data in DATA]
    together, found = threading.Barrier(2), far.open

    def open_it(uuid: str, place: str = ANYWHERE) -> Any:
        together.wait(10)
        return found(uuid, place)

    monkeypatch.setattr(far, "open", open_it)
    queue = OneByOne(far, [("", file) for file in files])
    for data in DATA:
        with queue.next() as outgoing:
            assert b"".join(outgoing.whole()) == data
    queue.close()
