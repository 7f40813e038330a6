"""Where the processes of a test store: a folder, also of sealed files, or what has no folders and
shares no files."""

from __future__ import annotations

from pathlib import Path

from tests.support.memory import MemoryStorage, type_files
from wherry.storage.base import StorageArea
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.sealed.area import SealedStorage
from wherry.storage.sealed.keys import Keys


class Area:
    """``folder``, or objects in memory. ``keys`` = files of the folder are sealed."""

    def __init__(self, folder: Path | None, keys: Keys | None = None) -> None:
        self._folder = folder
        self._keys = keys
        self._kept: type_files = {}

    @property
    def folder(self) -> Path:
        """Only of one that is a folder."""
        assert self._folder is not None
        return self._folder

    def storage(self, name: str) -> StorageArea:
        """As the process of this name sees it."""
        if self._folder is None:
            return MemoryStorage(self._kept)
        files = FilesystemStorage(self._folder, name)
        return files if self._keys is None else SealedStorage(files, self._keys)

    def files(self) -> set[str]:
        """What is stored."""
        return (
            {path.name for path in self._folder.glob("??/*/*")} if self._folder else {*self._kept}
        )
