"""The file of an instance: from disk, then from memory, and never when it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import limits
from wherry.storage.filesystem import FilesystemStorage

DATA = make_instance(pixel_bytes=100_000)


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    with serving(tmp_path) as found:
        yield found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files that are opened to be read."""
    seen: list[str] = []
    plain = FilesystemStorage.open

    def noting(self: FilesystemStorage, uuid: str, place: str) -> Any:
        seen.append(uuid)
        return plain(self, uuid, place)

    monkeypatch.setattr(FilesystemStorage, "open", noting)
    return seen


def test_it_is_read_once(face: Face, opened: list[str]) -> None:
    target = f"/instances/{face.upload(DATA)['ID']}/file"
    opened.clear()
    replies = [face.get(target) for _ in range(3)]
    assert [reply.body for reply in replies] == [DATA] * 3
    assert replies[0].headers == replies[1].headers == replies[2].headers
    assert replies[0].headers["content-type"] == "application/dicom"
    assert replies[0].headers["content-disposition"] == f'filename="{face.files()[0]}.dcm"'
    assert len(opened) == 1


def test_what_is_deleted_is_gone_from_memory_too(face: Face) -> None:
    stored = face.upload(DATA)
    for _ in range(2):
        assert face.get(f"{stored['Path']}/file").body == DATA
    assert face.request("DELETE", stored["Path"]).status == 200
    assert face.get(f"{stored['Path']}/file").status == 404


def test_what_is_overwritten_is_new(tmp_path: Path) -> None:
    with serving(tmp_path, overwrite_instances=True) as face:
        stored = face.upload(DATA)
        for _ in range(2):
            assert face.get(f"{stored['Path']}/file").body == DATA
        other = DATA[:-1] + b"!"
        face.upload(other)
        assert face.get(f"{stored['Path']}/file").body == other


def test_no_memory_for_files(tmp_path: Path, opened: list[str]) -> None:
    with serving(tmp_path, maximum_storage_cache_bytes=0) as face:
        target = f"{face.upload(DATA)['Path']}/file"
        opened.clear()
        assert [face.get(target).body for _ in range(2)] == [DATA] * 2
        assert len(opened) == 2
        assert face.rooms.files.held_bytes == 0


def test_large_files_are_not_held(face: Face) -> None:
    large = make_instance(number=2, pixel_bytes=limits.CACHED_FILE_BYTES + 100)
    assert face.get(f"{face.upload(large)['Path']}/file").body == large
    assert face.rooms.files.held_bytes == 0


@pytest.mark.parametrize("warm", [False, True])
def test_ranges(face: Face, warm: bool) -> None:
    target = f"{face.upload(DATA)['Path']}/file"
    if warm:
        face.get(target)
    part = face.request("GET", target, headers={"Range": "bytes=128-131"})
    assert (part.status, part.body) == (206, b"DICM")
    assert part.headers["content-range"] == f"bytes 128-131/{len(DATA)}"
    assert face.get(target).body == DATA  # a part is never taken for the whole
    last = face.request("GET", target, headers={"Range": "bytes=-5"})
    assert last.body == DATA[-5:]
    beyond = face.request("GET", target, headers={"Range": f"bytes={len(DATA)}-"})
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(DATA)}")
    several = face.request("GET", target, headers={"Range": "bytes=0-1,5-6"})
    assert (several.status, several.body) == (200, DATA)


def test_a_name_of_ones_own(face: Face) -> None:
    target = f"{face.upload(DATA)['Path']}/file"
    for _ in range(2):
        reply = face.get(f"{target}?filename=a%22b%0d%0ac.dcm")
        assert reply.headers["content-disposition"] == 'filename="a_b__c.dcm"'


def test_compressed_answers(tmp_path: Path) -> None:
    with serving(tmp_path, http_compression_enabled=True) as face:
        stored = face.upload(DATA)
        accepts = {"Accept-Encoding": "gzip"}
        tags = face.request("GET", f"{stored['Path']}/tags", headers=accepts)
        assert tags.headers["content-encoding"] == "gzip"
        file = face.request("GET", f"{stored['Path']}/file", headers=accepts)
        assert file.body == DATA
        small = face.request("GET", "/statistics", headers=accepts)
        assert "content-encoding" not in small.headers
        assert small.headers["vary"] == "Accept-Encoding"
    with serving(tmp_path / "off") as face:
        stored = face.upload(DATA)
        tags = face.request("GET", f"{stored['Path']}/tags", headers=accepts)
        assert "content-encoding" not in tags.headers
