"""DICOM files of a folder as a manifest has them: identifier, size, MD5."""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path

from wherry.dicom.scan import scan
from wherry.errors import WherryError
from wherry.model import ManifestInstance


def instances_in(folder: Path) -> tuple[list[ManifestInstance], int]:
    """The instances in a folder and below, each once, and the number of files that are none.

    Raises ``WherryError`` when something cannot be read.
    """
    found: set[ManifestInstance] = set()
    others = 0
    if not folder.is_dir():
        raise WherryError(f"{folder} is no folder")
    for place, _, names in os.walk(folder, onerror=_refuse):
        for name in names:
            one = _instance(Path(place) / name)
            if one is None:
                others += 1
            else:
                found.add(one)
    return list(found), others


def _instance(path: Path) -> ManifestInstance | None:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                view = memoryview(content)
                try:
                    identifiers = scan(view).identifiers
                except WherryError:
                    return None
                finally:
                    view.release()
            file.seek(0)
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    except OSError as error:
        raise WherryError(f"{path} cannot be read: {error.strerror}") from error
    return ManifestInstance(identifiers.instance, size, digest.hexdigest())


def _refuse(error: OSError) -> None:
    raise WherryError(f"{error.filename} cannot be read: {error.strerror}") from error
