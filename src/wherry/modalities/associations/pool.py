"""Associations for instances that stay open for a moment, for whoever comes next.

To ask for an association costs several round trips, and many instances come one at a time. An idle
one is used again for the same titles and place when it was asked for whatever is wanted; it is
released after ``DicomAssociationCloseDelay``, or when somebody asks for something else there: some
systems take one association at a time. Whether the other end has given it up meanwhile is looked
at, and whoever gets it must still be ready to find that out: it is as with every kept connection.

Not here: what is sent over them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wherry import clock, limits
from wherry.modalities.associations.association import Association
from wherry.modalities.associations.connection import Target
from wherry.modalities.associations.negotiation import Proposal

_RELEASE_S: Final = 2.0
_RELEASE_AT_THE_END_S: Final = 0.5
"""The other end has so long to confirm: nothing hangs on it, and a server that stops should not
wait for it."""

type_place = tuple[str, str, str, int, bool]


@dataclass(slots=True)
class Line:
    """An association in use."""

    association: Association
    proposal: Proposal
    target: Target
    reused: bool = False
    """Nothing has come over it since it was idle: the other end may have given it up."""

    def serves(self, proposal: Proposal) -> bool:
        """Whether everything that would be asked for was asked for."""
        mine = self.proposal
        return proposal is mine or set(proposal.contexts) <= set(mine.contexts)


@dataclass(frozen=True, slots=True)
class _Idle:
    line: Line
    until: float


class AssociationPool:
    """Idle associations of this process. Safe from any thread."""

    def __init__(self, idle_s: float) -> None:
        """``idle_s``: how long one is kept; 0 = not at all."""
        self._idle_s = idle_s
        self._changed = threading.Condition()
        self._idle: list[_Idle] = []
        """The next to be released is the first."""
        self._thread: threading.Thread | None = None

    def open(
        self,
        target: Target,
        proposal: Proposal,
        begun: Callable[[Association], None] = lambda one: None,
    ) -> Line:
        """An association for this, idle or new. ``begun`` as that of ``Association``, which
        says what is raised."""
        line = self._take(target, proposal)
        if line is None:
            association = Association(target, proposal.contexts, begun=begun)
            return Line(association, proposal, target)
        begun(line.association)
        line.association.connection.be_patient(target.timeout_s)
        line.target = target
        line.reused = True
        return line

    def give_back(self, line: Line) -> None:
        """It is not needed any more, and nothing is under way on it."""
        if line.association.ended:
            return
        place = _place(line.target)
        with self._changed:
            near = sum(_place(one.line.target) == place for one in self._idle)
            full = len(self._idle) >= limits.IDLE_ASSOCIATIONS
            if self._idle_s > 0 and not full and near < limits.IDLE_ASSOCIATIONS_OF_ONE:
                self._idle.append(_Idle(line, clock.monotonic() + self._idle_s))
                self._watch()
                return
        line.association.release(_RELEASE_S)

    def let_go(self, target: Target) -> None:
        """Release what is idle there: somebody wants an association of another kind."""
        self._release(lambda one: _place(one.line.target) == _place(target))

    def close(self) -> None:
        """Release everything, and keep nothing from now on."""
        self._idle_s = 0
        self._release(lambda one: True, _RELEASE_AT_THE_END_S)

    def _take(self, target: Target, proposal: Proposal) -> Line | None:
        place = _place(target)
        while True:
            with self._changed:
                here = [one for one in self._idle if _place(one.line.target) == place]
                fit = [one for one in here if one.line.serves(proposal)]
                if not fit:
                    break
                self._idle.remove(fit[-1])  # the one that was in use a moment ago
            line = fit[-1].line
            if not line.association.ready():
                return line
            line.association.abort()  # it is gone, or says something that nobody waits for
        if here:
            self.let_go(target)
        return None

    def _release(self, which: Callable[[_Idle], bool], within_s: float = _RELEASE_S) -> None:
        with self._changed:
            gone = [one for one in self._idle if which(one)]
            self._idle = [one for one in self._idle if one not in gone]
            self._changed.notify_all()
        for one in gone:
            one.line.association.release(within_s)

    def _watch(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="idle-associations", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        """Until nothing is idle."""
        while True:
            with self._changed:
                if not self._idle:
                    self._thread = None
                    return
                left_s = self._idle[0].until - clock.monotonic()
                if left_s > 0:
                    self._changed.wait(left_s)
                    continue
            self._release(_is_due)


def _place(target: Target) -> type_place:
    return target.called, target.calling, target.host, target.port, target.tls is not None


def _is_due(one: _Idle) -> bool:
    return one.until <= clock.monotonic()
