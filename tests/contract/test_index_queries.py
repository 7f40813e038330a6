"""Queries in the index: both databases keep the most recent ones, whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wherry import clock, limits
from wherry.index import queries
from wherry.index.database import Index
from wherry.index.opening import IndexSettings, open_index
from wherry.index.queries import Query

ASKED = Query("a", "pacs", "Study", {"00100010": "Zoé*", "0020000d": ""}, "ME", 7, 0)


def add(index: Index, query: Query, answers: int = 2, keep: int = 100) -> None:
    index.write(lambda tx: queries.begin(tx, query, keep))
    texts = [f'{{"00100020":"{number}"}}' for number in range(answers)]
    assert index.write(lambda tx: queries.add_answers(tx, query.id, 0, texts))
    assert index.write(lambda tx: queries.finish(tx, query.id, answers))


def ids(index: Index) -> list[str]:
    with index.read() as tx:
        return queries.ids(tx)


def rows(index: Index, table: str) -> int:
    with index.read() as tx:
        row = tx.one(f"SELECT count(*) FROM {table}")
    assert row is not None
    return int(row[0])


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time; a test moves it on."""
    present = [1_000.0]
    monkeypatch.setattr(clock, "timestamp", lambda: present[0])
    return present


def test_what_was_asked_and_answered(index: Index) -> None:
    add(index, ASKED)
    with index.read() as tx:
        assert queries.get(tx, "a") == replace(ASKED, answers=2)
        assert queries.answer(tx, "a", 1) == {"00100020": "1"}
        assert queries.answer(tx, "a", 2) is None
        assert queries.get(tx, "b") is None


def test_answers_page_by_page(index: Index) -> None:
    add(index, ASKED, 5)
    with index.read() as tx:
        found = queries.answers(tx, "a", 1, 3)
    assert [one["00100020"] for one in found] == ["1", "2", "3"]


def test_more_answers_may_follow(index: Index) -> None:
    index.write(lambda tx: queries.begin(tx, ASKED, 100))
    for first in (0, 2, 4):
        index.write(lambda tx, first=first: queries.add_answers(tx, "a", first, ["{}", "{}"]))
    assert index.write(lambda tx: queries.finish(tx, "a", 6))
    assert rows(index, "query_answers") == 6


def test_a_query_is_seen_when_it_is_whole(index: Index) -> None:
    index.write(lambda tx: queries.begin(tx, ASKED, 100))
    assert ids(index) == []
    with index.read() as tx:
        assert queries.get(tx, "a") is None
        assert queries.page(tx, "", 10) == []
    index.write(lambda tx: queries.finish(tx, "a", 0))
    assert ids(index) == ["a"]


def test_pages_of_queries(index: Index) -> None:
    for name in ("c", "a", "b"):
        add(index, replace(ASKED, id=name))
    with index.read() as tx:
        assert [one.id for one in queries.page(tx, "", 2)] == ["a", "b"]
        assert [one.id for one in queries.page(tx, "b", 2)] == ["c"]


def test_those_that_were_not_used_for_the_longest_time_go(index: Index, now: list[float]) -> None:
    for name in ("a", "b", "c"):
        now[0] += 1
        add(index, replace(ASKED, id=name), keep=3)
    now[0] += 1
    index.write(lambda tx: queries.use(tx, "a"))
    now[0] += 1
    add(index, replace(ASKED, id="d"), keep=3)
    assert ids(index) == ["a", "c", "d"]
    assert rows(index, "query_answers") == 6


def test_what_was_not_finished_goes_as_well(index: Index, now: list[float]) -> None:
    """The process that asked may have died."""
    index.write(lambda tx: queries.begin(tx, ASKED, 2))
    index.write(lambda tx: queries.add_answers(tx, "a", 0, ["{}"]))
    for name in ("b", "c"):
        now[0] += 1
        add(index, replace(ASKED, id=name), keep=2)
    assert rows(index, "queries") == 2
    assert not index.write(lambda tx: queries.add_answers(tx, "a", 1, ["{}"]))
    assert not index.write(lambda tx: queries.finish(tx, "a", 1))
    assert rows(index, "query_answers") == 4


def test_the_newest_stays_even_alone(index: Index, now: list[float]) -> None:
    for name in ("a", "b"):
        add(index, replace(ASKED, id=name), keep=0)
    assert ids(index) == ["b"]


def test_use_is_noted_once_in_a_while(index: Index, now: list[float]) -> None:
    add(index, ASKED)
    with index.read() as tx:
        assert queries.is_used_lately(tx, "a")
    now[0] += limits.QUERY_USED_S
    with index.read() as tx:
        assert not queries.is_used_lately(tx, "a")
    index.write(lambda tx: queries.use(tx, "a"))
    with index.read() as tx:
        assert queries.is_used_lately(tx, "a")


def test_forgotten(index: Index) -> None:
    add(index, ASKED)
    for _ in range(2):
        index.write(lambda tx: queries.remove(tx, "a"))
        assert (rows(index, "queries"), rows(index, "query_answers")) == (0, 0)


def test_another_process_and_a_later_one_see_it(index_settings: IndexSettings) -> None:
    first, second = open_index(index_settings), open_index(index_settings)
    add(first, ASKED)
    assert ids(second) == ["a"]
    first.close()
    second.close()
    third = open_index(index_settings)
    with third.read() as tx:
        assert queries.answer(tx, "a", 0) == {"00100020": "0"}
    third.close()


def test_any_letters(index: Index) -> None:
    """PostgreSQL has no NUL in its texts; JSON spells it out."""
    add(index, replace(ASKED, query={"00100010": 'a\0b\\c"山'}, level="StUdY"))
    with index.read() as tx:
        found = queries.get(tx, "a")
    assert found is not None
    assert (found.query["00100010"], found.level) == ('a\0b\\c"山', "StUdY")
