"""What SQL finds for a name holds all that matches, and nothing else when it says so."""

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
from wherry.index.names import Name, as_names
from wherry.index.patterns import comparable, parse

PATIENT_NAME = "0010,0010"
letters = st.sampled_from("aAé山^^= ")
values = st.text(letters, max_size=8)
queries = st.text(letters | st.sampled_from("*?"), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


def found(database: sqlite3.Connection, pattern: Name, value: str) -> bool:
    sql, params = pattern.sql("c")
    sql = sql.replace(" IN ?", " IN (SELECT value FROM json_each(?))")
    flat = [orjson.dumps(p).decode() if isinstance(p, list) else p for p in params]
    key = search_key(PATIENT_NAME, value)
    row = database.execute(f"WITH v(c) AS (SELECT ?) SELECT {sql} FROM v", (key, *flat))
    return bool(row.fetchone()[0])


@given(query=queries, value=values)
@example(query="a^a", value="A^A^^^")
@example(query="a^a", value="A^A=山")
@example(query="a^a^^", value="a^a")
@example(query="山", value="a=山^^=é")
@example(query="山*", value="a=山é")
@example(query="=山", value="a^a=山")
@example(query="a=", value="a^^=山")
@example(query="a?", value="aa^")
@example(query="*", value="")
@example(query="?", value="a =é")
@example(query="a\\", value="")
@example(query="*^", value="")
@example(query="?*", value="^")
@example(query="a^*", value="a^")
def test_sql_finds_all_that_matches(database: sqlite3.Connection, query: str, value: str) -> None:
    for pattern in as_names(parse(PATIENT_NAME, query)):
        if not isinstance(pattern, Name):
            continue
        matches = pattern.matches(comparable(PATIENT_NAME, value))
        in_sql = found(database, pattern, value)
        assert in_sql or not matches, pattern
        if pattern.is_certain:
            assert in_sql == matches, pattern


@pytest.mark.parametrize(
    ("query", "value", "matches"),
    [
        ("Doe^Jane", "doe^jane", True),
        ("Doe^Jane", "Doe^Jane^^Dr", False),
        ("Doe^Jane", "Doe^Jane^^^=X", True),
        ("Doe", "Doe^Jane", False),
        ("Doe*", "Doe^Jane", True),
        ("Doe^J?ne", "Doe^Jane^^", True),
        ("山田^太郎", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("やまだ*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("山田", "Yamada^Tarou=山田^太郎=やまだ^たろう", False),
        ("=山田^*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("Yamada^Tarou==やまだ*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("Yamada^Jirou=山田^太郎", "Yamada^Tarou=山田^太郎", False),
        ("=山田^太郎", "Yamada^Tarou", False),
        ("Tarou*", "Yamada=Tarou^A", False),
    ],
)
def test_names(query: str, value: str, matches: bool) -> None:
    (pattern,) = as_names(parse(PATIENT_NAME, query))
    assert pattern.matches(comparable(PATIENT_NAME, value)) is matches


def test_bounds() -> None:
    for text in ("x" * (limits.SEARCH_WILDCARD_CHARACTERS + 1), "\\".join(map(str, range(101)))):
        with pytest.raises(ParameterOutOfRange):
            as_names(parse(PATIENT_NAME, text))
    (long,) = as_names(parse(PATIENT_NAME, "x" * 300 + "*"))
    assert isinstance(long, Name)
    assert not long.is_certain  # keys are cut
