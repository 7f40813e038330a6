from __future__ import annotations

import pytest

from wherry.errors import BadSequenceOfCalls, DatabaseUnavailable
from wherry.index import settings
from wherry.index.database import Index
from wherry.index.glance import glance


def value(index: Index) -> str | None:
    with glance(index) as tx:
        return settings.get(tx, "x")


def test_it_sees_what_was_written(index: Index) -> None:
    for text in ("1", "2", "3"):
        index.write(lambda tx, text=text: settings.put(tx, "x", text))
        assert value(index) == text


def test_it_keeps_nothing_alive(index: Index) -> None:
    """After it, the connection is as good as any for a snapshot, and sees what is new."""
    index.write(lambda tx: settings.put(tx, "x", "old"))
    assert value(index) == "old"
    index.write(lambda tx: settings.put(tx, "x", "new"))
    with index.read() as tx:
        assert settings.get(tx, "x") == "new"
        assert value(index) == "new"
    assert index.active_readers == 0


def test_it_is_one_statement_and_only_reads(index: Index) -> None:
    if not index.embedded:
        pytest.skip("there a glance is a snapshot")
    value(index)
    with glance(index) as tx:
        settings.get(tx, "x")
        with pytest.raises(BadSequenceOfCalls):
            settings.get(tx, "x")
        with pytest.raises(BadSequenceOfCalls):
            settings.put(tx, "x", "no")
    assert value(index) is None


def test_a_closed_index(index: Index) -> None:
    value(index)
    index.close()
    with pytest.raises(DatabaseUnavailable):
        value(index)


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b"], ["\ud7ff'"]])
def test_lists_of_any_length(index: Index, names: list[str]) -> None:
    for name in ("a", "b", "c", "\ud7ff'"):
        index.write(lambda tx, name=name: settings.put(tx, name, "marked"))
    with glance(index) as tx:
        rows = tx.all("SELECT key FROM settings WHERE key IN ? AND key <> ?", (names, "c"))
    assert sorted(row[0] for row in rows) == sorted(names)
