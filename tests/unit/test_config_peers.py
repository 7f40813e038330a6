"""Both forms of a peer."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.config import load, read_peer
from wherry.errors import ConfigurationError
from wherry.model import Peer


def test_list_form() -> None:
    assert read_peer("p", ["http://h:8042"]) == Peer("p", "http://h:8042/")
    assert read_peer("p", ["https://h/o/", "u", "s"]) == Peer("p", "https://h/o/", "u", "s")


def test_object_form() -> None:
    peer = read_peer(
        "p",
        {
            "Url": "https://h",
            "Username": "u",
            "Password": "s",
            "HttpHeaders": {"Token": "t"},
            "Timeout": 5,
            "RemoteSelf": "me",
            "Room": 12,
            "Trusted": True,
        },
    )
    assert peer == Peer(
        "p",
        "https://h/",
        "u",
        "s",
        {"Token": "t"},
        timeout_s=5,
        properties={"RemoteSelf": "me", "Room": "12", "Trusted": "true"},
    )
    assert peer.remote_self == "me"


@pytest.mark.parametrize(
    "value",
    [
        [],
        ["http://h", "u"],
        [1],
        "http://h",
        {},
        {"Url": 1},
        {"Url": "h:8042"},
        {"Url": "ftp://h/"},
        {"Url": "http://"},
        {"Url": "http://h:port/"},
        {"Url": "http://h/?q"},
        {"Url": "http://h/ x"},
        {"Url": "http://h", "Timeout": -1},
        {"Url": "http://h", "Timeout": "5"},
        {"Url": "http://h", "Pkcs11": True},
        {"Url": "http://h", "HttpHeaders": {"A\r\nB": "x"}},
        {"Url": "http://h", "HttpHeaders": {"A": "x\ny"}},
        {"Url": "http://h", "HttpHeaders": ["A"]},
        {"Url": "http://h", "CertificateFile": "/no/such/file"},
        {"Url": "http://h", "Deep": {}},
    ],
)
def test_refused(value: object) -> None:
    with pytest.raises(ConfigurationError):
        read_peer("p", value)


def test_misspelt_key_is_reported_and_kept(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(
        '{"OrthancPeers": {"p": {"Url": "http://h", "Usernam": "u", "Colour": "red"}}}'
    )
    config, (warning,) = load([tmp_path], {})
    assert warning.endswith('c.json: "OrthancPeers.p.Usernam": meant "Username"?')
    assert config.orthanc_peers["p"].properties == {"Usernam": "u", "Colour": "red"}


def test_certificate_lies_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "client.pem").write_text("")
    (tmp_path / "c.json").write_text(
        '{"OrthancPeers": {"p": {"Url": "https://h", "CertificateFile": "client.pem"}}}'
    )
    assert load([tmp_path], {})[0].orthanc_peers["p"].certificate_file == str(
        tmp_path / "client.pem"
    )
