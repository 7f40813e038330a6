"""DCMTK's servers, each in a process of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.dimse import dcmtk
from tests.support.server import free_port

needs_dcmtk = pytest.mark.skipif(
    shutil.which("dcmqrscp") is None, reason="there is no DCMTK: apt-get install dcmtk"
)
_START_S = 30.0


@contextmanager
def listening(port: int, *command: object) -> Iterator[None]:
    """A program, from the moment that it listens until the end of the block."""
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + _START_S
        while True:
            assert process.poll() is None, f"{command[0]} has ended"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                assert time.monotonic() < end, f"{command[0]} does not listen"
                time.sleep(0.02)  # waiting for another process to listen
            else:
                break
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def dcmqrscp(
    folder: Path, files: list[bytes], hosts: Mapping[str, int], *options: object
) -> Iterator[int]:
    """An archive with ``files`` that knows ``hosts``, titles and ports; its port. It is called
    QRSCP."""
    port = free_port()
    (folder / "db").mkdir(parents=True)
    known = [f"h{n} = ({title}, localhost, {at})" for n, (title, at) in enumerate(hosts.items())]
    settings = [
        *(f"NetworkTCPPort = {port}", "MaxPDUSize = 16384", "MaxAssociations = 16"),
        *("HostTable BEGIN", *known, "HostTable END"),
        *("VendorTable BEGIN", "VendorTable END"),
        *("AETable BEGIN", f"QRSCP {folder / 'db'} RW (500, 1024mb) ANY", "AETable END"),
    ]
    (folder / "config").write_text("\n".join(settings) + "\n")
    names = []
    for number, data in enumerate(files):
        names.append(folder / f"{number}.dcm")
        names[-1].write_bytes(data)
    with listening(port, "dcmqrscp", *options, "-c", folder / "config"):
        dcmtk("storescu", "-aec", "QRSCP", "127.0.0.1", port, *names)
        yield port


@contextmanager
def storescp(folder: Path) -> Iterator[int]:
    """A store that keeps what it is sent, bit by bit, in ``folder``; its port."""
    port = free_port()
    folder.mkdir(parents=True)
    with listening(port, "storescp", "+B", "-od", folder, port):
        yield port


@contextmanager
def wlmscpfs(folder: Path, entries: list[bytes]) -> Iterator[int]:
    """A worklist with ``entries``, DICOM files; its port. It is called WORKLIST."""
    port = free_port()
    (folder / "WORKLIST").mkdir(parents=True)
    (folder / "WORKLIST" / "lockfile").touch()
    for number, data in enumerate(entries):
        (folder / "WORKLIST" / f"{number}.wl").write_bytes(data)
    with listening(port, "wlmscpfs", "-dfp", folder, port):
        yield port
