"""The job that reports on a commitment: what it says to the modality, and how it is interrupted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.acceptor import Acceptor, accepting, bytes_of
from tests.support.control import Control
from tests.support.face import Face, serving
from tests.support.jobs import DEADLINE_S
from wherry.config.dimse import DimseConfig
from wherry.dicom.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentReport,
    CommitmentRequest,
    Failure,
    Reference,
    read_report,
)
from wherry.dicom.preamble import EXPLICIT
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.pdu import Abort, AssociateReject, ReleaseRequest, ReleaseResponse, Roles
from wherry.dicom.wire.writing import encode
from wherry.errors import InexistentItem, NetworkProtocol
from wherry.jobs.handler import Interrupted
from wherry.modalities.associations.connection import ModalityUnavailable
from wherry.modalities.commitment.scp import CommitmentOrder, CommitmentScp

A = Reference("1.2.4", "1.2.3")
REPORT = CommitmentReport("2.25.1", (), (Failure(A, 0x0112),))


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    with serving(tmp_path, dimse=DimseConfig(scu_timeout_s=60)) as face:
        yield face


def control_for(name: str = "m") -> Control:
    order = CommitmentOrder(name, "MODALITY", "US", CommitmentRequest("2.25.1", (A,)))
    return Control(parameters=order.parameters())


def run(face: Face, port: int, control: Control) -> None:
    rooms = face.rooms
    rooms.modalities.put("m", ["MODALITY", "127.0.0.1", port])
    CommitmentScp(rooms.config, rooms.index, rooms.ingest.attachments, rooms.modalities).run(
        control
    )  # type: ignore[arg-type]


def hear(acceptor: Acceptor) -> Command:
    """Accept the association and hear the report."""
    request = acceptor.accept()
    assert (request.calling, request.called) == ("US", "MODALITY")
    assert request.user.roles == (Roles(PUSH_MODEL, scu=False, scp=True),)
    command, data = acceptor.message()
    assert command.field is CommandField.N_EVENT_REPORT_RQ
    assert (command.affected_sop_class, command.affected_sop_instance) == (
        PUSH_MODEL,
        PUSH_MODEL_INSTANCE,
    )
    assert command.event_type == 2
    assert read_report(data, EXPLICIT) == REPORT
    return command


def answer(command: Command, status: int = 0, responded_to: int | None = None) -> bytes:
    message_id = command.message_id if responded_to is None else responded_to
    return bytes_of(
        1, Command(CommandField.N_EVENT_REPORT_RSP, responded_to=message_id, status=status)
    )


def release(acceptor: Acceptor) -> None:
    assert isinstance(acceptor.next(), ReleaseRequest)
    acceptor.send(encode(ReleaseResponse()))


def test_a_report_is_told_once(face: Face) -> None:
    def script(acceptor: Acceptor) -> None:
        acceptor.send(answer(hear(acceptor)))
        release(acceptor)

    control = control_for()
    with accepting(script) as port:
        run(face, port, control)
    assert control.saved[-1] == {"Reported": True}
    assert control.progress[-1] == 1.0
    control.job.checkpoint.update(control.saved[-1])
    run(face, 1, control)  # nobody is there: it is not told again


@pytest.mark.parametrize(
    "reply",
    [
        lambda command: answer(command, 0x0110),
        lambda command: answer(command, responded_to=999),
        lambda command: bytes_of(1, Command(CommandField.C_ECHO_RSP, responded_to=1, status=0)),
        lambda command: encode(Abort(0, 0)),
        lambda command: b"",
    ],
    ids=["refused", "another answer", "another service", "aborted", "cut"],
)
def test_whoever_does_not_take_it_may_take_it_later(face: Face, reply: Any) -> None:
    def script(acceptor: Acceptor) -> None:
        acceptor.send(reply(hear(acceptor)))

    control = control_for()
    with accepting(script) as port, pytest.raises(ModalityUnavailable) as caught:
        run(face, port, control)
    assert caught.value.temporary
    assert "Reported" not in control.saved[-1]


@pytest.mark.parametrize(("result", "temporary"), [(1, False), (2, True)])
def test_rejected_associations(face: Face, result: int, temporary: bool) -> None:
    def script(acceptor: Acceptor) -> None:
        acceptor.next()
        acceptor.send(encode(AssociateReject(result, 1, 1)))

    with accepting(script) as port, pytest.raises(NetworkProtocol) as caught:
        run(face, port, control_for())
    assert caught.value.temporary is temporary


def test_a_modality_that_is_not_known_any_more(face: Face) -> None:
    with pytest.raises(InexistentItem, match="No modality with symbolic name: gone"):
        run(face, 1, control_for("gone"))


def test_a_silent_modality_does_not_hold_up_an_interruption(face: Face) -> None:
    heard, interrupted = threading.Event(), threading.Event()

    def script(acceptor: Acceptor) -> None:
        hear(acceptor)
        heard.set()
        assert interrupted.wait(DEADLINE_S)

    def cancel() -> None:
        if heard.is_set():
            raise Interrupted("cancel")

    control = control_for()
    control.each_check = cancel
    with accepting(script) as port:
        with pytest.raises(Interrupted):
            run(face, port, control)
        interrupted.set()
    assert "Reported" not in control.saved[-1]


def test_an_interruption_after_the_answer_does_not_tell_it_twice(face: Face) -> None:
    told = threading.Event()

    def script(acceptor: Acceptor) -> None:
        acceptor.send(answer(hear(acceptor)))
        told.set()
        release(acceptor)

    def stop() -> None:
        if told.is_set():
            raise Interrupted("stop")

    control = control_for()
    control.each_check = stop
    with accepting(script) as port, pytest.raises(Interrupted):
        run(face, port, control)
    assert control.saved[-1] == {"Reported": True}
