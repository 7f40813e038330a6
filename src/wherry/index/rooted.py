"""What hangs on a resource (metadata, attachments, labels): its row, and the log of changes."""

from __future__ import annotations

from wherry import clock
from wherry.errors import UnknownResource
from wherry.index import changes, totals
from wherry.index.database import Transaction
from wherry.index.totals import Totals
from wherry.model import ChangeType, Level


def row_of(tx: Transaction, level: Level, orthanc_id: str) -> int:
    """The row of a resource. Raises ``UnknownResource``."""
    found = tx.one(f"SELECT id FROM {level.plural} WHERE orthanc_id = ?", (orthanc_id,))
    if found is None:
        raise UnknownResource
    return int(found[0])


def log_change(
    tx: Transaction, kind: ChangeType, level: Level, row: int, counters: Totals | None = None
) -> None:
    """One entry of the log, now; ``counters`` if the caller has loaded and changed them."""
    counted = counters or totals.load(tx)
    changes.log(tx, counted, [(kind, level, row)], clock.orthanc_date(clock.now()))
    totals.save(tx, counted)
