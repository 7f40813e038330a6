"""One task as the function sees it that does it, inside a worker.

A task is a function ``(work: Work) -> dict``: what it returns goes back as JSON; what is long it
writes to ``work``. It raises the errors of ``wherry.errors``, which are raised again in the server;
anything else it raises is called an image that cannot be decoded. ``TASKS`` says where each is.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from wherry.errors import CannotWriteFile, UndecodableImage

TASKS: Final[dict[str, str]] = {
    "picture": "wherry.imaging.rendering:picture",
    "array": "wherry.imaging.rendering:array",
    "text": "wherry.imaging.rendering:text",
    "import_image": "wherry.imaging.importing:import_image",
    "transcode": "wherry.imaging.recoding:transcode",
}
"""Name of a task → ``module:function``; loaded when it is asked for the first time."""


class Work:
    """Arguments, input and output of one task."""

    def __init__(
        self,
        arguments: Mapping[str, Any],
        source: memoryview,
        sink: int,
        at: int,
        most: int,
        alive: Callable[[], None],
    ) -> None:
        self.arguments = arguments
        """What the caller of ``ImagingPool.run`` gave, as JSON gives it back."""
        self.source = source
        """The input, mapped: only what is looked at is read."""
        self.alive = alive
        """To be called after each frame of many: the time limit begins anew."""
        self.written = 0
        """Bytes of the output so far."""
        self._sink = sink
        self._at = at
        self._most = most

    def forget(self) -> None:
        """Give back the memory of what was read of the input; it can be read again."""
        if isinstance(mapping := self.source.obj, mmap.mmap):
            mapping.madvise(mmap.MADV_DONTNEED)

    def begin_again(self) -> None:
        """Nothing was written so far."""
        os.ftruncate(self._sink, self._at)
        self.written = 0

    def overwrite(self, data: bytes, position: int) -> None:
        """Put other bytes in the place of some that were written."""
        os.pwrite(self._sink, data, self._at + position)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append to the output. Raises ``UndecodableImage`` beyond the bound of an output,
        ``CannotWriteFile``."""
        view = memoryview(data).cast("B")
        if self._at + self.written + len(view) > self._most:
            raise UndecodableImage("more pixels than are answered at once")
        try:
            while view:
                done = os.pwrite(self._sink, view, self._at + self.written)
                view = view[done:]
                self.written += done
        except OSError as error:
            raise CannotWriteFile("No room for an image") from error


type_task = Callable[[Work], dict[str, Any]]
