"""A pattern finds the same rows through SQL as it matches in Python."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wherry import limits
from wherry.errors import ParameterOutOfRange
from wherry.index.keys import search_key
from wherry.index.patterns import comparable, parse

TAGS = ("0010,0010", "0008,0020", "0008,0030")
values = st.text("ab_%!", max_size=4) | st.text(st.sampled_from("aAéÉß12%_!*? .:-^"), max_size=8)
queries = st.text("a_%!*?", max_size=4) | st.text(
    st.sampled_from("aAéÉß12%_!*? .:-^\\"), max_size=10
)


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


@given(tag=st.sampled_from(TAGS), query=queries, value=values)
@example(tag="0010,0010", query="a*b?c*", value="aXXbYc")
@example(tag="0010,0010", query="*_", value="a")
@example(tag="0010,0010", query="*%b", value="ab")
@example(tag="0010,0010", query="*!", value="a")
@example(tag="0008,0020", query="2-", value="")
def test_sql_and_python_agree(
    database: sqlite3.Connection, tag: str, query: str, value: str
) -> None:
    patterns = parse(tag, query)
    key = search_key(tag, value)
    for pattern in patterns:
        sql, params = pattern.sql("c")
        sql = sql.replace(" IN ?", " IN (SELECT value FROM json_each(?))")
        flat = [orjson.dumps(p).decode() if isinstance(p, list) else p for p in params]
        row = database.execute(f"SELECT {sql} FROM (SELECT ? AS c)", (*flat, key))
        assert bool(row.fetchone()[0]) == pattern.matches(comparable(tag, value)), pattern


@given(pattern=st.text(st.sampled_from("ab*?"), max_size=12), value=st.text("ab", max_size=12))
def test_wildcards_match_like_a_regular_expression(pattern: str, value: str) -> None:
    import re

    expression = pattern.replace("*", ".*").replace("?", ".")
    found = parse("0010,0010", pattern)
    if pattern and ("*" in pattern or "?" in pattern):
        assert found[0].matches(value) == bool(re.fullmatch(expression, value))


def test_matching_takes_bounded_work() -> None:
    half = limits.SEARCH_WILDCARD_CHARACTERS // 2 - 1
    for text in ("*a" * half + "*b", "*" + "a" * half + "b", "*" + "a" * half + "?b*?c"):
        (pattern,) = parse("0010,0010", text)
        assert not pattern.matches("a" * 64_000)
    with pytest.raises(ParameterOutOfRange):
        parse("0010,0010", "*a" * half * 2)
