"""The two ways into the index: ``read`` for a snapshot, ``write`` for a durable change.

An ``Index`` has one writer thread. It drains its queue and runs many works in one transaction
(group commit), because the sync of a commit costs far more than the statements before it; a lone
``write`` runs where it is called. Readers have connections of their own and never wait for it.

A *work* is a function of a ``Transaction``. It may run more than once (after a neighbour in its
group failed, or after the database asked for another attempt), so it must have no effect outside
of its transaction.

Not here: SQL, and anything that only one database knows (``sqlite``, ``postgresql``).
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, Generic, TypeVar, cast

from wherry import limits
from wherry.errors import BadSequenceOfCalls, DatabaseUnavailable, Unavailable

T = TypeVar("T")
type_params = Sequence[Any]

log = logging.getLogger(__name__)


class Transaction(ABC):
    """What a work may ask of the database.

    SQL is the common subset of SQLite and PostgreSQL with ``?`` for each parameter. ``IN ?`` with
    a list as parameter stands for a set of any size in one prepared statement.
    """

    dialect: ClassVar[str]
    """``sqlite`` or ``postgresql``, for the rare statement that must differ."""

    @abstractmethod
    def one(self, sql: str, params: type_params = ()) -> tuple[Any, ...] | None:
        """The first row, or None."""

    @abstractmethod
    def all(self, sql: str, params: type_params = ()) -> list[tuple[Any, ...]]:
        """All rows."""

    def gather(
        self, columns: tuple[str, ...], source: str, params: type_params = ()
    ) -> Sequence[Sequence[Any]]:
        """All rows of ``SELECT columns source`` (integers and texts), where there may be hundreds:
        with as few switches between threads as this database can do it with."""
        return self.all(f"SELECT {', '.join(columns)} {source}", params)

    @abstractmethod
    def run(self, sql: str, params: type_params = ()) -> int:
        """Execute; the number of rows that were inserted, changed or deleted."""

    @abstractmethod
    def many(self, sql: str, rows: Sequence[type_params]) -> None:
        """Execute once for each of ``rows``."""

    @abstractmethod
    def insert(self, table: str, columns: tuple[str, ...], rows: Sequence[type_params]) -> None:
        """Add many rows in the quickest way of this database."""


class Transient(DatabaseUnavailable):
    """The transaction did not happen, and the same one may succeed at once: try again."""


class Connection(Transaction):
    """A connection and the life of its transactions. Used by one thread at a time."""

    @abstractmethod
    def begin(self) -> None:
        """Start a transaction; that of a writer is alone from here on."""

    @abstractmethod
    def commit(self) -> None:
        """Make it durable, unless ``relax`` has said otherwise. An exception says that it is
        undone."""

    @abstractmethod
    def rollback(self) -> None:
        """Undo. Never raises: a connection that cannot roll back closes itself."""

    def state(self) -> int | None:
        """A number that is another one after each commit that this connection did not make; None
        when the database has none."""
        return None

    def relax(self, promised: bool) -> None:
        """Between two transactions: if ``promised``, a power cut may undo the next ones, the newest
        first, as long as none that is not promised has followed them."""

    @property
    @abstractmethod
    def usable(self) -> bool:
        """False once the connection is broken or closed."""

    @abstractmethod
    def close(self) -> None:
        """Release it. Safe to call twice."""


class Backend(ABC):
    """Opens connections of one database."""

    embedded: ClassVar[bool] = False
    """Whether the database works inside this process."""

    @abstractmethod
    def reader(self) -> Connection:
        """A connection that cannot change anything and sees one snapshot per transaction."""

    @abstractmethod
    def writer(self) -> Connection:
        """A connection whose transactions exclude those of every other writer."""

    def close(self) -> None:  # noqa: B027  most have nothing to close
        """Called after all connections are closed."""


class _Work(Generic[T]):
    """One entry of the writer's queue."""

    __slots__ = ("done", "function", "promised")

    def __init__(
        self,
        function: Callable[[Transaction], T],
        done: Callable[[T | None, BaseException | None], None],
        promised: bool = False,
    ) -> None:
        self.function = function
        self.done = done
        self.promised = promised

    def finish(self, result: T | None, error: BaseException | None) -> None:
        try:
            self.done(result, error)
        except Exception:
            # The transaction is durable, its neighbours wait: one bad callback cannot stop them.
            log.exception("a callback of the index writer failed")


class Waiter(Generic[T]):
    """Carries the outcome of a work from the writer thread to the thread that waits for it."""

    __slots__ = ("_error", "_event", "_result")

    def __init__(self) -> None:
        self._event = threading.Lock()
        self._event.acquire()
        self._result: T | None = None
        self._error: BaseException | None = None

    def __call__(self, result: T | None, error: BaseException | None) -> None:
        self._result, self._error = result, error
        self._event.release()

    def wait(self) -> T:
        self._event.acquire()
        if self._error is not None:
            raise self._error
        return cast(T, self._result)


class Index:
    """An open index. Every method may be called from any thread."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.embedded = backend.embedded
        """Whether a read is a matter of microseconds, without a way over a network."""
        self._queue: SimpleQueue[_Work[Any] | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._readers: list[Connection] = []
        self._reader_slots = threading.BoundedSemaphore(limits.INDEX_READERS)
        self._writer: Connection | None = None
        self._watcher: Connection | None = None
        """Asked for ``state`` and nothing else."""
        self._turn = threading.Lock()
        """Whoever has it uses ``_writer``: the writer thread, or a ``write`` that found it free."""
        self._holder: int | None = None
        """The thread that has the turn."""
        self._waiting = False
        """The writer thread has works in hand and waits for its turn."""
        self._thread = threading.Thread(target=self._write_for_ever, name="index-writer")
        self._thread.daemon = True  # a process that forgets to close must still be able to end
        self._thread.start()

    @property
    def active_readers(self) -> int:
        """Read connections that are at work now."""
        return limits.INDEX_READERS - self._reader_slots._value

    # --- reading ---------------------------------------------------------------------------

    def read(self) -> AbstractContextManager[Transaction]:
        """A consistent, read-only snapshot; from any thread. Do not nest: slots are bounded."""
        return self._read()

    def state(self) -> int | None:
        """A number that is another one after each commit, of whatever process; None where nobody
        knows. Cheap; from one thread only. Raises ``DatabaseUnavailable``."""
        if not self.embedded:
            return None
        if self._watcher is None:
            self._check_open()
            self._watcher = self._backend.reader()
        return self._watcher.state()

    def take_idle(self) -> Connection | None:
        """An idle read connection outside of a transaction, if there is one (see ``glance``)."""
        try:
            return None if self._closed else self._readers.pop()
        except IndexError:
            return None

    def give_back(self, connection: Connection) -> None:
        """The connection of ``take_idle`` is idle again."""
        if connection.usable and not self._closed:
            self._readers.append(connection)
        else:
            connection.close()

    @contextmanager
    def _read(self) -> Iterator[Transaction]:
        if not self._reader_slots.acquire(timeout=limits.INDEX_WAIT_S):
            raise DatabaseUnavailable("All read connections of the index are in use")
        try:
            connection = self._begin_read()
            try:
                yield connection
            finally:
                connection.rollback()
                self.give_back(connection)
        finally:
            self._reader_slots.release()

    def _begin_read(self) -> Connection:
        """A connection inside a transaction; one that broke while it was idle is replaced."""
        while True:
            self._check_open()
            try:
                connection, fresh = self._readers.pop(), False
            except IndexError:
                connection, fresh = self._backend.reader(), True
            try:
                connection.begin()
            except Transient:
                connection.close()
                if fresh:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                return connection

    # --- writing ---------------------------------------------------------------------------

    def write(self, work: Callable[[Transaction], T], *, promised: bool = False) -> T:
        """Run ``work`` and return its result once it is durable; raise what it raised.

        ``promised``: what it writes can be written again after a power cut (``ingest.promises``),
        so an embedded database need not sync it. The next work that is not promised makes it
        durable too."""
        if threading.get_ident() == self._holder:
            raise BadSequenceOfCalls("The index writer cannot wait for itself")
        waiter: Waiter[T] = Waiter()
        idle = self._queue.empty() and not self._waiting
        if idle and self._turn.acquire(blocking=False):
            # Nobody is writing or waiting to: two switches between threads are saved.
            try:
                self._check_open()
                self._run_group([_Work(work, waiter, promised)])
            finally:
                self._turn.release()
        else:
            self._submit(_Work(work, waiter, promised))
        return waiter.wait()

    def submit(
        self,
        work: Callable[[Transaction], T],
        done: Callable[[T | None, BaseException | None], None],
    ) -> None:
        """Like ``write`` without waiting: ``done(result, error)`` runs on the writer thread after
        the durable commit. Raises ``Unavailable`` when too many works wait already."""
        self._submit(_Work(work, done))

    def _submit(self, work: _Work[Any]) -> None:
        if self._queue.qsize() >= limits.INDEX_QUEUE_WORKS:
            raise Unavailable("Too many changes of the index are waiting")
        with self._closing:
            self._check_open()
            self._queue.put(work)

    def close(self) -> None:
        """Finish the works that were submitted, then release everything. Safe to call twice."""
        with self._closing:
            first, self._closed = not self._closed, True
        if first:
            self._queue.put(None)
        self._thread.join()
        if first:
            while self._readers:
                self._readers.pop().close()
            if self._watcher is not None:
                self._watcher.close()
            self._backend.close()

    def _check_open(self) -> None:
        if self._closed:
            raise DatabaseUnavailable("The index is closed")

    def _write_for_ever(self) -> None:
        last = False
        while not last:
            group, last = self._next_group()
            self._waiting = True
            with self._turn:
                self._waiting = False
                if group:
                    self._run_group(group)
        if self._writer is not None:
            self._writer.close()

    def _next_group(self) -> tuple[list[_Work[Any]], bool]:
        """Wait for one work, then take what else is there; and whether that was the end."""
        group: list[_Work[Any]] = []
        work = self._queue.get()
        while work is not None:
            group.append(work)
            if len(group) >= limits.INDEX_GROUP_WORKS:
                return group, False
            try:
                work = self._queue.get_nowait()
            except Empty:
                return group, False
        return group, True

    def _run_group(self, group: list[_Work[Any]]) -> None:
        """Commit a group and tell its works. The caller has the turn."""
        self._holder = threading.get_ident()
        try:
            self._settle_group(group)
        finally:
            self._holder = None

    def _settle_group(self, group: list[_Work[Any]]) -> None:
        try:
            results = self._commit(group)
        except BaseException as error:
            if len(group) == 1 or isinstance(error, DatabaseUnavailable):
                for work in group:
                    work.finish(None, error)
            else:  # one of them is to blame: let it not hurt the others
                for work in group:
                    self._settle_group([work])
        else:
            for work, result in zip(group, results, strict=True):
                work.finish(result, None)

    def _commit(self, group: list[_Work[Any]]) -> list[Any]:
        """Run a group in one transaction; again, a bounded number of times, when the
        database says that it may help."""
        for attempt in range(limits.INDEX_RETRIES):
            if attempt:
                time.sleep(limits.INDEX_RETRY_S * 2 ** (attempt - 1))
            try:
                return self._attempt(group)
            except Transient as error:
                reason = error.details
        raise DatabaseUnavailable(reason)

    def _attempt(self, group: list[_Work[Any]]) -> list[Any]:
        if self._writer is None or not self._writer.usable:
            self._writer = self._backend.writer()
        writer = self._writer
        try:
            writer.relax(all(work.promised for work in group))
            writer.begin()
            results = [work.function(writer) for work in group]
            writer.commit()
            log.debug("Committed a group of %d changes", len(group))
        except BaseException:
            writer.rollback()
            raise
        return results


__all__ = ["Backend", "Connection", "Index", "Transaction", "Transient", "Waiter"]
