"""Our container ``W1``, as it is written down: who has these bytes and the key of the ring can read
them, with any library."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from tests.support.sealed import MASTER, sealed_keys
from wherry.config.encryption import EncryptionConfig
from wherry.errors import BadSequenceOfCalls, StorageFull
from wherry.storage.base import SmallFile
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.sealed import ring
from wherry.storage.sealed.area import SealedStorage
from wherry.storage.sealed.keys import Keys

NAME = str(uuid.UUID(int=7))
PLAIN = bytes(range(200))
CHUNK = 64


def keys_with(secret: bytes) -> Keys:
    key = ring.WrappedKey("00112233445566aa", "20260101T000000", MASTER.id, b"")
    return sealed_keys(known=(ring._wrapped(key, secret, MASTER),))


def sealed(folder: Path, keys: Keys) -> tuple[str, bytes]:
    storage = SealedStorage(FilesystemStorage(folder), keys, CHUNK)
    writer = storage.create(NAME)
    writer.write(PLAIN)
    writer.sync()
    writer.close()
    return writer.place, next(folder.glob("??/*/*")).read_bytes()


def test_by_hand(tmp_path: Path) -> None:
    secret = os.urandom(32)
    place, blob = sealed(tmp_path, keys_with(secret))
    assert blob[:8] == b"WherryW1"
    assert int.from_bytes(blob[8:12], "little") == CHUNK
    assert blob[12:20].hex() == "00112233445566aa"
    data_key = aes_key_unwrap(secret, blob[20:60])
    made = HKDF(SHA256(), 64, None, blob[:60] + NAME.encode()).derive(data_key)
    assert blob[60:92] == made[32:]
    assert place == f"file-system::W1={made[32:40].hex()}"
    plain, body = b"", blob[92:]
    for number in range(4):
        chunk, body = body[: CHUNK + 16], body[CHUNK + 16 :]
        nonce = number.to_bytes(11, "big") + bytes([not body])
        plain += AESGCM(made[:32]).decrypt(nonce, chunk, None)
    assert plain == PLAIN
    assert not body


def test_the_format_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = keys_with(bytes(range(32, 64)))
    monkeypatch.setattr(os, "urandom", lambda size: bytes(range(100, 100 + size)))
    place, blob = sealed(tmp_path, keys)
    assert place == "file-system::W1=2b99eeed17c640e0"
    digest = hashlib.sha256(blob).hexdigest()
    assert digest == "290649560025689e608f03b3b370ac443dd0edb771a8655acd347195ddf0455c"


def test_no_two_files_have_a_key_in_common(tmp_path: Path) -> None:
    storage = SealedStorage(FilesystemStorage(tmp_path), sealed_keys())
    names = [str(uuid.UUID(int=number)) for number in range(20)]
    storage.put([SmallFile(name, PLAIN, "0" * 32) for name in names])
    files = [path.read_bytes() for path in tmp_path.glob("??/*/*")]
    assert len({data[20:60] for data in files}) == len({data[92:] for data in files}) == 20


def test_a_small_file_comes_back_from_the_log_as_it_was(tmp_path: Path) -> None:
    """Byte for byte: the index remembers which one it was."""
    storage = SealedStorage(FilesystemStorage(tmp_path, "me"), sealed_keys())
    (place,) = storage.put([SmallFile(NAME, PLAIN, hashlib.md5(PLAIN).hexdigest())]).places
    path = next(tmp_path.glob("??/*/*"))
    blob = path.read_bytes()
    (logged,) = storage.logged("me")
    assert storage.restore(logged.file) is False
    path.write_bytes(blob[:-1])
    assert storage.restore(logged.file) is True
    assert path.read_bytes() == blob
    path.unlink()
    assert storage.restore(logged.file) is True
    reader = storage.open(NAME, place)
    assert reader.read_at(0, 1000) == PLAIN
    reader.close()


def test_nothing_is_written_in_clear_by_another_way(tmp_path: Path) -> None:
    storage = SealedStorage(FilesystemStorage(tmp_path), sealed_keys())
    assert not storage.shares_files
    with pytest.raises(BadSequenceOfCalls):
        storage.reopen(NAME)
    writer = storage.create(NAME)
    writer.sync()
    with pytest.raises(BadSequenceOfCalls):
        writer.write(b"more")
    writer.close()


def test_a_file_without_a_key_leaves_nothing(tmp_path: Path) -> None:
    keys = Keys(EncryptionConfig(MASTER), lambda: ())
    storage = SealedStorage(FilesystemStorage(tmp_path), keys)
    with pytest.raises(BadSequenceOfCalls):
        storage.create(NAME)
    assert list(tmp_path.glob("??/*/*")) == []


def test_what_was_not_written_is_not_completed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = FilesystemStorage(tmp_path)
    writer = SealedStorage(inner, sealed_keys(), CHUNK).create(NAME)

    def full(_data: object) -> None:
        raise StorageFull

    with monkeypatch.context() as patched:
        patched.setattr(writer._inner, "write", full)  # type: ignore[attr-defined]
        with pytest.raises(StorageFull):
            writer.write(PLAIN)
    for call in (writer.sync, lambda: writer.write(PLAIN)):
        with pytest.raises(BadSequenceOfCalls):
            call()
    writer.close()
