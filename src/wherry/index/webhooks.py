"""How far each webhook is in the logs of changes and of jobs, and what is on its way to it.

A delivery is written down with its body before it is sent for the first time, so that each attempt,
in whatever process, says the same under the same name. When it has arrived, the webhook moves
behind its events in one statement.

Not here: which events those are, what a body looks like (``webhooks.events``), when to send.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from wherry.index import job_events, job_rows, totals
from wherry.index.database import Transaction

_NOTHING: Final = "delivery = '', body = '', event_count = 0"


class Position(NamedTuple):
    """A place in both logs."""

    change_seq: int
    """The last change before it."""
    job_seq: int
    """The last event of a job before it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Events on their way, as they are sent."""

    id: str
    body: str
    """JSON."""
    event_count: int


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """One webhook."""

    position: Position
    delivery: Delivery | None
    """Not known to have arrived."""
    job: str
    """The last job that delivers, or delivered; or empty."""
    rest_until: float
    """Seconds since 1970: nothing is begun before."""


def end(tx: Transaction) -> Position:
    """Behind all that has happened."""
    return Position(totals.load(tx).change_seq, job_events.last(tx))


def begin(tx: Transaction, name: str) -> None:
    """Know this webhook from now on. One that is known already stays where it is."""
    tx.run(
        "INSERT INTO webhooks (name, change_seq, job_seq) VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO NOTHING",
        (name, *end(tx)),
    )


def get(tx: Transaction, name: str) -> WebhookRow | None:
    """One webhook, or None."""
    row = tx.one(
        "SELECT change_seq, job_seq, delivery, body, event_count, job, rest_until"
        " FROM webhooks WHERE name = ?",
        (name,),
    )
    if row is None:
        return None
    change_seq, job_seq, delivery, body, count, job, rest_until = row
    found = Delivery(delivery, body, count) if delivery else None
    return WebhookRow(Position(change_seq, job_seq), found, job, rest_until)


def take(tx: Transaction, name: str, job_id: str) -> bool:
    """From now on this job delivers; False when another one does, that has still to end."""
    begin(tx, name)
    row = get(tx, name)
    assert row is not None
    if row.job != job_id:
        if job_rows.alive(tx, row.job):
            return False
        tx.run("UPDATE webhooks SET job = ? WHERE name = ?", (job_id, name))
    return True


def prepare(tx: Transaction, name: str, delivery: Delivery, behind: Position) -> None:
    """This is sent next, until it arrives; its events end before ``behind``."""
    tx.run(
        "UPDATE webhooks SET delivery = ?, body = ?, event_count = ?,"
        " next_change_seq = ?, next_job_seq = ? WHERE name = ? AND delivery = ''",
        (delivery.id, delivery.body, delivery.event_count, *behind, name),
    )


def arrived(tx: Transaction, name: str, delivery_id: str) -> bool:
    """The webhook is behind this delivery; False when it was so before."""
    moved = tx.run(
        "UPDATE webhooks SET change_seq = next_change_seq, job_seq = next_job_seq,"
        f" rest_until = 0, {_NOTHING} WHERE name = ? AND delivery = ?",
        (name, delivery_id),
    )
    return moved > 0


def rest(tx: Transaction, name: str, job_id: str, until: float) -> None:
    """This job gave up: nothing is begun before ``until``."""
    tx.run("UPDATE webhooks SET rest_until = ? WHERE name = ? AND job = ?", (until, name, job_id))
