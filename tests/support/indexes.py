"""Empty databases of both kinds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import postgres
from wherry.index.opening import IndexSettings


@contextmanager
def empty_index(request: pytest.FixtureRequest, folder: Path) -> Iterator[IndexSettings]:
    """The settings of an empty database of the kind ``request.param``."""
    if request.param == "sqlite":
        yield IndexSettings(sqlite_path=folder / "index.db")
    else:
        with postgres.database(request.getfixturevalue("postgresql_conninfo")) as conninfo:
            yield IndexSettings(postgresql=conninfo)
