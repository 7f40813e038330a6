"""A mapped file is let go, whatever happens to whoever looks into it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.errors import BadFileFormat
from wherry.storage.mapping import mapped


def test_an_error_that_holds_a_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    def look(view: memoryview) -> None:
        part = view[2:4]
        raise BadFileFormat(str(len(part)))

    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(BadFileFormat), mapped(fd) as view:
            look(view)
        with mapped(fd) as view:
            assert bytes(view) == b"0123456789"
    finally:
        os.close(fd)


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    fd = os.open(path, os.O_RDONLY)
    try:
        with mapped(fd) as view:
            assert bytes(view) == b""
    finally:
        os.close(fd)
