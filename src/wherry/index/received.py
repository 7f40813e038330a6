"""The end of a transfer in the log of changes: its studies are received, and stable.

The receiver of a transfer knows nothing but instances. So ``StudyReceived`` means: all instances
of this study that the sender declared are verified and here. Whether the sender declared all that
it has is the sender's affair; who sends whole studies says so with it.

Not here: what makes the instances visible (``adding``), in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection

from wherry import clock
from wherry.index import changes, stability, totals
from wherry.index.database import Transaction
from wherry.model import ChangeType, Level


def announce(tx: Transaction, series: Collection[str], transfer_id: str) -> None:
    """A transfer brought what was missing of these series: each of their studies is received."""
    rows = tx.all("SELECT id, parent FROM series WHERE orthanc_id IN ?", (list(series),))
    if not rows:
        return
    counters = totals.load(tx)
    date = clock.orthanc_date(clock.now())
    studies = sorted({parent for _, parent in rows})
    entries = [(ChangeType.StudyReceived, Level.STUDY, study) for study in studies]
    changes.log(tx, counters, entries, date, transfer_id)
    changes.log(tx, counters, stability.stable_at_once(tx, [row for row, _ in rows]), date)
    totals.save(tx, counters)
