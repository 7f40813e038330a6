"""What ``wherry import`` and ``wherry replicate`` share: addresses, bar, summary, exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wherry import limits
from wherry.errors import WherryError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from wherry.replication.remote import Remote
    from wherry.replication.report import Group, Report

_GO_ON = "Run the same command again to go on: what is there already is not sent again."
_MEGABYTE = 1_000_000

type_progress = Callable[[int], None]
"""Moves the bar on by so much."""


def add_connections(parser: argparse.ArgumentParser) -> None:
    """Options of both commands."""
    parser.add_argument(
        "--connections",
        type=count,
        default=limits.REPLICATION_CONNECTIONS,
        metavar="N",
        help=f"connections at once (default: {limits.REPLICATION_CONNECTIONS})",
    )
    parser.add_argument(
        "--cacert",
        type=Path,
        metavar="FILE",
        help="certificates (PEM) to trust instead of those of the system",
    )


def remote(url: str, role: str, authorities: Path | None) -> Remote:
    """A server. Its user and password may stand in the address, or in the variables
    ``WHERRY_<role>_USERNAME`` and ``WHERRY_<role>_PASSWORD``. Raises ``ConfigurationError``."""
    from wherry.replication.remote import Remote

    return Remote(
        url,
        username=os.environ.get(f"WHERRY_{role}_USERNAME", ""),
        password=os.environ.get(f"WHERRY_{role}_PASSWORD", ""),
        authorities=authorities,
    )


@contextmanager
def bar(console: Console, what: str, total: int, *, size: bool) -> Iterator[type_progress]:
    """A bar over ``total`` bytes (``size``) or instances; yields how to move it on."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    progress: Progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn() if size else MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )
    with progress:
        task = progress.add_task(what, total=total)
        yield lambda step: progress.advance(task, step)


def carry_out(
    console: Console,
    shown: AbstractContextManager[type_progress],
    run: Callable[[type_progress], None],
    report: Report,
    done: str,
) -> int:
    """Run it with its bar and print the summary whatever happens; the exit code.

    ``done``: "imported", "copied".
    """
    code, last_words = 0, ""
    try:
        with shown as progress:
            run(progress)
    except KeyboardInterrupt:
        code, last_words = 130, f"Stopped. {_GO_ON}"
    except WherryError as error:
        code, last_words = 1, f"{error}\n{_GO_ON}"
    console.print(summary(report, done))
    if last_words:
        print("wherry:", printable(last_words, keep="\n"), file=sys.stderr)
    return code or int(report.failures > 0)


def summary(report: Report, done: str) -> Table:
    """What was done, what was there, what was left out and why."""
    from rich.table import Table

    table = Table(title="Summary")
    table.add_column("")
    table.add_column("number", justify="right")
    table.add_column("for instance", overflow="fold")
    megabytes = f"{report.done_bytes / _MEGABYTE:.1f} MB"
    table.add_row(f"{done} and compared", str(report.done - report.not_compared), megabytes)
    if report.not_compared:
        table.add_row(f"{done}, the server knows no MD5", str(report.not_compared), "")
    table.add_row("there already", str(report.there), "")
    add_groups(table, report.skipped, "skipped: ")
    add_groups(table, report.failed, "FAILED: ")
    return table


def add_groups(table: Table, groups: dict[str, Group], word: str = "") -> None:
    """A line for each reason: how many, and an example or two."""
    from rich.text import Text

    for reason, group in sorted(groups.items()):
        examples = Text("\n".join(map(printable, group.examples)))
        table.add_row(Text(f"{word}{printable(reason)}"), str(group.count), examples)


def printable(text: str, keep: str = "") -> str:
    """``text`` without what could steer a terminal, or what it cannot show."""
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def count(text: str) -> int:
    """A number of connections."""
    number = int(text)
    if not 1 <= number <= limits.REPLICATION_CONNECTIONS_MOST:
        raise argparse.ArgumentTypeError(
            f"must be between 1 and {limits.REPLICATION_CONNECTIONS_MOST}"
        )
    return number
