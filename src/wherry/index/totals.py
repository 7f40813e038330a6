"""The counters of the index: the next identifiers and the totals of ``/statistics``.

One row. Writers exclude each other, so a writer reads it, counts in memory and writes it back;
numbers are never used twice, also after a deletion.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter

from wherry.index.database import Transaction


@dataclass(slots=True)
class Totals:
    """The row, while one transaction counts."""

    next_id: int
    """Identifies a row of patients, studies, series or instances."""
    change_seq: int
    """The last number given to a change."""
    export_seq: int
    patients: int
    studies: int
    series: int
    instances: int
    disk_bytes: int
    uncompressed_bytes: int

    def new_id(self) -> int:
        """An identifier for a new row, ascending in order of arrival."""
        given = self.next_id
        self.next_id = given + 1
        return given


_NAMES = tuple(field.name for field in fields(Totals))
_VALUES = attrgetter(*_NAMES)
_LOAD = f"SELECT {', '.join(_NAMES)} FROM totals"
_SAVE = f"UPDATE totals SET {', '.join(f'{name} = ?' for name in _NAMES)}"


def load(tx: Transaction) -> Totals:
    """The counters as they are."""
    row = tx.one(_LOAD)
    assert row is not None
    return Totals(*row)


def save(tx: Transaction, totals: Totals) -> None:
    """Write the counters back, in the transaction that loaded them."""
    tx.run(_SAVE, _VALUES(totals))
