"""The associations of one run of a job: opened by way of the pool, counted, ended all at once.

Not here: who takes which (``lanes``), idle ones (``pool``).
"""

from __future__ import annotations

import threading
from typing import Final

from wherry import clock, limits
from wherry.errors import NetworkProtocol, NoAcceptableContext
from wherry.modalities.associations.association import Association
from wherry.modalities.associations.connection import Target
from wherry.modalities.associations.negotiation import Proposal
from wherry.modalities.associations.pool import AssociationPool, Line

_NEVER: Final = float("inf")


class Lines:
    """All to one target. Safe from any thread."""

    def __init__(self, pool: AssociationPool, target: Target) -> None:
        self._pool = pool
        self._target = target
        self._lock = threading.Lock()
        self._open: set[Association] = set()
        self._spare: set[Association] = set()
        """Those that are being asked for and that nothing hangs on."""
        self._aborted = False
        self._spare_wanted = True
        self._refusals: dict[Proposal, NoAcceptableContext] = {}
        self._last: NetworkProtocol | None = None
        self._failing_since = _NEVER

    def open(self, proposal: Proposal) -> Line:
        """An association that serves for this. Raises ``ModalityUnavailable``,
        ``NoAcceptableContext``, ``NetworkProtocol``: the same again at once when there was none to
        be had for ``limits.MODALITY_UNREACHABLE_S``."""
        again: NetworkProtocol | None = self._refusals.get(proposal)
        failing_s = clock.monotonic() - self._failing_since
        if again is None and failing_s > limits.MODALITY_UNREACHABLE_S:
            again = self._last
        if again is not None:
            raise type(again)(again.details)
        try:
            line = self._obtain(proposal, self._open)
        except NoAcceptableContext as error:
            self._refusals[proposal] = error
            raise
        except NetworkProtocol as error:
            self._last = error
            self._failing_since = min(self._failing_since, clock.monotonic())
            raise
        self._failing_since = _NEVER
        return line

    def open_spare(self, proposal: Proposal) -> Line:
        """One more, which is not worth trying twice. Raises as ``open`` does."""
        line = self._obtain(proposal, self._spare)
        with self._lock:
            self._spare.discard(line.association)
            self._open.add(line.association)
        return line

    @property
    def failing(self) -> bool:
        """Whether the last attempt to get an association was in vain."""
        return self._failing_since < _NEVER

    def want_no_spare(self) -> None:
        """Nobody needs to wait for one more."""
        with self._lock:
            spare = list(self._spare)
            self._spare_wanted = False
        for association in spare:
            association.abort()

    def give_back(self, line: Line) -> None:
        """It is not needed any more, and nothing is under way on it."""
        with self._lock:
            self._open.discard(line.association)
        self._pool.give_back(line)

    def abort(self) -> None:
        """End all, and those that are being asked for."""
        with self._lock:
            self._aborted = True
            found = [*self._open, *self._spare]
        for association in found:
            association.abort()

    def _obtain(self, proposal: Proposal, known: set[Association]) -> Line:
        """An association that is in ``known`` as soon as it is asked for."""
        asked: list[Association] = []

        def begun(association: Association) -> None:
            asked.append(association)
            with self._lock:
                known.add(association)
                useless = self._aborted or (known is self._spare and not self._spare_wanted)
            if useless:
                association.abort()

        try:
            return self._pool.open(self._target, proposal, begun)
        except BaseException:
            with self._lock:
                known.difference_update(asked)
            raise
