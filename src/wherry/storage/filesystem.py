"""Files in Orthanc's folder layout: ``ab/cd/abcd1234-…`` below the storage directory.

An existing Orthanc reads these folders as they are, and ours reads its. A file is synced by the
thread that wrote it, so that many syncs are on their way at once and the file system joins them;
a folder's own name is synced once by each process.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from wherry import clock
from wherry.digests import digest_like, digest_of
from wherry.errors import CannotWriteFile, MissingFile, ParameterOutOfRange, StorageFull
from wherry.model import DICOM_CONTENT
from wherry.storage import logrecords, smalllog
from wherry.storage.base import (
    ANYWHERE,
    FileReader,
    FileWriter,
    Logged,
    Put,
    SmallFile,
    in_place,
    type_buffer,
)
from wherry.storage.direct import Buffers, Stream, start_writeback, write_all
from wherry.storage.mapping import mapped
from wherry.storage.smalllog import Record, SmallLog

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PREFIX = re.compile(r"[0-9a-f]{4}[0-9a-f-]{0,32}")
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FREE_FOR_S = 0.25
_SYNC_TOGETHER = 64
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_Sync = Callable[[str], None]

PLACE: Final = ""
"""Of a file in a file system, as it is."""


def _write_error(error: OSError) -> CannotWriteFile:
    if error.errno in _FULL:
        return StorageFull("No space left in the storage area")
    return CannotWriteFile(f"The storage area refused the bytes ({os.strerror(error.errno or 0)})")


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
            raise _write_error(error) from error

    def filled(self, size: int) -> None:
        try:
            self._stream.filled(size)
        except OSError as error:
            raise _write_error(error) from error

    def write_at(self, data: type_buffer, offset: int) -> None:
        try:
            write_all(self._fd, data, offset)
        except OSError as error:
            raise _write_error(error) from error

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
            raise _write_error(error) from error

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
        raise _write_error(error) from error


class FilesystemStorage:
    """The ``StorageArea`` on a local or mounted POSIX file system."""

    shares_files = True

    def __init__(self, root: Path, owner: str = "") -> None:
        """``owner`` names the process in its log of small files."""
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _write_error(error) from error
        self._root = str(root)
        self._owner = owner or clock.new_uuid()
        self._synced_folders: set[str] = set()
        self._free = (0.0, 0)
        self._buffers = Buffers()
        self._mine = threading.local()
        self._log_folder = f"{self._root}/small-files-log"
        self._stopping: threading.Thread | None = None
        self._log: SmallLog | None = SmallLog(self._log_folder, self._owner)

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

    def put(self, files: Sequence[SmallFile]) -> Put:
        log, places = self._log, [PLACE] * len(files)
        if log is None or log.lost:
            self._put_synced(files)
            return in_place(places)
        record = self._put_logged(files, log)
        wait = partial(self._wait, record, [file.uuid for file in files])
        return Put(places, record.number, wait, record.done)

    def before_forgetting(self, secure: Callable[[], None]) -> None:
        if self._log is not None:
            self._log.secure = secure

    def _wait(self, record: Record, uuids: Sequence[str]) -> None:
        try:
            record.writing.wait()
        except OSError as error:
            for uuid in uuids:
                self.delete(uuid)
            raise _write_error(error) from error

    def _put_logged(self, files: Sequence[SmallFile], log: SmallLog) -> Record:
        made = []
        try:
            for file in files:
                fd = self._open(file.uuid, _NEW)
                made.append(file.uuid)
                try:
                    write_all(fd, file.data, 0)
                finally:
                    os.close(fd)
            return log.append(files)
        except BaseException as error:
            for uuid in made:
                self.delete(uuid)
            if isinstance(error, OSError):
                raise _write_error(error) from error
            raise

    def _put_synced(self, files: Sequence[SmallFile]) -> None:
        made = []
        try:
            for file in files:
                writer = self.create(file.uuid)
                made.append(file.uuid)
                try:
                    writer.write(file.data)
                    writer.sync()
                finally:
                    writer.close()
        except BaseException:
            for uuid in made:
                self.delete(uuid)
            raise

    def logs(self) -> Iterable[str]:
        return smalllog.owners(self._log_folder)

    def logged(self, owner: str) -> Iterator[Logged]:
        return logrecords.read(self._log_folder, owner)

    def restore(self, file: SmallFile) -> bool:
        if self._is_whole(file):
            return False
        # Under another name first: somebody else may be doing the same, or have done all of it.
        path = f"{self._log_folder}/{smalllog.restored_name(self._owner, file.uuid)}"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                write_all(fd, file.data, 0)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.makedirs(os.path.dirname(self._path(file.uuid)), exist_ok=True)  # noqa: PTH103, PTH120
            os.replace(path, self._path(file.uuid))  # noqa: PTH105
        except OSError as error:
            raise _write_error(error) from error
        folder = f"{file.uuid[:2]}/{file.uuid[2:4]}"
        self._synced_folders.discard(folder)
        self._sync_folder(folder)
        return True

    def _is_whole(self, file: SmallFile) -> bool:
        try:
            reader = self.open(file.uuid)
        except MissingFile:
            return False
        try:
            # After a failed sync a page may be clean that never reached the disk: look at the disk.
            reader.forget(0, 0)
            with reader.map() as content:
                return digest_of(content, partial(digest_like, file.digest)) == file.digest
        finally:
            reader.close()

    def drop_log(self, owner: str) -> None:
        smalllog.remove(self._log_folder, owner)

    def stop_logging(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            # In a thread: what it waits for may wait for its caller.
            self._stopping = threading.Thread(target=log.close, name="small-log", daemon=True)
            self._stopping.start()

    def close(self) -> None:
        if self._stopping is not None:
            self._stopping.join()
        log, self._log = self._log, None
        if log is None:
            return
        try:
            log.close()
        except OSError as error:
            raise _write_error(error) from error

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
            raise _write_error(error) from error

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
            raise _write_error(error) from error

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
