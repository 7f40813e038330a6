"""Tasks of workers whose output is short."""

from __future__ import annotations

import os
from typing import Any

from wherry.imaging.pool import ImagingPool, Source
from wherry.imaging.process import memfd


def in_memory(
    pool: ImagingPool, task: str, arguments: dict[str, Any], source: Source
) -> tuple[dict[str, Any], bytes]:
    """What the task returned, and its output."""
    sink = memfd()
    try:
        result = pool.run(task, arguments, source, sink)
        return result, os.pread(sink, os.fstat(sink).st_size, 0)
    finally:
        os.close(sink)
