"""The processes that work on this index, each with its lease."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from wherry.index.database import Transaction


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process."""

    id: str
    host: str
    pid: int
    started: str
    """When the process began, in the words of its operating system: tells it from a later
    process with the same ``pid``."""
    heartbeat_at: float
    """Seconds since 1970 of the process's own clock."""


def register(tx: Transaction, process: ProcessRow) -> None:
    """A process begins."""
    tx.run(
        "INSERT INTO processes (id, host, pid, started, heartbeat_at) VALUES (?, ?, ?, ?, ?)",
        astuple(process),
    )


def renew(tx: Transaction, process_id: str, at: float) -> bool:
    """The process lives. False: its row is gone, others took it for dead."""
    renewed = tx.run("UPDATE processes SET heartbeat_at = ? WHERE id = ?", (at, process_id))
    return renewed > 0


def everyone(tx: Transaction) -> list[ProcessRow]:
    """All processes that began and did not end, dead ones among them."""
    rows = tx.all("SELECT id, host, pid, started, heartbeat_at FROM processes ORDER BY id")
    return [ProcessRow(*row) for row in rows]


def forget(tx: Transaction, process_id: str) -> None:
    """The process ended, or all that it held was taken over."""
    tx.run("DELETE FROM processes WHERE id = ?", (process_id,))
