"""Group commit: single instances that arrive at the same time share one index transaction.

While the index writer is busy with one transaction, instances gather for the next; nobody waits
for a timer, and no thread of its own hands them on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from wherry import limits
from wherry.errors import WherryError
from wherry.index.database import Index, Transaction
from wherry.model import StagedInstance, Stored

type_done = Callable[[Stored | None, BaseException | None], None]
type_outcomes = Sequence[Stored | WherryError]
"""What became of each instance of a group: stored, or refused by itself."""
type_finish = Callable[[Sequence[StagedInstance], type_outcomes | None, BaseException | None], None]


class GroupCommit:
    """Gathers single instances.

    ``add`` puts a batch into the index; ``finish`` is called once for each group with its
    outcome, before the callers hear of it.
    """

    def __init__(
        self,
        index: Index,
        add: Callable[[Transaction, Sequence[StagedInstance]], type_outcomes],
        finish: type_finish,
    ) -> None:
        self._index = index
        self._add = add
        self._finish = finish
        self._lock = threading.Lock()
        self._group: _Group | None = None

    def submit(self, staged: StagedInstance, done: type_done) -> None:
        """Commit ``staged`` with its neighbours; ``done`` is called on the index writer."""
        with self._lock:
            group = self._group
            if group is not None and len(group.members) < limits.COMMIT_INSTANCES:
                group.members.append((staged, done))
                return
            group = self._group = _Group(self)
            group.members.append((staged, done))
        try:
            self._index.submit(group.work, group.done)
        except BaseException as error:
            group.close()
            group.done(None, error)

    def _close(self, group: _Group) -> None:
        with self._lock:
            if self._group is group:
                self._group = None


class _Group:
    """Instances of one transaction; open until the transaction begins."""

    def __init__(self, owner: GroupCommit) -> None:
        self._owner = owner
        self.members: list[tuple[StagedInstance, type_done]] = []

    def close(self) -> None:
        """Nobody joins any more."""
        self._owner._close(self)

    def work(self, tx: Transaction) -> type_outcomes:
        """The transaction; may be run again."""
        self.close()
        return self._owner._add(tx, [staged for staged, _ in self.members])

    def done(self, outcomes: type_outcomes | None, error: BaseException | None) -> None:
        """Tell everybody."""
        self.close()
        self._owner._finish([staged for staged, _ in self.members], outcomes, error)
        for number, (_, done) in enumerate(self.members):
            outcome = error if outcomes is None else outcomes[number]
            if isinstance(outcome, Stored):
                done(outcome, None)
            else:
                done(None, outcome)
