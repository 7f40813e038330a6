"""Jobs, looked at again and again until they have ended.

Without identifiers, everything that is unfinished is followed, and whatever comes meanwhile; what
had ended before is nobody's concern. A server that is out of reach for a while is waited for: its
jobs outlive a restart.

Not here: what it looks like (``displays``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol

from wherry import clock, limits
from wherry.cli.jobs.contents import reported_speed, volume
from wherry.cli.jobs.meter import Meter
from wherry.cli.jobs.server import type_raw
from wherry.cli.jobs.view import JobView, read_job
from wherry.cli.jobs.words import duration, harmless
from wherry.errors import NetworkProtocol, PeerUnavailable
from wherry.peers.refusal import PeerRefusal

_PASSING = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
_SHORTEST_S = 0.1


class Followed:
    """One job, and how fast it is."""

    def __init__(self, view: JobView) -> None:
        self.view = view
        self.gone = False
        """Whether the server has forgotten it before it was seen to end."""
        self._meter = Meter()
        self.look(view)

    @property
    def over(self) -> bool:
        """Whether there is nothing more to be seen of it."""
        return self.view.ended or self.gone

    @property
    def state(self) -> str:
        """Of the job, or ``gone``."""
        return "gone" if self.gone else self.view.state

    def look(self, view: JobView) -> None:
        """It looks like this now."""
        self.view, self.gone = view, False
        found = volume(view)
        if found is None or not view.running:
            self._meter.forget()
        else:
            at_s = clock.monotonic() if view.at is None else view.at.timestamp()
            self._meter.look(at_s, found.done)

    @property
    def speed(self) -> float | None:
        """In units of its volume, a second: of late while it runs, on the average afterwards."""
        if self.view.running:
            return self._meter.speed or reported_speed(self.view)
        found = volume(self.view)
        if found is None or not self.view.succeeded or self.view.runtime_s < _SHORTEST_S:
            return None
        return found.done / self.view.runtime_s

    @property
    def left_s(self) -> float | None:
        """Until it is done: as the server says, else by its speed."""
        if not self.view.running or self.view.left_s is not None:
            return self.view.left_s
        found, speed = volume(self.view), self._meter.speed
        if found is None or found.total is None or not speed:
            return None
        return max(found.total - found.done, 0.0) / speed


class Server(Protocol):
    """What is needed of ``JobServer``."""

    def all(self) -> list[type_raw]:
        """Every job."""

    def job(self, job_id: str) -> type_raw | None:
        """One job, if it is known."""


class Display(Protocol):
    """Where it is shown."""

    def show(self, jobs: Sequence[Followed], trouble: str) -> None:
        """They look like this now. ``trouble``: why they may have gone on meanwhile, or empty."""

    def finish(self, jobs: Sequence[Followed]) -> None:
        """They are all over."""


class Following:
    """What is known of the jobs that are followed."""

    def __init__(
        self, server: Server, ids: Sequence[str], *, forever: bool, wait: Callable[[float], None]
    ) -> None:
        """``ids``: whole identifiers; none = all that are unfinished. ``wait``: ``time.sleep``."""
        self._server = server
        self._ids = ids
        self._forever = forever
        self._wait = wait
        self._jobs: dict[str, Followed] = {}
        self._finished_before: set[str] | None = None
        self._answered_at = clock.monotonic()

    def run(self, display: Display) -> int:
        """Follow them to the end; 1 when one of them did not succeed, or is gone. Raises
        ``PeerUnavailable``, ``NetworkProtocol``."""
        patient = False
        while True:
            began = clock.monotonic()
            trouble = self._look(patient)
            patient = True
            jobs = self._shown()
            if not trouble and all(job.over for job in jobs) and not self._forever:
                display.finish(jobs)
                return int(not all(job.view.succeeded for job in jobs))
            display.show(jobs, trouble)
            self._wait(_pause_s(clock.monotonic() - began))

    def _look(self, patient: bool) -> str:
        """Ask once; why there was no answer, or nothing."""
        try:
            if self._ids:
                self._look_at_named()
            else:
                self._look_at_all()
        except (PeerUnavailable, PeerRefusal) as error:
            if isinstance(error, PeerRefusal) and error.status not in _PASSING:
                raise
            silent_s = clock.monotonic() - self._answered_at
            if not patient or silent_s > limits.JOBS_SILENCE_S:
                raise
            return f"no answer for {duration(silent_s)}: {harmless(str(error))}"
        self._answered_at = clock.monotonic()
        return ""

    def _look_at_named(self) -> None:
        for name in self._ids:
            if name not in self._jobs or not self._jobs[name].over:
                self._look_at(name, self._server.job(name))

    def _look_at_all(self) -> None:
        found = {raw["ID"]: raw for raw in self._server.all()}
        if self._finished_before is None:
            self._finished_before = {n for n, raw in found.items() if read_job(raw).ended}
        for name, raw in found.items():
            if name not in self._finished_before or not read_job(raw).ended:
                self._finished_before.discard(name)
                self._look_at(name, raw)
        for name, job in list(self._jobs.items()):
            if name in found:
                continue
            if not job.over:
                self._look_at(name, self._server.job(name))
            elif self._forever:  # what the server forgets is forgotten here, or memory would grow
                del self._jobs[name]

    def _look_at(self, name: str, raw: type_raw | None) -> None:
        job = self._jobs.get(name)
        if raw is not None:
            view = read_job(raw)
            if job is None:
                self._jobs[name] = Followed(view)
            else:
                job.look(view)
        elif job is not None:
            job.gone = True
        else:
            raise NetworkProtocol(f"{name}: the server has just forgotten this job")

    def _shown(self) -> list[Followed]:
        return sorted(self._jobs.values(), key=_age)


def _age(job: Followed) -> tuple[float, str]:
    created = job.view.created
    return (0.0 if created is None else created.timestamp(), job.view.id)


def _pause_s(took_s: float) -> float:
    """A server that needs long for an answer is asked less often."""
    return min(max(limits.JOBS_POLL_S, 2 * took_s), limits.JOBS_POLL_LONGEST_S)
