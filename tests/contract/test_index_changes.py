"""The log of changes on both databases: pages in both directions, types, numbers."""

from __future__ import annotations

from tests.support.staged import staged, study
from wherry.index import changes, resources, totals
from wherry.index.changes import Page
from wherry.index.database import Index
from wherry.model import ChangeType, Level, StagedInstance


def add(index: Index, *batch: StagedInstance) -> None:
    index.write(lambda tx: resources.add_instances(tx, batch, overwrite=False))


def numbers(found: Page) -> tuple[list[int], bool, int]:
    return [row[0] for row in found.rows], found.done, found.last


def test_the_log_pages_and_its_numbers_are_never_used_again(index: Index) -> None:
    batch = study(3)
    add(index, *batch)
    with index.read() as tx:
        assert numbers(changes.page(tx, 0, 4)) == ([1, 2, 3, 4], False, 4)
        assert numbers(changes.page(tx, 4, 2)) == ([5, 6], True, 6)
        assert numbers(changes.page(tx, 6, 10)) == ([], True, 6)
        assert numbers(changes.page(tx, 0, 0)) == ([], False, 6)
        assert numbers(changes.nothing(tx)) == ([], True, 6)
        assert numbers(changes.last(tx)) == ([6], True, 6)
    index.write(
        lambda tx: resources.delete(tx, Level.PATIENT, batch[0].summary.identifiers.patient)
    )
    with index.read() as tx:
        assert numbers(changes.page(tx, 0, 10)) == ([], True, 6)
        assert numbers(changes.last(tx)) == ([], True, 6)
    add(index, *study(1))
    with index.read() as tx:
        assert numbers(changes.page(tx, 0, 10)) == ([7, 8, 9, 10], True, 10)
    index.write(changes.clear)
    add(index, staged(sop="9.9"))
    with index.read() as tx:
        assert numbers(changes.page(tx, 0, 10))[0][0] == 11


def test_the_log_can_be_read_backwards(index: Index) -> None:
    add(index, *study(7))  # 10 changes
    with index.read() as tx:
        assert numbers(changes.page(tx, None, 4, to=10)) == ([7, 8, 9, 10], False, 10)
        assert numbers(changes.page(tx, None, 4, to=6)) == ([3, 4, 5, 6], False, 6)
        assert numbers(changes.page(tx, None, 4, to=2)) == ([1, 2], True, 2)
        assert numbers(changes.page(tx, None, 4, to=0)) == ([], True, 10)
        assert numbers(changes.page(tx, None, 4, to=10**12))[0] == [7, 8, 9, 10]
        assert numbers(changes.page(tx, 2, 3, to=6)) == ([3, 4, 5], False, 5)
        assert numbers(changes.page(tx, 2, 4, to=6)) == ([3, 4, 5, 6], True, 6)


def test_changes_of_chosen_types(index: Index) -> None:
    add(index, *study(3), staged(patient="P2", study="1.9", series="1.9.1", sop="1.9.1.1"))
    everything = [
        ChangeType.NewInstance,
        ChangeType.NewSeries,
        ChangeType.NewStudy,
        ChangeType.NewPatient,
        ChangeType.NewInstance,
        ChangeType.NewInstance,
        *(ChangeType.NewInstance, ChangeType.NewSeries, ChangeType.NewStudy, ChangeType.NewPatient),
    ]
    with index.read() as tx:
        assert [c.change_type for c in changes.page(tx, 0, 99).changes] == everything
        some = [ChangeType.NewStudy, ChangeType.NewInstance]
        assert numbers(changes.page(tx, 0, 99, types=some))[0] == [1, 3, 5, 6, 7, 9]
        rare = [ChangeType.NewPatient, ChangeType.NewSeries]
        assert numbers(changes.page(tx, 0, 3, types=rare)) == ([2, 4, 8], False, 8)
        assert numbers(changes.page(tx, 8, 3, types=rare)) == ([10], True, 10)
        assert numbers(changes.page(tx, None, 2, to=9, types=rare)) == ([4, 8], False, 8)
        assert numbers(changes.page(tx, 0, 3, types=[ChangeType.StableStudy])) == ([], True, 10)


def test_one_change_is_logged_by_itself(index: Index) -> None:
    one = staged()
    add(index, one)
    index.write(lambda tx: changes.log_one(tx, ChangeType.UpdatedMetadata, Level.PATIENT, 1))
    with index.read() as tx:
        (change,) = changes.page(tx, 4, 10).changes
        assert totals.load(tx).change_seq == 5
    assert (change.change_type, change.level) == (ChangeType.UpdatedMetadata, Level.PATIENT)
    assert change.orthanc_id == one.summary.identifiers.patient
