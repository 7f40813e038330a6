"""A real server is ended over HTTP, and starts anew: its clients hardly notice."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dicom_files import make_instance
from tests.support.server import Server, free_port, running

WITHIN_S = 30.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(Server(tmp_path)) as found:
        yield found


def configure(server: Server, **settings: object) -> None:
    """Change the configuration file behind the back of the server."""
    path = server.folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def until_name(server: Server, name: str) -> None:
    """Wait for the life that has this name."""
    end = time.monotonic() + WITHIN_S
    while server.json("GET", "/system")["Name"] != name:
        assert time.monotonic() < end, server.log()
        time.sleep(0.02)  # another process starts anew


def test_shutdown_is_a_clean_stop(server: Server) -> None:
    assert server.request("POST", "/tools/shutdown") == (200, b"{}")
    assert server.process is not None
    assert server.process.wait(WITHIN_S) == 0
    server.start()
    assert "without notice" not in server.log()


def test_after_a_reset_everything_works(server: Server) -> None:
    path = json.loads(server.request("POST", "/instances", make_instance())[1])["Path"]
    pid = server.pid
    for life in ("second", "third"):
        configure(server, Name=life)
        assert server.request("POST", "/tools/reset") == (200, b"{}")
        until_name(server, life)
        assert server.get(f"{path}/file")[1] == make_instance()
        other = make_instance(number=2 if life == "second" else 3)
        assert json.loads(server.request("POST", "/instances", other)[1])["Status"] == "Success"
    assert server.json("GET", "/statistics")["CountInstances"] == 3
    assert server.pid == pid
    assert server.request("POST", "/tools/shutdown") == (200, b"{}")
    assert server.process is not None
    assert server.process.wait(WITHIN_S) == 0


def test_nobody_is_refused_during_a_reset(server: Server) -> None:
    configure(server, Name="second")
    failures: list[object] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                status, _ = server.get("/system")
            except (ConnectionResetError, http.client.RemoteDisconnected):
                continue  # let in, but too slow to ask before the end: asks again
            except (OSError, http.client.HTTPException) as error:
                failures.append(error)
            else:
                if status != 200:
                    failures.append(status)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        server.request("POST", "/tools/reset")
        until_name(server, "second")
    finally:
        over.set()
        asking.join()
    assert not failures


def test_another_port_after_a_reset(server: Server) -> None:
    old, server.port = server.port, free_port()
    configure(server, HttpPort=server.port, Name="second")
    connection = http.client.HTTPConnection("127.0.0.1", old, timeout=WITHIN_S)
    connection.request("POST", "/tools/reset")
    assert connection.getresponse().read() == b"{}"
    connection.close()
    end = time.monotonic() + WITHIN_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", server.port)) == 0:
                break
        assert time.monotonic() < end
        time.sleep(0.02)  # another process starts anew
    until_name(server, "second")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", old)) != 0


def test_a_broken_configuration_changes_nothing(server: Server) -> None:
    configure(server, HttpPort="many")
    status, body = server.request("POST", "/tools/reset")
    assert status == 500
    assert "HttpPort" in json.loads(body)["Details"]
    assert server.get("/system")[0] == 200


def test_a_signal_between_two_lives_is_heard(server: Server) -> None:
    configure(server, Name="second")
    server.request("POST", "/tools/reset")
    assert server.stop() == 0
