"""Fixtures of the contracts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.areas import Area


@pytest.fixture(params=["folder", "objects"])
def area(request: pytest.FixtureRequest, tmp_path: Path) -> Area:
    """Both kinds of places to store in."""
    return Area(tmp_path / "storage" if request.param == "folder" else None)
