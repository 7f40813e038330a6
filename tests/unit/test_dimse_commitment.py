"""Requests for storage commitment and reports on ours, as the DIMSE face answers them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry.config.dimse import DimseConfig
from wherry.dicom.attributes import write
from wherry.dicom.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentReport,
    CommitmentRequest,
    Failure,
    Reference,
    write_report,
    write_request,
)
from wherry.dicom.preamble import EXPLICIT
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.messages import type_buffer
from wherry.dimse import commitment
from wherry.dimse.requests import Caller, Context, Request
from wherry.dimse.services import SERVICES, type_service
from wherry.errors import WherryError
from wherry.index import commitments
from wherry.index.commitments import FAILURE, PENDING, SUCCESS, AskedInstance, Commitment
from wherry.model import Modality

CONTEXT = Context(1, PUSH_MODEL, EXPLICIT)
KNOWN = Modality("m", "MODALITY", "127.0.0.1", 1)
A, B = Reference("1.2.4", "1.2.3"), Reference("1.2.4", "1.2.5")
ACTION = Command(
    CommandField.N_ACTION_RQ,
    has_data_set=True,
    requested_sop_class=PUSH_MODEL,
    message_id=7,
    requested_sop_instance=PUSH_MODEL_INSTANCE,
    action_type=1,
)
EVENT = Command(
    CommandField.N_EVENT_REPORT_RQ,
    has_data_set=True,
    affected_sop_class=PUSH_MODEL,
    message_id=8,
    affected_sop_instance=PUSH_MODEL_INSTANCE,
    event_type=1,
)


class MemoryLine:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[tuple[Context, Command, bytes]] = []

    async def send(self, context: Context, command: Command, data_set: type_buffer = b"") -> None:
        self.said.append((context, command, bytes(data_set)))


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    """A server whose reports nobody takes: its jobs wait."""
    dimse = DimseConfig(modalities={"m": KNOWN})
    with serving(tmp_path, dimse=dimse) as face:
        yield face


def status_of(
    face: Face,
    service: type_service,
    command: Command,
    data_set: bytes,
    modality: Modality | None = KNOWN,
    title: str = "MODALITY",
) -> int | None:
    """What a service answers, or the status of the error that it raises."""
    line = MemoryLine()
    caller = Caller(title, "ORTHANC", "127.0.0.1", modality)
    request = Request(face.rooms, caller, CONTEXT, command, data_set, line)
    try:
        asyncio.run(_serve(service, request))
    except WherryError as error:
        assert not line.said
        return error.dimse_status
    [(context, answer, data)] = line.said
    assert (context, data, answer.has_data_set) == (CONTEXT, b"", False)
    assert answer.field == command.field | 0x8000
    assert answer.responded_to == command.message_id
    assert answer.affected_sop_class == PUSH_MODEL
    assert answer.affected_sop_instance == PUSH_MODEL_INSTANCE
    return answer.status


async def _serve(service: type_service, request: Request) -> None:
    await service(request)


def asking(transaction: str, *references: Reference) -> bytes:
    return write(write_request(CommitmentRequest(transaction, references)), EXPLICIT)


def reporting(
    transaction: str, committed: tuple[Reference, ...], failed: tuple[Failure, ...] = ()
) -> bytes:
    return write(write_report(CommitmentReport(transaction, committed, failed)), EXPLICIT)


def jobs(face: Face) -> list[dict[str, str]]:
    found: list[dict[str, str]] = face.json("/jobs?expand")
    return [one for one in found if one["Type"] == "StorageCommitmentScp"]


# --- the table of services ---------------------------------------------------------------------
def test_it_is_offered_in_both_roles() -> None:
    service = SERVICES[PUSH_MODEL]
    assert service.both_roles
    assert {field: work for field, (_, work) in service.requests.items()} == {
        CommandField.N_ACTION_RQ: commitment.action,
        CommandField.N_EVENT_REPORT_RQ: commitment.event,
    }
    assert service.permissions == {"allow_n_action", "allow_event_report"}


# --- N-ACTION ----------------------------------------------------------------------------------
def test_a_request_becomes_a_job(face: Face) -> None:
    assert status_of(face, commitment.action, ACTION, asking("2.25.1", A, B)) == 0
    [job] = jobs(face)
    content = job["Content"]
    assert isinstance(content, dict)
    assert (content["RemoteAet"], content["CalledAet"]) == ("MODALITY", "ORTHANC")
    assert (content["TransactionUid"], content["Description"]) == ("2.25.1", "")


def test_the_same_request_twice_is_one(face: Face) -> None:
    for _ in range(2):
        assert status_of(face, commitment.action, ACTION, asking("2.25.1", A, B)) == 0
    assert len(jobs(face)) == 1
    assert status_of(face, commitment.action, ACTION, asking("2.25.2", A, B)) == 0
    assert len(jobs(face)) == 2


def test_another_request_with_a_transaction_in_use_is_refused(face: Face) -> None:
    assert status_of(face, commitment.action, ACTION, asking("2.25.1", A, B)) == 0
    assert status_of(face, commitment.action, ACTION, asking("2.25.1", A)) == 0x0115
    assert len(jobs(face)) == 1
    other = replace(KNOWN, name="n", aet="OTHER")
    again = status_of(face, commitment.action, ACTION, asking("2.25.1", A), other, "OTHER")
    assert again == 0, "names of others are no concern of this one"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"requested_sop_class": "1.2.840.10008.1.1"}, 0x0118),
        ({"requested_sop_class": None}, 0x0118),
        ({"requested_sop_instance": "1.2.3"}, 0x0112),
        ({"requested_sop_instance": None}, 0x0112),
        ({"action_type": 2}, 0x0123),
        ({"action_type": None}, 0x0123),
    ],
)
def test_requests_for_something_else(face: Face, change: dict[str, object], status: int) -> None:
    command = replace(ACTION, **change)  # type: ignore[arg-type]
    assert status_of(face, commitment.action, command, asking("2.25.1", A)) == status
    assert not jobs(face)


@pytest.mark.parametrize("data", [b"", b"\1", asking("", A), asking("2.25.1", Reference("", ""))])
def test_requests_that_cannot_be_read(face: Face, data: bytes) -> None:
    assert status_of(face, commitment.action, ACTION, data) == 0x0115
    assert not jobs(face)


@pytest.mark.parametrize("modality", [None, replace(KNOWN, allow_n_action=False)])
def test_requests_of_those_who_may_not(face: Face, modality: Modality | None) -> None:
    assert status_of(face, commitment.action, ACTION, asking("2.25.1", A), modality) == 0x0124
    assert not jobs(face)


def test_a_request_of_nothing_is_one(face: Face) -> None:
    """Orthanc sends those."""
    assert status_of(face, commitment.action, ACTION, asking("2.25.1")) == 0
    assert len(jobs(face)) == 1


def test_too_many_jobs_wait(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wherry.index.job_rows.pending_at_least", lambda tx, count: True)
    assert status_of(face, commitment.action, ACTION, asking("2.25.1", A)) == 0x0213
    assert not jobs(face)


# --- N-EVENT-REPORT ----------------------------------------------------------------------------
def waiting(face: Face, transaction: str, aet: str = "MODALITY") -> None:
    asked = [AskedInstance(*A), AskedInstance(*B)]
    face.rooms.index.write(lambda tx: commitments.add(tx, transaction, aet, asked, 100))


def known(face: Face, transaction: str) -> Commitment:
    with face.rooms.index.read() as tx:
        found = commitments.get(tx, transaction)
    assert found is not None
    return found


def test_a_report_of_success(face: Face) -> None:
    waiting(face, "2.25.1")
    waiting(face, "2.25.2")
    assert status_of(face, commitment.event, EVENT, reporting("2.25.1", (A, B))) == 0
    assert (known(face, "2.25.1").status, known(face, "2.25.1").failures) == (SUCCESS, {})
    assert known(face, "2.25.2").status == PENDING


@pytest.mark.parametrize("event_type", [1, 2])
def test_a_report_of_failures(face: Face, event_type: int) -> None:
    """They count, whatever the type of the event says."""
    waiting(face, "2.25.1")
    data = reporting("2.25.1", (A,), (Failure(B, 0x0112),))
    assert status_of(face, commitment.event, replace(EVENT, event_type=event_type), data) == 0
    assert (known(face, "2.25.1").status, known(face, "2.25.1").failures) == (FAILURE, {1: 0x0112})


@pytest.mark.parametrize(
    ("committed", "failures"),
    [
        ((A,), {1: 0x0110}),
        ((), {0: 0x0110, 1: 0x0110}),
        ((A, Reference("1.9", B.sop_instance)), {1: 0x0110}),
        ((B, A, Reference("7", "8")), {}),
    ],
)
def test_only_what_is_mentioned_is_committed(
    face: Face, committed: tuple[Reference, ...], failures: dict[int, int]
) -> None:
    waiting(face, "2.25.1")
    assert status_of(face, commitment.event, EVENT, reporting("2.25.1", committed)) == 0
    assert known(face, "2.25.1").failures == failures
    assert known(face, "2.25.1").status == (FAILURE if failures else SUCCESS)


def test_what_is_both_committed_and_failed_has_failed(face: Face) -> None:
    waiting(face, "2.25.1")
    data = reporting("2.25.1", (A, B), (Failure(A, 0x0213),))
    assert status_of(face, commitment.event, EVENT, data) == 0
    assert known(face, "2.25.1").failures == {0: 0x0213}


def test_repeated_reports(face: Face) -> None:
    """The answer to the first got lost. Success is believed once, a failure always."""
    waiting(face, "2.25.1")
    for _ in range(2):
        assert status_of(face, commitment.event, EVENT, reporting("2.25.1", (A, B))) == 0
        assert known(face, "2.25.1").status == SUCCESS
    data = reporting("2.25.1", (A,), (Failure(B, 0x0112),))
    for report in (data, reporting("2.25.1", (A, B))):
        assert status_of(face, commitment.event, EVENT, report) == 0
        assert known(face, "2.25.1").failures == {1: 0x0112}
    later = reporting("2.25.1", (B,), (Failure(A, 0x0110),))
    assert status_of(face, commitment.event, EVENT, later) == 0
    assert known(face, "2.25.1").failures == {0: 0x0110, 1: 0x0112}


@pytest.mark.parametrize(
    ("transaction", "title"), [("2.25.9", "MODALITY"), ("2.25.1", "OTHER"), ("2.25.1", "MODALIT")]
)
def test_reports_on_what_was_not_asked_of_them(face: Face, transaction: str, title: str) -> None:
    waiting(face, "2.25.1")
    modality = replace(KNOWN, aet=title)
    data = reporting(transaction, (A, B))
    assert status_of(face, commitment.event, EVENT, data, modality, title) == 0x0115
    assert known(face, "2.25.1").status == PENDING


def test_titles_are_compared_as_everywhere(face: Face) -> None:
    waiting(face, "2.25.1", "modality")
    assert status_of(face, commitment.event, EVENT, reporting("2.25.1", (A, B))) == 0


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"affected_sop_class": "1.2.840.10008.1.1"}, 0x0118),
        ({"affected_sop_instance": "1.2.3"}, 0x0112),
        ({"event_type": 3}, 0x0113),
        ({"event_type": None}, 0x0113),
    ],
)
def test_events_of_something_else(face: Face, change: dict[str, object], status: int) -> None:
    waiting(face, "2.25.1")
    command = replace(EVENT, **change)  # type: ignore[arg-type]
    assert status_of(face, commitment.event, command, reporting("2.25.1", (A, B))) == status
    assert known(face, "2.25.1").status == PENDING


@pytest.mark.parametrize("modality", [None, replace(KNOWN, allow_event_report=False)])
def test_reports_of_those_who_may_not(face: Face, modality: Modality | None) -> None:
    waiting(face, "2.25.1")
    data = reporting("2.25.1", (A, B))
    assert status_of(face, commitment.event, EVENT, data, modality) == 0x0124
    assert known(face, "2.25.1").status == PENDING


def test_reports_that_cannot_be_read(face: Face) -> None:
    waiting(face, "2.25.1")
    assert status_of(face, commitment.event, EVENT, b"\1") == 0x0115
    assert known(face, "2.25.1").status == PENDING


def test_a_report_is_seen_over_rest(face: Face) -> None:
    face.upload(make_instance())
    waiting(face, "2.25.1")
    assert face.json("/storage-commitment/2.25.1") == {"RemoteAET": "MODALITY", "Status": PENDING}
    status_of(face, commitment.event, EVENT, reporting("2.25.1", (A,), (Failure(B, 0x0119),)))
    shown = face.json("/storage-commitment/2.25.1")
    assert shown["Status"] == FAILURE
    assert shown["Success"] == [{"SOPClassUID": "1.2.4", "SOPInstanceUID": "1.2.3"}]
    [failure] = shown["Failures"]
    assert (failure["SOPInstanceUID"], failure["FailureReason"]) == ("1.2.5", 0x0119)
    assert failure["Description"].startswith("The SOP Class of an element")
