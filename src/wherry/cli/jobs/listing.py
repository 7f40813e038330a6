"""The list of jobs, and one job in full."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from wherry import clock
from wherry.cli.jobs import look
from wherry.cli.jobs.arguments import Order
from wherry.cli.jobs.choosing import NoSuchJob, choose
from wherry.cli.jobs.layout import Column, Row, lay_out
from wherry.cli.jobs.server import JobServer
from wherry.cli.jobs.view import JobView, read_job
from wherry.cli.jobs.words import as_json, duration, moment

_COLUMNS = (
    look.ID,
    look.TYPE,
    look.STATE,
    Column("Prio", right=True),
    look.DONE,
    Column("Created"),
    Column("Runtime", right=True),
)
_EPOCH = datetime.fromtimestamp(0, UTC)


def show_list(server: JobServer, order: Order, console: Console) -> int:
    """The jobs that are asked for, as a table or as JSON; 0."""
    everything = [read_job(raw) for raw in server.all()]
    found = select(everything, order)
    if order.json:
        console.out(as_json([view.raw for view in found]), highlight=False)
        return 0
    if console.is_terminal:
        length = look.short_length([view.id for view in everything])
        for line in table(console, found, length, console.width):
            console.print(line, no_wrap=True, overflow="ellipsis")
        console.print(Text(_footer(found, everything), "dim"))
    else:
        for line in table(console, found, None, None):
            console.print(line, soft_wrap=True)
    return 0


def show_one(server: JobServer, word: str, console: Console) -> int:
    """Everything about one job; 0. Raises ``NoSuchJob``."""
    name = choose(word, server.ids())
    raw = server.job(name)
    if raw is None:
        raise NoSuchJob(f"{name}: the server has just forgotten this job")
    console.out(as_json(raw), highlight=False)
    return 0


def select(views: Sequence[JobView], order: Order) -> list[JobView]:
    """Those in the states and of the types that are asked for, the newest first."""
    found = [
        view
        for view in views
        if (not order.states or view.state in order.states)
        and (not order.types or view.type.lower() in order.types)
    ]
    found.sort(key=lambda view: (view.created or _EPOCH, view.id), reverse=True)
    return found[: order.limit]


def table(
    console: Console, views: Sequence[JobView], short: int | None, width: int | None
) -> list[Text]:
    """Its lines. ``short``: characters of an identifier; None = all."""
    now = clock.now()
    rows = [
        Row(
            [
                Text(view.id[:short]),
                Text(view.type),
                look.state_text(view.state),
                Text(str(view.priority)),
                Text(f"{view.percent}%"),
                Text(moment(view.created, now)),
                Text(duration(view.runtime_s)),
            ],
            look.notes(view),
        )
        for view in views
    ]
    return [line for block in lay_out(console, _COLUMNS, rows, width) for line in block]


def _footer(found: Sequence[JobView], everything: Sequence[JobView]) -> str:
    told = look.tally(view.state for view in found)
    others = len(everything) - len(found)
    return f"{told}; {others} not shown" if others else told
