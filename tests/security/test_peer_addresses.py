"""Nobody turns the server against machines that the configuration closes, by whatever name."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.support.face import serving
from tests.support.receiver import Receiver, receiving
from tests.support.server import Server, running
from wherry.config import load
from wherry.config.networks import LINK_LOCAL
from wherry.config.settings import WherryConfig
from wherry.errors import ConfigurationError, PeerUnavailable
from wherry.model import Peer
from wherry.peers.addresses import ForbiddenAddress, Guard
from wherry.peers.client import PeerClient, Request
from wherry.peers.proxy import read_proxy
from wherry.peers.tls import Tls

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
GET = Request("GET", "/system", "look")
METADATA_SERVICE = "169.254.169.254"


class Listener:
    """A port at which every connection is counted, and closed."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port = self._socket.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def client(url: str, *forbidden: Any, proxy: str = "") -> PeerClient:
    networks = forbidden or LOOPBACK
    peer = Peer("there", url)
    return PeerClient(
        peer, timeout_s=20, tls=Tls(False), proxy=read_proxy(proxy), forbidden=networks
    )


# --- addresses and networks ----------------------------------------------------------------
@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("169.254.0.0/16", METADATA_SERVICE),
        ("169.254.0.0/16", f"::ffff:{METADATA_SERVICE}"),
        ("fe80::/10", "fe80::1"),
        ("fe80::/10", "fe80::1%lo"),
        ("127.0.0.0/8", "0.0.0.0"),
        ("0.0.0.0/8", "0.0.0.0"),
        ("127.0.0.0/8", "::ffff:0.0.0.0"),
        ("::1/128", "::"),
        ("::/128", "::"),
        ("::ffff:0:0/96", "::ffff:10.1.2.3"),
        ("0.0.0.0/0", "8.8.8.8"),
    ],
)
def test_what_lies_in_a_network_is_refused(network: str, address: str) -> None:
    with pytest.raises(ForbiddenAddress, match="there") as error:
        Guard("there", (ip_network(network),)).check(address)
    assert network in error.value.details
    assert not error.value.temporary


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "8.8.8.8", "2001:db8::1"])
def test_what_lies_elsewhere_is_allowed(address: str) -> None:
    Guard("there", LINK_LOCAL).check(address)


# --- connections ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.77.1.2",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "2130706433",
        "127.1",
        "0x7f000001",
        "0177.0.0.1",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_notation_of_an_address_gets_through(listener: Listener, host: str, scheme: str) -> None:
    with client(f"{scheme}://{host}:{listener.port}/") as there, pytest.raises(ForbiddenAddress):
        there.ask(GET)
    assert listener.connections == 0
    closed = client(f"{scheme}://{host}:{listener.port}/", *LINK_LOCAL)
    with closed as there, pytest.raises(PeerUnavailable):
        there.ask(GET)
    assert listener.connections == 1, "else the first half says nothing"


def test_a_name_is_looked_up_once_for_check_and_connection(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers harmlessly first, and differently when asked again."""
    asked: list[str] = []

    def look_up(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else METADATA_SERVICE
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    there = client(f"http://rebound.example:{listener.port}/", *LINK_LOCAL)
    with there, pytest.raises(PeerUnavailable):
        there.ask(GET)
    assert listener.connections == 1
    with there, pytest.raises(ForbiddenAddress):
        there.ask(GET)
    assert len(asked) == 2


def test_of_several_addresses_the_allowed_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(host: str, port: int, **_: object) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in (METADATA_SERVICE, "127.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with receiving() as receiver:
        port = receiver.url.rstrip("/").rpartition(":")[2]
        with client(f"http://two.example:{port}/", *LINK_LOCAL) as there:
            assert b"receiver" in there.ask(GET).body


# --- through a proxy -----------------------------------------------------------------------
@pytest.mark.parametrize("host", [METADATA_SERVICE, "2852039166", "0xa9.254.43518", "[fe80::1]"])
@pytest.mark.parametrize("dot", ["", "."])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_is_not_asked_for_a_forbidden_address(
    listener: Listener, host: str, dot: str, scheme: str
) -> None:
    if dot and host.startswith("["):
        return
    there = client(f"{scheme}://{host}{dot}/", *LINK_LOCAL, proxy=f"127.0.0.1:{listener.port}")
    with there, pytest.raises(ForbiddenAddress):
        there.ask(GET)
    assert listener.connections == 0


def test_a_proxy_itself_may_be_anywhere(listener: Listener) -> None:
    there = client("http://name.example/", *LOOPBACK, proxy=f"127.0.0.1:{listener.port}")
    with there, pytest.raises(PeerUnavailable):
        there.ask(GET)
    assert listener.connections == 1


# --- a server ------------------------------------------------------------------------------
@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_a_peer_declared_over_rest_is_refused_where_it_is_used(
    tmp_path: Path, receiver: Receiver
) -> None:
    config = {"Wherry": {"ForbiddenPeerAddresses": ["127.0.0.0/8"]}}
    with running(Server(tmp_path / "server", config=config)) as server:
        server.request("PUT", "/peers/x", json.dumps({"Url": receiver.url}).encode())
        status, body = server.get("/peers/x/system")
        assert status == 403
        said = json.loads(body)
        assert said["OrthancStatus"] == 45
        assert "x" in said["Details"]
        assert "127.0.0.0/8" in said["Details"]
        order: dict[str, Any] = {"Resources": [], "Peer": "x", "Compression": "none"}
        for route, kind in (("send", "PushTransfer"), ("pull", "PullTransfer")):
            job = server.wait_for_job(server.json("POST", f"/transfers/{route}", order)["ID"])
            assert (job["State"], job["Type"], job["ErrorCode"]) == ("Failure", kind, 45)
            assert "127.0.0.0/8" in job["ErrorDetails"]
        assert server.json("GET", "/transfers/peers") == {"x": "disabled"}
        assert receiver.headers == []


def test_link_local_addresses_are_closed_by_default(tmp_path: Path) -> None:
    with serving(tmp_path) as face:
        for name, host in (("v4", METADATA_SERVICE), ("v6", "[fe80::1]")):
            face.request("PUT", f"/peers/{name}", json.dumps([f"http://{host}/"]).encode())
            assert face.get(f"/peers/{name}/system").status == 403


# --- the configuration ---------------------------------------------------------------------
def read(tmp_path: Path, value: Any) -> WherryConfig:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"Wherry": {"ForbiddenPeerAddresses": value}}))
    config, warnings = load([path], {})
    assert warnings == []
    return config.wherry


def test_networks_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, ["10.0.0.0/8", "192.0.2.1", "::1"]).forbidden_peer_addresses
    assert list(map(str, found)) == ["10.0.0.0/8", "192.0.2.1/32", "::1/128"]
    assert read(tmp_path, []).forbidden_peer_addresses == ()
    assert WherryConfig().forbidden_peer_addresses == LINK_LOCAL
    said = {"WHERRY__WHERRY__FORBIDDEN_PEER_ADDRESSES": '["10.0.0.0/8"]'}
    assert load([], said)[0].wherry.forbidden_peer_addresses == (ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize("wrong", ["10.0.0.0/8", ["10.0.0.1/8"], ["localhost"], [""], [8], {}])
def test_what_is_no_network_stops_the_start(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="ForbiddenPeerAddresses"):
        read(tmp_path, wrong)
