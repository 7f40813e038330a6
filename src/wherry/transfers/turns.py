"""Who may open the next push when more want to than there are slots.

A sender that is refused (503) comes again when it likes: a stock one after its second, a Wherry
after ``Retry-After``. If whoever comes first took a slot, the impatient would overtake the patient
for ever. So it is remembered since when each one waits, and a free slot is kept for those who wait
longest, as long as they come again within ``limits.TRANSFER_TURN_S``.

Not for the very longest alone, because a slot would be idle until that one comes: any of the
longest quarter may take it. Of three who wait, that is the first.

A request that is repeated, because its answer was lost on the way, is answered like the first: the
same sender declares the same push. A stock sender says who it is (``sender-transfer-id``) since
1.6; those who do not share the turn of their address, and get a new push each time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from wherry import limits
from wherry.errors import Unavailable
from wherry.index import transfers, turns
from wherry.index.database import Transaction
from wherry.transfers.declaring import Declaration, take_room


@dataclass(frozen=True, slots=True)
class Caller:
    """Who wants to open a push."""

    username: str = ""
    remote_ip: str = ""
    sender_transfer_id: str = ""
    """Names the job at the sender; empty when it says nothing."""

    @property
    def holder(self) -> str:
        """Under which it waits."""
        return _digest(self.username, self.remote_ip, self.sender_transfer_id)

    def origin(self, manifest: bytes) -> str:
        """What makes this push the same one; empty when it cannot be known."""
        if not self.sender_transfer_id:
            return ""
        return _digest(self.username, self.sender_transfer_id, hashlib.sha256(manifest).hexdigest())


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of the wish."""

    id: str
    """Empty when all slots are taken."""
    gave_way: tuple[str, ...] = ()
    """Dead pushes that were discarded for it."""
    retry_after_s: int = 0

    def check(self, pushes: int) -> str:
        """The id. Raises ``Unavailable``: outside of the transaction, which must be kept."""
        if self.id:
            return self.id
        raise Unavailable(
            f"All {pushes} slots for transfers are taken; try again later",
            retry_after_s=self.retry_after_s,
        )


def open_push(
    tx: Transaction, declaration: Declaration, caller: Caller, pushes: int, now: float
) -> Opened:
    """Open it, or let it wait for its turn. Raises as ``Declaration.write`` does."""
    known = transfers.open_of(tx, declaration.transfer.origin)
    if known is not None:
        return Opened(known)
    gone = _dead(tx, pushes, now)
    free = pushes - transfers.count_open(tx, "push")
    holder = caller.holder
    asked_at = turns.asked_at(tx, holder)
    asked_at = now if asked_at is None else asked_at
    since = now - limits.TRANSFER_TURN_S
    place = turns.ahead(tx, since, holder, asked_at)
    waiting = turns.waiting(tx, since, holder)
    if free <= 0 or place >= max(free, (1 + waiting) // 4):
        turns.forget(tx, now - limits.TRANSFER_TURN_MEMORY_S)
        if waiting < limits.TRANSFER_TURNS:
            turns.keep(tx, holder, asked_at, now)
        soon = place < pushes
        after_s = limits.TRANSFER_SOON_S if soon else limits.TRANSFER_BUSY_S
        return Opened("", tuple(gone), after_s)
    turns.remove(tx, holder)
    gone += take_room(tx, declaration, now)
    declaration.write(tx)
    return Opened(declaration.transfer.id, tuple(gone))


def _dead(tx: Transaction, pushes: int, now: float) -> list[str]:
    """When all slots are taken, discard a push that has been silent for so long that its sender
    must be dead; its id."""
    if transfers.count_open(tx, "push") < pushes:
        return []
    silent = transfers.untouched(tx, now - limits.TRANSFER_SLOT_IDLE_S, 1, "push")
    for one in silent:
        transfers.finish(tx, one.id, "discarded", now)
    return [one.id for one in silent]


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
