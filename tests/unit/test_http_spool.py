from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from wherry import limits
from wherry.errors import StorageFull, TooLarge
from wherry.http.spool import Spool


def plenty() -> int:
    return limits.GIB


def test_what_is_written_can_be_read_and_has_no_name(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100, plenty)
    spool.write(b"hello ")
    spool.write(bytearray(b"world"))
    assert spool.size == 11
    assert spool.read_at(3, 100) == b"lo world"
    assert list(tmp_path.iterdir()) == []
    spool.close()
    spool.close()


def test_bounds(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, 10, plenty)) as spool, pytest.raises(TooLarge):
        spool.write(bytes(11))
    full = Spool(tmp_path, 10, lambda: limits.FREE_DISK_BYTES)
    with closing(full), pytest.raises(StorageFull):
        full.write(b"x")
