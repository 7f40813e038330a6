"""The order of slices, as observed on Orthanc 1.10.1 (more of it in tests/interop)."""

from __future__ import annotations

import pytest

from wherry.dicom.ordering import Kind, Slice, order
from wherry.errors import CannotOrderSlices

AXIAL = "1\\0\\0\\0\\1\\0"
CORONAL = "1\\0\\0\\0\\0\\-1"


def slices(*parts: tuple[str, str, int | None]) -> list[Slice]:
    """Position, orientation, index; named by their place in the list."""
    return [Slice(str(n), *part) for n, part in enumerate(parts)]


def ordered(orientation: str, *parts: tuple[str, str, int | None]) -> tuple[str, str]:
    kind, found = order(slices(*parts), orientation)
    return kind, "".join(one.orthanc_id for one in found)


def test_along_the_normal() -> None:
    parts = (("0\\9\\3", "", 1), ("0\\5\\1", AXIAL, 2), ("0\\7\\2", "", 3))
    assert ordered(AXIAL, *parts) == (Kind.VOLUME, "120")
    assert ordered("0\\1\\0\\1\\0\\0", *parts) == (Kind.VOLUME, "021")
    assert ordered(CORONAL, *[(p, "", n) for p, _, n in parts]) == (Kind.VOLUME, "120")


@pytest.mark.parametrize(
    "part",
    [
        ("", "", 3),
        ("0\\0", "", 3),
        ("0\\0\\x", "", 3),
        ("0\\0\\nan", "", 3),
        ("0\\0\\1e999", "", 3),
        ("0\\0\\1", "", 3),
        ("0\\0\\2", CORONAL, 3),
    ],
)
def test_by_number(part: tuple[str, str, int]) -> None:
    """One that does not fit makes it a sequence."""
    others = (("0\\0\\1", "", 9), ("0\\0\\5", "", 1))
    assert ordered(AXIAL, *others, part) == (Kind.SEQUENCE, "120")


@pytest.mark.parametrize("plane", ["", "1\\0\\0", "0\\0\\0\\0\\0\\0", "1\\0\\0\\1\\0\\0", "x"])
def test_series_without_a_plane(plane: str) -> None:
    assert ordered(plane, ("0\\0\\1", "", 2), ("0\\0\\2", "", 1)) == (Kind.SEQUENCE, "10")


def test_equal_numbers_keep_the_order_of_arrival() -> None:
    assert ordered("", *[("", "", n) for n in (2, 1, 2, 1)]) == (Kind.SEQUENCE, "1302")


def test_single_slices_and_none() -> None:
    assert ordered(AXIAL, ("0\\0\\1", "", None)) == (Kind.SEQUENCE, "0")
    assert ordered(AXIAL) == (Kind.SEQUENCE, "")


def test_no_order_at_all() -> None:
    with pytest.raises(CannotOrderSlices):
        ordered(AXIAL, ("", "", 1), ("", "", None))
