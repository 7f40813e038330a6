"""A real Wherry in a process of its own, for tests that look at it from outside."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_S = 60.0


def free_port() -> int:
    """A TCP port that nobody listens on, and that is handed out to nobody else as long as this
    process lives: a server that was killed finds it free again. Below the ports that the system
    gives to outgoing connections."""
    folder = Path(tempfile.gettempdir()) / "wherry-test-ports"
    folder.mkdir(exist_ok=True)
    for _ in range(1000):
        port = random.randrange(20_000, 32_000)
        if _reserve(folder / str(port)) and _is_free(port):
            return port
    raise AssertionError("there is no free port")


def _reserve(path: Path) -> bool:
    """Write this process into the file of a port, unless a living one stands there."""
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        owner = file.read()
        if owner and Path(f"/proc/{owner}").exists():
            return False
        file.truncate(0)
        file.write(str(os.getpid()))
        return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@dataclass
class Server:
    """One Wherry; ``start`` may follow ``kill`` or ``stop``, on the same folders and port."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage(self) -> Path:
        return self.folder / "storage"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def command(self, path: Path) -> list[str]:
        """What runs it with the configuration ``path``."""
        return [sys.executable, "-m", "wherry", "serve", str(path)]

    def write(self) -> Path:
        """Write the configuration."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "StorageDirectory": str(self.storage),
            "IndexDirectory": str(self.folder / "index"),
            "HttpPort": self.port,
            "DicomServerEnabled": False,
            **self.config,
        }
        path = self.folder / "config.json"
        path.write_text(json.dumps(settings))
        return path

    def start(self) -> Server:
        """Start and wait until it answers."""
        path = self.write()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(path),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environ},
            )
        self._wait()
        return self

    def _wait(self) -> None:
        assert self.process is not None
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended at start:\n{self.log()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)  # waiting for another process to listen
            else:
                if self.get("/system")[0] in (200, 401):
                    return
        raise AssertionError(f"the server did not answer:\n{self.log()}")

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-5000:]

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """One request on a connection of its own: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, bytes]:
        return self.request("GET", path)

    def json(self, method: str, path: str, value: Any = None) -> Any:
        """A request that must succeed, JSON in and out."""
        body = None if value is None else json.dumps(value).encode()
        status, answer = self.request(method, path, body)
        assert status == 200, (method, path, status, answer)
        return json.loads(answer)

    def files(self) -> set[str]:
        """Names of all files in the storage area."""
        return {path.name for path in self.storage.glob("??/*/*")}

    def wait_for_job(self, job: str, within_s: float = 60.0) -> dict[str, Any]:
        """The job when it has ended."""
        end = time.monotonic() + within_s
        while True:
            found: dict[str, Any] = self.json("GET", f"/jobs/{job}")
            if found["State"] in ("Success", "Failure"):
                return found
            assert time.monotonic() < end, found
            time.sleep(0.02)  # polling another process


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """A started server, killed at the end whatever happened."""
    try:
        yield server.start()
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
