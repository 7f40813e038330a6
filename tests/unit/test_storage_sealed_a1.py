"""Orthanc's container ``A1``: the vectors that were checked against its own code, both ways."""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.support.sealed import sealed_keys
from wherry.config.encryption import MasterKey
from wherry.errors import CorruptedFile
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.sealed import a1
from wherry.storage.sealed.area import SealedStorage

VECTORS = json.loads((Path(__file__).parents[1] / "support/a1-vectors.json").read_text())
KEYS = {key["name"]: MasterKey(key["id"], bytes.fromhex(key["kek_hex"])) for key in VECTORS["keys"]}
NAME = str(uuid.UUID(int=7))


def plain_of(vector: dict[str, Any]) -> bytes:
    if "plaintext_hex" in vector:
        return bytes.fromhex(vector["plaintext_hex"])
    return bytes((7 * i + 3) % 256 for i in range(vector["plaintext_length"]))


def sealed(vector: dict[str, Any]) -> bytes:
    """What we make of the plain bytes with the keys of the vector."""
    header, encryptor = a1.begin(
        KEYS[vector["key"]], bytes.fromhex(vector["iv_hex"]), bytes.fromhex(vector["dek_hex"])
    )
    body = encryptor.update(plain_of(vector)) + encryptor.finalize()
    return header + body + encryptor.tag


def opened(folder: Path, data: bytes, master: MasterKey, place: str) -> bytes:
    """What the storage area gives of a file with these bytes."""
    inner = FilesystemStorage(folder)
    writer = inner.create(NAME)
    writer.write(data)
    writer.sync()
    writer.close()
    reader = SealedStorage(inner, sealed_keys("A1", master)).open(NAME, place)
    try:
        with reader.map() as view:
            whole = bytes(view)
        assert reader.size == len(whole)
        assert reader.read_at(0, len(whole)) == whole
        assert reader.read_at(len(whole) // 2, 100) == whole[len(whole) // 2 :][:100]
        return whole
    finally:
        reader.close()


@pytest.mark.parametrize("place", ["file-system::A1", "*"])
@pytest.mark.parametrize("vector", VECTORS["deterministic"], ids=lambda vector: vector["name"])
def test_each_vector_is_written_and_read(
    tmp_path: Path, vector: dict[str, Any], place: str
) -> None:
    blob = sealed(vector)
    assert len(blob) == vector["blob_length"]
    assert hashlib.sha256(blob).hexdigest() == vector["blob_sha256"]
    assert blob[:70].hex() == vector["prefix_hex"]
    assert blob[-16:].hex() == vector["tag_hex"]
    found = opened(tmp_path, blob, KEYS[vector["key"]], place)
    assert hashlib.sha256(found).hexdigest() == vector["plaintext_sha256"]


@pytest.mark.parametrize("vector", VECTORS["upstream"], ids=lambda v: str(len(v["plaintext_hex"])))
def test_what_the_original_sealed(tmp_path: Path, vector: dict[str, Any]) -> None:
    blob = bytes.fromhex(vector["blob_hex"])
    assert sealed(vector) == blob
    assert opened(tmp_path, blob, KEYS[vector["key"]], "file-system::A1") == plain_of(vector)


@pytest.mark.parametrize("vector", VECTORS["negative"], ids=lambda vector: vector["name"])
def test_what_must_be_refused(tmp_path: Path, vector: dict[str, Any]) -> None:
    told = vector["decrypt_with"]
    master = MasterKey(told["key_id"], KEYS[told["kek"]].secret)
    with pytest.raises(CorruptedFile):
        opened(tmp_path, bytes.fromhex(vector["blob_hex"]), master, "file-system::A1")


def test_a_large_file_is_read_beside_memory(tmp_path: Path) -> None:
    """Beyond what is held in memory, and in pieces that no block of the cipher fits."""
    data = bytes(range(251)) * 20_000
    storage = SealedStorage(FilesystemStorage(tmp_path), sealed_keys("A1"))
    writer = storage.create(NAME)
    for start in range(0, len(data), 70_001):
        writer.write(data[start : start + 70_001])
    writer.sync()
    writer.close()
    assert writer.place == "file-system::A1"
    reader = storage.open(NAME, writer.place)
    assert reader.read_at(4_999_999, 17) == data[4_999_999:][:17]
    with reader.map() as view:
        assert bytes(view) == data
    reader.close()
    blob = next(tmp_path.glob("??/*/*")).read_bytes()
    assert len(blob) == len(data) + 86
    assert data[:1000] not in blob


@pytest.mark.parametrize("at", [0, 3, 10, 40, 69, 70, 100_000, 5_019_999, 5_020_070, 5_020_085])
def test_nothing_of_a_damaged_large_file_is_given_out(tmp_path: Path, at: int) -> None:
    storage = SealedStorage(FilesystemStorage(tmp_path), sealed_keys("A1"))
    writer = storage.create(NAME)
    writer.write(bytes(5_020_000))
    writer.sync()
    writer.close()
    path = next(tmp_path.glob("??/*/*"))
    blob = bytearray(path.read_bytes())
    blob[at] ^= 1
    path.write_bytes(blob)

    def read() -> None:
        reader = storage.open(NAME, writer.place)
        try:
            reader.read_at(0, 1)
        finally:
            reader.close()

    with pytest.raises(CorruptedFile):
        read()
