"""What a webhook is told next: events of both logs behind a position, and the body of a delivery.

The end of a job is never told before the changes that had happened by then: changes come first,
events of jobs only when no change is left. Identifiers are all that is told of patients.
"""

from __future__ import annotations

from typing import Final

import orjson

from wherry import clock
from wherry.config.webhooks import Webhook
from wherry.index import changes, job_events, totals
from wherry.index.changes import type_row
from wherry.index.database import Transaction
from wherry.index.webhooks import Position
from wherry.model import ChangeType, JobEvent, JobState, Level, type_json

JOB_TYPE: Final = "Webhook"
"""Of the jobs that deliver; of their own ends nobody is told, for that would have no end."""

_NAMES: Final = {JobState.SUCCESS: "JobSuccess", JobState.FAILURE: "JobFailure"}

type_event = dict[str, type_json]


def behind(
    tx: Transaction, webhook: Webhook, position: Position, limit: int
) -> tuple[list[type_event], Position]:
    """At most ``limit`` events that this webhook wants to hear of, the oldest first, and where to
    go on after them."""
    found: list[type_event] = []
    change_seq = totals.load(tx).change_seq
    if webhook.changes:
        page = changes.page(tx, position.change_seq, limit, types=webhook.changes)
        causes = changes.causes(tx, [row[0] for row in page.rows])
        found = [_of_change(row, causes.get(row[0])) for row in page.rows]
        if not page.done:
            return found, Position(page.last, position.job_seq)
    room = limit - len(found)
    if room == 0:
        return found, Position(change_seq, position.job_seq)
    job_seq = max(position.job_seq, job_events.last(tx))
    if webhook.job_states:
        lines = job_events.after_of(tx, position.job_seq, room, webhook.job_states, JOB_TYPE)
        found += [_of_job(line) for line in lines]
        if len(lines) == room:
            job_seq = lines[-1].seq
    return found, Position(change_seq, job_seq)


def body(webhook: Webhook, server: str, delivery_id: str, events: list[type_event]) -> str:
    """The body of a delivery."""
    document = {
        "Webhook": webhook.name,
        "Delivery": delivery_id,
        "Server": {"Name": server},
        "Events": events,
    }
    return orjson.dumps(document).decode()


def _of_change(row: type_row, cause: str | None) -> type_event:
    """As in ``/changes``."""
    seq, kind, number, orthanc_id, date = row
    level = Level(number)
    event = {
        "Seq": seq,
        "ChangeType": ChangeType(kind).name,
        "ResourceType": level.title,
        "ID": orthanc_id,
        "Path": f"/{level.plural}/{orthanc_id}",
        "Date": date,
    }
    return event if cause is None else event | {"Transfer": cause}


def _of_job(line: JobEvent) -> type_event:
    """Without the details of an error: they quote other machines."""
    return {
        "Seq": line.seq,
        "ChangeType": _NAMES[line.state],
        "ResourceType": "Job",
        "ID": line.job_id,
        "Path": f"/jobs/{line.job_id}",
        "Date": clock.orthanc_date(line.happened_at),
        "JobType": line.type,
        "ErrorCode": line.error_code,
    }
