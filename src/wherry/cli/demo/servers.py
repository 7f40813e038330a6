"""Two ``wherry serve`` processes on free ports, in one temporary folder that goes with them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from wherry import clock
from wherry.cli.demo.client import Client
from wherry.errors import NetworkProtocol, Unavailable

START_S = 60.0
_STOP_S = 15.0
_POLL_S = 0.05
SOURCE, TARGET = "amsterdam", "berlin"


@dataclass(frozen=True)
class DemoServer:
    """One running server."""

    name: str
    url: str
    """Without a slash at the end."""
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:]


@contextmanager
def two_servers() -> Iterator[tuple[DemoServer, DemoServer]]:
    """The sender, which knows the receiver as a peer, and the receiver. Both answer."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wherry-demo-")))
        ports = _free_ports()
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        peers = {SOURCE: {TARGET: [urls[1]]}, TARGET: {SOURCE: [urls[0]]}}
        started = []
        for name, port, url in zip((SOURCE, TARGET), ports, urls, strict=True):
            server = _start(folder, name, port, url, peers[name])
            stack.callback(_stop, server)
            started.append(server)
        for server in started:
            _wait(server)
        yield started[0], started[1]


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _start(folder: Path, name: str, port: int, url: str, peers: dict[str, list[str]]) -> DemoServer:
    configuration = folder / f"{name}.json"
    configuration.write_text(
        json.dumps(
            {
                "Name": name,
                "StorageDirectory": name,
                "HttpPort": port,
                "DicomServerEnabled": False,
                "OrthancPeers": peers,
            }
        )
    )
    environ = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("ORTHANC_", "WHERRY_"))
    }
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "wherry", "serve", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environ,
            start_new_session=True,  # Ctrl-C is for us; we stop them in order
        )
    return DemoServer(name, url, process, log)


def _wait(server: DemoServer) -> None:
    end = clock.monotonic() + START_S
    while True:
        if server.process.poll() is not None:
            raise Unavailable(f"the server {server.name} did not start:\n{server.last_words()}")
        try:
            with Client(server.url) as client:
                client.get("/system")
                return
        except NetworkProtocol:
            if clock.monotonic() > end:
                raise Unavailable(
                    f"the server {server.name} does not answer:\n{server.last_words()}"
                ) from None
            time.sleep(_POLL_S)


def _stop(server: DemoServer) -> None:
    server.process.terminate()
    try:
        server.process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
