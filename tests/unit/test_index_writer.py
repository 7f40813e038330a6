"""The writer thread of the index, over a database of two lists."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from wherry import limits
from wherry.errors import (
    BadSequenceOfCalls,
    DatabaseError,
    DatabaseUnavailable,
    StorageFull,
    Unavailable,
)
from wherry.index.database import Backend, Connection, Index, Transaction, Transient


class ListConnection(Connection):
    """Rows are appended with ``run``; a transaction is a copy."""

    dialect = "list"

    def __init__(self, backend: ListBackend) -> None:
        self.backend = backend
        self.rows: list[str] = []
        self.open = True

    def begin(self) -> None:
        self.backend.note("begin")
        self.rows = list(self.backend.rows)

    def commit(self) -> None:
        self.backend.note("commit")
        self.backend.rows = self.rows

    def rollback(self) -> None:
        self.backend.note("rollback")

    @property
    def usable(self) -> bool:
        return self.open

    def close(self) -> None:
        self.open = False

    def run(self, sql: str, params: Any = ()) -> int:
        self.rows.append(sql)
        return 1

    def one(self, sql: str, params: Any = ()) -> Any:
        raise NotImplementedError

    all = many = insert = one


class ListBackend(Backend):
    """Counts what happens; ``errors`` are raised at the next calls of that name."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.calls: list[str] = []
        self.errors: list[tuple[str, Exception]] = []
        self.closed = False

    def note(self, name: str) -> None:
        self.calls.append(name)
        for number, (call, error) in enumerate(self.errors):
            if call == name:
                del self.errors[number]
                raise error

    def reader(self) -> Connection:
        self.note("reader")
        return ListConnection(self)

    def writer(self) -> Connection:
        self.note("writer")
        return ListConnection(self)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> ListBackend:
    monkeypatch.setattr(limits, "INDEX_RETRY_S", 0.0)
    return ListBackend()


@pytest.fixture
def lists(backend: ListBackend) -> Iterator[Index]:
    index = Index(backend)
    yield index
    index.close()


class Outcomes:
    """Collects what the works of one group came to."""

    def __init__(self) -> None:
        self.of: dict[str, object] = {}

    def expect(self, name: str) -> Any:
        def done(result: object, error: BaseException | None) -> None:
            self.of[name] = error or result

        return done


def together(index: Index, **works: Any) -> dict[str, object]:
    """Run works that certainly wait at the same time."""
    entered, gate = threading.Event(), threading.Event()
    outcomes = Outcomes()

    def hold(tx: Transaction) -> None:
        entered.set()
        gate.wait()

    index.submit(hold, outcomes.expect("hold"))
    entered.wait()
    for name, work in works.items():
        index.submit(work, outcomes.expect(name))
    gate.set()
    index.write(lambda tx: None)
    return outcomes.of


def put(name: str) -> Any:
    def work(tx: Transaction) -> str:
        tx.run(name)
        return name

    return work


def fail(tx: Transaction) -> None:
    tx.run("half")
    raise KeyError("bad")


def test_works_that_wait_share_a_commit(lists: Index, backend: ListBackend) -> None:
    works = {f"w{number}": put(f"w{number}") for number in range(50)}
    outcomes = together(lists, **works)
    assert [outcomes[name] for name in works] == list(works)
    assert backend.rows == list(works)
    assert backend.calls.count("commit") <= 3
    assert backend.calls.count("writer") == 1


def test_a_group_is_bounded(
    lists: Index, backend: ListBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INDEX_GROUP_WORKS", 2)
    together(lists, **{f"w{number}": put(f"w{number}") for number in range(10)})
    assert backend.calls.count("commit") >= 6


def test_a_work_that_fails_does_not_hurt_its_neighbours(lists: Index, backend: ListBackend) -> None:
    outcomes = together(lists, a=put("a"), bad=fail, b=put("b"))
    assert (outcomes["a"], outcomes["b"]) == ("a", "b")
    assert isinstance(outcomes["bad"], KeyError)
    assert backend.rows == ["a", "b"]


def test_write_raises_what_the_work_raised(lists: Index, backend: ListBackend) -> None:
    with pytest.raises(KeyError, match="bad"):
        lists.write(fail)
    assert backend.rows == []
    assert lists.write(put("a")) == "a"


@pytest.mark.parametrize("call", ["writer", "begin", "commit"])
def test_what_may_help_is_tried_again(lists: Index, backend: ListBackend, call: str) -> None:
    backend.errors = [(call, Transient("lost"))] * 3
    assert lists.write(put("a")) == "a"
    assert backend.rows == ["a"]


def test_but_not_for_ever(lists: Index, backend: ListBackend) -> None:
    backend.errors = [("commit", Transient("lost"))] * 99
    with pytest.raises(DatabaseUnavailable, match="lost"):
        lists.write(put("a"))
    assert backend.calls.count("commit") == limits.INDEX_RETRIES
    backend.errors = []
    assert lists.write(put("b")) == "b"


@pytest.mark.parametrize("error", [StorageFull("full"), DatabaseError("damaged")])
def test_the_writer_survives_a_commit_that_fails(
    lists: Index, backend: ListBackend, error: Exception
) -> None:
    backend.errors = [("commit", error)] * 2
    with pytest.raises(type(error)):
        lists.write(put("a"))
    with pytest.raises(type(error)):
        lists.write(put("a"))
    assert lists.write(put("b")) == "b"
    assert backend.rows == ["b"]


def test_a_writer_that_broke_is_replaced(lists: Index, backend: ListBackend) -> None:
    def break_it(tx: Transaction) -> None:
        assert isinstance(tx, ListConnection)
        tx.close()
        raise DatabaseError

    with pytest.raises(DatabaseError):
        lists.write(break_it)
    lists.write(put("a"))
    assert backend.calls.count("writer") == 2


def test_a_callback_that_fails_is_logged_and_forgotten(
    lists: Index, caplog: pytest.LogCaptureFixture
) -> None:
    def bad(result: object, error: object) -> None:
        raise KeyError

    with caplog.at_level(logging.ERROR):
        lists.submit(put("a"), bad)
        assert lists.write(put("b")) == "b"
    assert "callback" in caplog.text


def test_the_queue_is_bounded(lists: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INDEX_QUEUE_WORKS", 0)
    with pytest.raises(Unavailable):
        lists.submit(put("a"), Outcomes().expect("a"))


def test_a_lone_write_runs_where_it_is_called(lists: Index) -> None:
    assert lists.write(lambda tx: threading.get_ident()) == threading.get_ident()
    with pytest.raises(BadSequenceOfCalls):
        lists.write(lambda tx: lists.write(put("a")))
    assert lists.write(put("b")) == "b"


def test_a_callback_cannot_wait_for_the_writer_either(lists: Index) -> None:
    caught: list[BaseException] = []
    told = threading.Event()

    def done(result: object, error: object) -> None:
        try:
            lists.write(put("b"))
        except BadSequenceOfCalls as refused:
            caught.append(refused)
        told.set()

    lists.submit(put("a"), done)
    told.wait()
    assert len(caught) == 1


def test_writes_of_many_threads(lists: Index, backend: ListBackend) -> None:
    def work(name: str) -> None:
        for number in range(200):
            lists.write(put(f"{name}.{number}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(backend.rows) == sorted(f"{n}.{i}" for n in "abcdef" for i in range(200))
    assert backend.calls.count("begin") == backend.calls.count("commit")


def test_closing_finishes_what_was_submitted(backend: ListBackend) -> None:
    index = Index(backend)
    outcomes = Outcomes()
    for number in range(20):
        index.submit(put(str(number)), outcomes.expect(str(number)))
    index.close()
    index.close()
    assert len(outcomes.of) == len(backend.rows) == 20
    assert backend.closed
    with pytest.raises(DatabaseUnavailable):
        index.write(put("a"))
    with pytest.raises(DatabaseUnavailable), index.read():
        pass


def test_read_connections_are_used_again(lists: Index, backend: ListBackend) -> None:
    for _ in range(3):
        with lists.read():
            pass
    assert backend.calls.count("reader") == 1


def test_a_read_connection_that_broke_while_idle_is_replaced(
    lists: Index, backend: ListBackend
) -> None:
    with lists.read(), lists.read():
        pass
    backend.errors = [("begin", Transient("lost"))] * 2
    with lists.read():
        pass
    assert backend.calls.count("reader") == 3
    backend.errors = [("begin", Transient("lost"))] * 2
    with pytest.raises(DatabaseUnavailable), lists.read():
        pass


def test_read_connections_are_bounded(
    backend: ListBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INDEX_READERS", 1)
    monkeypatch.setattr(limits, "INDEX_WAIT_S", 0.001)
    index = Index(backend)
    with index.read(), pytest.raises(DatabaseUnavailable), index.read():
        pass
    with index.read():
        pass
    index.close()
