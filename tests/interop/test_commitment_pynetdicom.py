"""Storage commitment with pynetdicom at the other end, in both directions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel

from tests.support.commitment import (
    Committer,
    Reported,
    Requester,
    report_data_set,
    request_data_set,
)
from tests.support.dicom_files import make_instance
from tests.support.jobs import DEADLINE_S, eventually
from tests.support.server import Server, free_port, running

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
ROOT = "1.2.826.0.1.3680043.10.1234.1.1"
NO_SUCH_INSTANCE, CONFLICT, FAILURE = 0x0112, 0x0119, 0x0110

FAST = {"Wherry": {"JobRetries": {"Default": {"FirstDelay": 1, "LongestDelay": 1}}}}


def uid(number: int) -> str:
    return f"{ROOT}.{number}"


class Site:
    """A Wherry, a modality that asks it, and an archive that it asks."""

    def __init__(self, folder: Path) -> None:
        self.requester = Requester()
        self.committer = Committer()
        self.dicom_port = free_port()
        self.server = Server(folder, self.config())

    def config(self, **more: Any) -> dict[str, Any]:
        """Of the server; ``more`` are settings."""
        requester, committer = self.requester, self.committer
        return {
            "DicomServerEnabled": True,
            "DicomPort": self.dicom_port,
            "OverwriteInstances": True,
            "DicomModalities": {
                "modality": [requester.title, "127.0.0.1", requester.port],
                "archive": [committer.title, "127.0.0.1", committer.port],
            },
            **FAST,
            **more,
        }

    def ask(self, transaction: str, *pairs: tuple[str, str], **how: Any) -> int | None:
        """The modality asks Wherry."""
        return self.requester.ask(self.dicom_port, transaction, pairs, **how)

    def hear(self) -> Reported:
        """What the modality hears next."""
        return self.requester.reports.get(timeout=DEADLINE_S)

    def upload(self, *numbers: int, **tags: Any) -> list[str]:
        """Orthanc identifiers of the instances."""
        found = []
        for number in numbers:
            data = make_instance(number=number, **tags)
            status, answer = self.server.request("POST", "/instances", data)
            assert status == 200, answer
            found.append(json.loads(answer)["ID"])
        return found

    def path(self, orthanc_id: str) -> Path:
        """Where the file of an instance lies."""
        name = self.server.json("GET", f"/instances/{orthanc_id}")["FileUuid"]
        return self.server.storage / name[:2] / name[2:4] / str(name)

    def commit(self, **body: Any) -> str:
        """Wherry asks the archive."""
        answer = self.server.json("POST", "/modalities/archive/storage-commitment", body)
        assert answer["Path"] == f"/storage-commitment/{answer['ID']}"
        return str(answer["ID"])

    def report(self, transaction: str) -> dict[str, Any]:
        """What Wherry knows of it."""
        found: dict[str, Any] = self.server.json("GET", f"/storage-commitment/{transaction}")
        return found

    def send_report(
        self, transaction: str, committed: list[tuple[str, str]], failed: Any = (), **how: Any
    ) -> int | None:
        """The archive reports over an association of its own."""
        data = report_data_set(transaction, committed, failed)
        how = {"called": "ORTHANC", **how}
        return self.committer.report(self.dicom_port, data, 2 if failed else 1, **how)

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.server.json("GET", "/jobs?expand")
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "wherry")
    with running(site.server):
        yield site


# --- Wherry is asked ---------------------------------------------------------------------------
def test_all_committed(site: Site) -> None:
    site.upload(1, 2)
    with site.requester.listening():
        assert site.ask("2.25.1", (CT, uid(1)), (CT, uid(2))) == 0
        report = site.hear()
    assert report == Reported(
        event_type=1,
        transaction="2.25.1",
        committed=[(CT, uid(1)), (CT, uid(2))],
        failed=[],
        calling="ORTHANC",
        as_scp=True,
    )
    [job] = site.jobs()
    assert site.server.wait_for_job(job["ID"])["State"] == "Success"
    assert (
        job["Content"].items()
        >= {
            "CalledAet": "ORTHANC",
            "Description": "",
            "RemoteAet": "MODALITY",
            "TransactionUid": "2.25.1",
        }.items()
    )


def test_a_flipped_byte_a_missing_file_a_wrong_class(site: Site) -> None:
    """Issue "Must show" 6: the bytes decide, not the rows of the index."""
    damaged, missing, *_ = site.upload(1, 2, 3, 4)
    data = bytearray(site.path(damaged).read_bytes())
    data[-7] ^= 0x10
    site.path(damaged).write_bytes(data)
    site.path(missing).unlink()
    with site.requester.listening():
        pairs = [(CT, uid(1)), (CT, uid(2)), (MR, uid(3)), (CT, uid(4)), (CT, "1.2.3")]
        assert site.ask("2.25.1", *pairs) == 0
        report = site.hear()
    assert (report.event_type, report.committed) == (2, [(CT, uid(4))])
    assert report.failed == [
        (CT, uid(1), FAILURE),
        (CT, uid(2), NO_SUCH_INSTANCE),
        (MR, uid(3), CONFLICT),
        (CT, "1.2.3", NO_SUCH_INSTANCE),
    ]


def test_a_flipped_byte_of_a_compressed_file(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.server.config = site.config(StorageCompression=True)
    with running(site.server), site.requester.listening():
        damaged, _ = site.upload(1, 2)
        data = bytearray(site.path(damaged).read_bytes())
        data[-1] ^= 1
        site.path(damaged).write_bytes(data)
        assert site.ask("2.25.1", (CT, uid(1)), (CT, uid(2))) == 0
        report = site.hear()
    assert (report.committed, report.failed) == ([(CT, uid(2))], [(CT, uid(1), FAILURE)])


def test_a_thousand_instances(site: Site) -> None:
    ids = site.upload(*range(1, 1001))
    site.path(ids[500]).write_bytes(b"something else")
    with site.requester.listening():
        pairs = [(CT, uid(number)) for number in range(1, 1002)]
        assert site.ask("2.25.1", *pairs) == 0
        report = site.hear()
    assert len(report.committed) == 999
    assert report.failed == [(CT, uid(501), FAILURE), (CT, uid(1001), NO_SUCH_INSTANCE)]
    [job] = site.jobs()
    ended = site.server.wait_for_job(job["ID"])
    assert (ended["Content"]["InstancesCount"], ended["Content"]["FailedInstancesCount"]) == (
        1001,
        2,
    )


def test_the_report_comes_from_the_title_that_was_called(site: Site) -> None:
    site.upload(1)
    with site.requester.listening():
        assert site.ask("2.25.1", (CT, uid(1)), called="ANOTHER") == 0
        assert site.hear().calling == "ANOTHER"


def test_a_modality_that_is_away_hears_it_later(site: Site) -> None:
    """Also that one of its instances has gone meanwhile."""
    first, _ = site.upload(1, 2)
    assert site.ask("2.25.1", (CT, uid(1)), (CT, uid(2))) == 0

    def waits() -> bool:
        [job] = site.jobs()
        return bool(job["State"] == "Retry")

    eventually(waits, "the job waits for another attempt")
    assert site.server.request("DELETE", f"/instances/{first}")[0] == 200
    with site.requester.listening():
        report = site.hear()
    assert report.committed == [(CT, uid(2))]
    assert report.failed == [(CT, uid(1), NO_SUCH_INSTANCE)]
    [job] = site.jobs()
    assert site.server.wait_for_job(job["ID"])["State"] == "Success"


def test_a_modality_that_refuses_the_report_hears_it_again(site: Site) -> None:
    site.upload(1)
    site.requester.status = 0x0110
    with site.requester.listening():
        assert site.ask("2.25.1", (CT, uid(1))) == 0
        first = site.hear()
        site.requester.status = 0
        assert site.hear() == first
        [job] = site.jobs()
        assert site.server.wait_for_job(job["ID"])["State"] == "Success"


def test_the_last_attempt_ends_in_failure_and_says_why(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.server.config = site.config(Wherry={"JobRetries": {"Default": {"Attempts": 0}}})
    site.requester.status = 0x0213
    with running(site.server), site.requester.listening():
        site.upload(1)
        assert site.ask("2.25.1", (CT, uid(1))) == 0
        site.hear()
        [job] = site.jobs()
        ended = site.server.wait_for_job(job["ID"])
        assert (ended["State"], ended["ErrorCode"]) == ("Failure", 9)
        assert "0x0213" in ended["ErrorDetails"]
        site.requester.status = 0
        site.server.json("POST", f"/jobs/{job['ID']}/resubmit")
        assert site.hear().committed == [(CT, uid(1))]


def test_requesters_that_say_nothing_of_roles(site: Site) -> None:
    """They take reports all the same."""
    site.upload(1)
    heard: list[str] = []
    ae = AE(ae_title="MODALITY")
    ae.add_supported_context(StorageCommitmentPushModel)

    def take(event: evt.Event) -> tuple[int, None]:
        heard.append(event.event_information.TransactionUID)
        return 0, None

    server = ae.start_server(
        ("127.0.0.1", site.requester.port),
        block=False,
        evt_handlers=[(evt.EVT_N_EVENT_REPORT, take)],
    )
    try:
        assert site.ask("2.25.1", (CT, uid(1))) == 0
        eventually(lambda: heard, "a report")
    finally:
        server.shutdown()


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (None, None),
        ({"AllowStorageCommitment": False}, None),
        ({"AllowNAction": False}, 0x0124),
    ],
)
def test_who_may_not_ask(tmp_path: Path, entry: dict[str, bool] | None, status: int | None) -> None:
    site = Site(tmp_path)
    known = {"AET": "MODALITY", "Host": "127.0.0.1", "Port": site.requester.port}
    modalities = {} if entry is None else {"modality": {**known, **entry}}
    site.server.config = site.config(DicomModalities=modalities)
    with running(site.server):
        site.upload(1)
        assert site.ask("2.25.1", (CT, uid(1))) == status
        assert site.jobs() == []


def test_requests_that_make_no_sense(site: Site) -> None:
    without = request_data_set("2.25.1", [])
    del without.ReferencedSOPSequence
    assert site.ask("2.25.1", data_set=without) == 0x0115
    assert site.ask("2.25.1", (CT, uid(1)), action_type=2) == 0x0123
    assert site.ask("2.25.1", (CT, uid(1)), instance="1.2.3") == 0x0112
    assert site.jobs() == []


def test_the_same_request_twice(site: Site) -> None:
    """One that got no answer is repeated: it is heard once, or twice when the first is done."""
    site.upload(1)
    assert site.ask("2.25.1", (CT, uid(1))) == 0
    assert site.ask("2.25.1", (CT, uid(1))) == 0
    assert len(site.jobs()) == 1
    assert site.ask("2.25.1", (CT, uid(2))) == 0x0115
    with site.requester.listening():
        assert site.hear().committed == [(CT, uid(1))]
        [job] = site.jobs()
        site.server.wait_for_job(job["ID"])
        assert site.ask("2.25.1", (CT, uid(1))) == 0
        assert site.hear().committed == [(CT, uid(1))]
    assert len(site.jobs()) == 2


# --- Wherry asks -------------------------------------------------------------------------------
def pairs_of(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["SOPClassUID"], one["SOPInstanceUID"]) for one in entries]


def test_a_report_over_its_own_association(site: Site) -> None:
    first, second = site.upload(1, 2)
    with site.committer.listening():
        transaction = site.commit(Resources=[first], DicomInstances=[[CT, uid(2)]])
    request = site.committer.requests.get_nowait()
    assert request.TransactionUID == transaction
    assert transaction.startswith("2.25.")
    assert [item.ReferencedSOPInstanceUID for item in request.ReferencedSOPSequence] == [
        uid(1),
        uid(2),
    ]
    assert site.report(transaction) == {"RemoteAET": "ARCHIVE", "Status": "Pending"}
    assert site.send_report(transaction, [(CT, uid(1)), (CT, uid(2))]) == 0
    found = site.report(transaction)
    assert (found["Status"], found["Failures"]) == ("Success", [])
    assert pairs_of(found["Success"]) == [(CT, uid(1)), (CT, uid(2))]
    status, answer = site.server.request("POST", f"/storage-commitment/{transaction}/remove")
    assert (status, answer) == (200, b"{}")
    assert site.server.json("GET", "/instances") == []
    assert second


@pytest.mark.parametrize("failing", [(), (2,), (1, 2)])
def test_a_report_over_the_association_of_the_request(site: Site, failing: tuple[int, ...]) -> None:
    ids = site.upload(1, 2)
    site.committer.same_association = True
    site.committer.judge = lambda _, name: 0x0213 if name in map(uid, failing) else 0
    with site.committer.listening():
        transaction = site.commit(Resources=ids)
        assert site.committer.answers.get(timeout=DEADLINE_S) == 0
    found = site.report(transaction)
    assert found["Status"] == ("Failure" if failing else "Success")
    assert pairs_of(found["Failures"]) == [(CT, uid(number)) for number in failing]
    assert {one["FailureReason"] for one in found["Failures"]} == ({0x0213} if failing else set())
    assert len(found["Success"]) == 2 - len(failing)


def test_without_permission_no_report_is_taken(tmp_path: Path) -> None:
    site = Site(tmp_path)
    archive = {"AET": "ARCHIVE", "Host": "127.0.0.1", "Port": site.committer.port}
    site.server.config = site.config(
        DicomModalities={"archive": {**archive, "AllowEventReport": False}}
    )
    with running(site.server), site.committer.listening():
        transaction = site.commit(DicomInstances=[[CT, uid(1)]])
        assert site.send_report(transaction, [(CT, uid(1))]) == 0x0124
        assert site.report(transaction)["Status"] == "Pending"


def test_reports_of_strangers_and_on_strange_transactions(site: Site) -> None:
    with site.committer.listening():
        transaction = site.commit(DicomInstances=[[CT, uid(1)]])
    assert site.send_report("2.25.9", [(CT, uid(1))]) == 0x0115
    site.committer.title = "MODALITY"  # known, but it was not asked
    assert site.send_report(transaction, [(CT, uid(1))]) == 0x0115
    site.committer.title = "NOBODY"
    assert site.send_report(transaction, [(CT, uid(1))]) is None
    assert site.report(transaction)["Status"] == "Pending"


def test_reports_survive_a_restart_and_a_crash(site: Site) -> None:
    """Unlike the original's."""
    with site.committer.listening():
        transactions = [site.commit(DicomInstances=[[CT, uid(number)]]) for number in (1, 2)]
    assert site.send_report(transactions[0], [(CT, uid(1))]) == 0
    before = site.report(transactions[0])
    site.server.kill()
    site.server.start()
    assert site.report(transactions[0]) == before
    assert site.report(transactions[1])["Status"] == "Pending"
    assert site.send_report(transactions[1], [], [(CT, uid(2), 0x0112)]) == 0
    site.server.stop()
    site.server.start()
    assert site.report(transactions[1])["Status"] == "Failure"


def test_the_newest_reports_are_kept(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.server.config = site.config(StorageCommitmentReportsSize=2)
    with running(site.server), site.committer.listening():
        transactions = [site.commit(DicomInstances=[[CT, uid(number)]]) for number in (1, 2, 3)]
        statuses = [site.server.get(f"/storage-commitment/{one}")[0] for one in transactions]
        assert statuses == [404, 200, 200]
        assert site.send_report(transactions[0], [(CT, uid(1))]) == 0x0115


def test_an_archive_that_refuses(site: Site) -> None:
    site.committer.status = 0x0213
    with site.committer.listening():
        body = json.dumps({"DicomInstances": [[CT, uid(1)]]}).encode()
        status, answer = site.server.request("POST", "/modalities/archive/storage-commitment", body)
    error = json.loads(answer)
    assert (status, error["OrthancStatus"]) == (500, 9)
    assert "0x0213" in error["Details"]
    request = site.committer.requests.get_nowait()
    assert site.server.get(f"/storage-commitment/{request.TransactionUID}")[0] == 404


def test_an_archive_that_does_not_know_the_service(site: Site) -> None:
    ae = AE(ae_title="ARCHIVE")
    ae.add_supported_context("1.2.840.10008.1.1")
    server = ae.start_server(("127.0.0.1", site.committer.port), block=False)
    try:
        body = json.dumps({"DicomInstances": [[CT, uid(1)]]}).encode()
        status, answer = site.server.request("POST", "/modalities/archive/storage-commitment", body)
    finally:
        server.shutdown()
    assert (status, json.loads(answer)["OrthancStatus"]) == (500, 2015)


def test_ten_thousand_instances_both_ways(site: Site) -> None:
    """As many as one transaction may have, reported as failures with their long names."""
    names = [f"{ROOT}.1{number:025d}" for number in range(10_000)]
    failed = [(CT, name, NO_SUCH_INSTANCE) for name in names]
    with site.committer.listening():
        transaction = site.commit(DicomInstances=[[CT, name] for name in names])
    assert site.send_report(transaction, [], failed) == 0
    assert len(site.report(transaction)["Failures"]) == 10_000
    with site.requester.listening():
        assert site.ask("2.25.1", *((CT, name) for name in names)) == 0
        assert site.hear().failed == failed
