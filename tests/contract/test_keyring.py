"""The key ring of an archive: one for all servers, kept twice, rotated without touching a file."""

from __future__ import annotations

import hashlib
import threading
import uuid
from pathlib import Path

import pytest

from tests.support.sealed import MASTER, new_master
from wherry.config.encryption import EncryptionConfig, MasterKey
from wherry.errors import ConfigurationError, CorruptedFile, StorageUnavailable
from wherry.index import settings
from wherry.index.database import Index
from wherry.index.opening import IndexSettings, open_index
from wherry.keyring import open_keys, rotate
from wherry.storage.base import SmallFile
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.sealed import ring
from wherry.storage.sealed.area import SealedStorage
from wherry.storage.sealed.keys import Keys
from wherry.storage.sealed.ringfile import FolderRingFile

CONFIG = EncryptionConfig(MASTER)


@pytest.fixture
def copy(tmp_path: Path) -> FolderRingFile:
    return FolderRingFile(tmp_path / "storage")


def opened(config: EncryptionConfig, index: Index, copy: FolderRingFile) -> Keys:
    keys = open_keys(config, index, [copy])
    assert keys is not None
    return keys


def test_one_ring_for_all(index: Index, copy: FolderRingFile) -> None:
    first = opened(CONFIG, index, copy)
    assert opened(CONFIG, index, copy).current() == first.current()
    beside = copy.read()
    assert beside is not None
    assert [key.id for key in ring.load(beside)] == [first.current().id]


def test_servers_that_start_at_once(index_settings: IndexSettings, tmp_path: Path) -> None:
    open_index(index_settings).close()
    barrier, found = threading.Barrier(8), []

    def start() -> None:
        index = open_index(index_settings)
        try:
            barrier.wait()
            found.append(opened(CONFIG, index, FolderRingFile(tmp_path / "storage")).current())
        finally:
            index.close()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_the_index_is_lost(index_settings: IndexSettings, index: Index, tmp_path: Path) -> None:
    copy = FolderRingFile(tmp_path / "storage")
    key = opened(CONFIG, index, copy).current()
    other = open_index(IndexSettings(sqlite_path=tmp_path / "other.db"))
    assert opened(CONFIG, other, copy).current() == key
    other.close()


def test_the_copy_is_lost_or_old(index: Index, copy: FolderRingFile) -> None:
    key = opened(CONFIG, index, copy).current()
    before = copy.read()
    assert before is not None
    rotate(CONFIG, index, [copy])
    after = copy.read()
    copy.write(before)
    opened(CONFIG, index, copy)
    assert copy.read() == after
    copy._path.unlink()
    assert opened(CONFIG, index, copy).ring_key(key.id, "") == key.secret
    assert copy.read() == after


def test_an_older_index_learns_what_the_copy_knows(index: Index, copy: FolderRingFile) -> None:
    """It was restored from a backup: files need keys that it has never seen."""
    key = opened(CONFIG, index, copy).current()
    text = copy.read()
    assert text is not None
    newer = ring.with_new_key(ring.load(text), MASTER)
    copy.write(ring.dump(newer))
    keys = opened(CONFIG, index, copy)
    assert keys.ring_key(newer[1].id, "") == ring.unwrap(newer[1], CONFIG)
    assert keys.current() == key


class Away:
    """A copy that is out of reach, or was still there when it was read."""

    def __init__(self, *, reads: bool = False) -> None:
        self._reads = reads

    def read(self) -> bytes | None:
        if not self._reads:
            raise StorageUnavailable("away")
        return None

    def write(self, data: bytes) -> None:
        raise StorageUnavailable("away")


@pytest.mark.parametrize("reads", [False, True])
def test_no_key_is_in_the_index_alone(index: Index, copy: FolderRingFile, reads: bool) -> None:
    away = Away(reads=reads)
    with pytest.raises(StorageUnavailable):
        open_keys(CONFIG, index, [away])
    with index.read() as tx:
        assert settings.get(tx, settings.KEY_RING) is None
    key = opened(CONFIG, index, copy).current()
    with pytest.raises(StorageUnavailable):
        rotate(CONFIG, index, [copy, away])
    keys = open_keys(CONFIG, index, [])
    assert keys is not None
    assert keys.current() == key
    rotate(CONFIG, index, [copy])
    assert keys.ring_key(key.id, "") == key.secret


def test_rotated_by_two_at_once(
    index: Index, copy: FolderRingFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(CONFIG, index, copy)
    others = [1]
    plain = copy.write

    def write(data: bytes) -> None:
        plain(data)
        if others:
            others.pop()
            rotate(CONFIG, index, [FolderRingFile(copy._path.parent.parent)])

    monkeypatch.setattr(copy, "write", write)
    known = rotate(CONFIG, index, [copy])
    assert len({key.id for key in known}) >= 3
    assert copy.read() == ring.dump(known)
    assert opened(CONFIG, index, copy).current().id == known[-1].id


def test_a_start_while_the_store_is_out_of_reach(
    index: Index, copy: FolderRingFile, caplog: pytest.LogCaptureFixture
) -> None:
    key = opened(CONFIG, index, copy).current()
    other = FolderRingFile(copy._path.parent.parent.parent / "other")
    keys = open_keys(CONFIG, index, [Away(), other])
    assert keys is not None
    assert keys.current() == key
    assert "until the next start" in caplog.text
    assert other.read() == copy.read()


@pytest.mark.parametrize("master", [MasterKey(1, bytes(32)), MasterKey(2, MASTER.secret)])
def test_a_wrong_master_key_does_not_start(
    index: Index, copy: FolderRingFile, master: MasterKey
) -> None:
    opened(CONFIG, index, copy)
    with pytest.raises(ConfigurationError, match="master key 1"):
        open_keys(EncryptionConfig(master), index, [copy])


def test_no_start_in_clear_by_mistake(index: Index, copy: FolderRingFile) -> None:
    assert open_keys(None, index, [copy]) is None
    opened(CONFIG, index, copy)
    with pytest.raises(ConfigurationError, match="no StorageEncryption"):
        open_keys(None, index, [copy])
    assert opened(EncryptionConfig(MASTER, container=""), index, copy).container == ""


def test_a_damaged_copy_does_not_start(index: Index, copy: FolderRingFile) -> None:
    opened(CONFIG, index, copy)
    copy.write(b"{")
    with pytest.raises(CorruptedFile):
        open_keys(CONFIG, index, [copy])


def test_ten_thousand_files_and_another_master_key(
    index: Index, copy: FolderRingFile, tmp_path: Path
) -> None:
    inner = FilesystemStorage(tmp_path / "storage")
    storage = SealedStorage(inner, opened(CONFIG, index, copy))
    files = {
        str(uuid.UUID(int=(7 << 112) + number)): b"file %d" % number for number in range(10_000)
    }
    names, places = [*files], []
    for start in range(0, len(names), 32):
        some = names[start : start + 32]
        places += storage.put([SmallFile(name, files[name], "0" * 32) for name in some]).places

    def stored() -> str:
        digest = hashlib.sha256()
        for path in sorted((tmp_path / "storage").glob("??/*/*")):
            digest.update(path.name.encode() + path.read_bytes() + b"%d" % path.stat().st_mtime_ns)
        return digest.hexdigest()

    before = stored()
    new = new_master(2)
    with pytest.raises(ConfigurationError, match="need the master key 1"):
        rotate(EncryptionConfig(new), index, [copy])
    rotate(EncryptionConfig(new, (MASTER,)), index, [copy])
    assert stored() == before
    keys = opened(EncryptionConfig(new), index, copy)  # the old master key is gone
    again = SealedStorage(inner, keys)
    for name, place in zip(names, places, strict=True):
        reader = again.open(name, place)
        assert reader.read_at(0, 100) == files[name]
        reader.close()
    writer = again.create(str(uuid.uuid4()))
    writer.write(b"new")
    writer.sync()
    writer.close()
    sealed = inner.open(writer.uuid)
    assert sealed.read_at(12, 8).hex() == keys.current().id != ring.load(copy.read() or b"")[0].id
    sealed.close()
    with pytest.raises(ConfigurationError):
        open_keys(CONFIG, index, [copy])
    storage.close()
