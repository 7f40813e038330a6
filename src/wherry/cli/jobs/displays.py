"""Followed jobs in a terminal, as a live table; elsewhere, as one line for each change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from wherry import clock
from wherry.cli.jobs import look
from wherry.cli.jobs.contents import purpose, volume
from wherry.cli.jobs.following import Display, Followed
from wherry.cli.jobs.layout import Column, Row, lay_out
from wherry.cli.jobs.words import duration, size
from wherry.model import JobState

_GONE = "the server has forgotten how it ended"
_WIDE = 100
_AROUND = 4
"""Lines of a terminal for headings, footer, trouble and cursor."""


@contextmanager
def display_on(console: Console) -> Iterator[Display]:
    """The display that suits the console."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield Lines(console)
        return
    # What stays in the end is printed anew: rich cannot redraw what is taller than the terminal.
    live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
    display = LiveTable(console, live)
    try:
        with live:
            yield display
    finally:
        for line in display.last:
            console.print(line)


class LiveTable:
    """A table that changes in its place."""

    def __init__(self, console: Console, live: Live) -> None:
        self.last: list[Text] = []
        """The lines that were shown last."""
        self._console = console
        self._live = live

    def show(self, jobs: Sequence[Followed], trouble: str) -> None:
        """As many as the terminal has room for: unfinished ones first."""
        self._set(jobs, self._console.height - _AROUND)
        if trouble:
            self.last.append(_line(Text(trouble, "yellow")))
        self._live.update(Group(*self.last), refresh=True)

    def finish(self, jobs: Sequence[Followed]) -> None:
        """All of them; they are printed when the display is closed."""
        self._set(jobs, None)

    def _set(self, jobs: Sequence[Followed], room: int | None) -> None:
        self.last = [_line(line) for line in table(self._console, jobs, room)]


class Lines:
    """One line for each change of state or percentage."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: dict[str, tuple[object, ...]] = {}
        self._trouble = False

    def show(self, jobs: Sequence[Followed], trouble: str) -> None:
        """Those that have changed."""
        if bool(trouble) != self._trouble:
            self._trouble = bool(trouble)
            self._print(trouble or "the server answers again")
        for job in jobs:
            view = job.view
            news = (job.state, view.percent, view.attempts, view.error)
            if self._told.get(view.id) != news:
                self._told[view.id] = news
                self._print(sentence(job))
        if len(self._told) > len(jobs):
            names = {job.view.id for job in jobs}
            self._told = {name: news for name, news in self._told.items() if name in names}

    def finish(self, jobs: Sequence[Followed]) -> None:
        """The last changes, and how many did what."""
        self.show(jobs, "")
        told = look.tally(job.state for job in jobs) if jobs else "no job is unfinished"
        self._print(told)

    def _print(self, text: str) -> None:
        now = clock.now().astimezone().strftime("%H:%M:%S")
        self._console.print(Text(f"{now} {text}"), soft_wrap=True)


def sentence(job: Followed) -> str:
    """One job in one line."""
    view = job.view
    who = " ".join(filter(None, (view.id, view.type, purpose(view))))
    if job.gone:
        return f"{who}: {_GONE}"
    told = [view.state]
    if view.running:
        told = [f"{view.state} {view.percent}%"]
    elif view.ended:
        told = [f"{view.state} in {duration(view.runtime_s)}"]
    if view.state == JobState.RETRY:
        told.append(look.retry_words(view))
    elif view.error:
        told.append(view.error)
    told.append(speed_words(job))
    if job.left_s is not None:
        told.append(f"{duration(job.left_s)} left")
    return f"{who}: {', '.join(filter(None, told))}"


def speed_words(job: Followed) -> str:
    """``12.3 MB/s`` or ``12 inst/s``."""
    speed, found = job.speed, volume(job.view)
    if not speed or (found is not None and found.unit == "instances"):
        return f"{speed:.{0 if speed >= 9.95 else 1}f} inst/s" if speed else ""
    return f"{size(speed)}/s"


def table(console: Console, jobs: Sequence[Followed], room: int | None) -> list[Text]:
    """Its lines, about ``room`` of them between headings and footer (None = all)."""
    if not jobs:
        return [Text("No job is unfinished.", "dim")]
    bar = 20 if console.width >= _WIDE else 12
    columns = (
        look.ID,
        look.TYPE,
        look.STATE,
        Column("Progress", least=bar),
        look.DONE,
        Column("Speed", right=True, least=10),
        Column("Left", right=True, least=6),
    )
    short = look.short_length([job.view.id for job in jobs])
    rows = [_row(console, job, bar, short) for job in jobs]
    heading, *blocks = lay_out(console, columns, rows, console.width)
    chosen = _chosen(jobs, [len(block) for block in blocks], room)
    hidden = len(jobs) - len(chosen)
    footer = look.tally(job.state for job in jobs) + (f"; {hidden} not shown" if hidden else "")
    return [*heading, *(line for n in chosen for line in blocks[n]), Text(footer, "dim")]


def _row(console: Console, job: Followed, bar: int, short: int) -> Row:
    view = job.view
    left = job.left_s
    return Row(
        [
            Text(view.id[:short]),
            Text(view.type),
            look.state_text(job.state),
            _bar(console, job, bar),
            Text(f"{view.percent}%"),
            Text(speed_words(job)),
            Text("" if left is None else duration(left)),
        ],
        [Text(_GONE, "red")] if job.gone else look.notes(view, took=True),
    )


def _bar(console: Console, job: Followed, width: int) -> Text:
    """Half a cell a step, like rich's own; without colours, only what is done."""
    style = look.state_text(job.state).style or "cyan"
    halves = int(2 * width * job.view.percent / 100)
    done = Text("━" * (halves // 2) + "╸" * (halves % 2), style)
    rest = " " if console.no_color or console.color_system is None else "━"
    return done + Text(rest * (width - done.cell_len), "bar.back")


def _line(text: Text) -> Text:
    """One line, cut where the terminal ends."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _chosen(jobs: Sequence[Followed], lines: Sequence[int], room: int | None) -> list[int]:
    """Places of the jobs that are shown: of the unfinished those that move, then the latest."""
    if room is None:
        return list(range(len(jobs)))
    ranked = sorted(
        range(len(jobs)),
        key=lambda n: (jobs[n].over, not jobs[n].view.running, -n if jobs[n].over else n),
    )
    chosen: list[int] = []
    for place in ranked:
        room -= lines[place]
        if room < 0 and chosen:
            break
        chosen.append(place)
    return sorted(chosen)
