"""``/transfers/peers``: the living are seen whatever the others do, and told apart."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.face import Face, serving
from tests.support.proxy import Message, Proxy, proxied
from tests.support.server import Server, running
from wherry import limits
from wherry.config.settings import TransfersConfig

HASTY = TransfersConfig(peer_connectivity_timeout_s=1)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = {"RegisteredUsers": {"a": "b"}, "AuthenticationEnabled": True}
    with running(Server(tmp_path_factory.mktemp("there"), config=config)) as server:
        yield server


@pytest.fixture
def proxy(there: Server) -> Iterator[Proxy]:
    """In front of ``there``; knows its password."""
    with proxied(there.port) as proxy:
        yield proxy


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    with serving(tmp_path, transfers=HASTY) as face:
        yield face


def peers_of(face: Face, query: str = "") -> Any:
    reply = face.get(f"/transfers/peers{query}")
    assert reply.status == 200, reply.body
    return reply.json()


def declare(face: Face, name: str, entry: Any) -> None:
    assert face.request("PUT", f"/peers/{name}", json.dumps(entry).encode()).status == 200


def entry(url: str, **more: Any) -> dict[str, Any]:
    return {"Url": url, "Username": "a", "Password": "b", **more}


class Dripping:
    """A server that sends the head of an answer without end: a byte now and then."""

    def __init__(self) -> None:
        self.gone = threading.Event()
        """The client has closed its connection."""
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._drip, args=(connection,), daemon=True).start()

    def _drip(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not self._stop.wait(0.05):
                connection.sendall(b"y")
        self.gone.set()

    def close(self) -> None:
        self._stop.set()
        self._listener.close()


@pytest.fixture
def dripping() -> Iterator[Dripping]:
    server = Dripping()
    yield server
    server.close()


def json_of(message: Message, value: Any) -> None:
    message.status, message.answer = 200, json.dumps(value).encode()


def test_what_is_known_of_each_peer(
    face: Face, there: Server, proxy: Proxy, dripping: Dripping
) -> None:
    def bend(message: Message) -> None:
        if message.path.startswith("/stock/"):
            message.path = message.path.removeprefix("/stock")
            if message.path == "/transfers/inventory":
                message.status = 404
        elif message.path == "/bare/plugins":
            json_of(message, ["dicom-web"])
        elif message.path == "/bare/system":
            json_of(message, {"Version": "1.9.7"})
        elif message.path.startswith("/odd/"):
            if message.path == "/odd/plugins":
                json_of(message, ["transfers"])
            elif message.path == "/odd/system":
                json_of(message, {"Version": 3})
            else:
                message.status = 500
        elif message.path.startswith("/away/"):
            message.status = 302

    proxy.rule = bend
    declare(face, "a-dead", ["http://127.0.0.1:1/"])
    declare(face, "away", [f"{proxy.url}away/"])
    declare(face, "bare", [f"{proxy.url}bare/"])
    declare(face, "closed", ["http://169.254.169.254/"])
    declare(face, "dripping", [dripping.url])
    declare(face, "locked", [there.url])
    declare(face, "odd", [f"{proxy.url}odd/"])
    declare(face, "wherry", entry(there.url, RemoteSelf="us"))
    version = there.request("GET", "/system", headers=basic())[1]

    states = peers_of(face)
    assert states == {
        "a-dead": "disabled",
        "away": "disabled",
        "bare": "disabled",
        "closed": "disabled",
        "dripping": "disabled",
        "locked": "disabled",
        "odd": "installed",
        "wherry": "bidirectional",
    }
    assert peers_of(face, "?expand=false") == states
    found = peers_of(face, "?expand")
    assert {name: peer["State"] for name, peer in found.items()} == states
    errors = {name: peer.pop("Error", "") for name, peer in found.items()}
    assert "refused" in errors["a-dead"]
    assert "redirect" in errors["away"]
    assert "no transfers accelerator" in errors["bare"]
    assert "169.254.0.0/16" in errors["closed"]
    assert "dripping" in errors["dripping"]
    assert "401" in errors["locked"]
    assert errors["odd"] == errors["wherry"] == ""
    for name in ("bare", "odd", "wherry"):
        assert found[name].pop("RoundTripMs") > 0
    assert found["bare"] == {"State": "disabled", "Version": "1.9.7"}
    assert found["odd"] == {"State": "installed"}
    assert found["wherry"] == {
        "State": "bidirectional",
        "Version": json.loads(version)["Version"],
        "Dialect": "wherry",
    }
    for name in ("a-dead", "away", "closed", "dripping", "locked"):
        assert set(found[name]) == {"State"}
    assert dripping.gone.wait(20)


def basic() -> dict[str, str]:
    return {"Authorization": "Basic YTpi"}


def test_a_stock_peer_speaks_another_dialect(tmp_path: Path, face: Face) -> None:
    with (
        running(Server(tmp_path / "open")) as server,
        proxied(server.port) as proxy,
    ):

        def bend(message: Message) -> None:
            if message.path == "/transfers/inventory":
                message.status = 404

        proxy.rule = bend
        declare(face, "stock", [proxy.url])
        found = peers_of(face, "?expand")["stock"]
        assert (found["State"], found["Dialect"]) == ("installed", "stock")
        assert peers_of(face) == {"stock": "installed"}
        assert proxy.sent("POST") == ["/transfers/inventory"]


def test_a_name_that_is_looked_up_for_ever_holds_nobody_up(
    face: Face, there: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up, found_out = socket.getaddrinfo, threading.Event()
    hanging: list[str] = []
    waited_for: list[str] = []

    def slowly(host: str, *args: Any, **kwargs: Any) -> Any:
        if host.endswith(".example"):
            hanging.append(host)
            if not found_out.wait(30):
                waited_for.append(host)
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    monkeypatch.setattr(limits, "PEER_PROBES", 3)
    with serving(face.folder / "other", transfers=HASTY) as other:
        declare(other, "a-hanging", ["http://a.example/"])
        declare(other, "b-hanging", ["http://b.example/"])
        declare(other, "there", entry(there.url))
        for query in ("", "?expand"):
            found = peers_of(other, query)
            assert len(hanging) <= limits.PEER_PROBES, "threads that hang are bounded"
            if not query:
                assert found["there"] == "installed"
                assert found["a-hanging"] == found["b-hanging"] == "disabled"
            else:
                assert "No answer" in found["a-hanging"]["Error"]
        found_out.set()
    assert waited_for == []


def test_no_peers(face: Face) -> None:
    assert peers_of(face) == peers_of(face, "?expand") == {}
    assert face.get("/transfers/peers?expand=perhaps").status == 400
