"""``StudyReceived`` and stability at once, on both databases."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.staged import staged, study
from wherry import clock
from wherry.index import changes, received, resources, stability
from wherry.index.database import Index, Transaction
from wherry.model import ChangeType, Level, StagedInstance

STABLE = [ChangeType.StableSeries, ChangeType.StableStudy, ChangeType.StablePatient]


def add(index: Index, batch: Sequence[StagedInstance]) -> None:
    index.write(lambda tx: resources.add_instances(tx, batch, overwrite=False))


def commit(index: Index, batch: Sequence[StagedInstance], transfer: str = "t-1") -> None:
    """What the commit of a transfer does."""

    def work(tx: Transaction) -> None:
        stored = resources.add_instances(tx, batch, overwrite=False)
        received.announce(tx, {one.identifiers.series for one in stored}, transfer)

    index.write(work)


def log(index: Index, since: int = 0) -> list[tuple[ChangeType, Level]]:
    with index.read() as tx:
        return [(c.change_type, c.level) for c in changes.page(tx, since, 1000).changes]


def new_of(index: Index, since: int = 0) -> list[ChangeType]:
    """Changes that are not about something new."""
    return [kind for kind, _ in log(index, since) if not kind.name.startswith("New")]


def end(index: Index) -> int:
    with index.read() as tx:
        return changes.last(tx).last


def stable(index: Index, level: Level) -> list[bool]:
    with index.read() as tx:
        found = resources.get_many(tx, level, resources.list_ids(tx, level))
        return [one.is_stable for one in found]


def test_a_study_is_received_and_stable_behind_what_is_new(index: Index) -> None:
    commit(index, study(4, series_size=2))
    found = log(index)
    assert [kind.name.startswith("New") for kind, _ in found] == [True] * 8 + [False] * 5
    assert found[8:] == [
        (ChangeType.StudyReceived, Level.STUDY),
        (ChangeType.StableSeries, Level.SERIES),
        (ChangeType.StableSeries, Level.SERIES),
        (ChangeType.StableStudy, Level.STUDY),
        (ChangeType.StablePatient, Level.PATIENT),
    ]
    assert all(all(stable(index, level)) for level in (Level.PATIENT, Level.STUDY, Level.SERIES))
    later = clock.timestamp() + 1
    assert index.write(lambda tx: stability.mark_stable(tx, later, 10)) == 0


def test_each_study_of_a_transfer_is_received(index: Index) -> None:
    commit(index, [*study(2, name="1.2.8"), *study(2, name="1.2.7")])
    assert new_of(index).count(ChangeType.StudyReceived) == 2
    with index.read() as tx:
        page = changes.page(tx, 0, 100, types=[ChangeType.StudyReceived])
        assert [c.orthanc_id for c in page.changes] == resources.list_ids(tx, Level.STUDY)
        rows = tx.all("SELECT change_type, cause FROM changes WHERE cause IS NOT NULL")
    assert rows == [(ChangeType.StudyReceived, "t-1")] * 2


def test_what_was_there_counts_and_what_was_stable_is_not_told_again(index: Index) -> None:
    add(index, study(3))
    assert new_of(index) == []
    commit(index, study(3))
    assert new_of(index) == [ChangeType.StudyReceived, *STABLE]
    before = end(index)
    commit(index, study(3), "t-2")
    assert new_of(index, before) == [ChangeType.StudyReceived]


def test_what_comes_later_by_itself_makes_it_unstable_until_it_has_been_quiet(index: Index) -> None:
    commit(index, study(3))
    before = end(index)
    add(index, study(4))
    assert stable(index, Level.STUDY) == [False]
    later = clock.timestamp() + 1
    index.write(lambda tx: stability.mark_stable(tx, later, 10))
    assert new_of(index, before) == STABLE


def test_what_else_is_arriving_is_waited_for(index: Index) -> None:
    """A series that nobody declared holds its study back, a study its patient."""
    add(index, [staged(study="1.2.7", series="1.2.7.99", sop="1.2.7.99.1")])
    commit(index, study(2))
    assert new_of(index) == [ChangeType.StudyReceived, ChangeType.StableSeries]
    assert (stable(index, Level.SERIES), stable(index, Level.STUDY)) == ([False, True], [False])
    before = end(index)
    commit(index, study(2, name="1.2.8"), "t-2")
    assert new_of(index, before) == [ChangeType.StudyReceived, *STABLE[:2]]
    assert stable(index, Level.PATIENT) == [False]


@pytest.mark.parametrize("known", [[], ["0-0-0-0-0"]])
def test_nothing_is_received(index: Index, known: list[str]) -> None:
    index.write(lambda tx: received.announce(tx, known, "t-1"))
    assert log(index) == []
