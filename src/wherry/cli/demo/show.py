"""What the demonstration looks like: bars while it runs, a table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Step:
    """One line of the summary."""

    name: str
    instances: int
    size_bytes: int
    seconds: float


def bars(console: Console) -> Progress:
    """A bar with size, speed and time left."""
    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        _Speed(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )


class _Speed(ProgressColumn):
    """Megabytes a second since the start; rich's own column knows nothing of short tasks."""

    def render(self, task: Task) -> Text:
        """Its cell."""
        seconds = task.finished_time or task.elapsed
        return Text(f"{task.completed / _MEGABYTE / seconds:4.0f} MB/s" if seconds else "")


def summary(steps: Sequence[Step]) -> Table:
    """The table of what was done and how fast."""
    table = Table(title="Summary")
    for heading in ("", "instances", "MB", "seconds", "MB/s", "instances/s"):
        table.add_column(heading, justify="right" if heading else "left")
    for step in steps:
        seconds = max(step.seconds, 1e-3)
        table.add_row(
            step.name,
            str(step.instances),
            f"{step.size_bytes / _MEGABYTE:.0f}",
            f"{step.seconds:.2f}",
            f"{step.size_bytes / _MEGABYTE / seconds:.0f}",
            f"{step.instances / seconds:.0f}",
        )
    return table
