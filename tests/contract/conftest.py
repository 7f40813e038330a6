"""Fixtures of the contracts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.areas import Area
from tests.support.sealed import sealed_keys


@pytest.fixture(params=["folder", "objects", "sealed"])
def area(request: pytest.FixtureRequest, tmp_path: Path) -> Area:
    """All kinds of places to store in."""
    if request.param == "objects":
        return Area(None)
    return Area(tmp_path / "storage", sealed_keys() if request.param == "sealed" else None)
