"""DICOM files of a folder as the manifest of a receipt has them: identifier, size, digest."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from wherry import limits
from wherry.dicom.scan import scan
from wherry.digests import new_digest, new_md5
from wherry.errors import BadFileFormat, WherryError
from wherry.jobs import ranges
from wherry.model import ManifestInstance


class _Found(NamedTuple):
    orthanc_id: str
    path: Path
    size: int


def instances_in(folder: Path, blake3: str) -> tuple[list[ManifestInstance], int]:
    """The instances in a folder and below, each once, and the number of files that are none.
    ``blake3``: the member of the receipt that tells which digests are BLAKE3.

    Raises ``WherryError`` when something cannot be read, ``BadFileFormat`` when the receipt tells
    no positions.
    """
    if not folder.is_dir():
        raise WherryError(f"{folder} is no folder")
    paths = [*_files(folder)]
    found = [one for path in paths if (one := _instance(path)) is not None]
    places = {name: place for place, name in enumerate(sorted({one.orthanc_id for one in found}))}
    try:
        positions = ranges.parse(blake3, limits.TRANSFER_INSTANCES)
    except ValueError:
        raise BadFileFormat("The receipt does not say which digests are BLAKE3") from None
    instances = {_digested(one, blake3=places[one.orthanc_id] in positions) for one in found}
    return list(instances), len(paths) - len(found)


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder, onerror=_refuse):
        yield from (Path(place) / name for name in names)


def _instance(path: Path) -> _Found | None:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                view = memoryview(content)
                try:
                    return _Found(scan(view).identifiers.instance, path, size)
                except WherryError:
                    return None
                finally:
                    view.release()
    except OSError as error:
        _refuse(error)


def _digested(one: _Found, *, blake3: bool) -> ManifestInstance:
    kind = new_digest if blake3 else new_md5
    try:
        with one.path.open("rb") as file:
            digest = hashlib.file_digest(file, kind)  # type: ignore[arg-type]
    except OSError as error:
        _refuse(error)
    return ManifestInstance(one.orthanc_id, one.size, digest.hexdigest())


def _refuse(error: OSError) -> NoReturn:
    raise WherryError(f"{error.filename} cannot be read: {error.strerror}") from error
