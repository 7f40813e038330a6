"""The associations over which one run of a store job sends, side by side.

A lane is a thread with an association of its own. The first one takes an instance and asks for an
association, patiently; the others take one only when they have an association: where the other end
lets a second association wait, or refuses it, the first lane does all the work. Instances that need
presentation contexts which do not fit into one association come one group after the other.

Not here: one C-STORE (``cstore``), what is kept of a run (``jobs.standing``).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from wherry import clock, limits
from wherry.errors import BadFileFormat, NetworkProtocol, NoAcceptableContext, WherryError
from wherry.jobs.crew import Crew
from wherry.jobs.handler import JobControl
from wherry.jobs.standing import Standing
from wherry.modalities.associations.connection import ModalitySilent, ModalityUnavailable
from wherry.modalities.associations.lines import Lines
from wherry.modalities.associations.negotiation import Kind, Proposal, Recoding, proposals
from wherry.modalities.associations.pool import Line
from wherry.modalities.sending.cstore import (
    Originator,
    StoreBusy,
    Stored,
    StoreRefused,
    opened,
    store,
)
from wherry.modalities.sending.order import Instance
from wherry.storage.base import StorageArea

_OF_THE_INSTANCE: Final = (StoreRefused, StoreBusy, NoAcceptableContext, BadFileFormat)
"""Errors that say nothing of the association."""
_LOOK_S: Final = 0.2
"""How often a lane that waits for the first one looks whether there is any point in it."""


class Lanes:
    """One run of one job."""

    def __init__(
        self,
        storage: StorageArea,
        lines: Lines,
        rules: Recoding,
        instances: Sequence[Instance],
        standing: Standing,
        control: JobControl,
        *,
        most: int,
        originator: Originator | None = None,
        tolerated: Callable[[WherryError], bool],
    ) -> None:
        """``instances``: all of the job; what is left of them, ``standing`` knows. ``most``:
        associations at once."""
        self._storage = storage
        self._lines = lines
        self._rules = rules
        self._instances = instances
        self._standing = standing
        self._control = control
        self._most = most
        self._originator = originator
        self._tolerated = tolerated
        left = standing.left()
        self._proposals = _proposals([instances[place].kind for place in left], rules)
        """By kind; those that share an association are one and the same."""
        order = {id(one): number for number, one in enumerate(self._proposals.values())}
        left.sort(key=lambda place: order[id(self._proposals[instances[place].kind])])
        self._queue = deque(left)
        """Places of the instances that nobody has taken."""
        self._lock = threading.Lock()
        self._working = 0
        """Lanes that take instances."""
        self._begun = threading.Event()
        """The first of them has an association, or will have none."""

    def run(self) -> None:
        """Send what is left."""
        while self._queue:
            lanes = self._wanted()
            self._begun.clear()
            crew = Crew(lanes, self._control.check, self._lines.abort)
            crew.work(range(lanes), lambda _, crew=crew: self._drive(crew))  # type: ignore[misc]
        self._standing.save()

    def _wanted(self) -> int:
        """As many lanes as the work is worth."""
        count = len(self._queue)
        size = sum(self._instances[one].attachment.uncompressed_size for one in self._queue)
        worth = max(count / limits.MODALITY_STORE_SHARE, size / limits.MODALITY_STORE_SHARE_BYTES)
        return max(1, min(self._most, count, int(worth)))

    # --- one lane -------------------------------------------------------------------------------
    def _drive(self, crew: Crew) -> None:
        lane = _Lane()
        try:
            if not self._join(lane, crew):
                return
            try:
                while (place := self._take()) is not None:
                    if not self._deliver(lane, place, crew):
                        return
                    crew.pause(0)
            finally:
                with self._lock:
                    self._working -= 1
        finally:
            self._begun.set()
            lane.leave(self._lines)

    def _join(self, lane: _Lane, crew: Crew) -> bool:
        """Whether this lane has anything to do."""
        with self._lock:
            if not self._working:
                self._working = 1
                return True
        while not self._begun.wait(_LOOK_S):
            crew.pause(0)
        with self._lock:
            if not self._queue:
                return False
            proposal = self._proposals[self._instances[self._queue[0]].kind]
        try:
            lane.line = self._lines.open_spare(proposal)
        except NetworkProtocol:
            return False  # the others do it; if they cannot either, they know why
        with self._lock:
            self._working += 1
        return True

    def _take(self) -> int | None:
        with self._lock:
            place = self._queue.popleft() if self._queue else None
            idle = not self._queue
        if idle:
            self._lines.want_no_spare()
        return place

    def _deliver(self, lane: _Lane, place: int, crew: Crew) -> bool:
        """Send one instance; False: this lane is of no use any more, and others are."""
        instance = self._instances[place]
        try:
            stored = self._patiently(lane, instance, crew)
        except WherryError as error:
            self._control.check()  # associations that we ended ourselves say nothing
            if lane.line is None and error.temporary and self._give_back(place):
                return False
            if not self._tolerated(error):
                raise
            cause = str(error)[: limits.PEER_ERROR_CHARACTERS]
            self._standing.failed(place, instance.orthanc_id, cause)
        else:
            self._standing.stored(place, stored.sent_bytes)
        return True

    def _patiently(self, lane: _Lane, instance: Instance, crew: Crew) -> Stored:
        """As many attempts as make sense: one, after others were in vain, or when one took as long
        as it may."""
        retries = 0 if self._lines.failing else limits.PEER_RETRIES
        for attempt in range(retries):
            try:
                return self._store(lane, instance)
            except ModalitySilent:
                raise
            except ModalityUnavailable:
                crew.pause(limits.PEER_RETRY_S * 2**attempt * (0.75 + clock.random_share() / 2))
        return self._store(lane, instance)

    def _give_back(self, place: int) -> bool:
        """Leave an instance to the other lanes, if there are any."""
        with self._lock:
            if self._working < 2:
                return False
            self._queue.appendleft(place)
            return True

    def _store(self, lane: _Lane, instance: Instance) -> Stored:
        """One attempt."""
        with opened(self._storage, instance.orthanc_id, instance.attachment) as outgoing:
            proposal = self._proposals[instance.kind]
            if outgoing.kind not in proposal.kinds:  # the file has the last word
                [proposal] = proposals([outgoing.kind], self._rules)
            while True:
                line = lane.line_for(proposal, self._lines)
                self._begun.set()
                try:
                    stored = store(line.association, outgoing, self._rules, self._originator)
                except _OF_THE_INSTANCE as error:
                    line.reused = False
                    raise type(error)(f"Instance {instance.orthanc_id}: {error}") from None
                except ModalityUnavailable:
                    line.association.abort()
                    if not line.reused:
                        raise
                    continue  # the other end had given it up while it was idle
                except BaseException:  # nobody knows how far the message came
                    line.association.abort()
                    raise
                finally:
                    lane.look()
                line.reused = False
                return stored


class _Lane:
    """What one thread has. Nobody else looks at it."""

    def __init__(self) -> None:
        self.line: Line | None = None

    def line_for(self, proposal: Proposal, lines: Lines) -> Line:
        """The association that it has if it serves, else another one, as ``Lines.open``."""
        if self.line is not None and not self.line.serves(proposal):
            self.leave(lines)
        if self.line is None:
            self.line = lines.open(proposal)
        return self.line

    def look(self) -> None:
        """Forget an association that is at its end."""
        if self.line is not None and self.line.association.ended:
            self.line = None

    def leave(self, lines: Lines) -> None:
        """Give the association to whoever comes next."""
        if self.line is not None:
            line, self.line = self.line, None
            lines.give_back(line)


def _proposals(kinds: Sequence[Kind], rules: Recoding) -> dict[Kind, Proposal]:
    return {kind: one for one in proposals(kinds, rules) for kind in one.kinds}
