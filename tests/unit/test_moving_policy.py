"""The storage policy: the whole server with two stores, whose clock runs ahead."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_instance
from tests.support.hybrid import TwoStores, two_stores
from tests.support.jobs import eventually
from wherry import clock, limits
from wherry.config import Config
from wherry.config.links import Span
from wherry.config.objects import Hybrid
from wherry.config.storage_policy import StoragePolicy
from wherry.housekeeping import mark_stable
from wherry.index import settings
from wherry.index.job_rows import JobFilter
from wherry.moving.order import POLICY
from wherry.moving.policy import Policy
from wherry.moving.reads import ReadNotes

DAY_S = 24 * 3600
HERE, THERE = "file-system", "object-storage"


class Ahead:
    """The clock: so many days from now."""

    def __init__(self) -> None:
        self.days = 0.0

    def timestamp(self) -> float:
        return time.time() + self.days * DAY_S

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(self.days)


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    ahead = Ahead()
    monkeypatch.setattr(clock, "timestamp", ahead.timestamp)
    monkeypatch.setattr(clock, "now", ahead.now)
    monkeypatch.setattr(limits, "HEARTBEAT_S", 3600.0)
    monkeypatch.setattr(limits, "REMOVALS_AGAIN_S", 0.05)
    return ahead


@contextmanager
def served(
    folder: Path, mode: Hybrid = Hybrid.WRITE_TO_FILE_SYSTEM, **rules: Any
) -> Iterator[tuple[TwoStores, Callable[[], None]]]:
    """A server that does not look by itself, and a function that lets it look."""
    policy = StoragePolicy(**rules)
    wherry = replace(Config().wherry, storage_policy=policy)
    with two_stores(folder, mode, wherry=wherry) as stores:
        rooms = stores.face.rooms
        yield stores, Policy(rooms.index, rooms.jobs, policy, rooms.process_id).look


def upload(stores: TwoStores, patient: str, study: str, count: int = 2) -> str:
    for number in range(1, count + 1):
        data = make_instance(int(study), number=number, patient_id=patient)
        answer = stores.face.upload(data)
    return str(answer["ParentStudy"])


def where(stores: TwoStores, study: str) -> set[str]:
    return {one["Store"] for one in stores.face.json(f"/studies/{study}/storage")["Stores"]}


def idle(stores: TwoStores) -> None:
    """Until no job is left, and nothing to remove."""
    jobs = stores.face.rooms.jobs
    eventually(lambda: not jobs.ids(), "the end of the jobs")


def looked(stores: TwoStores, look: Callable[[], None]) -> None:
    """As often as there is something to do."""
    for _ in range(4):
        look()
        idle(stores)


def test_without_rules_nothing_is_looked_at(tmp_path: Path, ahead: Ahead) -> None:
    with served(tmp_path) as (stores, look):
        upload(stores, "A", "1")
        ahead.days = 1000
        look()
        assert stores.face.json("/jobs") == []
        with stores.face.rooms.index.read() as tx:
            assert settings.get(tx, "StoragePolicy.Leader") is None


def test_studies_that_nobody_reads_go(tmp_path: Path, ahead: Ahead) -> None:
    with served(tmp_path, move_after_days=30) as (stores, look):
        old, read, fresh = (upload(stores, name, name) for name in "123")
        ahead.days = 20
        instance = stores.face.json(f"/studies/{read}/instances")[0]["ID"]
        assert stores.face.get(f"/instances/{instance}/file").status == 200
        flush(stores)
        upload(stores, "3", "3", 3)
        looked(stores, look)
        assert where(stores, old) == {HERE}
        ahead.days = 31
        looked(stores, look)
        assert [where(stores, one) for one in (old, read, fresh)] == [{THERE}, {HERE}, {HERE}]
        ahead.days = 51
        looked(stores, look)
        assert [where(stores, one) for one in (old, read, fresh)] == [{THERE}] * 3
        eventually(lambda: not stores.here(), "the janitor")


def test_who_checks_a_file_does_not_use_it(tmp_path: Path, ahead: Ahead) -> None:
    with served(tmp_path, move_after_days=30) as (stores, look):
        study = upload(stores, "1", "1")
        ahead.days = 20
        for one in stores.face.json(f"/studies/{study}/instances"):
            path = f"/instances/{one['ID']}/attachments/dicom"
            assert stores.face.request("POST", f"{path}/verify-md5").status == 200
            assert stores.face.get(f"{path}/md5").status == 200
        flush(stores)
        ahead.days = 31
        looked(stores, look)
        assert where(stores, study) == {THERE}


def flush(stores: TwoStores) -> None:
    """What housekeeping does."""
    notes = getattr(stores.noted[0], "__self__")  # noqa: B009
    assert isinstance(notes, ReadNotes)
    notes.flush()


def test_what_went_is_not_looked_at_again_until_something_is_added(
    tmp_path: Path, ahead: Ahead
) -> None:
    with served(tmp_path, move_after_days=30) as (stores, look):
        study = upload(stores, "1", "1")
        ahead.days = 31
        looked(stores, look)
        jobs = stores.face.rooms.jobs.last_event()
        ahead.days = 32
        looked(stores, look)
        assert stores.face.rooms.jobs.last_event() == jobs
        upload(stores, "1", "1", 3)
        assert where(stores, study) == {HERE, THERE}
        ahead.days = 63
        looked(stores, look)
        assert where(stores, study) == {THERE}


def test_what_is_used_least_goes_beyond_a_bound(tmp_path: Path, ahead: Ahead) -> None:
    size = len(make_instance())
    with served(tmp_path, keep_local_bytes=5 * size) as (stores, look):
        studies = []
        for name in "1234":
            studies.append(upload(stores, name, name))
            ahead.days += 1
        instance = stores.face.json(f"/studies/{studies[0]}/instances")[0]["ID"]
        assert stores.face.get(f"/instances/{instance}/file").status == 200
        flush(stores)
        ahead.days += 1
        looked(stores, look)
        assert [where(stores, one) for one in studies] == [{HERE}, {THERE}, {THERE}, {HERE}]


def test_it_is_looked_at_intervals_and_in_portions(
    tmp_path: Path, ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "POLICY_STUDIES", 2)
    with served(tmp_path, move_after_days=1, interval_s=10 * DAY_S) as (stores, look):
        studies = [upload(stores, name, name) for name in "12345"]
        ahead.days = 2
        looked(stores, look)
        assert [where(stores, one) for one in studies] == [{THERE}] * 5
        late = upload(stores, "6", "6")
        ahead.days = 5
        looked(stores, look)
        assert where(stores, late) == {HERE}
        ahead.days = 13
        looked(stores, look)
        assert where(stores, late) == {THERE}


def test_older_studies_come_with_a_new_one(tmp_path: Path, ahead: Ahead) -> None:
    with served(tmp_path, prefetch=True, move_after_days=30) as (stores, look):
        first, second = upload(stores, "A", "1"), upload(stores, "A", "2")
        other = upload(stores, "B", "3")
        looked(stores, look)
        ahead.days = 31
        looked(stores, look)
        assert [where(stores, one) for one in (first, second, other)] == [{THERE}] * 3
        upload(stores, "A", "4")
        looked(stores, look)
        assert [where(stores, one) for one in (first, second, other)] == [{HERE}, {HERE}, {THERE}]
        ahead.days = 40
        looked(stores, look)
        assert where(stores, first) == {HERE}, "it was wanted nine days ago"


def test_studies_go_when_they_are_stable(tmp_path: Path, ahead: Ahead) -> None:
    with served(tmp_path, when_stable=True, prefetch=True) as (stores, look):
        index = stores.face.rooms.index
        first = upload(stores, "A", "1")
        looked(stores, look)
        assert where(stores, first) == {HERE}, "more of it may come"
        ahead.days = 0.01
        mark_stable(index, 60)
        second = upload(stores, "B", "2")
        looked(stores, look)
        assert [where(stores, one) for one in (first, second)] == [{THERE}, {HERE}]
        ahead.days = 0.02
        mark_stable(index, 60)
        looked(stores, look)
        assert where(stores, second) == {THERE}
        third = upload(stores, "A", "3")
        looked(stores, look)
        assert where(stores, first) == {HERE}, "its patient has a new one"
        ahead.days = 0.03
        mark_stable(index, 60)
        looked(stores, look)
        assert [where(stores, one) for one in (first, third)] == [{HERE}, {THERE}]
        ahead.days = 1
        looked(stores, look)
        assert where(stores, first) == {HERE}, "it was brought back"
        upload(stores, "A", "1", 3)
        ahead.days = 1.01
        mark_stable(index, 60)
        looked(stores, look)
        assert where(stores, first) == {THERE}, "it became stable anew"


def test_what_is_stable_does_not_keep_what_is_old_from_going(tmp_path: Path, ahead: Ahead) -> None:
    """There is something stable at each look."""
    with served(tmp_path, when_stable=True, move_after_days=2, prefetch=True) as (stores, look):
        index = stores.face.rooms.index
        look()
        old = upload(stores, "A", "1")
        ahead.days = 0.01
        mark_stable(index, 60)
        looked(stores, look)
        upload(stores, "A", "9")
        looked(stores, look)
        assert where(stores, old) == {HERE}
        for day in (1, 2, 3):
            ahead.days = day
            upload(stores, "B", str(day + 1))
            ahead.days = day + 0.01
            mark_stable(index, 60)
            look()
            idle(stores)
        assert where(stores, old) == {THERE}


def test_a_study_that_cannot_go_is_left_alone_by_those_that_become_stable(
    tmp_path: Path, ahead: Ahead
) -> None:
    with served(tmp_path, when_stable=True) as (stores, look):
        index, jobs = stores.face.rooms.index, stores.face.rooms.jobs
        upload(stores, "1", "1", 1)
        (name,) = stores.here()
        (stores.face.folder / "storage" / name[:2] / name[2:4] / name).unlink()
        ahead.days = 0.01
        mark_stable(index, 60)
        look()
        failed = JobFilter(types=frozenset({POLICY}))

        def ended() -> list[int]:
            found = jobs.newest(failed, 10)
            return [one.error_code for one in found if one.completed_at is not None]

        eventually(lambda: ended() == [1], "the failure")
        second = upload(stores, "2", "2")
        ahead.days = 0.02
        mark_stable(index, 60)
        look()
        eventually(lambda: where(stores, second) == {THERE}, "the other study")
        assert ended() == [1]


def test_a_file_that_cannot_go_is_not_tried_for_ever(tmp_path: Path, ahead: Ahead) -> None:
    with served(tmp_path, move_after_days=30) as (stores, look):
        upload(stores, "1", "1")
        name = stores.here()[0]
        (stores.face.folder / "storage" / name[:2] / name[2:4] / name).unlink()
        ahead.days = 31
        look()

        def ended() -> list[int]:
            found = stores.face.rooms.jobs.newest(JobFilter(types=frozenset({POLICY})), 10)
            return [one.error_code for one in found if one.completed_at is not None]

        eventually(lambda: ended() == [1], "the failure")
        ahead.days = 32
        look()
        assert len(stores.face.rooms.jobs.ids()) == 1
        eventually(lambda: len(stores.here()) == 0, "the other file")


def test_hours() -> None:
    night = Span(time_of_day(22), time_of_day(6))
    policy = StoragePolicy(move_after_days=1, hours=night)
    assert policy.may_take_away(datetime(2024, 1, 1, 23, tzinfo=UTC))
    assert policy.may_take_away(datetime(2024, 1, 1, 5, tzinfo=UTC))
    assert not policy.may_take_away(datetime(2024, 1, 1, 12, tzinfo=UTC))
    assert not StoragePolicy(prefetch=True).may_take_away(datetime(2024, 1, 1, 12, tzinfo=UTC))
    assert not StoragePolicy(hours=night).may_take_away(datetime(2024, 1, 1, 23, tzinfo=UTC))
