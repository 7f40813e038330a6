"""Asking for commitment, with every way in which a modality may answer and report at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.acceptor import Acceptor, accepting, bytes_of
from tests.support.staged import study
from wherry import limits
from wherry.config import Config
from wherry.dicom.attributes import write
from wherry.dicom.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentReport,
    CommitmentRequest,
    Failure,
    Reference,
    read_request,
    write_report,
)
from wherry.dicom.preamble import EXPLICIT
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.pdu import Abort, ReleaseRequest, ReleaseResponse
from wherry.dicom.wire.writing import encode
from wherry.errors import NetworkProtocol
from wherry.index import commitments, resources
from wherry.index.commitments import FAILURE, PENDING, SUCCESS, AskedInstance, Commitment
from wherry.index.database import Index
from wherry.index.opening import IndexSettings, open_index
from wherry.modalities.associations.association import Association
from wherry.modalities.associations.calling import target
from wherry.modalities.associations.connection import ModalityUnavailable, Target
from wherry.modalities.commitment import requesting as commitment
from wherry.model import Modality

A, B = Reference("1.2.4", "1.2.3"), Reference("1.2.4", "1.2.5")
ASKED = [AskedInstance(*A), AskedInstance(*B)]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = open_index(IndexSettings(sqlite_path=tmp_path / "index.db"))
    yield index
    index.close()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(storage_directory=tmp_path, index_directory=tmp_path)


def known(index: Index, transaction: str = "2.25.1") -> Commitment | None:
    with index.read() as tx:
        return commitments.get(tx, transaction)


def ask(config: Config, index: Index, port: int, *, allow_event_report: bool = True) -> str:
    modality = Modality("m", "ARCHIVE", "127.0.0.1", port, allow_event_report=allow_event_report)
    goal = target(config, modality, timeout_s=60)
    return commitment.ask(config, index, modality, goal, ASKED, "2.25.1")


def requested(acceptor: Acceptor) -> Command:
    """Accept the association and hear the request."""
    acceptor.accept()
    command, data = acceptor.message()
    assert command.field is CommandField.N_ACTION_RQ
    assert (command.requested_sop_class, command.requested_sop_instance, command.action_type) == (
        PUSH_MODEL,
        PUSH_MODEL_INSTANCE,
        1,
    )
    assert read_request(data, EXPLICIT) == CommitmentRequest("2.25.1", (A, B))
    return command


def answer(request: Command, status: int = 0, **members: int) -> bytes:
    members = {"responded_to": request.message_id or 0, **members}
    return bytes_of(1, Command(CommandField.N_ACTION_RSP, status=status, **members))  # type: ignore[arg-type]


def event(transaction: str = "2.25.1", *failed: Failure, event_type: int = 1) -> bytes:
    gone = {one.reference for one in failed}
    report = CommitmentReport(transaction, tuple({A, B} - gone), failed)
    command = Command(
        CommandField.N_EVENT_REPORT_RQ,
        has_data_set=True,
        affected_sop_class=PUSH_MODEL,
        message_id=77,
        affected_sop_instance=PUSH_MODEL_INSTANCE,
        event_type=event_type,
    )
    return bytes_of(1, command, write(write_report(report), EXPLICIT))


def acknowledged(acceptor: Acceptor) -> int | None:
    """The status of the answer to a report."""
    command, _ = acceptor.message()
    assert command.field is CommandField.N_EVENT_REPORT_RSP
    assert (command.responded_to, command.affected_sop_class) == (77, PUSH_MODEL)
    assert command.affected_sop_instance == PUSH_MODEL_INSTANCE
    return command.status


def released(acceptor: Acceptor) -> None:
    assert isinstance(acceptor.next(), ReleaseRequest)
    acceptor.send(encode(ReleaseResponse()))


# --- reports over the association of the request -------------------------------------------------
def test_a_report_in_one_piece_with_the_answer(config: Config, index: Index) -> None:
    def script(acceptor: Acceptor) -> None:
        request = requested(acceptor)
        acceptor.send(answer(request), event("2.25.1", Failure(B, 0x0112), event_type=2))
        assert acknowledged(acceptor) == 0
        released(acceptor)

    with accepting(script) as port:
        assert ask(config, index, port) == "2.25.1"
    found = known(index)
    assert found is not None
    assert (found.status, found.failures) == (FAILURE, {1: 0x0112})


def test_a_report_before_the_answer(config: Config, index: Index) -> None:
    def script(acceptor: Acceptor) -> None:
        request = requested(acceptor)
        acceptor.send(event())
        assert acknowledged(acceptor) == 0
        acceptor.send(answer(request))
        released(acceptor)

    with accepting(script) as port:
        ask(config, index, port)
    found = known(index)
    assert found is not None
    assert found.status == SUCCESS


def test_reports_that_are_refused(
    config: Config, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One on what was never asked, one that is none; then the good one."""
    monkeypatch.setattr(limits, "COMMITMENT_LINGER_S", 60.0)

    def script(acceptor: Acceptor) -> None:
        request = requested(acceptor)
        acceptor.send(answer(request), event("2.25.2"))
        assert acknowledged(acceptor) == 0x0115
        acceptor.send(event(event_type=9))
        assert acknowledged(acceptor) == 0x0113
        acceptor.send(event())
        assert acknowledged(acceptor) == 0
        released(acceptor)

    with accepting(script) as port:
        ask(config, index, port)
    found = known(index)
    assert found is not None
    assert found.status == SUCCESS


def test_a_report_over_another_association_ends_the_wait(
    config: Config, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "COMMITMENT_LINGER_S", 3600.0)

    def script(acceptor: Acceptor) -> None:
        request = requested(acceptor)
        acceptor.send(answer(request))
        index.write(lambda tx: commitments.settle(tx, "2.25.1", {}))
        released(acceptor)

    with accepting(script) as port:
        ask(config, index, port)


@pytest.mark.parametrize("allowed", [True, False])
def test_nobody_waits_for_long(
    config: Config, index: Index, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    monkeypatch.setattr(limits, "COMMITMENT_LINGER_S", 0.05 if allowed else 3600.0)

    def script(acceptor: Acceptor) -> None:
        acceptor.send(answer(requested(acceptor)))
        released(acceptor)

    with accepting(script) as port:
        ask(config, index, port, allow_event_report=allowed)
    found = known(index)
    assert found is not None
    assert found.status == PENDING


@pytest.mark.parametrize(
    "end",
    [
        encode(ReleaseRequest()),
        encode(Abort(0, 0)),
        b"",
        b"\xff" * 100,
        bytes_of(1, Command(CommandField.C_ECHO_RQ, message_id=1)),
    ],
    ids=["released", "aborted", "cut", "nonsense", "something else"],
)
def test_a_modality_that_goes_at_once_was_asked(
    config: Config, index: Index, end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has said yes: the report will come."""
    monkeypatch.setattr(limits, "COMMITMENT_LINGER_S", 3600.0)

    def script(acceptor: Acceptor) -> None:
        acceptor.send(answer(requested(acceptor)), end)

    with accepting(script) as port:
        assert ask(config, index, port) == "2.25.1"
    found = known(index)
    assert found is not None
    assert found.status == PENDING


# --- requests that fail ------------------------------------------------------------------------
@pytest.mark.parametrize(
    "reply",
    [
        lambda request: answer(request, 0x0110),
        lambda request: answer(request, responded_to=999),
        lambda request: bytes_of(1, Command(CommandField.C_ECHO_RSP, status=0, responded_to=1)),
        lambda request: encode(Abort(0, 0)),
        lambda request: encode(ReleaseRequest()),
        lambda request: b"",
    ],
    ids=["refused", "another answer", "another service", "aborted", "released", "cut"],
)
def test_a_request_that_fails_is_forgotten(
    config: Config, index: Index, reply: Callable[[Command], bytes]
) -> None:
    def script(acceptor: Acceptor) -> None:
        request = requested(acceptor)
        found = known(index)
        assert found is not None, "known before it is asked: the report may come at once"
        assert found.status == PENDING
        acceptor.send(reply(request))

    with accepting(script) as port, pytest.raises(NetworkProtocol):
        ask(config, index, port)
    assert known(index) is None


def test_what_was_just_stored_is_asked_for_in_order_of_arrival(
    config: Config, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the digests of the files that are here; other classes of the same name do not count."""
    stored = study(3)
    index.write(lambda tx: resources.add_instances(tx, stored, overwrite=False))
    names = [(one.summary.sop_class_uid, one.summary.tags[3]["0008,0018"]) for one in stored]
    calls: list[Sequence[AskedInstance]] = []

    def noted(*given: object) -> str:
        calls.append(given[-1])  # type: ignore[arg-type]
        return "2.25.1"

    monkeypatch.setattr(commitment, "ask", noted)
    modality = Modality("m", "ARCHIVE", "127.0.0.1", 1)
    goal = target(config, modality)
    other = ("1.2.3", names[0][1])
    wanted = [("1.2", "1.2.3"), names[2], names[0], other, names[2]]
    assert commitment.ask_to_commit(config, index, modality, goal, wanted) == "2.25.1"
    md5 = stored[0].attachment.uncompressed_md5
    assert calls == [
        [
            AskedInstance(*names[0], (md5,)),
            AskedInstance(*names[2], (md5,)),
            AskedInstance("1.2", "1.2.3"),
            AskedInstance(*other),
        ]
    ]


def test_transactions_have_uids() -> None:
    found = {commitment.new_transaction() for _ in range(100)}
    assert len(found) == 100
    assert all(one.startswith("2.25.") and len(one) <= 64 for one in found)
    assert all(one[5:].isdecimal() and one[5] != "0" for one in found)


# --- what an association knows of what is to come ------------------------------------------------
def test_ready_sees_what_came_with_something_else() -> None:
    """Also when the socket has nothing more, or something that makes no sense."""
    echo = bytes_of(1, Command(CommandField.C_ECHO_RQ, message_id=1))

    def script(acceptor: Acceptor) -> None:
        acceptor.accept()
        acceptor.message()
        acceptor.send(echo, echo, b"\xff" * 10)
        assert isinstance(acceptor.next(), Abort)

    with accepting(script) as port:
        target = Target("ARCHIVE", "ME", "127.0.0.1", port, 60)
        association = Association(target, [(PUSH_MODEL, (EXPLICIT,))])
        assert not association.ready()
        association.send(1, Command(CommandField.C_ECHO_RQ, message_id=1))
        assert association.ready(60)
        for _ in range(2):
            assert association.receive().command.field is CommandField.C_ECHO_RQ
            assert association.ready()
        with pytest.raises(NetworkProtocol, match="no PDU of type 255"):
            association.receive()
        association.abort()


def test_ready_says_that_the_other_end_is_gone() -> None:
    with accepting(lambda acceptor: acceptor.accept() and None) as port:
        target = Target("ARCHIVE", "ME", "127.0.0.1", port, 60)
        association = Association(target, [(PUSH_MODEL, (EXPLICIT,))])
        assert association.ready(60)
        with pytest.raises(ModalityUnavailable, match="has ended the connection"):
            association.receive()
        association.abort()
