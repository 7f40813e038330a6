"""Files in Orthanc's folder layout: ``ab/cd/abcd1234-…`` below the storage directory.

An existing Orthanc reads these folders as they are, and ours reads its. A file is synced by the
thread that wrote it, so that many syncs are on their way at once and the file system joins them;
a folder's own name is synced once by each process.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

from wherry import clock
from wherry.errors import MissingFile, ParameterOutOfRange
from wherry.model import DICOM_CONTENT
from wherry.storage.base import (
    ANYWHERE,
    FileReader,
    FileWriter,
    Logged,
    Put,
    SmallFile,
    type_buffer,
)
from wherry.storage.direct import Buffers, Stream, start_writeback, write_all, write_error
from wherry.storage.mapping import mapped
from wherry.storage.smallfiles import SmallFiles

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PREFIX = re.compile(r"[0-9a-f]{4}[0-9a-f-]{0,32}")
_FREE_FOR_S = 0.25
_SYNC_TOGETHER = 64
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_Sync = Callable[[str], None]

PLACE: Final = ""
"""Of a file in a file system, as it is."""


def _check_place(uuid: str, place: str) -> None:
    if place not in (PLACE, ANYWHERE):
        raise MissingFile(f"The stored file {uuid} is in {place!r}, which is not configured")


class _Writer:
    """A file of the storage area open for writing."""

    place = PLACE

    def __init__(self, uuid: str, fd: int, stream: Stream, sync_folder: _Sync) -> None:
        self.uuid = uuid
        self._fd = fd
        self._stream = stream
        self._sync_folder = sync_folder
        self.room = stream.room
        self.adopt = stream.adopt

    def write(self, data: type_buffer) -> None:
        try:
            self._stream.write(data)
        except OSError as error:
            raise write_error(error) from error

    def filled(self, size: int) -> None:
        try:
            self._stream.filled(size)
        except OSError as error:
            raise write_error(error) from error

    def write_at(self, data: type_buffer, offset: int) -> None:
        try:
            write_all(self._fd, data, offset)
        except OSError as error:
            raise write_error(error) from error

    def map(self) -> AbstractContextManager[memoryview]:
        self.flush()
        return mapped(self._fd)

    def read_at(self, offset: int, size: int) -> bytes:
        self.flush()
        return os.pread(self._fd, size, offset)

    def sync(self) -> None:
        self.flush()
        _fsync(self._fd)
        self._sync_folder(f"{self.uuid[:2]}/{self.uuid[2:4]}")

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise write_error(error) from error

    def close(self) -> None:
        if self._fd >= 0:
            self._stream.close()
            os.close(self._fd)
            self._fd = -1


class _Reader:
    """A file of the storage area open for reading."""

    place = PLACE

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = os.fstat(fd).st_size

    def read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self._fd, size, offset)

    def map(self) -> AbstractContextManager[memoryview]:
        return mapped(self._fd)

    def forget(self, offset: int, size: int) -> None:
        os.posix_fadvise(self._fd, offset, size, os.POSIX_FADV_DONTNEED)

    def fileno(self) -> int | None:
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Folder:
    """The folder that a thread synced last, kept open: it is mostly the next one too."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


def _open_to_sync(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise MissingFile from error


def _fsync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        raise write_error(error) from error


class FilesystemStorage:
    """The ``StorageArea`` on a local or mounted POSIX file system."""

    shares_files = True

    def __init__(self, root: Path, owner: str = "") -> None:
        """``owner`` names the process in its log of small files."""
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(error) from error
        self._root = str(root)
        self._synced_folders: set[str] = set()
        self._free = (0.0, 0)
        self._buffers = Buffers()
        self._mine = threading.local()
        self._small = SmallFiles(self, f"{self._root}/small-files-log", owner or clock.new_uuid())

    def create(self, uuid: str, content_type: int = DICOM_CONTENT) -> FileWriter:
        fd = self._open(uuid, _NEW)
        return _Writer(uuid, fd, Stream(fd, self._buffers), self._sync_folder)

    def reopen(self, uuid: str, offset: int = 0) -> FileWriter:
        fd = self._open(uuid, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        return _Writer(uuid, fd, Stream(fd, self._buffers, offset), self._sync_folder)

    def take_buffer(self) -> memoryview:
        return self._buffers.take()

    def give_back(self, buffer: memoryview) -> None:
        self._buffers.give_back(buffer)

    # --- small files -----------------------------------------------------------------------------
    def put(self, files: Sequence[SmallFile]) -> Put:
        return self._small.put(files, PLACE)

    def before_forgetting(self, secure: Callable[[], None]) -> None:
        self._small.before_forgetting(secure)

    def logs(self) -> Iterable[str]:
        return self._small.logs()

    def logged(self, owner: str) -> Iterator[Logged]:
        return self._small.logged(owner)

    def restore(self, file: SmallFile) -> bool:
        return self._small.restore(file)

    def drop_log(self, owner: str) -> None:
        self._small.drop_log(owner)

    def stop_logging(self) -> None:
        self._small.stop_logging()

    def close(self) -> None:
        self._small.close()

    # --- for them --------------------------------------------------------------------------------
    def open_new(self, uuid: str) -> int:
        """A descriptor of a new file, of the caller's. Raises as ``create`` does."""
        return self._open(uuid, _NEW)

    def take_in(self, path: str, uuid: str) -> None:
        """Let the file at ``path``, which is synced, be the file ``uuid``, whatever was there, and
        sync its name. Raises ``CannotWriteFile``."""
        try:
            os.makedirs(os.path.dirname(self._path(uuid)), exist_ok=True)  # noqa: PTH103, PTH120
            os.replace(path, self._path(uuid))  # noqa: PTH105
        except OSError as error:
            raise write_error(error) from error
        folder = f"{uuid[:2]}/{uuid[2:4]}"
        self._synced_folders.discard(folder)
        self._sync_folder(folder)

    def _open(self, uuid: str, flags: int) -> int:
        path = self._path(uuid)
        try:
            try:
                return os.open(path, flags, 0o644)
            except FileNotFoundError:
                self._synced_folders.discard(f"{uuid[:2]}/{uuid[2:4]}")
                self._mine.folder = None
                os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
                return os.open(path, flags, 0o644)
        except OSError as error:
            raise write_error(error) from error

    def sync(self, uuids: Iterable[str]) -> None:
        names = [*uuids]
        for start in range(0, len(names), _SYNC_TOGETHER):
            self._sync_together(names[start : start + _SYNC_TOGETHER])

    def _sync_together(self, uuids: Sequence[str]) -> None:
        files: list[int] = []
        try:
            for uuid in uuids:
                files.append(_open_to_sync(self._path(uuid)))
            for fd in files:  # all are on their way to the disk before the first is waited for
                start_writeback(fd)
            for fd in files:
                _fsync(fd)
        finally:
            for fd in files:
                os.close(fd)
        for folder in {f"{uuid[:2]}/{uuid[2:4]}" for uuid in uuids}:
            self._sync_folder(folder)

    def _sync_folder(self, folder: str) -> None:
        """Sync the names in ``ab/cd``; once in this process also the folder's own name."""
        held: _Folder | None = getattr(self._mine, "folder", None)
        if held is None or held.name != folder:
            held = self._mine.folder = _Folder(folder, _open_to_sync(f"{self._root}/{folder}"))
        _fsync(held.fd)
        if folder not in self._synced_folders:
            self._sync_path(f"{self._root}/{folder[:2]}")
            self._sync_path(self._root)
            self._synced_folders.add(folder)

    def _sync_path(self, path: str) -> None:
        fd = _open_to_sync(path)
        try:
            _fsync(fd)
        finally:
            os.close(fd)

    def open(self, uuid: str, place: str = ANYWHERE) -> FileReader:
        _check_place(uuid, place)
        try:
            return _Reader(os.open(self._path(uuid), os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError as error:
            raise MissingFile(f"The stored file {uuid} is missing") from error

    def delete(self, uuid: str, place: str = ANYWHERE) -> None:
        _check_place(uuid, place)
        try:
            os.unlink(self._path(uuid))  # noqa: PTH108
        except FileNotFoundError:
            return
        except OSError as error:
            raise write_error(error) from error

    def sync_removals(self, names: Iterable[str]) -> None:
        for folder in {f"{name[:2]}/{name[2:4]}" for name in names}:
            with suppress(MissingFile):  # a folder that was never made holds no name to forget
                self._sync_path(f"{self._root}/{folder}")

    def size(self, uuid: str, place: str = ANYWHERE) -> int:
        _check_place(uuid, place)
        try:
            return os.stat(self._path(uuid)).st_size  # noqa: PTH116
        except FileNotFoundError as error:
            raise MissingFile(f"The stored file {uuid} is missing") from error

    def list(self, prefix: str) -> Iterator[str]:
        if not _PREFIX.fullmatch(prefix):
            raise ParameterOutOfRange("A prefix has at least four hexadecimal digits")
        try:
            with os.scandir(f"{self._root}/{prefix[:2]}/{prefix[2:4]}") as entries:
                names = [entry.name for entry in entries if entry.name.startswith(prefix)]
        except FileNotFoundError:
            return
        yield from (name for name in names if _UUID.fullmatch(name))

    def free_bytes(self) -> int:
        now = clock.monotonic()
        asked, free = self._free
        if now - asked > _FREE_FOR_S:
            state = os.statvfs(self._root)
            free = state.f_bavail * state.f_frsize
            self._free = (now, free)
        return free

    def _path(self, uuid: str) -> str:
        if not _UUID.fullmatch(uuid):
            raise ParameterOutOfRange("The name of an attachment is a lower-case UUID")
        return f"{self._root}/{uuid[:2]}/{uuid[2:4]}/{uuid}"
