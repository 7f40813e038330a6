"""Fixtures that several rooms share."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.azurite import Azurite, azurite
from tests.support.google import Google, google
from tests.support.indexes import empty_index
from tests.support.swift import Swift, swift
from wherry.index.database import Index
from wherry.index.opening import IndexSettings, open_index

_LONGEST_FIRST = ("crash", "interop", "network", "contract", "security", "property", "unit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that at the end nobody waits for one of them."""
    folder = Path(__file__).parent
    items.sort(key=lambda item: _LONGEST_FIRST.index(item.path.relative_to(folder).parts[0]))


def pytest_collection_finish() -> None:
    """Ten thousand tests and their parameters stay to the end: the collector need not look at them
    again and again."""
    gc.collect()
    gc.freeze()


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


@pytest.fixture(scope="session")
def s3_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swift]:
    """An S3 service of this test session."""
    with swift(tmp_path_factory.mktemp("swift")) as service:
        yield service


@pytest.fixture(scope="session")
def google_service(s3_service: Swift, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Google]:
    """A stand-in for Google Cloud Storage of this test session."""
    with google(s3_service, tmp_path_factory.mktemp("google")) as service:
        yield service


@pytest.fixture(scope="session")
def azure_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """An Azure blob service of this test session."""
    with azurite(tmp_path_factory.mktemp("azurite")) as service:
        yield service
