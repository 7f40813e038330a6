"""Transactions of storage commitment and instances by their DICOM names, on both databases."""

from __future__ import annotations

from dataclasses import replace

from tests.support.staged import study
from wherry import clock
from wherry.index import commitment_requests, commitments, jobs, resources, sop_instances
from wherry.index.commitments import FAILURE, PENDING, SUCCESS, AskedInstance, Commitment
from wherry.index.database import Index
from wherry.model import Job, JobState, StagedInstance

ASKED = [AskedInstance("1.2", "1.2.3", ("a" * 32, "b" * 32)), AskedInstance("1.2", "1.2.\0é")]


def get(index: Index, uid: str) -> Commitment | None:
    with index.read() as tx:
        return commitments.get(tx, uid)


def add(index: Index, uid: str, keep: int = 10) -> None:
    index.write(lambda tx: commitments.add(tx, uid, "PACS", ASKED, keep))


# --- what we asked of others -------------------------------------------------------------------
def test_a_transaction_from_its_beginning_to_its_end(index: Index) -> None:
    assert get(index, "t") is None
    add(index, "t")
    assert get(index, "t") == Commitment("t", "PACS", PENDING, tuple(ASKED), {})
    index.write(lambda tx: commitments.settle(tx, "t", {1: 0x0112}))
    assert get(index, "t") == Commitment("t", "PACS", FAILURE, tuple(ASKED), {1: 0x0112})
    index.write(lambda tx: commitments.settle(tx, "t", {}))
    assert get(index, "t") == Commitment("t", "PACS", SUCCESS, tuple(ASKED), {})
    index.write(lambda tx: commitments.remove(tx, "t"))
    index.write(lambda tx: commitments.remove(tx, "t"))
    assert get(index, "t") is None


def test_the_oldest_go(index: Index) -> None:
    for number in range(5):
        add(index, f"t{number}", keep=3)
    assert [number for number in range(5) if get(index, f"t{number}")] == [2, 3, 4]
    add(index, "t2", keep=3)  # asked anew: it is the newest now, and pending
    add(index, "t5", keep=3)
    assert [number for number in range(6) if get(index, f"t{number}")] == [2, 4, 5]
    add(index, "t6", keep=1)
    assert [number for number in range(7) if get(index, f"t{number}")] == [6]


def test_asked_anew_waits_anew(index: Index) -> None:
    add(index, "t")
    index.write(lambda tx: commitments.settle(tx, "t", {0: 1}))
    add(index, "t")
    found = get(index, "t")
    assert found is not None
    assert (found.status, found.failures) == (PENDING, {})


# --- what others asked of us -------------------------------------------------------------------
def job(name: str) -> Job:
    now = clock.now()
    return Job(name, "StorageCommitmentScp", JobState.PENDING, 0, {}, {}, {}, 0.0, now, now, 0.0)


def alive(index: Index, aet: str, uid: str) -> tuple[str, str] | None:
    with index.read() as tx:
        return commitment_requests.alive(tx, aet, uid)


def test_a_request_is_known_while_its_job_lives(index: Index) -> None:
    assert alive(index, "MODALITY", "t") is None
    index.write(lambda tx: jobs.insert(tx, job("j-1")))
    index.write(lambda tx: commitment_requests.put(tx, "MODALITY", "t", "digest", "j-1"))
    assert alive(index, "MODALITY", "t") == ("digest", "j-1")
    assert alive(index, "ANOTHER", "t") is None
    assert alive(index, "MODALITY", "u") is None
    index.write(lambda tx: jobs.cancel(tx, "j-1", clock.now()))
    index.write(lambda tx: tx.run("UPDATE jobs SET requested = ''"))
    assert alive(index, "MODALITY", "t") is None
    index.write(lambda tx: jobs.insert(tx, job("j-2")))
    index.write(lambda tx: commitment_requests.put(tx, "MODALITY", "t", "other", "j-2"))
    assert alive(index, "MODALITY", "t") == ("other", "j-2")


def test_requests_whose_jobs_are_forgotten_go(index: Index) -> None:
    for name in ("j-1", "j-2"):
        index.write(lambda tx, name=name: jobs.insert(tx, job(name)))  # type: ignore[misc]
    index.write(lambda tx: commitment_requests.put(tx, "A", "1", "d", "j-1"))
    index.write(lambda tx: commitment_requests.put(tx, "A", "2", "d", "j-2"))
    index.write(lambda tx: tx.run("DELETE FROM jobs WHERE id = 'j-1'"))
    index.write(lambda tx: commitment_requests.put(tx, "A", "3", "d", "j-2"))
    with index.read() as tx:
        rows = tx.all("SELECT uid FROM commitment_requests ORDER BY uid")
    assert rows == [("2",), ("3",)]


# --- instances by name -------------------------------------------------------------------------
def renamed(staged: StagedInstance, uid: str, sop_class: str) -> StagedInstance:
    tags = {**staged.summary.tags[3], "0008,0018": uid}
    summary = replace(
        staged.summary, tags=(*staged.summary.tags[:3], tags), sop_class_uid=sop_class
    )
    return replace(staged, summary=summary)


def test_instances_by_name(index: Index) -> None:
    first, second, third, fourth = study(4)
    staged = [
        renamed(first, "1.2.3", "1.1"),
        renamed(second, "1.2.3", "1.2"),  # two patients may have it
        renamed(third, "1.2.3.A", "1.1"),
        renamed(fourth, "1.2.3.a", "1.1"),
    ]
    index.write(lambda tx: resources.add_instances(tx, staged, overwrite=False))
    with index.read() as tx:
        found = sop_instances.named(tx, ["1.2.3", "unknown", "1.2.3"])
        assert [(one.sop_class, one.sop_instance) for one in found] == [
            ("1.1", "1.2.3"),
            ("1.2", "1.2.3"),
        ]
        assert found[0].orthanc_id == first.summary.identifiers.instance
        assert [one.file.uuid for one in found] == [first.attachment.uuid, second.attachment.uuid]
        [lower] = sop_instances.named(tx, ["1.2.3.a"])
        assert lower.orthanc_id == fourth.summary.identifiers.instance
        ids = [one.summary.identifiers.instance for one in staged]
        by_id = sop_instances.of_resources(tx, [*reversed(ids), "unknown"])
        assert [one.orthanc_id for one in by_id] == ids
        assert sop_instances.named(tx, []) == sop_instances.of_resources(tx, []) == []


def test_more_names_than_are_asked_for_at_once(index: Index) -> None:
    staged = study(3)
    index.write(lambda tx: resources.add_instances(tx, staged, overwrite=False))
    uids = [one.summary.tags[3]["0008,0018"] for one in staged]
    with index.read() as tx:
        padded = [*uids[:1], *(f"9.{number}" for number in range(2500)), *uids[1:]]
        assert [one.sop_instance for one in sop_instances.named(tx, padded)] == uids
