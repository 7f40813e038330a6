"""One of several processes leads in some matter, as long as it lives.

A leader is named in a setting; when it is not among the living any more, the next that asks takes
its place. That a process is dead is seen after its lease has ended, so what a leader does must
bear that another one has begun to do it too.
"""

from __future__ import annotations

from wherry.index import settings
from wherry.index.database import Index, Transaction


def leads(index: Index, matter: str, process_id: str) -> bool:
    """Whether this process leads, perhaps from now on. Writes only when that changes."""
    key = f"{matter}.Leader"

    def free(tx: Transaction) -> bool:
        leader = settings.get(tx, key)
        return leader is None or not tx.one("SELECT 1 FROM processes WHERE id = ?", (leader,))

    def take(tx: Transaction) -> bool:
        if not free(tx):
            return bool(settings.get(tx, key) == process_id)
        settings.put(tx, key, process_id)
        return True

    with index.read() as tx:
        if settings.get(tx, key) == process_id:
            return True
        if not free(tx):
            return False
    return index.write(take)
