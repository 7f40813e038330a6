"""Starts the two kinds of server, each with a folder and a configuration of its own.

Both get the same ports, peers, access rules and durability: Orthanc's default
(``SyncStorageArea``) syncs each file, as Wherry does.

Not here: load and measurement (``driver``).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.api import Api, ServerError

KINDS: Final = ("orthanc", "wherry")
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0


@dataclass
class Server:
    """One running server; ``with`` stops it."""

    kind: str
    folder: Path
    port: int
    peers: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    command: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def api(self) -> Api:
        return Api(self.url)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def __enter__(self) -> Server:
        self.folder.mkdir(parents=True, exist_ok=True)  # of a server that ran there before
        config = self.folder / "config.json"
        config.write_text(json.dumps(self._configuration(), indent=2))
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*(self.command or command(self.kind)), str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not hear."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            print(f"  {self.kind} did not stop within {STOP_TIMEOUT_S:.0f} s", file=sys.stderr)
            self.process.kill()
            self.process.wait()

    def log_tail(self) -> str:
        """The last lines it wrote."""
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-25:])

    def _wait(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if self.process.poll() is not None:
                raise ServerError(f"{self.kind} ended at start:\n{self.log_tail()}")
            try:
                self.api.get("/system")
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise ServerError(f"{self.kind} is silent:\n{self.log_tail()}") from None
                time.sleep(0.02)

    def _configuration(self) -> dict[str, Any]:
        shared: dict[str, Any] = {
            "Name": f"bench-{self.kind}",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "HttpPort": self.port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "OrthancPeers": {name: [url] for name, url in self.peers.items()},
            "HttpTimeout": 600,
        }
        own = {"DicomServerEnabled": False, "Plugins": []} if self.kind == "orthanc" else {}
        return shared | own | dict(self.overrides)


def command(kind: str) -> list[str]:
    """How a kind of server is started; the configuration follows."""
    if kind == "wherry":
        return [sys.executable, "-m", "wherry", "serve"]
    binary = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        raise ServerError("Orthanc is not installed (Debian: apt-get install orthanc)")
    return [binary]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
