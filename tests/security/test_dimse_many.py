"""64 callers at once with mixed services, some of which go in the middle: everybody gets what is
theirs, and nothing of them is left."""

from __future__ import annotations

import os
import random
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from pydicom import dcmread

from tests.support.dicom_files import make_instance
from tests.support.dimse import dicom_server, store, target, travelling
from tests.support.jobs import eventually
from tests.support.server import Server
from wherry.dicom.attributes import Attribute, write
from wherry.dicom.wire.commands import Command, CommandField
from wherry.modalities.associations.association import Association
from wherry.modalities.echo import echo

CALLERS = 64
ROUNDS = 3
CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
EXPLICIT = "1.2.840.10008.1.2.1"


class Gone(Exception):
    """The caller aborts its association."""


def sockets(server: Server) -> int:
    count = 0
    for path in Path(f"/proc/{server.pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            count += os.readlink(path).startswith("socket:")
    return count


def resident_bytes(server: Server) -> int:
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no such process")


def life(port: int, number: int) -> set[str]:
    """One caller: the instances of which it was told that they are stored."""
    seeded = random.Random(number)
    acknowledged = set()
    for round in range(ROUNDS):
        data = make_instance(number, round + 1, pixel_bytes=2048 * (1 + 200 * (number % 3)))
        file = travelling(data)
        assert file is not None
        contexts = [(CT, [EXPLICIT]), (FIND, [EXPLICIT])]
        with suppress(Gone), Association(target(port), contexts) as association:
            assert store(association, file).status == 0
            acknowledged.add(file.sop_instance)
            if seeded.random() < 0.3:
                raise Gone
            assert found(association, str(dcmread(BytesIO(data)).StudyInstanceUID)) == 1
        if seeded.random() < 0.3:
            cut(port, seeded.randrange(1, 200))
        echo(target(port))
    return acknowledged


def found(association: Association, study: str) -> int:
    """Answers to a query for a study."""
    keys = {
        0x00080052: Attribute("CS", "STUDY"),
        0x0020000D: Attribute("UI", study),
        0x00201208: Attribute("IS", ""),
    }
    message_id = association.next_message_id()
    command = Command(
        CommandField.C_FIND_RQ,
        has_data_set=True,
        affected_sop_class=FIND,
        message_id=message_id,
        priority=0,
    )
    association.send(association.context_of(FIND).id, command, write(keys, EXPLICIT))
    count = 0
    while True:
        answer = association.receive().command
        assert answer.responded_to == message_id
        if answer.status != 0xFF00:
            assert answer.status == 0
            return count
        count += 1


def cut(port: int, size: int) -> None:
    """Somebody who says a little and goes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"\x01\x00\x00\x00\x00\xcd" + bytes(size))


def test_64_callers(tmp_path: Path) -> None:
    config = {"DicomAlwaysAllowFind": True, "Wherry": {"WorkerThreads": 4}}
    with dicom_server(tmp_path, **config) as (server, port):
        life(port, 1000)
        before = sockets(server)
        with ThreadPoolExecutor(CALLERS) as callers:
            acknowledged = set().union(*callers.map(lambda n: life(port, n), range(CALLERS)))
        assert len(acknowledged) == CALLERS * ROUNDS
        uids = {
            one["MainDicomTags"]["SOPInstanceUID"]
            for one in server.json("GET", "/instances?expand")
        }
        assert acknowledged <= uids
        eventually(lambda: sockets(server) <= before, "the sockets of those who have gone")
        assert len(server.files()) == len(server.json("GET", "/instances"))
        assert resident_bytes(server) < 250_000_000
