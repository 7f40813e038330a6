"""Command-line option and fixture of the crash tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.killpoints import build


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled kill-point shim."""
    return build(tmp_path_factory.mktemp("shim"))
