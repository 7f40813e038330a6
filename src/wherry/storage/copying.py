"""A copy of a stored file somewhere else on this machine, for whoever may ask for that.

Not here: whether it may be asked for.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from wherry.errors import CannotWriteFile
from wherry.storage.base import FileReader
from wherry.storage.pieces import pieces


def copy_to(reader: FileReader, target: Path) -> None:
    """Write all bytes of ``reader`` to ``target``, replacing a file there; wholly or not at all.

    Raises ``CannotWriteFile``, without saying what is there.
    """
    try:
        fd, name = tempfile.mkstemp(prefix=".wherry-", dir=target.parent)
    except (OSError, ValueError) as error:
        raise CannotWriteFile from error
    try:
        with os.fdopen(fd, "wb") as copy:
            copy.writelines(pieces(reader, 0, reader.size))
            copy.flush()
            os.fsync(copy.fileno())
        Path(name).replace(target)
    except OSError as error:
        with suppress(OSError):
            Path(name).unlink()
        raise CannotWriteFile from error
