"""Answers that a worker writes into a nameless file, because they may be long."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import IO

from starlette.responses import Response

from wherry.http.pieces import pieces_answer
from wherry.storage import scratch


def scratch_answer(fill: Callable[[int], object], kind: bytes) -> Response:
    """What ``fill`` writes into the descriptor that it is given, as media type ``kind``. Blocking;
    raises what ``fill`` raises, and ``CannotWriteFile``."""
    file = scratch.nameless()
    try:
        fill(file.fileno())
        size = os.fstat(file.fileno()).st_size
        return pieces_answer(_pieces(file), kind, size=size)
    except BaseException:
        file.close()
        raise


def _pieces(file: IO[bytes]) -> Generator[bytes, None, None]:
    with file:
        yield from scratch.read_all(file)
