"""The storage policy: which studies should be where, and the jobs that bring them there.

Housekeeping asks it every few seconds; of several processes one looks (it leads as long as it
lives), and what it has seen and begun stands in the index, so that another one can go on.

Two kinds of work, with one job each at most: studies that go (``MoveAfterDays``, ``KeepLocalGB``,
and ``MoveWhenStable``, which is looked at whenever a study has become stable), and studies that
come back because their patient has a new one (``PrefetchWithNewStudy``).

Not here: how files move (``job``), when a study was used (``reads``, ``index.tiers``).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Final

from wherry import clock, limits
from wherry.config.storage_policy import StoragePolicy
from wherry.index import changes, job_rows, leading, resources, settings, tiers, totals
from wherry.index.database import Index, Transaction
from wherry.jobs.engine import JobEngine
from wherry.model import ChangeType, Level, type_json
from wherry.moving.order import POLICY, MoveOrder
from wherry.storage.places import FILE_SYSTEM, OBJECT_STORAGE

_log = logging.getLogger(__name__)

_LEADER: Final = "StoragePolicy"
_STATE: Final = "StoragePolicy.State"
"""What the index remembers: a document with these members."""
_LOOKED_AT, _MORE, _GOING = "LookedAt", "More", "Going"
_CHANGE, _COMING, _STABLE = "Change", "Coming", "Stable"
_FIRST: Final = (float("-inf"), 0)

type_found = tuple[str, list[str], bool]
"""Rule, studies, and whether there are more."""
_NOTHING: Final[type_found] = ("", [], False)


class Policy:
    """One process's share in it."""

    def __init__(
        self, index: Index, jobs: JobEngine, policy: StoragePolicy, process_id: str
    ) -> None:
        self._index = index
        self._jobs = jobs
        self._policy = policy
        self._process_id = process_id

    def look(self) -> None:
        """Begin what is due, if this process leads."""
        policy = self._policy
        if not (policy.takes_away or policy.prefetch):
            return
        if not leading.leads(self._index, _LEADER, self._process_id):
            return
        with self._index.read() as tx:
            state = settings.get(tx, _STATE) or {}
        if policy.prefetch:
            self._fetch(state)
        if policy.takes_away:
            self._take_away(state)

    # --- studies that come back ------------------------------------------------------------------
    def _fetch(self, state: dict[str, type_json]) -> None:
        with self._index.read() as tx:
            if job_rows.alive(tx, state.get(_COMING, "")):
                return
            if _CHANGE not in state:  # what was there before is old
                end = totals.load(tx).change_seq
            else:
                page = changes.page(
                    tx, state[_CHANGE], limits.POLICY_CHANGES, types=[ChangeType.NewStudy]
                )
                end = page.last
                wanted = tiers.older_and_away(tx, [one.orthanc_id for one in page.changes])
        if state.get(_CHANGE) == end:
            return
        if _CHANGE in state and wanted:
            order = MoveOrder(FILE_SYSTEM, {Level.STUDY: wanted}, "PrefetchWithNewStudy")
            self._submit(order, {_CHANGE: end}, _COMING)
        else:
            self._remember({_CHANGE: end})

    # --- studies that go -------------------------------------------------------------------------
    def _take_away(self, state: dict[str, type_json]) -> None:
        now = clock.timestamp()
        due = state.get(_MORE) or now >= state.get(_LOOKED_AT, 0.0) + self._policy.interval_s
        if not self._policy.may_take_away(clock.now().astimezone()):
            return
        with self._index.read() as tx:
            if job_rows.alive(tx, state.get(_GOING, "")):
                return
            since = state.get(_STABLE, 0)
            last, became_stable = self._became_stable(tx, since)
            rule, studies, more = self._unused(tx, now) if due else _NOTHING
            if studies:
                last = since  # what has become stable has its turn the next time
            else:
                rule, studies, more = self._stable(tx, None if due else became_stable)
        if not (due or became_stable or last > since + limits.POLICY_CHANGES):
            return
        seen: dict[str, type_json] = {_MORE: more, _STABLE: last}
        if due:
            seen[_LOOKED_AT] = now
        if studies:
            self._submit(MoveOrder(OBJECT_STORAGE, {Level.STUDY: studies}, rule), seen, _GOING)
        else:
            self._remember(seen)

    def _became_stable(self, tx: Transaction, since: int) -> tuple[int, Collection[str]]:
        """The last change that was looked at, and the studies that have become stable after the
        change ``since``."""
        if not self._policy.when_stable or totals.load(tx).change_seq == since:
            return since, ()
        page = changes.page(tx, since, limits.POLICY_CHANGES, types=[ChangeType.StableStudy])
        return page.last, {one.orthanc_id for one in page.changes}

    def _stable(self, tx: Transaction, among: Collection[str] | None) -> type_found:
        """Of all studies, or of these."""
        if not self._policy.when_stable or (among is not None and not among):
            return _NOTHING
        studies = tiers.stable(tx, limits.POLICY_STUDIES, among)
        return "MoveWhenStable", studies, len(studies) == limits.POLICY_STUDIES

    def _unused(self, tx: Transaction, now: float) -> type_found:
        found = self._old(tx, now)
        return found if found[1] else self._beyond_bound(tx, now)

    def _old(self, tx: Transaction, now: float) -> type_found:
        days = self._policy.move_after_days
        if not days:
            return _NOTHING
        before = now - timedelta(days=days).total_seconds()
        found = tiers.used_least(tx, before, _FIRST, limits.POLICY_STUDIES)
        studies = [one.orthanc_id for one in found]
        return "MoveAfterDays", studies, len(studies) == limits.POLICY_STUDIES

    def _beyond_bound(self, tx: Transaction, now: float) -> type_found:
        bound = self._policy.keep_local_bytes
        if not bound or resources.statistics(tx).disk_bytes <= bound:
            return _NOTHING
        excess = tiers.local_bytes(tx) - bound
        studies: list[str] = []
        for orthanc_id, size in _used_least(tx, now):
            if excess <= 0 or len(studies) == limits.POLICY_STUDIES:
                break
            studies.append(orthanc_id)
            excess -= size
        return "KeepLocalGB", studies, excess > 0 and bool(studies)

    # --- what is remembered ----------------------------------------------------------------------
    def _submit(self, order: MoveOrder, seen: dict[str, type_json], member: str) -> None:
        def also(tx: Transaction, job_id: str) -> None:
            _merge(tx, {**seen, member: job_id})

        _log.info("%s: %d studies", order.rule, len(order.resources[Level.STUDY]))
        self._jobs.submit(POLICY, order.parameters(), content=order.content(), also=also)

    def _remember(self, seen: dict[str, type_json]) -> None:
        self._index.write(lambda tx: _merge(tx, seen))


def _merge(tx: Transaction, seen: dict[str, type_json]) -> None:
    settings.put(tx, _STATE, {**(settings.get(tx, _STATE) or {}), **seen})


def _used_least(tx: Transaction, now: float) -> Iterator[tuple[str, int]]:
    """Studies that have files here, and how many bytes."""
    after: tuple[float, int] = _FIRST
    while page := tiers.used_least(tx, now, after, limits.POLICY_STUDIES):
        sizes = tiers.local_bytes_of(tx, [one.row for one in page])
        for one in page:
            if one.row in sizes:
                yield one.orthanc_id, sizes[one.row]
        after = page[-1].used_at, page[-1].row
