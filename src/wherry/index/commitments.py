"""What this server asked other systems to commit, and what they said (PS3.4 Annex J).

The newest transactions are kept, so many as the caller wants.

Not here: what others asked of this server (``commitment_requests``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from wherry.index.database import Transaction

PENDING: Final = "Pending"
SUCCESS: Final = "Success"
FAILURE: Final = "Failure"


class AskedInstance(NamedTuple):
    """One instance that another system was asked to commit."""

    sop_class: str
    sop_instance: str
    digests: tuple[str, ...] = ()
    """Of each DICOM file of it that was stored here when it was asked."""


@dataclass(frozen=True, slots=True)
class Commitment:
    """One transaction."""

    uid: str
    remote_aet: str
    status: str
    """``PENDING``, ``SUCCESS`` or ``FAILURE``."""
    asked: tuple[AskedInstance, ...]
    failures: Mapping[int, int]
    """Position among ``asked`` → why it is not committed."""


def add(
    tx: Transaction, uid: str, remote_aet: str, asked: Sequence[AskedInstance], keep: int
) -> None:
    """Wait for a report, or wait for it anew; of all transactions the ``keep`` newest stay."""
    remove(tx, uid)
    tx.run(
        "INSERT INTO commitments (uid, remote_aet, status, asked, failures)"
        " VALUES (?, ?, ?, ?, '{}')",
        (uid, remote_aet, PENDING, orjson.dumps([list(one) for one in asked]).decode()),
    )
    oldest = tx.one("SELECT seq FROM commitments ORDER BY seq DESC LIMIT 1 OFFSET ?", (keep - 1,))
    if oldest is not None:
        tx.run("DELETE FROM commitments WHERE seq < ?", oldest)


def get(tx: Transaction, uid: str) -> Commitment | None:
    """One transaction, or None."""
    row = tx.one(
        "SELECT uid, remote_aet, status, asked, failures FROM commitments WHERE uid = ?", (uid,)
    )
    if row is None:
        return None
    uid, remote_aet, status, asked, failures = row
    return Commitment(
        uid,
        remote_aet,
        status,
        tuple(AskedInstance(one[0], one[1], tuple(one[2])) for one in orjson.loads(asked)),
        {int(position): reason for position, reason in orjson.loads(failures).items()},
    )


def settle(tx: Transaction, uid: str, failures: Mapping[int, int]) -> None:
    """The report has come: these (position → reason) are not committed, all others are."""
    text = orjson.dumps({str(position): reason for position, reason in failures.items()}).decode()
    tx.run(
        "UPDATE commitments SET status = ?, failures = ? WHERE uid = ?",
        (FAILURE if failures else SUCCESS, text, uid),
    )


def remove(tx: Transaction, uid: str) -> None:
    """Forget a transaction. No error when there is none."""
    tx.run("DELETE FROM commitments WHERE uid = ?", (uid,))
