"""The small files of a file system: written in the ordinary way, made durable by a log, and given
back out of it.

Not here: the log (``smalllog``), where a file lies and how one is opened (``filesystem``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

from wherry.digests import digest_like, digest_of
from wherry.errors import MissingFile
from wherry.storage import logrecords, smalllog
from wherry.storage.base import (
    ANYWHERE,
    FileReader,
    FileWriter,
    Logged,
    Put,
    SmallFile,
    in_place,
)
from wherry.storage.direct import write_all, write_error
from wherry.storage.smalllog import Record, SmallLog


class Folder(Protocol):
    """Where the files lie."""

    def create(self, uuid: str) -> FileWriter:
        """As that of ``StorageArea``."""

    def open(self, uuid: str, place: str = ANYWHERE) -> FileReader:
        """As that of ``StorageArea``."""

    def delete(self, uuid: str, place: str = ANYWHERE) -> None:
        """As that of ``StorageArea``."""

    def open_new(self, uuid: str) -> int:
        """A descriptor of a new file. Raises as ``create`` does."""

    def take_in(self, path: str, uuid: str) -> None:
        """Let the file at ``path``, which is synced, be the file ``uuid``, whatever was there; and
        sync its name. Raises ``CannotWriteFile``."""


class SmallFiles:
    """Those in one folder; the log of one process."""

    def __init__(self, files: Folder, log_folder: str, owner: str) -> None:
        """``owner`` names the process in its log."""
        self._files = files
        self._log_folder = log_folder
        self._owner = owner
        self._log: SmallLog | None = SmallLog(log_folder, owner)
        self._stopping: threading.Thread | None = None

    def put(self, files: Sequence[SmallFile], place: str) -> Put:
        """As that of ``StorageArea``."""
        log, places = self._log, [place] * len(files)
        if log is None or log.lost:
            self.put_synced(files)
            return in_place(places)
        record = self._put_logged(files, log)
        wait = partial(self._wait, record, [file.uuid for file in files])
        return Put(places, record.number, wait, record.done)

    def put_synced(self, files: Sequence[SmallFile]) -> None:
        """The same without the log: each is synced by itself."""
        made = []
        try:
            for file in files:
                writer = self._files.create(file.uuid)
                made.append(file.uuid)
                try:
                    writer.write(file.data)
                    writer.sync()
                finally:
                    writer.close()
        except BaseException:
            self._delete(made)
            raise

    def before_forgetting(self, secure: Callable[[], None]) -> None:
        """As that of ``StorageArea``; so the next five."""
        if self._log is not None:
            self._log.secure = secure

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
        except OSError as error:
            raise write_error(error) from error
        self._files.take_in(path, file.uuid)
        return True

    def drop_log(self, owner: str) -> None:
        smalllog.remove(self._log_folder, owner)

    def stop_logging(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            # In a thread: what it waits for may wait for its caller.
            self._stopping = threading.Thread(target=log.close, name="small-log", daemon=True)
            self._stopping.start()

    def close(self) -> None:
        """Make the files durable by themselves, and remove the log. Raises ``CannotWriteFile``."""
        if self._stopping is not None:
            self._stopping.join()
        log, self._log = self._log, None
        if log is None:
            return
        try:
            log.close()
        except OSError as error:
            raise write_error(error) from error

    def _put_logged(self, files: Sequence[SmallFile], log: SmallLog) -> Record:
        made = []
        try:
            for file in files:
                fd = self._files.open_new(file.uuid)
                made.append(file.uuid)
                try:
                    write_all(fd, file.data, 0)
                finally:
                    os.close(fd)
            return log.append(files)
        except BaseException as error:
            self._delete(made)
            if isinstance(error, OSError):
                raise write_error(error) from error
            raise

    def _wait(self, record: Record, uuids: Sequence[str]) -> None:
        try:
            record.writing.wait()
        except OSError as error:
            self._delete(uuids)
            raise write_error(error) from error

    def _delete(self, uuids: Iterable[str]) -> None:
        for uuid in uuids:
            self._files.delete(uuid)

    def _is_whole(self, file: SmallFile) -> bool:
        try:
            reader = self._files.open(file.uuid)
        except MissingFile:
            return False
        try:
            # After a failed sync a page may be clean that never reached the disk: look at the disk.
            reader.forget(0, 0)
            with reader.map() as content:
                return digest_of(content, partial(digest_like, file.digest)) == file.digest
        finally:
            reader.close()
