"""Callers at the DICOM port that do not keep to the standard: each is told why and sent away,
nobody else is disturbed, and nothing of them is left."""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.dicom_files import make_instance
from tests.support.dimse import dicom_server, store, target, travelling
from tests.support.server import Server
from wherry.dicom.attributes import Attribute, write
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.commands import encode as encode_command
from wherry.dicom.wire.messages import fragments, message
from wherry.dicom.wire.pdu import (
    AssociateRequest,
    ProposedContext,
    ReleaseRequest,
    Roles,
    UserInformation,
)
from wherry.dicom.wire.writing import encode
from wherry.modalities.associations.association import Association
from wherry.modalities.echo import echo

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
ABORT, REJECT, ACCEPT, RELEASE = 7, 3, 2, 6

ASK = encode(
    AssociateRequest(
        "ORTHANC",
        "BAD",
        (ProposedContext(1, CT, (EXPLICIT,)), ProposedContext(3, VERIFICATION, (EXPLICIT,))),
        UserInformation(16384, "1.2.3", "BAD"),
    )
)
STORE = Command(
    CommandField.C_STORE_RQ,
    has_data_set=True,
    affected_sop_class=CT,
    affected_sop_instance="1.2.3",
    message_id=1,
    priority=0,
)
ECHO = Command(CommandField.C_ECHO_RQ, affected_sop_class=VERIFICATION, message_id=1)
NESTED = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 10_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, int]]:
    with dicom_server(tmp_path_factory.mktemp("scp"), DicomScpTimeout=2) as found:
        yield found


def call(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """The next PDU: its type and body; (0, b"") when there is none any more."""
    head = exactly(connection, 6)
    if len(head) < 6:
        return 0, b""
    kind, size = struct.unpack(">BxI", head)
    return kind, exactly(connection, size)


def exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        try:
            piece = connection.recv(size - len(found))
        except ConnectionResetError:
            piece = b""
        if not piece:
            break
        found += piece
    return found


def established(port: int) -> socket.socket:
    connection = call(port)
    connection.sendall(ASK)
    assert answer(connection)[0] == ACCEPT
    return connection


def whole(buffers: object) -> bytes:
    return b"".join(map(bytes, buffers))  # type: ignore[call-overload]


def damaged(position: int, value: bytes) -> bytes:
    return ASK[:position] + value + ASK[position + len(value) :]


MANY = encode(
    AssociateRequest(
        "A", "B", tuple(ProposedContext(1, f"1.2.{n}", (EXPLICIT,)) for n in range(10_000))
    )
)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 1),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", 1),
        (struct.pack(">BxI", 1, 2**32 - 1), 6),
        (struct.pack(">BxI", 9, 4), 1),
        (struct.pack(">BxI", 2, 68) + bytes(68), 6),
        (encode(ReleaseRequest()), 2),
        (whole(message(1, ECHO)), 2),
        (damaged(6, b"\0\0"), 6),
        (damaged(74, b"\x10\0\xff\xff"), 6),
        (MANY, 6),
        (ASK + ASK, 2),
    ],
)
def test_before_an_association(served: tuple[Server, int], sent: bytes, reason: int) -> None:
    with call(served[1]) as connection:
        connection.sendall(sent)
        kind, body = answer(connection)
        if kind == ACCEPT:
            kind, body = answer(connection)
        assert (kind, body[2:]) == (ABORT, bytes((2, reason)))
        assert answer(connection)[0] == 0


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (struct.pack(">BxI", 4, 2**32 - 1), 6),
        (struct.pack(">BxI", 4, 16385), 6),
        (struct.pack(">BxIIBB", 4, 100, 2**32 - 1, 1, 3), 6),
        (struct.pack(">BxIIBB", 4, 6, 1, 1, 3), 6),
        (whole(message(5, ECHO)), 6),
        (whole(message(2, ECHO)), 6),
        (whole(fragments(1, b"data", 0)), 5),
        (whole(fragments(1, b"no command", 0, is_command=True)), 0),
        (whole(fragments(1, bytes(70_000), 16384, is_command=True)), 6),
        (whole(message(1, STORE))[:-12] + whole(message(3, ECHO)), 5),
        (whole(message(3, Command(CommandField.C_STORE_RSP, responded_to=9, status=0))), 5),
        (ASK, 2),
        (whole([*message(3, ECHO)[:2], b"\x05\0\0\0\0\x05", bytes(5)]), 6),
    ],
)
def test_within_an_association(served: tuple[Server, int], sent: bytes, reason: int) -> None:
    with established(served[1]) as connection:
        connection.sendall(sent)
        kind, body = answer(connection)
        while kind == 4:
            kind, body = answer(connection)
        assert (kind, body[2:]) == (ABORT, bytes((2, reason)))


def test_a_query_that_is_too_long(served: tuple[Server, int]) -> None:
    query = Command(
        CommandField.C_FIND_RQ, has_data_set=True, affected_sop_class=VERIFICATION, message_id=1
    )
    with established(served[1]) as connection, pytest.raises(OSError):
        for buffer in message(3, query, bytes(64_000_000), 16384):
            connection.sendall(buffer)
        while connection.recv(1000):
            pass
        raise OSError


@pytest.mark.parametrize("data", [NESTED, NESTED[:-3], b"\xff" * 5000, bytes(5000)])
def test_data_sets_that_are_traps(served: tuple[Server, int], data: bytes) -> None:
    file = travelling(make_instance())
    assert file is not None
    with Association(target(served[1]), [(CT, [EXPLICIT])]) as association:
        trap = type(file)(file.sop_class, file.sop_instance, file.syntax, data)
        assert store(association, trap).status in (0xC000, 0xA900)
    assert served[0].files() == set()


def test_other_services_in_a_context(served: tuple[Server, int]) -> None:
    with established(served[1]) as connection:
        for field in (CommandField.C_FIND_RQ, CommandField.N_CREATE_RQ, CommandField.C_GET_RQ):
            command = Command(field, affected_sop_class=VERIFICATION, message_id=7)
            connection.sendall(whole(message(3, command)))
            kind, body = answer(connection)
            assert kind == 4
            assert b"\x00\x00\x00\x09\x02\x00\x00\x00\x11\x02" in body  # unrecognized operation


def test_more_at_once_than_was_agreed_on(served: tuple[Server, int]) -> None:
    with established(served[1]) as connection:
        connection.sendall(whole(message(3, ECHO)) * 5000)
        kinds = set()
        while (kind := answer(connection)[0]) not in (0, ABORT):
            kinds.add(kind)
        assert kinds <= {4}
    echo(target(served[1]))


def sockets(server: Server) -> int:
    count = 0
    for path in Path(f"/proc/{server.pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            count += os.readlink(path).startswith("socket:")
    return count


def threads(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.pid}/task"))


def test_slow_callers_do_not_hurt_others(served: tuple[Server, int]) -> None:
    """500 that send a byte now and then, half of them within an association."""
    server, port = served
    echo(target(port))
    file = travelling(make_instance())
    assert file is not None
    before = sockets(server), threads(server)
    with ExitStack() as stack:
        slow = [stack.enter_context(call(port) if n % 2 else established(port)) for n in range(500)]
        for n, connection in enumerate(slow):
            connection.sendall(ASK[:1] if n % 2 else b"\x04")
        with Association(target(port), [(CT, [EXPLICIT])]) as association:
            assert store(association, file).status == 0
        closed = [answer(connection)[0] for connection in slow]
        assert set(closed) == {ABORT}
    server.request("DELETE", f"/patients/{server.json('GET', '/patients')[0]}")
    _until(lambda: sockets(server) <= before[0])
    assert threads(server) <= before[1] + 1


def test_cut_at_every_boundary_nothing_is_left(served: tuple[Server, int]) -> None:
    """A sender that disappears after any number of bytes: no instance, no file, no descriptor."""
    server, port = served
    echo(target(port))
    before = sockets(server)
    small, large = travelling(make_instance()), travelling(make_instance(pixel_bytes=4_000_000))
    assert small is not None
    assert large is not None
    seeded = random.Random(1)
    for file in (small, large):
        command = Command(
            CommandField.C_STORE_RQ,
            has_data_set=True,
            affected_sop_class=CT,
            affected_sop_instance=file.sop_instance,
            message_id=1,
            priority=0,
        )
        stream = whole(message(1, command, file.data_set, 16384))
        ends = [0, 1, 5, 6, 11, 12, 13, 100, len(stream) - 1, len(stream) - 13]
        for end in [*ends, *(seeded.randrange(len(stream)) for _ in range(30))]:
            with established(port) as connection:
                connection.sendall(stream[:end])
                if seeded.random() < 0.5:  # a reset instead of an end
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    _until(lambda: sockets(server) <= before)
    assert server.json("GET", "/instances") == []
    _until(lambda: server.files() == set())


def test_a_caller_that_takes_an_instance_and_says_nothing(tmp_path: Path) -> None:
    """A C-GET keeps a file open for its caller, but not for ever."""
    get = "1.2.840.10008.5.1.4.1.2.2.3"
    ask = AssociateRequest(
        "ORTHANC",
        "SILENT",
        (ProposedContext(1, get, (EXPLICIT,)), ProposedContext(3, CT, (EXPLICIT,))),
        UserInformation(16384, "1.2.3", "BAD", roles=(Roles(CT, scu=False, scp=True),)),
    )
    data = make_instance()
    file = travelling(data)
    assert file is not None
    query = {
        0x00080018: Attribute("UI", file.sop_instance),
        0x00080052: Attribute("CS", "IMAGE"),
    }
    command = Command(
        CommandField.C_GET_RQ, has_data_set=True, affected_sop_class=get, message_id=1, priority=0
    )
    config = {"DicomAlwaysAllowGet": True, "DicomScpTimeout": 2}
    with dicom_server(tmp_path, **config) as (server, port), call(port) as connection:
        assert server.request("POST", "/instances", data)[0] == 200
        connection.sendall(encode(ask))
        assert answer(connection)[0] == ACCEPT
        connection.sendall(whole(message(1, command, write(query, EXPLICIT))))
        kinds = []
        while (kind := answer(connection)[0]) != 0:
            kinds.append(kind)
        assert set(kinds[:-1]) == {4}
        assert kinds[-1] == ABORT


def test_as_many_as_there_is_room_for(tmp_path: Path) -> None:
    """Beyond the bound callers hear that it is so for now, and room comes back."""
    with dicom_server(tmp_path) as (_, port), ExitStack() as stack:
        kinds = []
        for _ in range(1010):
            connection = stack.enter_context(call(port))
            connection.sendall(ASK)
            kind, body = answer(connection)
            kinds.append(kind)
        assert kinds == [ACCEPT] * 1000 + [REJECT] * 10
        assert body[1:] == bytes((2, 3, 2))
        stack.close()
        echo(target(port))


def test_commands_of_any_bytes(served: tuple[Server, int]) -> None:
    """Each damaged command is answered, or ends its own association."""
    seeded = random.Random(2)
    good = encode_command(ECHO)
    for _ in range(200):
        data = bytearray(good)
        for _ in range(seeded.randrange(1, 4)):
            data[seeded.randrange(len(data))] = seeded.randrange(256)
        with established(served[1]) as connection:
            connection.sendall(whole(fragments(3, bytes(data), 0, is_command=True)))
            connection.sendall(encode(ReleaseRequest()))
            kinds = []
            while (kind := answer(connection)[0]) != 0:
                kinds.append(kind)
            assert kinds
            assert kinds[-1] in (ABORT, RELEASE)
    echo(target(served[1]))


def _until(holds: object) -> None:
    """Polls another process."""
    import time

    end = time.monotonic() + 30
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)
