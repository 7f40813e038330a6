"""Cells and notes that the list and the watching share: identifiers, states, what and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.text import Text

from wherry.cli.jobs.contents import purpose
from wherry.cli.jobs.layout import Column
from wherry.cli.jobs.view import JobView
from wherry.cli.jobs.words import count, duration
from wherry.model import JobState

ID = Column("ID")
TYPE = Column("Type", most=20)
STATE = Column("State", most=7)
DONE = Column("Done", right=True)

_SHORT = 8
_STYLES = {
    JobState.RUNNING.value: "cyan",
    JobState.SUCCESS.value: "green",
    JobState.FAILURE.value: "red",
    JobState.PAUSED.value: "yellow",
    JobState.RETRY.value: "magenta",
}


def state_text(state: str) -> Text:
    """In its colour."""
    return Text(state, _STYLES.get(state, ""))


def notes(view: JobView, *, took: bool = False) -> list[Text]:
    """What it does, on request how long it took; why it failed, or when it is tried again."""
    words = [purpose(view), f"took {duration(view.runtime_s)}" if took and view.ended else ""]
    found = [Text(", ".join(filter(None, words)), "dim")]
    if view.state == JobState.RETRY:
        found.append(Text(retry_words(view), "magenta"))
    elif view.error:
        found.append(Text(view.error, "red"))
    return [note for note in found if note]


def retry_words(view: JobView) -> str:
    """``after 2 attempts: cause; next attempt in 12s``."""
    after = f"after {count(view.attempts, 'attempt')}" if view.attempts else ""
    cause = ": ".join(filter(None, (after, view.error)))
    when = "" if view.retry_s is None else f"next attempt in {duration(view.retry_s)}"
    return "; ".join(filter(None, (cause, when)))


def short_length(ids: Sequence[str]) -> int:
    """Characters of an identifier that tell these apart, as few as are easy to type."""
    length = _SHORT
    while len({one[:length] for one in ids}) < len(set(ids)):
        length += 4
    return length


def tally(states: Iterable[str]) -> str:
    """``3 jobs: 1 Running, 2 Success``."""
    found = Counter(states)
    order = [state.value for state in JobState]
    names = sorted(found, key=lambda name: order.index(name) if name in order else len(order))
    told = ", ".join(f"{found[name]} {name}" for name in names)
    return f"{count(found.total(), 'job')}: {told}" if told else "no jobs"
