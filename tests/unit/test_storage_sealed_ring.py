"""The key ring: what the master key opens, and what a running server makes of a new ring."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.sealed import MASTER, new_master
from wherry import clock, limits
from wherry.config.encryption import EncryptionConfig, MasterKey
from wherry.errors import BadSequenceOfCalls, ConfigurationError, CorruptedFile
from wherry.storage.sealed import ring
from wherry.storage.sealed.keys import Keys
from wherry.storage.sealed.ring import type_ring
from wherry.storage.sealed.ringfile import FolderRingFile

CONFIG = EncryptionConfig(MASTER)
NEXT = new_master(2)
NEXT_CONFIG = EncryptionConfig(NEXT, (MASTER,))


def three() -> type_ring:
    return ring.with_new_key(ring.with_new_key(ring.with_new_key((), MASTER), MASTER), MASTER)


def test_a_document_is_read_as_it_was_written() -> None:
    known = three()
    assert ring.load(ring.dump(known)) == known
    secrets = [key.secret for key in ring.unwrap_all(known, CONFIG)]
    assert len(set(secrets)) == 3
    text = ring.dump(known)
    for secret in secrets:
        assert secret not in text
        assert base64.b64encode(secret) not in text


def test_another_master_key_opens_the_same_keys() -> None:
    known = three()
    after = ring.rewrapped(known, NEXT_CONFIG)
    assert [key.master for key in after] == [2, 2, 2]
    assert ring.unwrap_all(after, EncryptionConfig(NEXT)) == ring.unwrap_all(known, CONFIG)
    with pytest.raises(ConfigurationError, match="need the master key 2"):
        ring.unwrap_all(after, CONFIG)


def test_a_master_key_that_is_missing_or_another_one() -> None:
    known = three()
    with pytest.raises(ConfigurationError, match="need the master key 1"):
        ring.unwrap_all(known, EncryptionConfig(NEXT))
    with pytest.raises(ConfigurationError, match="holds another key"):
        ring.unwrap_all(known, EncryptionConfig(MasterKey(1, NEXT.secret)))


@pytest.mark.parametrize("field", ["id", "created", "master", "wrapped"])
def test_what_stands_in_the_document_is_authenticated(field: str) -> None:
    (key,) = ring.with_new_key((), MASTER)
    changes = {
        "id": "0" * 16,
        "created": "19700101T000000",
        "master": 2,
        "wrapped": key.wrapped[:-1] + bytes([key.wrapped[-1] ^ 1]),
    }
    changed = replace(key, **{field: changes[field]})
    with pytest.raises(ConfigurationError):
        ring.unwrap(changed, EncryptionConfig(MASTER, (MasterKey(2, MASTER.secret),)))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"Version": 2, "Keys": []}',
        b'{"Version": 1}',
        b'{"Version": 1, "Keys": [{}]}',
        b'{"Version": 1, "Keys": [3]}',
        b'{"Version": 1, "Keys": [{"ID": "..", "Created": "", "MasterKey": 1, "Wrapped": ""}]}',
        b'{"Version": 1, "Keys": [{"ID": 3, "Created": "", "MasterKey": 1, "Wrapped": ""}]}',
        b'{"Version": 1, "Keys": [{"ID": "0000000000000000", "MasterKey": "x", "Wrapped": "!"}]}',
    ],
)
def test_what_is_no_ring(text: bytes) -> None:
    with pytest.raises(CorruptedFile):
        ring.load(text)


def test_new_files_take_no_key_that_only_a_copy_knows() -> None:
    """Whoever may write beside the data, and has an old master key, could offer one of his."""
    mine, foreign = three(), ring.with_new_key((), MASTER)
    assert ring.merged(mine, foreign) == (*foreign, *mine)
    assert ring.merged(mine, mine) == mine
    assert ring.merged((), mine) == mine


class Clock:
    now = 1000.0


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moment = Clock()
    monkeypatch.setattr(clock, "monotonic", lambda: moment.now)
    return moment


def test_a_running_server_finds_new_keys(time: Clock) -> None:
    known = [ring.with_new_key((), MASTER)]
    keys = Keys(CONFIG, lambda: known[0])
    first = keys.current()
    known[0] = ring.with_new_key(known[0], MASTER)
    newer = ring.unwrap_all(known[0], CONFIG)[1]
    assert keys.current() == first
    with pytest.raises(CorruptedFile, match="not in the key ring"):
        keys.ring_key(newer.id, "a file")  # somebody asked just now
    time.now += limits.KEY_RING_MISS_S + 1
    assert keys.ring_key(newer.id, "a file") == newer.secret
    assert keys.current() == newer


def test_new_files_take_the_new_key_after_a_while(time: Clock) -> None:
    known = [ring.with_new_key((), MASTER)]
    keys = Keys(CONFIG, lambda: known[0])
    known[0] = ring.with_new_key(known[0], MASTER)
    time.now += limits.KEY_RING_LOOK_S + 1
    assert keys.current().id == known[0][-1].id


def test_a_server_without_the_new_master_key_goes_on(
    time: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    known = [ring.with_new_key((), MASTER)]
    keys = Keys(CONFIG, lambda: known[0])
    first = keys.current()
    known[0] = ring.with_new_key(ring.rewrapped(known[0], NEXT_CONFIG), NEXT)
    time.now += limits.KEY_RING_LOOK_S + 1
    assert keys.current() == first
    assert "need the master key 2" in caplog.text
    with pytest.raises(CorruptedFile):
        keys.ring_key(known[0][-1].id, "a file")


def test_an_empty_ring_seals_nothing() -> None:
    with pytest.raises(BadSequenceOfCalls):
        Keys(EncryptionConfig(MASTER, container="A1"), lambda: ()).current()


def test_the_copy_in_a_folder(tmp_path: Path) -> None:
    copy = FolderRingFile(tmp_path / "not yet")
    assert copy.read() is None
    copy.write(b"one")
    copy.write(b"another")
    assert copy.read() == b"another"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["ring.json"]
    assert (tmp_path / "not yet/wherry-keys/ring.json").stat().st_mode & 0o077 == 0
