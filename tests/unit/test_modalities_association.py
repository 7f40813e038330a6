"""An association that we ask for, with another end that does not do what it should."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.jobs import DEADLINE_S, eventually
from tests.support.scp import Caller, Received, Scp, taking
from wherry import limits
from wherry.dicom.preamble import EXPLICIT
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.pdu import Abort, AssociateReject, ReleaseRequest
from wherry.errors import NetworkProtocol, NoAcceptableContext, ParameterOutOfRange
from wherry.modalities.associations.association import Association
from wherry.modalities.associations.connection import ModalitySilent, ModalityUnavailable, Target

CLASS = "1.2.840.10008.5.1.4.1.1.2"
PROPOSED = [(CLASS, (EXPLICIT,))]


@pytest.fixture
def scp() -> Iterator[Scp]:
    with taking() as found:
        yield found


def target(scp: Scp, timeout_s: float | None = 20) -> Target:
    return Target("THEM", "US", "127.0.0.1", scp.port, timeout_s)


def store(association: Association, data: bytes = b"1234") -> None:
    command = Command(
        CommandField.C_STORE_RQ,
        has_data_set=True,
        affected_sop_class=CLASS,
        message_id=association.next_message_id(),
        affected_sop_instance="1.2.3",
    )
    association.send(association.contexts[0].id, command, data)


def test_a_message_each_way_and_the_end(scp: Scp) -> None:
    with Association(target(scp), PROPOSED) as association:
        store(association)
        answer = association.receive().command
        assert (answer.field, answer.responded_to, answer.status) == (
            CommandField.C_STORE_RSP,
            1,
            0,
        )
    assert association.ended
    assert scp.events[0] == "release"
    [request] = scp.requests
    assert (request.called, request.calling) == ("THEM", "US")
    assert scp.stored[0].data_set == b"1234"


def test_an_exception_aborts_it(scp: Scp) -> None:
    with pytest.raises(RuntimeError), Association(target(scp), PROPOSED):
        raise RuntimeError
    eventually(lambda: "abort" in scp.events)


@pytest.mark.parametrize(
    ("rejection", "temporary", "words"),
    [
        (AssociateReject(1, 1, 7), False, "called AE title not recognized"),
        (AssociateReject(2, 3, 2), True, "local limit exceeded"),
        (AssociateReject(2, 3, 9), True, "unknown reason"),
    ],
)
def test_rejections(scp: Scp, rejection: AssociateReject, temporary: bool, words: str) -> None:
    scp.admit = lambda caller: rejection
    with pytest.raises(NetworkProtocol, match=words) as caught:
        Association(target(scp), PROPOSED)
    assert caught.value.temporary is temporary
    assert isinstance(caught.value, ModalityUnavailable) is temporary


def test_no_context_is_accepted(scp: Scp) -> None:
    scp.syntax = lambda one: None
    with pytest.raises(NoAcceptableContext) as caught:
        Association(target(scp), PROPOSED)
    assert (caught.value.code, caught.value.temporary) == (2015, False)
    assert scp.events[0] == "release"


@pytest.mark.parametrize("length", [1, 6, limits.PDU_LEAST_BYTES - 1])
def test_pdus_that_are_too_short_to_be_of_use(scp: Scp, length: int) -> None:
    scp.maximum_length = length
    with pytest.raises(NetworkProtocol, match="too few"):
        Association(target(scp), PROPOSED)


@pytest.mark.parametrize("length", [limits.PDU_LEAST_BYTES, 4096, 16_383, 0])
def test_pdus_as_long_as_the_other_end_takes(scp: Scp, length: int) -> None:
    scp.maximum_length = length
    data = bytes(range(256)) * 1000
    with Association(target(scp), PROPOSED) as association:
        store(association, data)
        association.receive()
        command = Command(CommandField.C_STORE_RQ, has_data_set=True, message_id=2)
        pieces = [data[at : at + 999] for at in range(0, len(data), 999)]
        association.send_pieces(association.contexts[0].id, command, pieces)
        association.receive()
    assert [one.data_set for one in scp.stored] == [data, data]


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        there = Target("THEM", "US", "127.0.0.1", free.getsockname()[1], 5)
        with pytest.raises(ModalityUnavailable, match="Connection refused"):
            Association(there, PROPOSED)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70, "a..b", "a\0b", ""])
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(NetworkProtocol):
        Association(Target("THEM", "US", host, 104, 5), PROPOSED)


@pytest.mark.parametrize("title", ["", "   ", "A" * 17])
def test_titles_that_are_none(title: str) -> None:
    with pytest.raises(ParameterOutOfRange):
        Target(title, "US", "h", 104, None)
    with pytest.raises(ParameterOutOfRange):
        Target("THEM", title, "h", 104, None)


def test_the_other_end_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = Target("THEM", "US", "127.0.0.1", silent.getsockname()[1], 0.05)
        with pytest.raises(ModalitySilent, match="too long"):
            Association(there, PROPOSED)


def test_the_wait_for_an_association_can_be_ended() -> None:
    begun: list[Association] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = Target("THEM", "US", "127.0.0.1", silent.getsockname()[1], None)
        errors = []

        def ask() -> None:
            try:
                Association(there, PROPOSED, begun=begun.append)
            except ModalityUnavailable as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        connection, _ = silent.accept()
        connection.recv(1, socket.MSG_PEEK)  # the request is there: now it waits
        begun[0].abort()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
        connection.close()
    assert len(errors) == 1


def test_the_wait_for_a_connection_can_be_ended() -> None:
    """A full queue of connections: the kernel drops what comes."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        there = Target("THEM", "US", "127.0.0.1", full.getsockname()[1], None)
        blockers = []
        for _ in range(3):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(full.getsockname())
            blockers.append(one)
        begun: list[Association] = []
        errors = []

        def ask() -> None:
            try:
                Association(there, PROPOSED, begun=begun.append)
            except ModalityUnavailable as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        eventually(lambda: begun and begun[0].connection.fileno() >= 0)
        begun[0].abort()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
        for one in blockers:
            one.close()
    assert len(errors) == 1


def test_one_that_was_given_up_before_it_began(scp: Scp) -> None:
    with pytest.raises(ModalityUnavailable, match="nobody waits"):
        Association(target(scp), PROPOSED, begun=Association.abort)
    assert scp.requests == []


@pytest.mark.parametrize("how", ["abort", "release", "close"])
def test_the_other_end_goes_while_we_wait(scp: Scp, how: str) -> None:
    def rule(caller: Caller, received: Received) -> None:
        if how == "release":
            caller.send(ReleaseRequest())
        elif how == "abort":
            caller.abort()
        else:
            caller.close()

    scp.rule = rule
    association = Association(target(scp), PROPOSED)
    store(association)
    with pytest.raises(ModalityUnavailable):
        association.receive()
    association.abort()
    with pytest.raises(ModalityUnavailable):
        store(association)


@pytest.mark.parametrize("how", ["abort", "release", "close", "nothing"])
def test_whether_it_is_still_there(scp: Scp, how: str) -> None:
    association = Association(target(scp), PROPOSED)
    assert not association.ready()
    [caller] = scp.callers
    if how == "abort":
        caller.send(Abort(2, 0))
    elif how == "release":
        caller.send(ReleaseRequest())
    elif how == "close":
        caller.close()
    if how == "nothing":
        assert not association.ready()
    else:
        eventually(association.ready)
    association.abort()


def test_a_release_that_is_not_answered_ends_all_the_same(scp: Scp) -> None:
    association = Association(target(scp, None), PROPOSED)
    [caller] = scp.callers
    caller.send = lambda pdu: None  # type: ignore[method-assign]
    association.release(within_s=0.05)
    assert association.ended


def test_pieces_that_fail_leave_no_half_message(scp: Scp) -> None:
    association = Association(target(scp), PROPOSED)

    def pieces() -> Iterator[bytes]:
        yield bytes(100_000)
        raise NetworkProtocol("damaged")

    command = Command(CommandField.C_STORE_RQ, has_data_set=True, message_id=1)
    with pytest.raises(NetworkProtocol, match="damaged"):
        association.send_pieces(1, command, pieces())
    assert association.ended
    eventually(lambda: scp.events[-1:] == ["end"])
    assert scp.stored == []


def test_descriptors_of_any_number(scp: Scp) -> None:
    """``select`` ends at 1,024."""
    import os
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 4000:
        pytest.skip("the system allows too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4000, hard))
    taken: list[int] = []
    try:
        while not taken or taken[-1] <= 1024:
            taken.append(os.open("/dev/null", os.O_RDONLY))
        with Association(target(scp), PROPOSED) as association:
            assert association.connection.fileno() > 1024
            assert not association.ready()
    finally:
        for one in taken:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
