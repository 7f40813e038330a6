"""A folder of worklist files, and what may lie in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.worklists import worklist_file
from wherry import limits
from wherry.worklists import folder as module
from wherry.worklists.folder import WorklistFolder


def numbers(folder: WorklistFolder) -> list[str]:
    return [item.attributes[0x00080050].text for item in folder.items()]


def test_files_come_change_and_go(tmp_path: Path) -> None:
    folder = WorklistFolder(tmp_path)
    assert folder.items() == []
    (tmp_path / "b.wl").write_bytes(worklist_file("B"))
    (tmp_path / "A.WL").write_bytes(worklist_file("A"))
    (tmp_path / "c.txt").write_bytes(worklist_file("C"))
    (tmp_path / "lockfile").touch()
    assert numbers(folder) == ["A", "B"]
    assert [(item.id, item.is_ours) for item in folder.items()] == [("A", False), ("b", False)]
    (tmp_path / "b.wl").write_bytes(worklist_file("B2"))
    (tmp_path / "A.WL").unlink()
    assert numbers(folder) == ["B2"]


def test_a_file_that_has_not_changed_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.wl").write_bytes(worklist_file("A"))
    folder = WorklistFolder(tmp_path)
    first = folder.items()
    monkeypatch.setattr(module, "_read", None)
    assert folder.items()[0] is first[0]


def test_one_bad_file_hides_no_other(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(worklist_file("OUT"))
    inside = tmp_path / "worklists"
    inside.mkdir()
    (inside / "a.wl").write_bytes(worklist_file("A"))
    (inside / "broken.wl").write_bytes(b"nonsense")
    (inside / "cut.wl").write_bytes(worklist_file("CUT")[:-3])
    (inside / "empty.wl").touch()
    (inside / "link.wl").symlink_to(outside)
    (inside / "dangling.wl").symlink_to(tmp_path / "nowhere")
    (inside / "folder.wl").mkdir()
    os.mkfifo(inside / "pipe.wl")
    with (inside / "sparse.wl").open("wb") as file:
        file.truncate(1 << 40)
    assert numbers(WorklistFolder(inside)) == ["A"]


def test_nested_without_end(tmp_path: Path) -> None:
    item = b"\x40\x00\x00\x01SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    (tmp_path / "a.wl").write_bytes(worklist_file("A"))
    (tmp_path / "deep.wl").write_bytes(worklist_file("DEEP") + item * 10_000)
    assert numbers(WorklistFolder(tmp_path)) == ["A"]


def test_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = {name: worklist_file(name, PatientComments=name * 50) for name in "ABC"}
    size = len(files["A"])
    for name, data in files.items():
        (tmp_path / f"{name}.wl").write_bytes(data)
    monkeypatch.setattr(limits, "WORKLIST_FOLDER_BYTES", 2 * size)
    folder = WorklistFolder(tmp_path)
    assert numbers(folder) == ["A", "B"]
    monkeypatch.undo()
    monkeypatch.setattr(limits, "WORKLIST_FOLDER_ELEMENTS", 4)
    assert numbers(folder) == ["A", "B"]
    monkeypatch.undo()
    monkeypatch.setattr(limits, "WORKLISTS", 2)
    assert len(numbers(folder)) == 2
    monkeypatch.undo()
    monkeypatch.setattr(limits, "WORKLIST_FILE_BYTES", size - 1)
    assert numbers(WorklistFolder(tmp_path)) == []
    monkeypatch.undo()
    assert numbers(folder) == ["A", "B", "C"]
    assert len(caplog.records) == 1  # it is looked at often


def test_a_file_that_grows_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.wl").write_bytes(worklist_file("A"))
    monkeypatch.setattr(limits, "WORKLIST_FILE_BYTES", 100)
    real = os.stat

    def stat_before(*arguments: object, **more: object) -> os.stat_result:
        found = list(real(*arguments, **more))  # type: ignore[arg-type]
        found[6] = 50
        return os.stat_result(found)

    monkeypatch.setattr(os, "stat", stat_before)
    assert numbers(WorklistFolder(tmp_path)) == []


def test_a_folder_that_is_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = WorklistFolder(tmp_path / "later")
    assert folder.items() == folder.items() == []
    assert len(caplog.records) == 1
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a.wl").write_bytes(worklist_file("A"))
    assert numbers(folder) == ["A"]


def test_a_file_that_becomes_a_link_before_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(worklist_file("OUT"))
    inside = tmp_path / "worklists"
    inside.mkdir()
    (inside / "a.wl").symlink_to(outside)
    assert list(names(inside)) == []  # it is not even opened
    changed = [("a.wl", (1, 2, 3, 4))]
    monkeypatch.setattr(WorklistFolder, "_files", lambda self, folder: iter(changed))
    assert numbers(WorklistFolder(inside)) == []


def names(path: Path) -> list[str]:
    """What is looked at in a folder."""
    folder = os.open(path, os.O_RDONLY)
    try:
        return [name for name, _ in WorklistFolder(path)._files(folder)]
    finally:
        os.close(folder)
