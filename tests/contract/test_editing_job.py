"""Jobs that edit, on both databases and wherever files lie: all or nothing, whoever goes on with
them, whatever happens to their sources meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.areas import Area
from tests.support.dicom_files import make_instance, make_series
from tests.support.editing import Store, metadata_of, order_of, settled, submit
from tests.support.jobs import reaches
from wherry import clock, limits
from wherry.editing.order import MERGE, SPLIT, EditOrder
from wherry.errors import Unavailable
from wherry.index import jobs, labels, resources
from wherry.index.database import Index
from wherry.jobs.engine import JobEngine
from wherry.jobs.handler import Interrupted, JobControl
from wherry.model import Compression, Identifiers, Job, JobState, Level

pytestmark = pytest.mark.parametrize(
    ("index_settings", "area"),
    [
        ("sqlite", "folder"),
        ("sqlite", "objects"),
        ("sqlite", "sealed"),
        ("postgresql", "folder"),
        ("postgresql", "objects"),
    ],
    indirect=True,
)

PENDING, RUNNING, PAUSED = JobState.PENDING, JobState.RUNNING, JobState.PAUSED
SUCCESS, FAILURE = JobState.SUCCESS, JobState.FAILURE
PATIENT, STUDY, SERIES, INSTANCE = Level
BIG = 160_000
"""Bytes of pixels of an instance that is not small."""


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two instances are a group, and each group is a step."""
    for name in ("EDITED_TOGETHER", "EDITED_TOGETHER_FAR"):
        monkeypatch.setattr(limits, name, 2)
    monkeypatch.setattr(limits, "EDITED_STEP_S", 0.0)
    monkeypatch.setattr(limits, "JOB_POLL_S", 0.01)
    monkeypatch.setattr(limits, "FILES_AHEAD", 2)


@pytest.fixture
def store(index: Index, area: Area) -> Iterator[Store]:
    store = Store(index, area)
    yield store
    store.close()


@pytest.fixture
def stored(store: Store) -> list[Identifiers]:
    """Seven instances of two series of one study, one of them large."""
    return store.put(*make_series(4), *make_series(2, series=2), BIG_ONE)


BIG_ONE = make_instance(1, 2, 3, pixel_bytes=BIG)
COUNT = 7


def before(store: Store, count: int, do: Any) -> None:
    """Do something once, before the edit number ``count`` (from 0)."""
    done: list[bool] = []

    def act(number: int) -> None:
        if number == count and not done:
            done.append(True)
            do()

    store.editor.before = act


def new(store: Store, level: Level, known: list[Identifiers]) -> list[str]:
    """What was not there."""
    before = {one.at(level) for one in known}
    return [one for one in store.ids(level) if one not in before]


# --- what comes of it --------------------------------------------------------------------------
def test_a_study_is_modified(store: Store, stored: list[Identifiers]) -> None:
    study = stored[0].study
    job = store.carry_out(order_of(study, remote_ip="10.0.0.9", username="jane"))
    assert (job.state, job.progress, job.error_code) == (SUCCESS, 1.0, 0)
    [target] = new(store, STUDY, stored)
    assert job.content == {
        "Description": "REST API",
        "FailedInstancesCount": 0,
        "ID": target,
        "InstancesCount": COUNT,
        "IsAnonymization": False,
        "ParentResources": [study],
        "Path": f"/studies/{target}",
        "PatientID": stored[0].patient,
        "Type": "Study",
    }
    assert len(new(store, SERIES, stored)) == 2
    instances = new(store, INSTANCE, stored)
    assert len(instances) == COUNT
    for one in instances:
        assert store.read(one).StudyDescription == "edited"
    first = store.get(INSTANCE, instances[0])
    assert first.tags["0020,0013"] == "1"
    assert store.get(STUDY, target).tags["0008,1030"] == "edited"
    assert store.get(STUDY, study).tags["0008,1030"] == "A study"
    store.check()


def test_the_files_are_the_edited_ones(store: Store, stored: list[Identifiers]) -> None:
    store.carry_out(order_of(stored[0].study))
    numbers = []
    for one in new(store, INSTANCE, stored):
        dataset = store.read(one)
        key = (int(dataset.SeriesNumber), int(dataset.InstanceNumber))
        numbers.append(key)
        old = next(
            store.read(ids.instance)
            for ids, place in zip(stored, PLACES, strict=True)
            if place == key
        )
        assert dataset.PixelData == old.PixelData
        assert dataset.SOPInstanceUID != old.SOPInstanceUID
    assert sorted(numbers) == sorted(PLACES)


PLACES = [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3)]


def test_what_is_new_says_what_it_was_made_from(store: Store, stored: list[Identifiers]) -> None:
    index = store.index
    store.carry_out(order_of(stored[0].study))
    [study] = new(store, STUDY, stored)
    assert metadata_of(index, STUDY, study) == {5: stored[0].study}
    for level in (SERIES, INSTANCE):
        origins = [metadata_of(index, level, one)[5] for one in new(store, level, stored)]
        assert sorted(origins) == sorted({one.at(level) for one in stored})
    assert metadata_of(index, PATIENT, stored[0].patient) == {}


def test_who_asked_is_the_origin(store: Store, stored: list[Identifiers]) -> None:
    store.carry_out(order_of(stored[0].study, remote_ip="10.0.0.9", username="jane"))
    with store.index.read() as tx:
        found = tx.all(
            "SELECT DISTINCT origin, remote_ip, username, remote_aet FROM instances"
            " WHERE orthanc_id IN ?",
            (new(store, INSTANCE, stored),),
        )
    assert found == [("RestApi", "10.0.0.9", "jane", "")]


def test_a_new_patient_is_noted_too(store: Store, stored: list[Identifiers]) -> None:
    rules = {"Renew": [2, 3, 4], "Replace": {"PatientID": "anon"}}
    job = store.carry_out(order_of(stored[0].study, rules=rules, anonymize=True))
    [patient] = new(store, PATIENT, stored)
    assert job.content["PatientID"] == patient
    assert job.content["IsAnonymization"] is True
    assert metadata_of(store.index, PATIENT, patient) == {6: stored[0].patient}


def test_sources_that_are_not_kept_go(store: Store, stored: list[Identifiers]) -> None:
    job = store.carry_out(order_of(stored[0].series, level=SERIES, keep_source=False))
    assert job.state is SUCCESS
    assert stored[0].series not in store.ids(SERIES)
    assert stored[-1].series in store.ids(SERIES)
    assert len(store.ids(INSTANCE)) == COUNT
    store.check()


def test_nothing_is_left_above_sources_that_go(store: Store) -> None:
    [one] = store.put(make_instance(9, patient_id="gone"))
    rules = {"Renew": [2, 3, 4], "Replace": {"PatientID": "stays"}}
    store.carry_out(order_of(one.patient, level=PATIENT, rules=rules, keep_source=False))
    assert len(store.ids(PATIENT)) == 1
    assert one.patient not in store.ids(PATIENT)
    store.check()


def test_many_resources_at_once(store: Store, stored: list[Identifiers]) -> None:
    [other] = store.put(make_instance(5, patient_id="OTHER"))
    order = order_of(stored[0].instance, other.series, stored[0].instance, level=None)
    job = store.carry_out(order)
    instances = new(store, INSTANCE, [*stored, other])
    assert job.content["InstancesCount"] == len(instances) == 2
    assert job.content["Resources"] == [
        {"ID": one, "Path": f"/{level.plural}/{one}", "Type": level.title}
        for level, ids in [
            (INSTANCE, instances),
            (SERIES, [stored[0].series, other.series]),
            (STUDY, [stored[0].study, other.study]),
            (PATIENT, [stored[0].patient, other.patient]),
        ]
        for one in sorted(ids)
    ]


def test_a_split(store: Store, stored: list[Identifiers]) -> None:
    rules = {"Renew": [3, 4], "Replace": {"StudyInstanceUID": "2.25.77"}}
    order = order_of(
        stored[0].series,
        type=SPLIT,
        level=None,
        rules=rules,
        keep_source=False,
        target_uid="2.25.77",
    )
    job = store.carry_out(order)
    [target] = new(store, STUDY, stored)
    assert job.content == {
        "Description": "REST API",
        "FailedInstancesCount": 0,
        "InstancesCount": 4,
        "TargetStudy": target,
        "TargetStudyUID": "2.25.77",
    }
    assert metadata_of(store.index, STUDY, target) == {}
    assert len(store.ids(INSTANCE)) == COUNT
    assert store.ids(SERIES)[0] == stored[-1].series
    store.check()


def test_a_merge(store: Store, stored: list[Identifiers]) -> None:
    [other] = store.put(make_instance(5))
    uid = store.get(STUDY, stored[0].study).tags["0020,000d"]
    rules = {"Renew": [3, 4], "Replace": {"StudyInstanceUID": uid}}
    order = order_of(
        other.study,
        type=MERGE,
        level=None,
        rules=rules,
        keep_source=False,
        target_study=stored[0].study,
    )
    job = store.carry_out(order)
    assert job.content == {
        "Description": "REST API",
        "FailedInstancesCount": 0,
        "InstancesCount": 1,
        "TargetStudy": stored[0].study,
    }
    assert store.ids(STUDY) == [stored[0].study]
    assert len(store.get(STUDY, stored[0].study).children) == 3
    store.check()


def test_an_order_of_nothing(store: Store) -> None:
    job = store.carry_out(order_of(level=None))
    assert (job.state, job.progress) == (SUCCESS, 1.0)
    assert job.content["Resources"] == []
    store.check()


def test_labels_go_along(store: Store, stored: list[Identifiers]) -> None:
    def label(level: Level, name: str) -> None:
        store.index.write(lambda tx: labels.put(tx, level, stored[0].at(level), name))

    for level in Level:
        label(level, f"on-{level.title}")
    store.carry_out(order_of(stored[0].study, keep_labels=True, keep_source=False))
    found = {
        name: level
        for level in Level
        for one in new(store, level, stored)
        for name in store.get(level, one).labels
    }
    assert found == {"on-Study": STUDY, "on-Series": SERIES, "on-Instance": INSTANCE}
    assert store.get(PATIENT, stored[0].patient).labels == ("on-Patient",)


def test_labels_stay_behind_unless_wanted(store: Store, stored: list[Identifiers]) -> None:
    store.index.write(lambda tx: labels.put(tx, STUDY, stored[0].study, "mine"))
    store.carry_out(order_of(stored[0].study))
    [target] = new(store, STUDY, stored)
    assert store.get(STUDY, target).labels == ()


@pytest.mark.parametrize("compression", [Compression.ZLIB, Compression.ZSTD])
def test_compressed_files(index: Index, area: Area, compression: Compression) -> None:
    store = Store(index, area, compression=compression)
    stored = store.put(*make_series(3), BIG_ONE)
    before(store, 3, again)
    job = store.carry_out(order_of(stored[0].study))
    assert (job.state, job.error_details) == (SUCCESS, "")
    instances = new(store, INSTANCE, stored)
    assert len(instances) == 4
    assert {store.read(one).StudyDescription for one in instances} == {"edited"}
    with index.read() as tx:
        files = resources.files_of(tx, instances).values()
    assert {file.compression for file in files} == {compression}
    assert all(file.compressed_size < file.uncompressed_size for file in files)
    assert len(store.editor.edited) < 2 * 4
    store.check()
    store.close()


# --- all or nothing ----------------------------------------------------------------------------
def again() -> None:
    """The run ends, and the job goes back to wait."""
    raise Unavailable("try again")


def test_nothing_is_to_be_seen_before_the_end(store: Store, stored: list[Identifiers]) -> None:
    seen: list[tuple[int, int]] = []
    store.editor.before = lambda count: seen.append(
        (len(store.ids(INSTANCE)), len(store.ids(STUDY)))
    )
    store.carry_out(order_of(stored[0].study, keep_source=False))
    assert set(seen) == {(COUNT, 1)}


@pytest.mark.parametrize("count", [0, 3, COUNT - 1])
def test_a_later_run_goes_on(store: Store, stored: list[Identifiers], count: int) -> None:
    before(store, count, again)
    job = store.carry_out(order_of(stored[0].study, keep_source=False))
    assert (job.state, job.error_details) == (SUCCESS, "")
    assert len(new(store, INSTANCE, stored)) == len(store.ids(INSTANCE)) == COUNT
    twice = len(store.editor.edited) - COUNT
    assert twice <= limits.FILES_AHEAD * limits.EDITED_TOGETHER
    store.check()


def test_another_process_goes_on(
    store: Store, stored: list[Identifiers], index: Index, area: Area
) -> None:
    with store.running() as engine:
        job_id = paused_at(store, engine, stored[0].study, 4)
    other = Store(index, area, process_id="process-1")
    with other.running() as engine:
        assert engine.resume(job_id)
        job = settled(engine, job_id)
    assert job.state is SUCCESS
    assert len(new(store, INSTANCE, stored)) == COUNT
    assert len(store.editor.edited) + len(other.editor.edited) < 2 * COUNT
    assert other.editor.edited
    assert job.content["ID"] == new(store, STUDY, stored)[0]
    other.check()
    other.close()


def paused_at(store: Store, engine: JobEngine, study: str, count: int, **options: Any) -> str:
    """A job that was paused before this edit."""
    ids: list[str] = []
    before(store, count, lambda: engine.pause(ids[0]))
    with store.editor.held():
        ids.append(submit(engine, order_of(study, **options)))
    reaches(engine, ids[0], PAUSED)
    return ids[0]


def test_a_paused_job_waits_with_what_it_has(store: Store, stored: list[Identifiers]) -> None:
    with store.running() as engine:
        job_id = paused_at(store, engine, stored[0].study, 4)
        job = engine.get(job_id)
        assert job is not None
        assert 0 < job.progress < 1
        assert len(store.ids(INSTANCE)) == COUNT
        edited = len(store.editor.edited)
        assert engine.resume(job_id)
        assert settled(engine, job_id).state is SUCCESS
    assert len(store.editor.edited) - edited < COUNT
    store.check()


def test_a_cancelled_job_leaves_nothing(store: Store, stored: list[Identifiers]) -> None:
    with store.running() as engine:
        job_id = paused_at(store, engine, stored[0].study, 4)
        assert len(store.area.files()) > COUNT
        assert engine.cancel(job_id)
        job = settled(engine, job_id)
    assert (job.state, job.error_code) == (FAILURE, 37)
    assert len(store.ids(INSTANCE)) == COUNT
    store.check()


def test_one_that_cannot_be_edited_fails_all(store: Store, stored: list[Identifiers]) -> None:
    rules = {"Renew": [2, 3, 4], "Refuse": [3]}
    with store.running() as engine:
        job_id = submit(engine, order_of(stored[0].study, rules=rules))
        job = settled(engine, job_id)
        assert (job.state, job.error_code) == (FAILURE, 15)
        assert job.error_details == "This one cannot be edited"
        assert len(store.ids(INSTANCE)) == COUNT
        store.check()
        assert engine.resubmit(job_id)
        assert settled(engine, job_id).state is FAILURE
    store.check()


def test_a_permissive_job_leaves_it_out(store: Store, stored: list[Identifiers]) -> None:
    rules = {"Renew": [2, 3, 4], "Refuse": [3]}
    before(store, 4, again)
    order = order_of(stored[0].study, rules=rules, permissive=True, keep_source=False)
    job = store.carry_out(order)
    assert job.state is SUCCESS
    assert (job.content["InstancesCount"], job.content["FailedInstancesCount"]) == (COUNT, 2)
    assert len(new(store, INSTANCE, stored)) == COUNT - 2
    left = {one.instance for one in stored} & set(store.ids(INSTANCE))
    assert {store.read(one).InstanceNumber for one in left} == {3}
    store.check()


def test_an_unknown_resource(store: Store) -> None:
    job = store.carry_out(order_of("nope"))
    assert (job.state, job.error_code) == (FAILURE, 17)


def test_a_job_that_was_killed_right_after_its_commit(
    store: Store, stored: list[Identifiers]
) -> None:
    engine = store.engine()
    job_id = submit(engine, order_of(stored[0].study, keep_source=False))
    ran(store, job_id)
    there = store.ids(INSTANCE)
    assert len(new(store, INSTANCE, stored)) == len(there) == COUNT
    with store.index.read() as tx:
        assert tx.one("SELECT state, progress FROM jobs") == ("Running", 1.0)
    store.index.write(lambda tx: tx.run("UPDATE jobs SET state = 'Pending', owner = ''"))
    engine.start()
    job = settled(engine, job_id)
    engine.stop()
    assert job.state is SUCCESS
    assert job.content["ID"] == new(store, STUDY, stored)[0]
    assert store.ids(INSTANCE) == there
    store.check()


def ran(store: Store, job_id: str) -> Job:
    """The job, after its handler has run and before anybody has written down that it has."""
    from wherry.editing.job import EditJobs
    from wherry.editing.order import TYPES

    job = store.index.write(lambda tx: jobs.claim(tx, store.process_id, TYPES, [], clock.now()))
    assert job is not None and job.id == job_id
    handler = EditJobs(job.type, store.index, store.storage, store.ingest, store.editor.of)
    handler.run(JobControl(store.index, job, lambda control: None))
    return job


# --- what happens to the sources meanwhile -----------------------------------------------------
def test_what_came_meanwhile_stays(store: Store, stored: list[Identifiers]) -> None:
    late: list[Identifiers] = []
    before(store, 5, lambda: late.extend(store.put(make_instance(number=77))))
    job = store.carry_out(order_of(stored[0].study, keep_source=False))
    assert job.state is SUCCESS
    assert len(new(store, INSTANCE, [*stored, *late])) == COUNT
    study = store.get(STUDY, stored[0].study)
    assert [store.get(SERIES, one).children for one in study.children] == [(late[0].instance,)]
    store.check()


def test_what_was_replaced_meanwhile_stays(store: Store, stored: list[Identifiers]) -> None:
    other = make_instance(number=1, PatientComments="newer")
    before(store, 6, lambda: store.put(other, overwrite=True))
    job = store.carry_out(order_of(stored[0].study, keep_source=False))
    assert job.state is SUCCESS
    assert store.get(SERIES, stored[0].series).children == (stored[0].instance,)
    assert store.read(stored[0].instance).PatientComments == "newer"
    assert len(store.ids(INSTANCE)) == COUNT + 1
    store.check()


@pytest.mark.parametrize("deleted", [False, True])
def test_what_went_before_it_was_read(
    store: Store, stored: list[Identifiers], deleted: bool
) -> None:
    """What has taken its place is edited."""
    other = make_instance(1, 2, 2, PatientComments="newer")

    def go() -> None:
        if deleted:
            store.index.write(lambda tx: resources.delete_many(tx, [stored[5].instance]))
        else:
            store.put(other, overwrite=True)
        store.clear()

    before(store, 0, go)
    job = store.carry_out(order_of(stored[0].study, keep_source=False))
    assert (job.state, job.error_details) == (SUCCESS, "")
    comments = [store.read(one).get("PatientComments") for one in store.ids(INSTANCE)]
    assert len(comments) == COUNT - deleted
    assert ("newer" in comments) is not deleted
    store.check()


def test_a_source_that_is_lost(store: Store, stored: list[Identifiers]) -> None:
    with store.index.read() as tx:
        store.storage.delete(resources.files_of(tx, [stored[5].instance])[stored[5].instance].uuid)
    job = store.carry_out(order_of(stored[0].study))
    assert (job.state, job.error_code) == (FAILURE, 2006)
    assert len(store.editor.edited) < 2 * COUNT
    assert len(store.ids(INSTANCE)) == COUNT


@pytest.mark.parametrize("permissive", [False, True])
def test_what_was_deleted_meanwhile(
    store: Store, stored: list[Identifiers], permissive: bool
) -> None:
    def delete() -> None:
        store.index.write(lambda tx: resources.delete_many(tx, [stored[0].instance]))

    before(store, 6, delete)
    job = store.carry_out(order_of(stored[0].study, keep_source=False, permissive=permissive))
    assert job.state is SUCCESS  # it was edited before
    assert len(new(store, INSTANCE, stored)) == len(store.ids(INSTANCE)) == COUNT
    store.check()


def test_other_sources_when_it_goes_on(store: Store, stored: list[Identifiers]) -> None:
    with store.running() as engine:
        job_id = paused_at(store, engine, stored[0].study, 4)
        [late] = store.put(make_instance(number=77))
        edited = len(store.editor.edited)
        assert engine.resume(job_id)
        assert settled(engine, job_id).state is SUCCESS
    assert len(store.editor.edited) - edited == COUNT + 1
    assert len(new(store, INSTANCE, [*stored, late])) == COUNT + 1
    store.check()


def test_a_process_that_slept_removes_nothing_of_the_next_one(
    store: Store,
    stored: list[Identifiers],
    index: Index,
    area: Area,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It begins anew, loses the job before it has removed what is of no use, and wakes up while
    another process is making files."""
    with store.running() as engine:
        job_id = paused_at(store, engine, stored[0].study, 4)
    store.put(make_instance(number=77))
    other = Store(index, area, process_id="process-1")
    awake, half_done = threading.Event(), threading.Event()

    def wait(count: int) -> None:
        if count == 5:
            half_done.set()
            assert awake.wait(30)

    other.editor.before = wait
    engine = other.engine()
    listed = store.storage.list

    def sleep(prefix: str) -> Iterator[str]:
        monkeypatch.undo()
        index.write(lambda tx: tx.run("UPDATE jobs SET state = 'Pending', owner = ''"))
        engine.start()
        assert half_done.wait(30)
        return listed(prefix)

    monkeypatch.setattr(store.storage, "list", sleep)
    index.write(lambda tx: tx.run("UPDATE jobs SET state = 'Pending', owner = ''"))
    with pytest.raises(Interrupted):
        ran(store, job_id)
    awake.set()
    assert settled(engine, job_id).state is SUCCESS
    engine.stop()
    other.check()
    other.close()


@pytest.mark.parametrize("other", [None, make_instance(study=9, PatientComments="other")])
def test_a_file_that_is_not_what_was_written(
    store: Store, stored: list[Identifiers], other: bytes | None
) -> None:
    """It is gone, or another one."""
    known = store.area.files()
    with store.running() as engine:
        job_id = paused_at(store, engine, stored[0].study, 4)
        uuid = min(store.area.files() - known)
        store.storage.delete(uuid)
        if other is not None:
            with closing(store.storage.create(uuid)) as writer:
                writer.write(other)
                writer.sync()
        edited = len(store.editor.edited)
        assert engine.resume(job_id)
        assert settled(engine, job_id).state is SUCCESS
    assert len(store.editor.edited) - edited == COUNT
    assert len(new(store, INSTANCE, stored)) == COUNT
    assert {store.read(one).PatientID for one in store.ids(INSTANCE)} == {"PATIENT1"}
    store.check()


def test_three_runs(store: Store, stored: list[Identifiers]) -> None:
    """The last one finds what the first and the second have made."""
    with store.running() as engine:
        job_id = paused_at(store, engine, stored[0].study, 4)
        first = len(store.editor.edited)
        before(store, first + 1, lambda: engine.pause(job_id))
        assert engine.resume(job_id)
        reaches(engine, job_id, PAUSED)
        second = len(store.editor.edited)
        assert engine.resume(job_id)
        assert settled(engine, job_id).state is SUCCESS
    assert first < second
    assert len(store.editor.edited) - second < COUNT
    assert len(new(store, INSTANCE, stored)) == COUNT
    store.check()


# --- in place ----------------------------------------------------------------------------------
IN_PLACE: dict[str, Any] = {"Replace": {"StudyDescription": "edited", "PatientName": "New^Name"}}


def in_place(study: str, **options: Any) -> EditOrder:
    return order_of(study, rules=IN_PLACE, **options)


def test_in_place(store: Store, stored: list[Identifiers]) -> None:
    store.index.write(lambda tx: labels.put(tx, STUDY, stored[0].study, "mine"))
    job = store.carry_out(in_place(stored[0].study))
    assert job.state is SUCCESS
    assert job.content["ID"] == stored[0].study
    assert sorted(store.ids(INSTANCE)) == sorted(one.instance for one in stored)
    assert {store.read(one.instance).StudyDescription for one in stored} == {"edited"}
    study = store.get(STUDY, stored[0].study)
    assert study.tags["0008,1030"] == "edited"
    assert study.labels == ("mine",)
    assert store.get(PATIENT, stored[0].patient).tags["0010,0010"] == "New^Name"
    assert metadata_of(store.index, STUDY, stored[0].study) == {}
    store.check()


@pytest.mark.parametrize("kept", [False, True])
def test_labels_of_what_is_edited_in_place(
    store: Store, stored: list[Identifiers], kept: bool
) -> None:
    """A new instance takes the place of each."""
    store.index.write(lambda tx: labels.put(tx, INSTANCE, stored[0].instance, "mine"))
    store.carry_out(in_place(stored[0].study, keep_labels=kept))
    assert store.get(INSTANCE, stored[0].instance).labels == (("mine",) if kept else ())


def test_in_place_without_its_source(store: Store, stored: list[Identifiers]) -> None:
    """What is to go is the source as it was, and that has gone already."""
    store.carry_out(in_place(stored[0].study, keep_source=False))
    assert len(store.ids(INSTANCE)) == COUNT
    store.check()


def test_what_is_edited_in_place_was_replaced(store: Store, stored: list[Identifiers]) -> None:
    other = make_instance(number=1, PatientComments="newer")
    before(store, 6, lambda: store.put(other, overwrite=True))
    job = store.carry_out(in_place(stored[0].study))
    assert job.state is SUCCESS
    found = store.read(stored[0].instance)
    assert (found.PatientComments, found.StudyDescription) == ("newer", "edited")
    store.check()


def test_what_is_edited_in_place_was_deleted(store: Store, stored: list[Identifiers]) -> None:
    def delete() -> None:
        store.index.write(lambda tx: resources.delete_many(tx, [stored[0].instance]))

    before(store, 6, delete)
    job = store.carry_out(in_place(stored[0].study))
    assert job.state is SUCCESS
    assert stored[0].instance not in store.ids(INSTANCE)
    assert len(store.ids(INSTANCE)) == COUNT - 1
    store.check()


# --- what is there already ---------------------------------------------------------------------
def onto(stored: Identifiers, other: str, **options: Any) -> EditOrder:
    """Give this instance the identity of another one, in the study 2.25.7."""
    uids = {
        "StudyInstanceUID": "2.25.7",
        "SeriesInstanceUID": "2.25.8",
        "SOPInstanceUID": other,
    }
    return order_of(stored.instance, level=None, rules={"Replace": uids}, **options)


@pytest.fixture
def there(store: Store) -> Identifiers:
    [found] = store.put(
        make_instance(
            StudyInstanceUID="2.25.7", SeriesInstanceUID="2.25.8", SOPInstanceUID="2.25.9"
        )
    )
    return found


def test_another_instance_is_there(
    store: Store, stored: list[Identifiers], there: Identifiers
) -> None:
    job = store.carry_out(onto(stored[0], "2.25.9"))
    assert (job.state, job.error_code) == (FAILURE, 2018)
    assert job.error_details == f"Error while storing a modified instance {stored[0].instance}"
    assert "StudyDescription" in store.read(there.instance)
    store.check()


def test_a_permissive_job_lets_it_be(
    store: Store, stored: list[Identifiers], there: Identifiers
) -> None:
    job = store.carry_out(onto(stored[0], "2.25.9", permissive=True, keep_source=False))
    assert job.state is SUCCESS
    assert job.content["FailedInstancesCount"] == 1
    assert len(store.ids(INSTANCE)) == COUNT + 1  # its source too
    assert metadata_of(store.index, INSTANCE, there.instance) == {}
    store.check()


def test_it_is_replaced_where_instances_may_be(index: Index, area: Area) -> None:
    store = Store(index, area, overwrite=True)
    first, there = store.put(
        make_instance(PatientComments="new"),
        make_instance(
            StudyInstanceUID="2.25.7", SeriesInstanceUID="2.25.8", SOPInstanceUID="2.25.9"
        ),
    )
    assert store.carry_out(onto(first, "2.25.9")).state is SUCCESS
    assert store.read(there.instance).PatientComments == "new"
    store.check()
    store.close()


def test_the_result_of_an_earlier_job_is_replaced(store: Store, stored: list[Identifiers]) -> None:
    assert store.carry_out(onto(stored[0], "2.25.10")).state is SUCCESS
    [first] = new(store, INSTANCE, stored)
    assert store.carry_out(onto(stored[0], "2.25.10")).state is SUCCESS
    assert new(store, INSTANCE, stored) == [first]
    assert store.carry_out(onto(stored[1], "2.25.10")).error_code == 2018
    store.check()


def test_two_of_one_job_that_are_the_same(store: Store, stored: list[Identifiers]) -> None:
    rules = {"Replace": {"SeriesInstanceUID": "2.25.8", "SOPInstanceUID": "2.25.9"}}
    job = store.carry_out(order_of(stored[0].study, rules=rules))
    assert job.error_code == 2018
    job = store.carry_out(order_of(stored[0].study, rules=rules, permissive=True))
    assert (job.state, job.content["FailedInstancesCount"]) == (SUCCESS, COUNT - 1)
    assert len(new(store, INSTANCE, stored)) == 1
    store.check()
