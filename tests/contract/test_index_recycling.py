"""Bounds on the store, on both databases: who goes, who stays, and what is refused."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.index_processes import fill_within_bounds, spawned
from tests.support.staged import staged
from wherry import clock
from wherry.errors import NoRoom, UnknownResource
from wherry.index import changes, deletions, recycling, resources
from wherry.index.database import Index
from wherry.index.opening import IndexSettings, open_index
from wherry.index.recycling import Bounds
from wherry.model import Level, StagedInstance, Statistics, Stored

TWO = Bounds(maximum_patients=2)


@pytest.fixture(autouse=True)
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a second whenever it is asked."""
    start = datetime(2024, 1, 31, tzinfo=UTC)
    ticks: Iterator[datetime] = (start + timedelta(seconds=n) for n in range(10**6))
    monkeypatch.setattr(clock, "now", lambda: next(ticks))
    monkeypatch.setattr(clock, "timestamp", lambda: next(ticks).timestamp())


def of(patient: str, sop: int = 1, size: int = 1000) -> StagedInstance:
    return staged(patient, f"1.{patient}", f"1.{patient}.1", f"1.{patient}.1.{sop}", size=size)


def add(
    index: Index, *batch: StagedInstance, bounds: Bounds = TWO, overwrite: bool = False
) -> list[Stored]:
    return index.write(
        lambda tx: resources.add_instances(tx, batch, overwrite=overwrite, bounds=bounds)
    )


def protect(index: Index, patient: str, protected: bool = True) -> None:
    orthanc_id = of(patient).summary.identifiers.patient
    index.write(lambda tx: recycling.protect(tx, orthanc_id, protected))


def patients(index: Index) -> set[str]:
    with index.read() as tx:
        rows = tx.all("SELECT patient_id FROM patients")
    return {row[0] for row in rows}


def counted(index: Index) -> Statistics:
    with index.read() as tx:
        return resources.statistics(tx)


def test_the_oldest_patient_goes_wholly_and_its_files_are_journaled(index: Index) -> None:
    first = [of("1"), of("1", 2)]
    add(index, *first)
    add(index, of("2"))
    add(index, of("3"))
    assert patients(index) == {"2", "3"}
    with index.read() as tx:
        assert set(deletions.pending(tx, 10)) == {(one.attachment.uuid, "") for one in first}
        assert {row[3] for row in changes.page(tx, 0, 100).rows} == {
            of(patient).summary.identifiers.at(level) for patient in "23" for level in Level
        }
    assert counted(index) == Statistics(2, 2, 2, 2, 2000, 2000)


def test_a_patient_counts_from_the_last_time_that_something_was_added(index: Index) -> None:
    three = Bounds(maximum_patients=3)
    for patient in "123":
        add(index, of(patient), bounds=three)
    add(index, of("1", 2), bounds=three)  # makes 2 the oldest; nobody is added
    assert patients(index) == {"1", "2", "3"}
    add(index, of("4"), bounds=three)
    assert patients(index) == {"1", "3", "4"}
    add(index, of("3"), bounds=three)  # stored already: nothing is added
    add(index, of("5"), bounds=three)
    assert patients(index) == {"1", "4", "5"}


def test_a_protected_patient_stays_and_is_the_newest_when_that_ends(index: Index) -> None:
    add(index, of("1"))
    protect(index, "1")
    protect(index, "1")
    add(index, of("2"))
    add(index, of("3"))
    assert patients(index) == {"1", "3"}
    protect(index, "1", False)
    add(index, of("4"))
    assert patients(index) == {"1", "4"}
    add(index, of("5"))
    assert patients(index) == {"4", "5"}
    ids = of("4").summary.identifiers
    with index.read() as tx:
        assert recycling.is_protected(tx, ids.patient) is False
        with pytest.raises(UnknownResource):
            recycling.is_protected(tx, ids.study)
    with pytest.raises(UnknownResource):
        index.write(lambda tx: recycling.protect(tx, "unknown", True))


def test_when_only_protected_patients_are_left_nothing_changes(index: Index) -> None:
    add(index, of("1"))
    add(index, of("2"))
    add(index, of("3"), bounds=Bounds(maximum_patients=3))
    protect(index, "1")
    protect(index, "2")
    with pytest.raises(NoRoom, match="Cannot recycle"):
        add(index, of("4"))
    assert patients(index) == {"1", "2", "3"}
    with index.read() as tx:
        assert deletions.pending(tx, 10) == []
    add(index, of("1", 2), of("2", 2))  # brings no patient, but the store is above its bound:
    assert patients(index) == {"1", "2"}  # 3 goes


def test_as_many_go_as_the_bytes_need(index: Index) -> None:
    bounds = Bounds(maximum_bytes=10_000)
    for patient in "12345":
        add(index, of(patient, 1, 1500), of(patient, 2, 500), bounds=bounds)
    assert patients(index) == set("12345")  # to the byte
    add(index, of("6", 1, 2001), bounds=bounds)
    assert patients(index) == set("3456")
    add(index, of("7", 1, 10_000), bounds=bounds)
    assert patients(index) == {"7"}
    with pytest.raises(NoRoom):
        add(index, of("8", 1, 10_001), bounds=bounds)
    with pytest.raises(NoRoom):  # the patient that is added to is never recycled
        add(index, of("7", 2, 1), bounds=bounds)
    assert counted(index) == Statistics(1, 1, 1, 1, 10_000, 10_000)
    add(index, of("7", 1, 9_999), bounds=bounds, overwrite=True)
    assert counted(index).disk_bytes == 9_999
    with pytest.raises(NoRoom):
        add(index, of("7", 1, 10_001), bounds=bounds, overwrite=True)
    assert counted(index).disk_bytes == 9_999


def test_attachments_of_all_levels_count(index: Index) -> None:
    bounds = Bounds(maximum_bytes=10_000)
    add(index, of("1", 1, 1000), bounds=bounds)
    add(index, of("2", 1, 1000), bounds=bounds)
    row = index.write(lambda tx: tx.one("SELECT id FROM studies WHERE study_instance_uid = '1.1'"))
    assert row
    index.write(
        lambda tx: (
            tx.run(
                "INSERT INTO attachments (resource, content_type, uuid, uncompressed_size,"
                " uncompressed_md5, compressed_size, compressed_md5, compression, place, revision)"
                " VALUES (?, 1024, 'u', 7000, '', 7000, '', 1, '', 0)",
                row,
            ),
            tx.run("UPDATE totals SET disk_bytes = disk_bytes + 7000"),
        )
    )
    add(index, of("3", 1, 8500), bounds=bounds)  # to let 1 go is enough
    assert patients(index) == {"2", "3"}
    assert counted(index).disk_bytes == 9500


def test_a_batch_fits_wholly_or_not_at_all(index: Index) -> None:
    add(index, of("1"))
    add(index, of("2"), of("3"))
    assert patients(index) == {"2", "3"}
    with pytest.raises(NoRoom):
        add(index, of("4"), of("5"), of("6"))
    assert patients(index) == {"2", "3"}
    add(index, of("2", 2), of("7"))
    assert patients(index) == {"2", "7"}


def test_many_go_at_once_in_order(index: Index) -> None:
    many = Bounds(maximum_patients=50)
    for number in range(50):
        add(index, of(str(number)), bounds=many)
    for number in range(0, 50, 2):
        add(index, of(str(number), 2), bounds=many)  # so the odd ones are the oldest
    add(index, of("50"), bounds=Bounds(maximum_patients=11))
    assert patients(index) == {str(number) for number in range(30, 51, 2)}


def test_nothing_is_recycled_in_mode_reject(index: Index) -> None:
    bounds = Bounds(maximum_patients=1, maximum_bytes=5_000, recycle=False)
    add(index, of("1"), bounds=bounds)
    with pytest.raises(NoRoom, match="MaximumStorageMode"):
        add(index, of("2"), bounds=bounds)
    add(index, of("1", 2, 4_000), bounds=bounds)
    with pytest.raises(NoRoom):
        add(index, of("1", 3, 1), bounds=bounds)
    add(index, of("1", 2, 4_000), bounds=bounds)  # stored already: needs no room
    assert counted(index) == Statistics(1, 1, 1, 2, 5_000, 5_000)


def test_processes_that_recycle_at_once_keep_the_bounds(index_settings: IndexSettings) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    with spawned(fill_within_bounds, *[(index_settings, barrier, name, 40) for name in "AB"]):
        pass
    index = open_index(index_settings)
    with index.read() as tx:
        left = resources.statistics(tx)
        files = tx.one("SELECT count(*) FROM attachments")
        journaled = tx.one("SELECT count(*) FROM deleted_files")
        seq = changes.last(tx).last
    index.close()
    assert (left.patients, left.instances, left.disk_bytes) == (5, 5, 5_000)
    assert files == (5,)
    assert journaled == (75,)
    assert seq == 80 * 4
