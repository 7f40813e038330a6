"""Cancel, pause, resume, resubmit: what was asked for, and what came of it, in one sentence.

Orthanc accepts some wishes that have no effect, and refuses others without a word; what really
happened is seen from the state before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from wherry.cli.jobs.choosing import NoSuchJob, choose
from wherry.cli.jobs.server import type_raw
from wherry.cli.jobs.view import JobView, read_job
from wherry.cli.jobs.words import harmless
from wherry.model import JobState
from wherry.peers.refusal import PeerRefusal

ACTIONS: Final = {
    "cancel": "only a job that has not ended can be cancelled",
    "pause": "only a job that has not ended can be paused",
    "resume": "only a paused job can be resumed",
    "resubmit": "only a failed job can be resubmitted",
}
"""What can be asked for, and what it is possible for."""

_REFUSALS = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)


class Server(Protocol):
    """What is needed of ``JobServer``."""

    def ids(self) -> list[str]:
        """All jobs."""

    def job(self, job_id: str) -> type_raw | None:
        """One job, if it is known."""

    def act(self, job_id: str, action: str) -> PeerRefusal | None:
        """Ask for it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one wish."""

    done: bool
    sentence: str


def steer(server: Server, action: str, words: Sequence[str]) -> list[Outcome]:
    """Ask for ``action`` (a key of ``ACTIONS``) for each job, one after the other."""
    ids = server.ids()
    outcomes = []
    for word in words:
        try:
            outcomes.append(_steer_one(server, action, choose(word, ids)))
        except NoSuchJob as error:
            outcomes.append(Outcome(False, f"{error}."))
    return outcomes


def _steer_one(server: Server, action: str, name: str) -> Outcome:
    before = _look(server, name)
    if before is None:
        return _forgotten(name)
    refusal = server.act(name, action)
    after = _look(server, name)
    if after is None:
        return _forgotten(name)
    who = f"{name} ({after.type})" if after.type else name
    if refusal is None:
        done, what = _accepted(action, before, after)
    elif refusal.status in _REFUSALS:
        done, what = False, f"refused: it is in state {_state(after)}, and {ACTIONS[action]}"
    else:
        done = False
        what = f"refused: {harmless(refusal.details)}; it is in state {_state(after)}"
    return Outcome(done, f"{who} {what}.")


def _accepted(action: str, before: JobView, after: JobView) -> tuple[bool, str]:
    """Whether the wish came true, and how."""
    if action in ("resume", "resubmit"):
        verb = "goes on" if action == "resume" else "starts again"
        return True, f"{verb}: it is in state {_state(after)} now"
    if before.cancelled and action == "cancel":
        return True, "was cancelled before"
    if before.ended:
        return False, f"has ended already, in state {_state(before)}: nothing was changed"
    if action == "cancel":
        if after.cancelled:
            return True, "is cancelled"
        if after.ended:
            return False, f"was faster: it has ended in state {_state(after)}"
        return True, "will be cancelled after its present step"
    if before.state == after.state == JobState.PAUSED:
        return True, "was paused before"
    if after.state == JobState.PAUSED:
        return True, "is paused"
    if after.ended:
        return False, f"was faster: it has ended in state {_state(after)}"
    return True, "will be paused after its present step"


def _look(server: Server, name: str) -> JobView | None:
    raw = server.job(name)
    return None if raw is None else read_job(raw)


def _forgotten(name: str) -> Outcome:
    return Outcome(False, f"{name} is not known to the server any more.")


def _state(view: JobView) -> str:
    if view.cancelled:
        return "Failure (cancelled)"
    return view.state or "unknown"
