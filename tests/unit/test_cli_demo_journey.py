"""The demonstration believes nothing: it notices every way in which a study may not arrive."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from wherry.cli.demo import journey
from wherry.cli.demo.journey import Plan, demonstrate
from wherry.cli.demo.servers import DemoServer

PLAN = Plan(slices=3, frames=1, compression="none", keep=False)


class Handler(BaseHTTPRequestHandler):
    """What the demonstration needs of a server, over dictionaries."""

    protocol_version = "HTTP/1.1"
    source: ClassVar[dict[str, bytes]]
    target: ClassVar[dict[str, bytes]]
    job: ClassVar[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/instances":
            orthanc_id = hashlib.md5(body).hexdigest()
            self.source[orthanc_id] = body
            self.answer({"ID": orthanc_id, "ParentStudy": "study", "Status": "Success"})
        else:
            assert self.path == "/transfers/send"
            assert json.loads(body) == {
                "Resources": [{"Level": "Study", "ID": "study"}],
                "Compression": "none",
                "Peer": "berlin",
            }
            self.arrive()
            self.answer({"ID": "job", "Path": "/jobs/job"})

    def arrive(self) -> None:
        self.target.update(self.source)

    def do_GET(self) -> None:
        if self.path == "/jobs/job":
            self.answer(self.job)
        elif self.path == "/instances":
            self.answer(list(self.target))
        else:
            name = self.path.split("/")[2]
            here = self.server.server_port == self.ports[0]  # type: ignore[attr-defined]
            self.send((self.source if here else self.target)[name])

    ports: ClassVar[tuple[int, int]]

    def answer(self, value: object) -> None:
        self.send(json.dumps(value).encode())

    def send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Handler]]:
    """Two stub servers in place of the real ones."""

    class Stub(Handler):
        source: ClassVar = {}
        target: ClassVar = {}
        job: ClassVar = {"State": "Success", "Progress": 100, "EffectiveRuntime": 0.5}

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Stub) for _ in range(2)]
    Stub.ports = (servers[0].server_port, servers[1].server_port)
    running = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in servers]

    @contextmanager
    def two_servers() -> Iterator[list[DemoServer]]:
        yield [
            DemoServer(name, f"http://127.0.0.1:{port}", None, tmp_path)  # type: ignore[arg-type]
            for name, port in zip(("amsterdam", "berlin"), Stub.ports, strict=True)
        ]

    monkeypatch.setattr(journey, "two_servers", two_servers)
    monkeypatch.setattr(journey.signal, "signal", lambda *_: None)
    for thread in running:
        thread.start()
    yield Stub
    for server, thread in zip(servers, running, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def test_all_arrives(handler: type[Handler], capsys: pytest.CaptureFixture[str]) -> None:
    assert demonstrate(PLAN) == 0
    out = capsys.readouterr().out
    assert out.endswith("verified: 4 of 4 instances identical\n")
    assert "Summary" in out


@pytest.mark.parametrize("damage", ["lost", "changed", "extra"])
def test_damage_is_seen(
    damage: str,
    handler: type[Handler],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def arrive(self: Handler) -> None:
        self.target.update(self.source)
        name = next(iter(self.source))
        if damage == "lost":
            del self.target[name]
        elif damage == "changed":
            self.target[name] = self.target[name][:-1] + b"?"
        else:
            self.target["stranger"] = b""

    monkeypatch.setattr(handler, "arrive", arrive)
    assert demonstrate(PLAN) == 1
    out = capsys.readouterr().out
    identical = 4 if damage == "extra" else 3
    assert out.endswith(f"verified: {identical} of 4 instances identical\n")
    word = {"lost": "did not arrive", "changed": "differs at the receiver", "extra": "never sent"}
    assert word[damage] in out


def test_change_at_the_sender_is_seen(
    handler: type[Handler],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def arrive(self: Handler) -> None:
        name = next(iter(self.source))
        self.source[name] = b"other"
        self.target.update(self.source)

    monkeypatch.setattr(handler, "arrive", arrive)
    assert demonstrate(PLAN) == 1
    assert "differs at the sender" in capsys.readouterr().out


def test_failed_job_tells_its_cause(
    handler: type[Handler], capsys: pytest.CaptureFixture[str]
) -> None:
    handler.job = {"State": "Failure", "Progress": 50, "ErrorDetails": "instance X is corrupted"}
    assert demonstrate(PLAN) == 1
    assert "instance X is corrupted" in " ".join(capsys.readouterr().out.split())
