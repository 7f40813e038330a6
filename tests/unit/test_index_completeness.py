"""Indexes and announced numbers, as Debian's Orthanc 1.10.1 answers them."""

from __future__ import annotations

import pytest

from wherry.index.completeness import expected_instances, index_in_series

POSITIONS, IMAGES, SLICES, TIMES, CARDIAC = (
    "0020,0105",
    "0020,1002",
    "0054,0081",
    "0054,0101",
    "0018,1090",
)


@pytest.mark.parametrize(
    ("tags", "index"),
    [
        ({"0020,0013": "7", "0054,1330": "3"}, 7),
        ({"0054,1330": "3"}, 3),
        ({"0020,0013": " 7 "}, 7),
        ({"0020,0013": "-7"}, -7),
        ({"0020,0013": "", "0054,1330": "3"}, None),
        ({"0020,0013": "7a"}, None),
        ({"0020,0013": "9" * 15}, None),
        ({"0020,0013": "9" * 5000}, None),
        ({}, None),
    ],
)
def test_index(tags: dict[str, str], index: int | None) -> None:
    assert index_in_series(tags) == index


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({POSITIONS: "1", IMAGES: "2"}, 2),
        ({POSITIONS: "2", IMAGES: "3"}, 6),
        ({SLICES: "3", TIMES: "2"}, 6),
        ({SLICES: "3"}, None),
        ({SLICES: "3", CARDIAC: "4"}, 4),
        ({IMAGES: "3", CARDIAC: "4"}, 4),
        ({POSITIONS: "1", IMAGES: "2", SLICES: "3", TIMES: "2", CARDIAC: "5"}, 2),
        ({POSITIONS: "", IMAGES: "2", SLICES: "3", TIMES: "2"}, None),
        ({POSITIONS: "0", IMAGES: "2", SLICES: "3", TIMES: "2"}, None),
        ({CARDIAC: "0"}, None),
        ({CARDIAC: "-4"}, None),
        ({POSITIONS: "2000000000", IMAGES: "2000000000"}, None),
        ({}, None),
    ],
)
def test_expected(tags: dict[str, str], expected: int | None) -> None:
    assert expected_instances([{}, {}, tags, {}]) == expected
