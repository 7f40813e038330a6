"""The janitor: which files it may remove, and when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.jobs import eventually
from wherry import clock, limits
from wherry.index import deletions
from wherry.index.database import Index, Transaction
from wherry.ingest.recovery import Janitor
from wherry.storage.base import ANYWHERE
from wherry.storage.filesystem import FilesystemStorage


class Slow(FilesystemStorage):
    """A removal takes as long as ``stall_s`` says, once; ``calls`` are the names removed."""

    def __init__(self, root: Path, now: list[float]) -> None:
        super().__init__(root)
        self.now = now
        self.stall_s = 0.0
        self.calls: list[str] = []

    def delete(self, uuid: str, place: str = ANYWHERE) -> None:
        self.calls.append(place or uuid)
        super().delete(uuid, place)
        self.now[0] += self.stall_s
        self.stall_s = 0.0


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slow:
    now = [0.0]
    monkeypatch.setattr(clock, "awake_or_not", lambda: now[0])
    return Slow(tmp_path / "storage", now)


@pytest.fixture
def janitor(index: Index, storage: Slow) -> Iterator[Janitor]:
    janitor = Janitor(index, storage)
    yield janitor
    janitor.close()


def pending(index: Index) -> list[tuple[str, str]]:
    with index.read() as tx:
        return deletions.pending(tx, 100)


def test_what_was_claimed_too_long_ago_is_claimed_anew(
    index: Index, storage: Slow, janitor: Janitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, moved_back, last = sorted(str(uuid4()) for _ in range(3))
    index.write(lambda tx: deletions.add(tx, [(first, ""), (moved_back, ""), (last, "")]))
    storage.stall_s = limits.LEASE_S
    claim = deletions.claim

    def claimed(
        tx: Transaction, owner: str, after: tuple[str, str], limit: int
    ) -> list[tuple[str, str]]:
        if storage.calls:  # others have removed it while this process stood still
            tx.run("DELETE FROM deleted_files WHERE uuid = ?", (moved_back,))
        return claim(tx, owner, after, limit)

    monkeypatch.setattr(deletions, "claim", claimed)
    janitor.start()
    eventually(lambda: not pending(index), "the janitor")
    assert storage.calls == [first, last]


def test_a_place_that_is_not_configured_waits_for_the_next_start(
    index: Index, storage: Slow, janitor: Janitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REMOVALS_AGAIN_S", 0.01)
    monkeypatch.setattr(limits, "REMOVALS", 1)
    far, near = "object-storage:.dcm:", ""
    files = sorted(str(uuid4()) for _ in range(3))
    index.write(lambda tx: deletions.add(tx, [(uuid, far) for uuid in files]))
    janitor.start()
    eventually(lambda: far in storage.calls, "the first look")
    index.write(lambda tx: deletions.add(tx, [(files[1], near)]))
    janitor.wake()
    eventually(lambda: files[1] in storage.calls, "the others")
    janitor.close()
    assert pending(index) == [(uuid, far) for uuid in files]
    assert storage.calls.count(far) == 1
