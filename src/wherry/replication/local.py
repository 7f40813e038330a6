"""Files of this machine that go to a server: read like those of the storage area."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from wherry import limits
from wherry.storage.mapping import mapped


class LocalFile:
    """A ``FileReader`` over an open file, closed at the end of a ``with``."""

    place = ""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._fd = file.fileno()
        self.size = os.fstat(self._fd).st_size

    @classmethod
    def open(cls, path: Path) -> LocalFile:
        """Raises ``OSError``."""
        return cls(path.open("rb", buffering=0))

    def read_at(self, offset: int, size: int) -> bytes:
        """At most ``size`` bytes from ``offset``; fewer only at the end of the file."""
        return os.pread(self._fd, size, offset)

    def map(self) -> AbstractContextManager[memoryview]:
        """The whole file as one read-only buffer; only what is looked at is read."""
        return mapped(self._fd)

    def forget(self, offset: int, size: int) -> None:
        """The user's cache is not ours to empty."""

    def fileno(self) -> int:
        """For ``sendfile``."""
        return self._fd

    def md5(self) -> str:
        """Lower-case hex."""
        digest = hashlib.md5(usedforsecurity=False)
        offset = 0
        while piece := self.read_at(offset, limits.READ_CHUNK_BYTES):
            digest.update(piece)
            offset += len(piece)
        return digest.hexdigest()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def __enter__(self) -> LocalFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def temporary() -> Iterator[IO[bytes]]:
    """A nameless file to write to; nothing of it is left when the process dies."""
    with tempfile.TemporaryFile(buffering=0) as file:
        yield file
