"""Configured and declared peers, on every index."""

from __future__ import annotations

from typing import Any

import pytest

from wherry import limits
from wherry.config import Config
from wherry.errors import BadFileFormat, InexistentItem, TooLarge, UnknownResource
from wherry.index.database import Index
from wherry.model import Peer
from wherry.peers import PeerBook

CONFIGURED = Peer("configured", "http://configured:8042/")


@pytest.fixture
def book(index: Index) -> PeerBook:
    return PeerBook(Config(orthanc_peers={"configured": CONFIGURED}), index)


def test_declared_peers_are_kept_for_every_process(book: PeerBook, index: Index) -> None:
    book.put("b", {"URL": "http://b", "Username": "u", "Password": "p", "RemoteSelf": "us"})
    book.put("a", ["http://a:1/", "u", "p"])
    other = PeerBook(Config(), index)
    assert other.names() == ["a", "b"]
    assert book.names() == ["a", "b", "configured"]
    found = other.get("b")
    assert (found.url, found.password, found.remote_self) == ("http://b/", "p", "us")
    assert "p'" not in repr(found)
    other.remove("a")
    assert book.names() == ["b", "configured"]
    with pytest.raises(UnknownResource):
        book.get("a")


def test_a_configured_peer_can_be_hidden_and_come_back(book: PeerBook) -> None:
    assert book.get("configured") == CONFIGURED
    book.put("configured", ["http://elsewhere/"])
    assert book.get("configured").url == "http://elsewhere/"
    book.remove("configured")
    assert book.names() == []
    with pytest.raises(UnknownResource):
        book.get("configured")
    with pytest.raises(InexistentItem):
        book.remove("configured")
    book.put("configured", ["http://again/"])
    assert book.names() == ["configured"]


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("a", {}),
        ("a", []),
        ("a", None),
        ("a", "http://a/"),
        ("a", ["ftp://a/"]),
        ("a", ["http://a/", "only a name"]),
        ("a", {"Url": 7}),
        ("a", {"Url": "file:///etc/passwd"}),
        ("a", {"Url": "http://a/", "HttpHeaders": {"X\r\nY": "z"}}),
        ("", ["http://a/"]),
        ("a\n", ["http://a/"]),
        ("a" * 129, ["http://a/"]),
    ],
)
def test_senseless_entries_are_refused(book: PeerBook, name: str, entry: Any) -> None:
    with pytest.raises(BadFileFormat):
        book.put(name, entry)
    assert book.names() == ["configured"]


def test_unknown_peers_and_too_many(
    book: PeerBook, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownResource):
        book.get("nobody")
    with pytest.raises(InexistentItem):
        book.remove("nobody")
    monkeypatch.setattr(limits, "PEERS", 1)
    book = PeerBook(Config(), index)
    book.put("a", ["http://a/"])
    with pytest.raises(TooLarge):
        book.put("b", ["http://b/"])
