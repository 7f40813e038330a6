"""Fixtures that several rooms share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.indexes import empty_index
from wherry.index.database import Index
from wherry.index.opening import IndexSettings, open_index


@pytest.fixture(scope="session")
def postgresql_conninfo() -> Iterator[str]:
    """A PostgreSQL server of this test session."""
    if postgres.programs() is None:
        pytest.skip("PostgreSQL 15 or newer is not installed (/usr/lib/postgresql)")
    with postgres.cluster() as conninfo:
        yield conninfo


@pytest.fixture(params=["sqlite", "postgresql"])
def index_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IndexSettings]:
    """An empty database of each kind."""
    with empty_index(request, tmp_path) as settings:
        yield settings


@pytest.fixture
def index(index_settings: IndexSettings) -> Iterator[Index]:
    """An open index of each kind."""
    index = open_index(index_settings)
    yield index
    index.close()
