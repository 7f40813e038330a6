"""What is read in the error answers of peers."""

from __future__ import annotations

import orjson

from wherry.peers.complaint import PeerError, read_error


def test_what_a_peer_says_of_its_failure() -> None:
    answer = {"OrthancStatus": 20, "Message": "Corrupted", "Details": "Instance a\nb"}
    assert read_error(orjson.dumps(answer)) == PeerError(20, "Instance a b")
    del answer["Details"]
    assert read_error(orjson.dumps(answer)).text == "Corrupted"
    for nothing in (b"", b"<html>", b"[]", b'{"OrthancStatus":"x","Details":7}'):
        assert read_error(nothing) == PeerError(None, "")
    assert len(read_error(orjson.dumps({"Details": "a" * 9999})).text) == 500
