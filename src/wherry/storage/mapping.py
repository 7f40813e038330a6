"""A file as one read-only buffer."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from wherry import limits


@contextmanager
def mapped(fd: int) -> Iterator[memoryview]:
    """The bytes of an open file; only what is looked at is read.

    After an error its traceback may still hold parts of the buffer, which then cannot be closed:
    it goes away together with the traceback.
    """
    size = os.fstat(fd).st_size
    if size == 0:  # an empty file cannot be mapped
        yield memoryview(b"")
        return
    content = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    if size > limits.MAPPED_AHEAD_BYTES:
        content.madvise(mmap.MADV_RANDOM)
    view = memoryview(content)
    try:
        yield view
    finally:
        with suppress(BufferError):
            view.release()
            content.close()
