"""Which requests to commit instances this server is looking after, and by which jobs.

A row is written in the transaction that submits its job; those whose jobs nobody remembers go then.

Not here: what is done for them (``modalities.commitment_scp``).
"""

from __future__ import annotations

from typing import NamedTuple

from wherry.index import job_rows
from wherry.index.database import Transaction


class CommitmentJob(NamedTuple):
    """Who looks after a request."""

    digest: str
    """Of what was asked."""
    job: str


def alive(tx: Transaction, remote_aet: str, uid: str) -> CommitmentJob | None:
    """The job for this transaction of this system, if it has still to end."""
    row = tx.one(
        "SELECT digest, job FROM commitment_requests WHERE remote_aet = ? AND uid = ?",
        (remote_aet, uid),
    )
    if row is None or not job_rows.alive(tx, row[1]):
        return None
    return CommitmentJob(*row)


def put(tx: Transaction, remote_aet: str, uid: str, digest: str, job: str) -> None:
    """From now on this job looks after the transaction."""
    tx.run("DELETE FROM commitment_requests WHERE job NOT IN (SELECT id FROM jobs)")
    tx.run(
        "INSERT INTO commitment_requests (remote_aet, uid, digest, job) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (remote_aet, uid) DO UPDATE SET digest = excluded.digest, job = excluded.job",
        (remote_aet, uid, digest, job),
    )
