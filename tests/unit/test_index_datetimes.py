"""Dates with times as texts that compare."""

from __future__ import annotations

import pytest

from wherry.index.datetimes import ends_of, in_utc
from wherry.index.patterns import comparable, parse

DATE_TIME = "0008,002a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20200101120000", "20200101120000"),
        ("20200101120000.5-0500", "20200101170000.5"),
        ("20200101003000+0100", "20191231233000"),
        ("2020010100+0530", "2019123118"),
        ("20200101-0500", "20200101"),
        ("2020", "2020"),
        ("20200101120000-2021", "20200101120000-2021"),
        ("20201301120000+0100", "20201301120000"),
        ("9999123123+0100", "9999123122"),
        ("0001010100+0100", "0001010100"),
        ("202001011-0500", "202001011"),
        ("yesterday", "yesterday"),
    ],
)
def test_offsets_are_taken_away(text: str, expected: str) -> None:
    assert in_utc(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-2021", ("2020", "2021")),
        ("2020-", ("2020", "")),
        ("-20210101", ("", "20210101")),
        ("20200101120000+0100-20200102", ("20200101110000", "20200102")),
        ("20200101000000-0500-20200102000000-0500", ("20200101050000", "20200102050000")),
        ("20200101-1400", ("20200101", "1400")),
        ("20200101-1200", None),
        ("20200101", None),
        ("-", None),
        ("x-y", None),
    ],
)
def test_ranges_are_told_from_offsets(text: str, expected: tuple[str, str] | None) -> None:
    assert ends_of(text) == expected


@pytest.mark.parametrize(
    ("query", "value", "matches"),
    [
        ("20200101-", "20200101000000", True),
        ("2020-2020", "20201231235959.9", True),
        ("2020-2020", "20210101", False),
        ("20200101120000-0500", "20200101170000+0000", True),
        ("20200101120000-0500", "20200101120000", False),
        ("202001*", "20200115", True),
    ],
)
def test_matching(query: str, value: str, matches: bool) -> None:
    (pattern,) = parse(DATE_TIME, query)
    assert pattern.matches(comparable(DATE_TIME, value)) is matches
