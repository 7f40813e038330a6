from __future__ import annotations

import pytest

from wherry import limits
from wherry.storage.cache import FileCache


def test_what_was_used_longest_ago_goes_first() -> None:
    cache = FileCache(10)
    for name in "abc":
        cache.put(name, name.encode() * 3)
    assert cache.get("a") == b"aaa"
    cache.put("d", b"dddd")
    assert cache.get("b") is None
    assert [cache.get(name) for name in "acd"] == [b"aaa", b"ccc", b"dddd"]
    assert cache.held_bytes == 10


def test_the_bytes_are_counted_truly() -> None:
    cache = FileCache(10)
    cache.put("a", b"12345")
    cache.put("a", b"1")
    assert cache.held_bytes == 1
    cache.discard("a")
    cache.discard("a")
    assert cache.held_bytes == 0
    assert cache.get("a") is None
    assert (cache.hits, cache.misses) == (0, 1)


def test_large_files_do_not_push_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CACHED_FILE_BYTES", 4)
    cache = FileCache(10)
    cache.put("a", b"12345")
    assert cache.get("a") is None
    off = FileCache(0)
    off.put("a", b"1")
    assert off.get("a") is None
