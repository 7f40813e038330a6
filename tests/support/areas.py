"""Where the processes of a test store: a folder, or what has no folders and shares no files."""

from __future__ import annotations

from pathlib import Path

from tests.support.memory import MemoryStorage, type_files
from wherry.storage.base import StorageArea
from wherry.storage.filesystem import FilesystemStorage


class Area:
    """``folder``, or objects in memory."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: type_files = {}

    @property
    def folder(self) -> Path:
        """Only of one that is a folder."""
        assert self._folder is not None
        return self._folder

    def storage(self, name: str) -> StorageArea:
        """As the process of this name sees it."""
        return FilesystemStorage(self._folder, name) if self._folder else MemoryStorage(self._kept)

    def files(self) -> set[str]:
        """What is stored."""
        return (
            {path.name for path in self._folder.glob("??/*/*")} if self._folder else {*self._kept}
        )
