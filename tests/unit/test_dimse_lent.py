"""A thread that has the socket of an association: what it does by itself, what it gives back."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from blake3 import blake3

from wherry import limits
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.messages import Head, Messages, Piece, message
from wherry.dicom.wire.pdu import AbortReason, BadPdu, ReleaseRequest
from wherry.dicom.wire.writing import encode
from wherry.dimse.lent import Left, Lent
from wherry.dimse.listener import Listener
from wherry.dimse.negotiation import Agreement
from wherry.dimse.permissions import Permission
from wherry.dimse.requests import Caller, Context
from wherry.errors import MismatchedDataSet, NetworkProtocol
from wherry.http.services import Services
from wherry.metrics import Metrics

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
CONTEXTS = {
    number: Context(number, syntax, EXPLICIT) for number, syntax in ((1, CT), (3, VERIFICATION))
}
ECHO = b"".join(
    map(
        bytes,
        message(3, Command(CommandField.C_ECHO_RQ, affected_sop_class=VERIFICATION, message_id=9)),
    )
)
DATA_SET = bytes(range(256)) * 20


def c_store(
    number: int = 1, data_set: bytes = DATA_SET, sop_class: str = CT, context: int = 1
) -> bytes:
    command = Command(
        CommandField.C_STORE_RQ,
        has_data_set=True,
        affected_sop_class=sop_class,
        affected_sop_instance=f"1.2.{number}",
        message_id=number,
        priority=0,
    )
    return b"".join(map(bytes, message(context, command, data_set, 1024)))


class Bench:
    """Both ends of a connection, and a door that notes what comes in."""

    def __init__(self, permissions: frozenset[Permission]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.mine = socket.create_connection(listener.getsockname(), timeout=30)
            self.theirs = listener.accept()[0]
        self.stored: list[bytes] = []
        self.digested = 0
        self.refusal: Exception | None = None
        agreement = SimpleNamespace(
            caller=Caller("CALLER", "ORTHANC", "10.1.1.1", None),
            permissions=permissions,
            contexts=CONTEXTS,
            maximum_length=16384,
        )
        rooms = SimpleNamespace(ingest=self, metrics=Metrics())
        self.lent = Lent(
            cast(Services, rooms), cast(Agreement, agreement), Messages(16384), self.theirs
        )

    def store_now(self, data: bytearray, origin: Any, check: Any, digest: str) -> None:
        assert digest in ("", blake3(data).hexdigest())
        self.digested += bool(digest)
        assert origin.remote_aet == "CALLER"
        if self.refusal is not None:
            raise self.refusal
        self.stored.append(bytes(data))

    def close(self) -> None:
        self.mine.close()
        self.theirs.close()

    def run(self, *sent: bytes) -> Left:
        """All of it is sent, and nothing follows."""
        self.mine.sendall(b"".join(sent))
        self.mine.shutdown(socket.SHUT_WR)
        return self.lent.run()

    def answers(self) -> list[tuple[int, int]]:
        """Message identifiers and statuses that the caller got."""
        self.theirs.shutdown(socket.SHUT_WR)
        received = b""
        while piece := self.mine.recv(65536):
            received += piece
        heads = Messages().feed(memoryview(received))
        commands = [one.command for one in heads if isinstance(one, Head)]
        return [(one.responded_to or 0, one.status or 0) for one in commands]


@pytest.fixture
def bench() -> Iterator[Bench]:
    found = Bench(frozenset({Permission.STORE}))
    yield found
    found.close()


def test_one_after_the_other(bench: Bench) -> None:
    left = bench.run(c_store(1), c_store(2, b"short"), c_store(3))
    assert left == Left()
    first, second, third = bench.stored
    assert first.endswith(DATA_SET) and second.endswith(b"short") and third.endswith(DATA_SET)
    assert all(one[128:132] == b"DICM" for one in bench.stored)
    assert bench.answers() == [(1, 0), (2, 0), (3, 0)]
    assert bench.lent._socket.fileno() == -1


def test_longer_ones_are_digested_as_they_come(bench: Bench) -> None:
    sizes = [100, 300_000, 128 * 1024, 600_000]
    sender = threading.Thread(
        target=lambda: bench.mine.sendall(b"".join(c_store(1, bytes(size)) for size in sizes))
    )
    sender.start()
    assert bench.lent.run() == Left()
    sender.join()
    assert [len(one) > size for one, size in zip(bench.stored, sizes, strict=True)] == [True] * 4
    assert bench.digested == 3


@pytest.mark.parametrize("portion", [1, 7, 100_000])
def test_bytes_come_in_portions_of_any_size(bench: Bench, portion: int) -> None:
    sent = c_store(1) + c_store(2)

    def trickle() -> None:
        for start in range(0, len(sent), portion):
            bench.mine.sendall(sent[start : start + portion])
        bench.mine.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=trickle)
    sender.start()
    assert bench.lent.run() == Left()
    sender.join()
    assert [len(one) for one in bench.stored] == [len(bench.stored[0])] * 2
    assert bench.answers() == [(1, 0), (2, 0)]


def test_what_is_something_else_goes_back(bench: Bench) -> None:
    left = bench.run(c_store(1), ECHO, c_store(2), encode(ReleaseRequest()))
    echo, head, *pieces, release = left.found
    assert isinstance(echo, Head) and echo.command.field is CommandField.C_ECHO_RQ
    assert isinstance(head, Head) and head.command.message_id == 2
    assert b"".join(bytes(one.data) for one in pieces if isinstance(one, Piece)) == DATA_SET
    assert [one.last for one in pieces if isinstance(one, Piece)][-2:] == [False, True]
    assert isinstance(release, ReleaseRequest)
    assert left.begun is left.error is None
    assert len(bench.stored) == 1
    assert bench.answers() == [(1, 0)]


@pytest.mark.parametrize(
    "sent", [c_store(sop_class=MR), c_store(context=5), c_store(sop_class=VERIFICATION, context=3)]
)
def test_what_may_not_be_stored_goes_back(bench: Bench, sent: bytes) -> None:
    left = bench.run(sent)
    assert isinstance(left.found[0], Head)
    assert not bench.stored and not bench.answers()


def test_who_may_not_store() -> None:
    bench = Bench(frozenset({Permission.ECHO}))
    assert isinstance(bench.run(c_store()).found[0], Head)
    assert not bench.stored
    bench.close()


def test_a_long_instance_goes_back_with_what_came(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_CHUNK_BYTES", 3000)
    monkeypatch.setattr(limits, "ASSOCIATION_READ_BYTES", 2000)
    bench.mine.sendall(c_store())
    left = bench.lent.run()
    assert left.begun is not None
    came = left.begun.gathered
    rest = Messages()  # what the event loop reads on
    assert 3000 <= len(came) < 5500
    assert DATA_SET.startswith(bytes(came[came.index(DATA_SET[:256]) :]))
    assert left.begun.context is CONTEXTS[1]
    assert not left.found and not bench.stored
    assert rest.idle and not bench.lent._messages.idle


def test_a_slow_instance_goes_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.0, 0.0])  # the wait, the first look, the beginning of the message
    monkeypatch.setattr("wherry.clock.monotonic", lambda: next(times, limits.LENT_S + 1))
    bench.mine.sendall(c_store()[:-100])
    left = bench.lent.run()
    assert left.begun is not None and not left.found
    assert not bench.stored


def test_a_trickle_between_instances_goes_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 0.0])
    monkeypatch.setattr("wherry.clock.monotonic", lambda: next(times, limits.LENT_S + 1))
    bench.mine.sendall(b"\4\0")
    assert bench.lent.run() == Left()
    bench.mine.sendall(c_store(1)[2:])
    assert bench.theirs.recv(100_000) == c_store(1)[2:]  # left to the event loop


def test_silence_gives_it_back(bench: Bench) -> None:
    assert bench.lent.run() == Left()


def test_a_cut_leaves_nothing(bench: Bench) -> None:
    left = bench.run(c_store(1), c_store(2)[:-1])
    assert left.begun is not None  # the event loop hears that the caller is gone, and forgets it
    assert len(bench.stored) == 1


def test_a_refusal_is_answered(bench: Bench) -> None:
    bench.refusal = MismatchedDataSet("another one")
    left = bench.run(c_store(1), c_store(2))
    assert left == Left()
    assert bench.answers() == [(1, 0xA900), (2, 0xA900)]


def test_what_is_not_dicom(bench: Bench) -> None:
    left = bench.run(c_store(1), struct.pack(">BxI", 99, 4))
    assert isinstance(left.error, BadPdu)
    assert left.error.reason is AbortReason.UNRECOGNIZED_PDU
    assert len(bench.stored) == 1


def test_a_caller_that_takes_no_answer(bench: Bench) -> None:
    bench.mine.sendall(c_store(1))
    bench.theirs.shutdown(socket.SHUT_WR)  # our answers cannot go out any more
    left = bench.lent.run()
    assert isinstance(left.error, NetworkProtocol)


def test_what_is_no_trouble_of_the_line_is_not_hidden(bench: Bench) -> None:
    bench.refusal = OSError(24, "Too many open files")
    with pytest.raises(OSError, match="Too many"):
        bench.run(c_store(1))


def test_a_caller_that_does_not_wait_for_answers_can_be_stopped_too(bench: Bench) -> None:
    bench.mine.sendall(c_store(1) + c_store(2))
    bench.lent.stop()
    assert bench.lent.run() == Left()
    assert not bench.stored


def test_so_many_threads_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LENT_ASSOCIATIONS", 2)

    async def work() -> None:
        listener = Listener(cast(Services, SimpleNamespace()))
        assert [listener.take_thread() for _ in range(4)] == [True, True, False, False]
        await listener.run(lambda: None)
        assert [listener.take_thread() for _ in range(2)] == [True, False]
        await listener.close()

    asyncio.run(work())


def test_it_can_be_stopped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LENT_WAIT_S", 60.0)
    found: list[Left] = []
    thread = threading.Thread(target=lambda: found.append(bench.lent.run()))
    thread.start()
    bench.mine.sendall(c_store(1))
    assert bench.mine.recv(1)  # it has been answered: the thread waits for the next
    bench.lent.stop()
    thread.join(30)
    assert found == [Left()]
