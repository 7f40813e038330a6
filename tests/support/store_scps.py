"""DCMTK's receivers of instances, for tests of sending: with what they were given to hand."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.server import free_port

_PATH = "/usr/bin:/usr/local/bin"
_START_S = 30.0


def tool(name: str) -> str:
    """Where a program of DCMTK is; skips the test when it is nowhere. (A tool of pynetdicom has
    the same name, but lies elsewhere.)"""
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.skip(f"there is no {name}: apt-get install dcmtk")
    return found


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    """A ``storescp`` that writes what it gets into ``folder``, bit for bit; its port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [tool("storescp"), "+B", "-pm", "-od", str(folder), *options, str(port)]
    with _serving(command, folder.parent / f"{folder.name}.log", port):
        yield port


@contextmanager
def dcmqrscp(folder: Path, *, associations: int = 16) -> Iterator[int]:
    """A ``dcmqrscp`` whose only storage area is ``folder``, open to everybody as ``QRSCP``."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder.parent / "dcmqrscp.cfg"
    config.write_text(
        f"NetworkTCPPort = {port}\n"
        "MaxPDUSize = 16384\n"
        f"MaxAssociations = {associations}\n"
        "HostTable BEGIN\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        "AETable BEGIN\n"
        f"QRSCP {folder} RW (1000, 2048mb) ANY\n"
        "AETable END\n"
    )
    command = [tool("dcmqrscp"), "-c", str(config)]
    with _serving(command, folder.parent / "dcmqrscp.log", port):
        yield port


@contextmanager
def _serving(command: Sequence[str], log: Path, port: int) -> Iterator[None]:
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        _await(process, port, log)
        yield
    finally:
        process.terminate()
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _START_S
    while True:
        assert process.poll() is None, log.read_text(errors="replace")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < until, "it does not listen"
            time.sleep(0.02)  # waiting for another process to listen
