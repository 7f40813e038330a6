"""What tests of DICOM associations share: a server with a DICOM port, files as they travel."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.server import Server, free_port, running
from wherry.dicom.elements import UnreadableError
from wherry.dicom.preamble import read_preamble
from wherry.dicom.scan import scan
from wherry.dicom.wire.commands import Command, CommandField
from wherry.errors import WherryError
from wherry.modalities.associations.association import Association
from wherry.modalities.associations.connection import Target


@contextmanager
def dicom_server(folder: Path, **config: Any) -> Iterator[tuple[Server, int]]:
    """A Wherry that takes DICOM: itself, and the port."""
    port = free_port()
    settings = {"DicomServerEnabled": True, "DicomPort": port, "RemoteAccessAllowed": False}
    with running(Server(folder, settings | config)) as server:
        yield server, port


def dcmtk(*command: object, expect: int | None = 0) -> str:
    """Run a program of DCMTK; what it said. ``expect``: its exit code, None: any."""
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    said = done.stdout.decode(errors="replace")
    assert expect is None or done.returncode == expect, said
    return said


@dataclass(frozen=True)
class Travelling:
    """A file as C-STORE moves it."""

    sop_class: str
    sop_instance: str
    syntax: str
    data_set: bytes


def travelling(data: bytes) -> Travelling | None:
    """None when it cannot travel: it is no instance, or does not say what it is."""
    try:
        syntax, _, _, position = read_preamble(data)
        summary = scan(data)
    except (UnreadableError, WherryError):
        return None
    if not summary.sop_class_uid:
        return None
    return Travelling(summary.sop_class_uid, summary.sop_instance_uid, syntax, data[position:])


def target(port: int, calling: str = "TESTER", called: str = "ORTHANC") -> Target:
    """Our end, patient enough for a busy machine."""
    return Target(called, calling, "127.0.0.1", port, 60)


def store(association: Association, file: Travelling, **members: Any) -> Command:
    """Send one instance; the answer."""
    context = next(
        one
        for one in association.contexts
        if (one.abstract_syntax, one.transfer_syntax) == (file.sop_class, file.syntax)
    )
    told: dict[str, Any] = {
        "affected_sop_class": file.sop_class,
        "affected_sop_instance": file.sop_instance,
    }
    command = Command(
        CommandField.C_STORE_RQ,
        has_data_set=True,
        message_id=association.next_message_id(),
        priority=0,
        **(told | members),
    )
    association.send(context.id, command, file.data_set)
    return association.receive().command
